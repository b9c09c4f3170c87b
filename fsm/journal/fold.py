"""The state of a run: the fold of its records, and of nothing else.

    {"n": 17, "files": {name: {"sha256", "size"}}, "root": FRAME, "ended": None | {"outcome", "label", "last"}}

and where a machine has limits of time "spent": {key: seconds}, what is used of those that hold now.

A frame is one machine in progress:

    {"machine": name, "place": [state, ...], "data": {}, "visits": {state: n}, "last": state, "label": label,
     "open": {state: {"calls": {key: FRAME}, "once": {key: value}, "tries": {entry: n}, "failures": n,
                      "skipped": {item: why}, "pauses"?: {key: PAUSE}}}}

`open` holds what a state has begun and not yet left: machines below it, results of its `once` steps, and how often
it was tried again; `fsm.journal.pauses` says what a PAUSE is. It goes when the state is left. Plain dicts, for a snapshot is this value as JSON.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from typing import Any

from pydantic_core import from_json, to_json

from fsm.journal import pauses

Json = Any
Frame = dict[str, Any]

RETRY = "retry "  # begins, among a state's `tries`, the name of a class of errors that its machine retries
RECOVERY = "~!"  # marks the call that a failed state makes to the recovery machine
SNAPSHOT_EVERY = 64  # records between snapshots: bounds what opening a run reads
SNAPSHOT_BYTES = 1 << 17  # of values in the records between them: bounds it where states keep much
MOST_BETWEEN = 32 * SNAPSHOT_EVERY  # records between snapshots, however heavy the state is
RECORD_BYTES = 1000  # what a record counts for beside its values: it is read as fast as so much of a snapshot
MARSHAL = 2
"""The version of marshal that values are measured by: ten times faster than JSON, and equal values have equal lengths. Later
versions refer back to objects met before, and those of a resumed run are others than those of one left alone."""


def _packed(value: Any) -> bytes:
    """A value in marshal's form."""
    try:
        return marshal.dumps(value, MARSHAL)
    except ValueError:  # a label of an enumeration, say, which JSON spells as what it is equal to
        return marshal.dumps(from_json(to_json(value)), MARSHAL)


def _brought(record: dict[str, Any]) -> int:
    """About how many bytes of values a record brings, besides the few hundred that each has."""
    size = 0
    for key in ("data", "value", "patch", "show", "values"):
        if key in record:
            size += len(_packed(record[key]))
    for key in ("files", "reads"):
        if key in record:
            size += 150 * len(record[key])
    return size


def new_frame(machine: str, place: Iterable[str]) -> Frame:
    """A machine just entered."""
    return {
        "machine": machine,
        "place": list(place),
        "data": {},
        "visits": {},
        "last": "",
        "label": None,
        "open": {},
    }


def opened(frame: Frame, state: str) -> dict[str, Any]:
    """What `state` has begun in this visit; made where there is nothing yet."""
    found: dict[str, Any] | None = frame["open"].get(state)
    if found is None:
        found = frame["open"][state] = {"calls": {}, "once": {}, "tries": {}, "failures": 0, "skipped": {}}
    return found


def retried(frame: Frame | None, state: str, error: str) -> int:
    """How often a state was started again in this visit for such an error, as its machine declares."""
    return int(opened(frame, state)["tries"].get(RETRY + error, 0)) if frame else 0


