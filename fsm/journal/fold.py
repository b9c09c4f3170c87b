"""The state of a run: the fold of its records, and of nothing else.

    {"n": 17, "files": {name: {"sha256", "size"}}, "root": FRAME, "ended": None | {"outcome", "label", "last"}}

and where other drawings were accepted "accepted": {"diagrams": {machine: digest}, "sections": {}}, where a machine has limits of time
"spent": {key: seconds}, what is used of those that hold now.

A frame is one machine in progress:

    {"machine": name, "place": [state, ...], "data": {}, "visits": {state: n}, "last": state, "label": label,
     "open": {state: {"calls": {key: FRAME}, "once": {key: value}, "tries": {entry: n}, "failures": n,
                      "skipped": {item: why}, "pauses"?: {key: PAUSE}}}}

Where branches of a split go at once, or items of a map, each is a frame among the calls of the state where they began
(`fsm.journal.lines`), with what it put under `files` until all have joined; a branch begins with the data of its machine.
`maps` holds what was called for items: {key: {"calls": machine, "items": n, "joined": bool}}.

`open` holds what a state has begun and not yet left: machines below it, results of its `once` steps, and how often
it was tried again; `fsm.journal.pauses` says what a PAUSE is. It goes when the state is left. Plain dicts, for a snapshot is this value as JSON.
"""

from __future__ import annotations

import marshal
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from fsm.journal import pauses
from fsm.journal.lines import MARK, branch_step, is_branch, is_item, is_line, item_step, merged, put
from fsm.journal.values import copied

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


def _rename(frame: Frame, renames: Mapping[str, Mapping[str, str]]) -> None:
    """Call the states of a frame, and of those below it, as they are called from now on."""
    names = renames.get(frame["machine"], {})
    frame["place"] = [names.get(state, state) for state in frame["place"]]
    frame["last"] = names.get(frame["last"], frame["last"])
    for of in ("visits", "open"):
        frame[of] = {names.get(state, state): value for state, value in frame[of].items()}
    for opened_here in frame["open"].values():
        for call in opened_here["calls"].values():
            _rename(call, renames)