class Fold:
    """The run so far. `apply` takes the records in order; everything else reads."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.state: dict[str, Any] = state or {"n": 0, "files": {}, "root": None, "ended": None}
        self._snapshot = len(_packed(self.state))  # bytes of the newest one
        self._at = self.state["n"]  # records before it
        self._since = 0  # bytes that the records after it brought
        self._untold: dict[tuple[str, ...], Frame] = {}  # begun, and not in any record yet

    @classmethod
    def of(cls, records: Iterable[dict[str, Any]]) -> Fold:
        """The fold of records that begin with the run's first one or with one that carries a snapshot."""
        fold = cls()
        for record in records:
            if "snapshot" in record:
                fold = cls(record["snapshot"])
            else:
                fold.apply(record)
        return fold

    @property
    def root(self) -> Frame | None:
        return self.state["root"]  # type: ignore[no-any-return]

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        return self.state["files"]  # type: ignore[no-any-return]

    @property
    def spent(self) -> dict[str, float]:
        """Seconds that are used of the limits of time that hold, by the keys of `fsm.engine.limits`."""
        return self.state.get("spent", {})  # type: ignore[no-any-return]

    @property
    def ended(self) -> dict[str, Any] | None:
        return self.state["ended"]  # type: ignore[no-any-return]

    def snapshot_due(self) -> bool:
        """Whether the record applied last should carry a snapshot.

        One in so many records does, where these weigh as much as the last snapshot: of a state that is heavy and changes
        little, snapshots would outweigh all else. Heavy records have it sooner, by the same measure. Claims do not count,
        nor what differs between two runs in a line: a run that was interrupted has its snapshots where an undisturbed one
        has them.
        """
        records: int = self.state["n"] - self._at
        if self.state["n"] % SNAPSHOT_EVERY == 0:
            return records >= MOST_BETWEEN or records * RECORD_BYTES + self._since >= self._snapshot
        return self._since >= SNAPSHOT_BYTES and self._since >= self._snapshot

    def snapshot(self) -> dict[str, Any]:
        """The state, for the record applied last to carry: it goes on changing with the next one."""
        self._snapshot, self._at, self._since = len(_packed(self.state)), self.state["n"], 0
        return self.state

    def frame(self, at: list[str]) -> Frame | None:
        """The frame at a path of calls, or None where it has not begun."""
        frame = self.state["root"]
        for step in at:
            if frame is None:
                return None
            state, _, key = step.partition("~")
            frame = frame["open"].get(state, {"calls": {}})["calls"].get(key or "0")
        return frame  # type: ignore[no-any-return]

    def visited(self, at: list[str]) -> str:
        """A path of calls with the visit of each state on it, and which of its failures a recovery is of."""
        steps = []
        for depth, step in enumerate(at):
            frame = self.frame(at[:depth])
            assert frame is not None, at
            state = step.partition("~")[0]
            failed = f"!{opened(frame, state)['failures']}" if step.endswith(RECOVERY) else ""
            steps.append(f"{step}#{frame['visits'].get(state, 0) + 1}{failed}")
        return "/".join(steps)

    def begin(self, at: list[str], frame: Frame) -> Frame:
        """Put a frame where it belongs. Not a record: the first one written in it, or below it, tells of it."""
        self._untold[tuple(at)] = frame
        return self._put(at, frame)

    def begun_above(self, at: list[str]) -> list[dict[str, Any]]:
        """The frames above `at` that no record has told of yet, for the next one to do so.

        A machine may call another before it has written anything itself.
        """
        if not self._untold:
            return []
        above = [at[:depth] for depth in range(len(at)) if tuple(at[:depth]) in self._untold]
        return [{"at": a, **{k: self._untold[tuple(a)][k] for k in ("machine", "place")}} for a in above]

    def _put(self, at: list[str], frame: Frame) -> Frame:
        if not at:
            self.state["root"] = frame
            return frame
        parent = self.frame(at[:-1])
        assert parent is not None, at
        state, _, key = at[-1].partition("~")
        opened(parent, state)["calls"][key or "0"] = frame
        return frame

    def apply(self, record: dict[str, Any]) -> None:
        """Take one record. Kinds: claim, transition, once, error, verdict, those of pauses, cancel."""
        kind = record["kind"]
        if kind == "claim":
            return
        self.state["n"] += 1
        self._since += _brought(record)
        if spent := record.get("spent"):
            self._spend(spent)
        at = record["at"]
        for above in record.get("above", ()):
            if self.frame(above["at"]) is None:
                self._put(above["at"], new_frame(above["machine"], above["place"]))
            self._untold.pop(tuple(above["at"]), None)
        frame = self.frame(at)
        if frame is None:
            frame = self._put(at, new_frame(record["machine"], record.get("place") or [record["from"]]))
        self._untold.pop(tuple(at), None)
        state = record["from"]
        if kind == "transition":
            self._transition(frame, state, record)
        elif kind == "once":
            opened(frame, state)["once"][record["key"]] = record["value"]
        elif kind == "error":
            here = opened(frame, state)
            here["failures"] += 1
            if retry := record.get("retry"):
                counted = RETRY + retry["of"]
                here["tries"][counted] = here["tries"].get(counted, 0) + 1
                self._starts_again(here)
            elif any(step.endswith(RECOVERY) for step in at):
                self._recovery_failed(at)
            elif entry := record["recovery"]:
                here["tries"][entry] = here["tries"].get(entry, 0) + 1
                below = self._put([*at, state + RECOVERY], new_frame(record["by"], [entry]))
                below["data"]["error"] = {
                    "entry": entry,
                    "machine": record["machine"],
                    "state": state,
                    "error": record["error"],
                    "message": record["message"],
                    "item": record.get("item"),
                    "attempt": here["tries"][entry] - 1,
                    "data": dict(frame["data"]),
                }
            else:
                here["tries"] = {k: n for k, n in here["tries"].items() if not k.startswith(RETRY)}
        elif kind == "verdict":
            self._verdict(frame, state, record)
        elif kind in pauses.KINDS:
            pauses.apply(opened(frame, state), record)
        elif kind == "cancel":
            self.state["ended"] = record["end"]

    def _spend(self, used: dict[str, float | None]) -> None:
        spent = {k: seconds for k, seconds in {**self.spent, **used}.items() if seconds is not None}
        self.state.pop("spent", None)
        if spent:
            self.state["spent"] = spent

    def _transition(self, frame: Frame, state: str, record: dict[str, Any]) -> None:
        if patch := record.get("data"):
            frame["data"].update(patch.get("set", {}))
            for key in patch.get("drop", ()):
                frame["data"].pop(key, None)
        if files := record.get("files"):
            self.state["files"].update(files)
        frame["visits"][state] = frame["visits"].get(state, 0) + 1
        frame["open"].pop(state, None)
        frame["last"], frame["label"] = state, record.get("label")
        frame["place"] = list(record["to"])
        if end := record.get("end"):
            self.state["ended"] = end

    def _recovery_failed(self, at: list[str]) -> None:
        """An error within a recovery stops the run; a resume tries the state that failed first again."""
        depth = next(i for i, step in enumerate(at) if step.endswith(RECOVERY))
        outer = self.frame(at[:depth])
        assert outer is not None, at
        outer["open"].pop(at[depth].removesuffix(RECOVERY), None)

    def _starts_again(self, here: dict[str, Any]) -> None:
        """A state does, and with it what it had called."""
        here["calls"] = {}

    def _verdict(self, frame: Frame, state: str, record: dict[str, Any]) -> None:
        here = opened(frame, state)
        self._starts_again(here)
        frame["data"].update(record.get("patch") or {})
        if record["verdict"] == "stop":
            here["tries"] = {}
        if leave := record.get("leave"):
            outer = self.frame(leave["at"])
            assert outer is not None, leave
            opened(outer, leave["state"])["leave"] = leave["label"]
        if skipped := record.get("skipped"):
            here["skipped"].update(skipped)