def _called(state: str, names: Mapping[str, str]) -> str:
    """What a state is called from now on; a composite, which no record names, by the states in it."""
    if state in names:
        return names[state]
    depth = state.count(".") + 1
    inside = (new.split(".")[:depth] for old, new in names.items() if old.startswith(f"{state}."))
    return next((".".join(above) for above in inside if len(above) == depth), state)


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
        self._lately_in_line = False  # whether the record applied last was one of a line
        self._in_line = False  # whether the newest snapshot came with a record of a line, and which one that was is chance

    @classmethod
    def of(cls, records: Iterable[dict[str, Any]]) -> Fold:
        """The fold of records that begin with the run's first one or with one that carries a snapshot."""
        fold = cls()
        for record in records:
            if "snapshot" in record:
                fold = cls(record["snapshot"])
                fold._in_line = any(
                    map(is_line, record.get("at", ()))
                )  # a fork's first record is of no state
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
        has them. After lines that went at once the first record has one if any of theirs had, so that from there on it is
        all the same how they went; and whether any had is, for in a line the order of records decides nothing but which.
        """
        records: int = self.state["n"] - self._at
        heavy = self._since >= SNAPSHOT_BYTES and self._since >= self._snapshot
        if self._in_line and not self._lately_in_line:
            return True
        if self.state["n"] % SNAPSHOT_EVERY == 0:
            since = 0 if self._lately_in_line else self._since
            return heavy or records >= MOST_BETWEEN or records * RECORD_BYTES + since >= self._snapshot
        return heavy

    def snapshot(self) -> dict[str, Any]:
        """The state, for the record applied last to carry: it goes on changing with the next one."""
        self._snapshot, self._at, self._since = len(_packed(self.state)), self.state["n"], 0
        self._in_line = self._lately_in_line
        return self.state

    def frame(self, at: list[str]) -> Frame | None:
        """The frame at a path of calls, or None where it has not begun."""
        if self._untold and (untold := self._untold.get(tuple(at))) is not None:
            return untold
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
            if is_branch(step):  # no call: what a state is, it is whether or not others go on meanwhile
                continue
            frame = self.frame(at[:depth])
            assert frame is not None, at
            state = step.partition("~")[0]
            failed = f"!{opened(frame, state)['failures']}" if step.endswith(RECOVERY) else ""
            steps.append(f"{step}#{frame['visits'].get(state, 0) + 1}{failed}")
        return "/".join(steps)

    def begin(self, at: list[str], frame: Frame) -> Frame:
        """Have a frame at a path. Not a record, and not in the state before one is: the first one written in it, or below it,
        tells of it."""
        self._untold[tuple(at)] = frame
        return frame

    def all_files(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every artifact that the state names, by name: the run's, and those of lines that are under way."""
        yield from self.files.items()
        if self.root is not None:
            yield from _files_below(self.root)

    def files_at(self, at: list[str]) -> Mapping[str, dict[str, Any]]:
        """The artifacts that are there for who stands at a path: the run's, and in a line those of its own, by name."""
        if not any(map(is_line, at)):
            return self.files
        return ChainMap(*self._files_of(at)[::-1])

    def _files_of(self, at: list[str]) -> list[dict[str, Any]]:
        """The run's artifacts, and those of each line on a path, outermost first."""
        found = [self.files]
        for depth, step in enumerate(at, 1):
            if is_line(step) and (frame := self.frame(at[:depth])) is not None:
                found.append(frame.setdefault("files", {}))
        return found

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
        """Take one record. Kinds: claim, fork, accept, transition, once, error, verdict, those of pauses, cancel, split, join."""
        kind = record["kind"]
        if kind == "claim":
            return
        if kind == "fork":
            self.state = copied(record["snapshot"])
            return
        self.state["n"] += 1
        if kind == "accept":
            self._accept(record)
            return
        self._since += _brought(record)
        if spent := record.get("spent"):
            self._spend(spent)
        at = record["at"]
        self._lately_in_line = bool(at) and any(map(is_line, at))
        for above in record.get("above", ()):
            self._told(above["at"], above["machine"], above["place"])
        frame = self._told(at, record["machine"], record.get("place") or [record["from"]])
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
        elif kind == "split":
            self._split(frame, state, record)
        elif kind == "join":
            self._join(frame, state, record)

    def _told(self, at: list[str], machine: str, place: list[str]) -> Frame:
        """The frame at a path, which a record has now told of."""
        if self._untold and (frame := self._untold.pop(tuple(at), None)) is not None:
            return self._put(at, frame)
        found = self.frame(at)
        return self._put(at, new_frame(machine, place)) if found is None else found

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
            (self._files_of(record["at"])[-1] if self._lately_in_line else self.files).update(files)
        frame["visits"][state] = frame["visits"].get(state, 0) + 1
        frame["open"].pop(state, None)
        self._forget(record["at"], state)
        frame["last"], frame["label"] = state, record.get("label")
        frame["place"] = list(record["to"])
        if end := record.get("end"):
            self.state["ended"] = end
        if not frame["place"] and self._lately_in_line and is_item(record["at"][-1]):
            frame["visits"] = {}  # only how it ended is asked for now, and there may be a thousand of them

    def _accept(self, record: dict[str, Any]) -> None:
        """Go on under other drawings: states are called as they are there from here on."""
        accepted = self.state.setdefault("accepted", {"diagrams": {}, "sections": {}})
        accepted["diagrams"].update(record["diagrams"])
        accepted["sections"].update(record.get("sections") or {})
        if (renames := record.get("renames")) and self.root:
            if spent := {self._called_now(key, renames): seconds for key, seconds in self.spent.items()}:
                self.state["spent"] = spent
            _rename(self.root, renames)

    def _called_now(self, key: str, renames: Mapping[str, Mapping[str, str]]) -> str:
        """A key of `spent` with the states on it as they are called from now on. The frames have their former names still."""
        steps = key.split("/")
        said = []
        for depth, step in enumerate(steps):
            frame = self.frame(steps[:depth])
            state = step.partition("~")[0].removesuffix("#")
            names = renames.get(frame["machine"], {}) if frame else {}
            said.append(_called(state, names) + step[len(state) :])
        return "/".join(said)

    def _recovery_failed(self, at: list[str]) -> None:
        """An error within a recovery stops the run; a resume tries the state that failed first again."""
        depth = next(i for i, step in enumerate(at) if step.endswith(RECOVERY))
        outer = self.frame(at[:depth])
        assert outer is not None, at
        outer["open"].pop(at[depth].removesuffix(RECOVERY), None)
        self._forget(at[:depth], at[depth].removesuffix(RECOVERY))

    def _forget(self, at: list[str], state: str) -> None:
        """What the state has called, and no record has told of."""
        if self._untold:
            deep = len(at)
            for key in [k for k in self._untold if len(k) > deep and list(k[:deep]) == at]:
                if key[deep].partition("~")[0] == state:
                    del self._untold[key]

    def _starts_again(self, here: dict[str, Any]) -> None:
        """A state does, and with it what it had called."""
        here["calls"] = {}
        here.pop("maps", None)

    def _verdict(self, frame: Frame, state: str, record: dict[str, Any]) -> None:
        here = opened(frame, state)
        self._starts_again(here)
        self._forget(record["at"], state)
        frame["data"].update(record.get("patch") or {})
        if record["verdict"] == "stop":
            here["tries"] = {}
        if leave := record.get("leave"):
            outer = self.frame(leave["at"])
            assert outer is not None, leave
            opened(outer, leave["state"])["leave"] = leave["label"]
        if skipped := record.get("skipped"):
            here["skipped"].update(skipped)

    # At once

    def _split(self, frame: Frame, state: str, record: dict[str, Any]) -> None:
        here = opened(frame, state)
        if branches := record.get("branches"):
            for name, place in branches.items():
                begun = new_frame(frame["machine"], place)
                begun["data"], begun["visits"] = dict(frame["data"]), dict(frame["visits"])
                here["calls"][branch_step(state, name).partition("~")[2]] = begun
        else:
            said = {"calls": record["calls"], "items": record["items"], "joined": False}
            here.setdefault("maps", {})[record["key"]] = said

    def _join(self, frame: Frame, state: str, record: dict[str, Any]) -> None:
        calls = frame["open"][state]["calls"]
        into = self._files_of(record["at"])[-1]
        if (key := record.get("key")) is not None:
            called = frame["open"][state]["maps"][key]
            steps = [item_step(state, key, n).partition("~")[2] for n in range(called["items"])]
            put(into, merged(into, files_of({step: calls[step] for step in steps}), whole=False))
            for step in (
                steps
            ):  # in the order of the items, whichever came first; only how it ended is asked for from here on
                ended = calls.pop(step)
                calls[step] = new_frame(ended["machine"], ()) | {
                    k: ended[k] for k in ("data", "last", "label")
                }
            called["joined"] = True
            return
        branches = branches_of(frame, state)
        put(into, merged(into, files_of(branches), whole=False))
        for what in ("data", "visits"):
            put(frame[what], merged(frame[what], {name: branch[what] for name, branch in branches.items()}))
        frame["open"].pop(state)
        frame["last"], frame["label"] = record["last"], record["label"]
        frame["place"] = list(record["to"])
        if end := record.get("end"):
            self.state["ended"] = end


def branches_of(frame: Frame, split: str) -> dict[str, Frame]:
    """The branches of a split that are under way in a frame, or at rest, by name and in the order of the drawing."""
    calls = frame["open"].get(split, {"calls": {}})["calls"]
    return {step[1:]: branch for step, branch in calls.items() if step.startswith(MARK)}


def _files_below(frame: Frame) -> Iterator[tuple[str, dict[str, Any]]]:
    for here in frame["open"].values():
        for call in here["calls"].values():
            yield from call.get("files", {}).items()
            yield from _files_below(call)


def files_of(lines: Mapping[str, Frame]) -> dict[str, dict[str, Any]]:
    """What each line put, by its name."""
    return {name: line.get("files", {}) for name, line in lines.items()}
