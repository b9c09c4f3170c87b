"""A run's past: what faces show at any record, and what each record changed of it.

The records are folded once, by the one Projection. Of every CHUNK of them the timeline keeps a checkpoint of that fold and
the records themselves, packed and without what no face shows (data, snapshots), so that its size is some ten bytes a
record; what single records changed is worked out for one chunk when somebody looks there. A new record costs the same
after 10 and after 100,000.

What a page gets are JSON values. A keyframe is the whole at a record:

    {"seq": 511, "t": 1690.1,
     "m": {machine: {"s": {path: STATE}, "e": {edge id: times taken}}},
     "stack": [LEVEL, ...],
     "facts": {"began", "artifacts", "errors", "ended", "stopped"}}

A state that was never visited is not in it. A moment is a keyframe `key` and the `rows` of the last dozen records up to it. A change has `seq`, `t`, `row` (the record as `rows.flat` has it) and those of
the other keys in which the record changed something, with whole states and counts, so that to apply it is plain
assignment: `m[machine].s[path] = ...`, `m[machine].e[edge] = ...`, `stack = ...`, `facts[key] = ...`.

    STATE   {"look": active | visited | failed | never} and, where they are not 0 or null: active, visits, seconds, last,
            errors, skipped, label, error, seen, inside (as in views.StateView)
    LEVEL   {machine, at, place, state, visit, since (Unix time)} and, where there are any: overview, progress
"""

from __future__ import annotations

import marshal
import pickle
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from pydantic_core import to_json

from fsm.drawing import Edge
from fsm.engine import Machine
from fsm.errors import ConfigError
from fsm.journal import base
from fsm.view.projection import Projection, closed, flat
from fsm.view.relations import relations
from fsm.view.views import Level, StateView

CHUNK = 512  # records between two keyframes
KEPT = 8  # chunks whose changes are kept as they were sent
ROWS = 12  # records that are told with a moment
MARKS = 2000  # claims and errors that the index names at most
UNSHOWN = ("id", "prev", "data", "value", "patch", "snapshot", "traceback")
APART = frozenset(
    ("machines", "watched", "name", "_now", "_overviews")
)  # of a projection what its records do not decide

Change = dict[str, Any]


class Timeline:
    """The past of one run. `projection` is its fold now, and may also be told what the runner says (advisory).

    Not for several threads at once.
    """

    def __init__(self, machines: Mapping[str, Machine] | None = None) -> None:
        self.projection = Projection(machines)
        self.times: list[float] = []  # of the first record of each chunk
        self.marks: list[tuple[int, str]] = []  # records that a slider points out, with their kinds
        self._packed: list[bytes] = []
        self._checkpoints: list[bytes] = [_frozen(self.projection)]
        self._open: list[dict[str, Any]] = []  # the records since the last checkpoint
        self._told: _Told | None = None  # goes through the open chunk
        self._changes: list[Change] = []  # of the open chunk, as far as it was asked for
        self._ahead: _Told | None = None  # goes with the newest record, for who looks on
        self._sent: OrderedDict[int, bytes] = OrderedDict()

    @property
    def last(self) -> int:
        """The number of the newest record; -1 before the first."""
        return self.projection.records - 1

    @property
    def size(self) -> int:
        """Bytes that the past takes, besides the records of the open chunk."""
        return sum(map(len, self._packed)) + sum(map(len, self._checkpoints))

    # What happens

    def apply(self, record: Mapping[str, Any]) -> None:
        """Take the next record of the journal."""
        slim = dict(record)
        for key in UNSHOWN:
            if key != "snapshot" or slim["kind"] != "fork":  # with which a fork begins
                slim.pop(key, None)
        if not self._open:
            self.times.append(slim["time"])
        self.projection.apply(slim)
        self._open.append(slim)
        if slim["kind"] in ("claim", "error") and len(self.marks) < MARKS:
            self.marks.append((self.last, slim["kind"]))
        if len(self._open) == CHUNK:
            self._packed.append(zlib.compress(marshal.dumps(self._open), 1))
            self._checkpoints.append(_frozen(self.projection))
            self._open = []
            self._told, self._changes = None, []

    def read(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take several records."""
        for record in records:
            self.apply(record)

    # Any moment

    def at(self, seq: int) -> Projection:
        """The projection as it was after record `seq`; -1 is before the first. Raises ConfigError where there is none."""
        found = Projection(self.projection.machines)
        self._until(found, seq)
        return found

    def keyframe(self, seq: int) -> dict[str, Any]:
        """The whole as JSON values after record `seq`. Raises ConfigError where there is none."""
        told = _Told(self.projection.machines)
        self._until(told, seq)
        return told.whole()

    def moment(self, seq: int) -> bytes:
        """The whole after record `seq` as JSON, with the rows of the records before it: {"key", "rows"}. Raises ConfigError."""
        told = _Told(self.projection.machines)
        self._until(told, seq)
        return to_json({"key": told.whole(), "rows": self.rows(range(seq + 1 - ROWS, seq + 1))})

    def before(self, time: float) -> int:
        """The last record that was written at a time, or before; -1 where there is none."""
        number = bisect_right(self.times, time) - 1
        if number < 0:
            return -1
        written = [record["time"] <= time for record in self._records(number)]
        return number * CHUNK + written.count(True) - 1

    def marks_after(self, seq: int) -> list[list[Any]]:
        """The marks of an index beyond a record."""
        return [list(mark) for mark in self.marks[bisect_right(self.marks, (seq, "~")) :]]

    def rows(self, numbers: Iterable[int]) -> list[dict[str, Any]]:
        """Records as rows of a history, in their order; of the numbers those that there are."""
        wanted = sorted(n for n in set(numbers) if 0 <= n <= self.last)
        found: list[dict[str, Any]] = []
        for number, of in groupby(wanted, lambda n: n // CHUNK):
            records = self._records(number)
            found += [flat(records[n % CHUNK]) for n in of]
        return found

    def _until(self, projection: Projection, seq: int) -> None:
        if not -1 <= seq <= self.last:
            has = f"records 0 to {self.last}" if self.last >= 0 else "no record yet"
            run = f"Run {self.projection.name}" if self.projection.name else "The run"
            raise ConfigError(f"{run} has no record {seq}; it has {has}. Give the number of one of them.")
        chunk, more = divmod(seq + 1, CHUNK)
        _thawed(self._checkpoints[chunk], projection)
        projection.name = self.projection.name
        projection.read(self._records(chunk)[:more] if more else ())

    def _records(self, chunk: int) -> list[dict[str, Any]]:
        if chunk == len(self._packed):
            return self._open
        return marshal.loads(zlib.decompress(self._packed[chunk]))  # type: ignore[no-any-return]

    # What a page loads

    def index(self) -> dict[str, Any]:
        """The run's length for a slider.

        {"records", "every" (records in a chunk), "marks" ([seq, kind] of claims and errors, the first 2,000)}
        """
        return {
            "records": self.projection.records,
            "every": CHUNK,
            "marks": [list(mark) for mark in self.marks],
        }

    def chunk(self, seq: int) -> bytes:
        """The chunk that a record is in, as JSON: {"key": the keyframe before it, "rows": the last ones up to it, "changes"}.

        That of the record after the newest one has no change yet, where the newest one ends its chunk.
        """
        number = max(0, min(seq, self.last + 1)) // CHUNK
        if number == len(self._packed):
            return to_json(self._whole(number, *self._open_chunk()))
        if number in self._sent:
            self._sent.move_to_end(number)
            return self._sent[number]
        told = self._teller(number)
        found = to_json(self._whole(number, told.key, [told.change(r) for r in self._records(number)]))
        self._sent[number] = found
        if len(self._sent) > KEPT:
            self._sent.popitem(last=False)
        return found

    def _whole(self, number: int, key: dict[str, Any], changes: list[Change]) -> dict[str, Any]:
        first = number * CHUNK
        return {"key": key, "rows": self.rows(range(first - ROWS, first)), "changes": changes}

    def since(self, seq: int) -> list[Change]:
        """The changes after record `seq`, oldest first. Who asks on from the last answer costs what is new."""
        if seq >= self.last:
            return []
        told = self._ahead
        if told is None or told.records - 1 != seq:
            told = self._ahead = _Told(self.projection.machines)
            self._until(told, seq)
            told.begin()
        return [told.change(record) for record in self._after(seq)]

    def _after(self, seq: int) -> Iterator[dict[str, Any]]:
        chunk, more = divmod(seq + 1, CHUNK)
        yield from self._records(chunk)[more:]
        for number in range(chunk + 1, len(self._packed) + 1):
            yield from self._records(number)

    def chunks(self) -> Iterator[bytes]:
        """All of it, a chunk at a time."""
        for number in range(len(self._packed) + bool(self._open or not self._packed)):
            yield self.chunk(number * CHUNK)

    def now(self) -> dict[str, Any]:
        """What is under way beyond the newest record, as the runner said: laid over what that record left.

        {"stack", "m": {machine: {"s": {path: STATE}}}}: only states that look otherwise than the newest record left them.
        """
        stood = self.projection.settled().standing()
        levels = self.projection.stack()
        standing = self.projection.standing(levels)
        machines: dict[str, Any] = {}
        for machine in {**standing, **stood}:
            around = closed(standing.get(machine, ()))
            for path in sorted(around ^ closed(stood.get(machine, ()))):
                view = state_json(self.projection.view(machine, path, path in around))
                machines.setdefault(machine, {"s": {}})["s"][path] = view
        return {"stack": levels_json(levels), "m": machines}

    def _teller(self, number: int) -> _Told:
        told = _Told(self.projection.machines)
        _thawed(self._checkpoints[number], told)
        told.begin()
        return told

    def _open_chunk(self) -> tuple[dict[str, Any], list[Change]]:
        """The keyframe before the open chunk and its changes: each worked out once."""
        if self._told is None:
            self._told = self._teller(len(self._packed))
        for record in self._open[len(self._changes) :]:
            self._changes.append(self._told.change(record))
        return self._told.key, self._changes


class _Told(Projection):
    """A projection of records alone that tells what each of them changed."""

    def __init__(self, machines: Mapping[str, Machine] | None = None) -> None:
        super().__init__(machines)
        self.stood: dict[str, set[str]] = {}
        self.key: dict[str, Any] = {}
        self._touched: set[tuple[str, str]] = set()
        self._walked: set[tuple[str, str]] = set()
        self._said: dict[tuple[str, str], dict[str, Any]] = {}
        self._stack: list[dict[str, Any]] = []
        self._facts: dict[str, Any] = {}

    # What a record touches

    def _tally(self, machine: str, state: str) -> Any:
        self._touched.add((machine, state))
        return super()._tally(machine, state)

    def _count(self, machine: str, edge: str, n: int) -> None:
        super()._count(machine, edge, n)
        self._walked.add((machine, edge))
        self._touched.add((machine, edge.partition(" --> ")[0]))

    def _move(self, machine: str, state: str, label: str | None) -> None:
        super()._move(machine, state, label)
        if known := self.machines.get(machine):
            self._walked.update((machine, e) for e in relations(known).moved.get((state, label), ()))

    # What is told

    def begin(self) -> None:
        """Tell the whole once; what follows are changes to it."""
        self.key = self.whole()
        self._said = {(m, path): s for m, of in self.key["m"].items() for path, s in of["s"].items()}
        self._stack, self._facts = self.key["stack"], self.key["facts"]
        self.stood = self.standing()

    def whole(self) -> dict[str, Any]:
        """The keyframe."""
        machines = {}
        for name in dict.fromkeys((*self.machines, *self.tallies, *self.edges, *self.standing())):
            states = {p: state_json(v) for p, v in self.states(name).items()}
            states = {p: s for p, s in states.items() if s != NEVER}
            if taken := self._edges(name):
                machines[name] = {"s": states, "e": taken}
            elif states:
                machines[name] = {"s": states, "e": {}}
        return {
            "seq": self.records - 1,
            "t": self.latest,
            "m": machines,
            "stack": levels_json(self.stack()),
            "facts": self._facts_now(),
        }

    def _edges(self, machine: str) -> dict[str, int]:
        known = self.machines.get(machine)
        if known is None:
            return dict(self.edges.get(machine, {}))
        counts = {e.id: self.taken(machine, e) for e in known.chart.edges}
        return {edge: n for edge, n in counts.items() if n}

    def _facts_now(self) -> dict[str, Any]:
        return {
            "began": self.began,
            "artifacts": self.artifacts,
            "errors": self.errors,
            "ended": self.ended,
            "stopped": self.stopped,
        }

    def change(self, record: Mapping[str, Any]) -> Change:
        """Take a record, and tell what it changed."""
        self._touched.clear()
        self._walked.clear()
        self.apply(record)
        levels = self.stack()
        standing = self.standing(levels)
        for machine in {**standing, **self.stood}:
            moved = standing.get(machine, set()) ^ self.stood.get(machine, set())
            self._touched.update((machine, path) for path in moved)
        self.stood = standing
        told: Change = {"seq": record["seq"], "t": record["time"], "row": flat(record)}
        if machines := self._changed(standing):
            told["m"] = machines
        if (stack := levels_json(levels)) != self._stack:
            told["stack"] = self._stack = stack
        facts = self._facts_now()
        if new := {k: v for k, v in facts.items() if self._facts.get(k) != v}:
            told["facts"], self._facts = new, facts
        return told

    def _changed(self, standing: Mapping[str, set[str]]) -> dict[str, Any]:
        machines: dict[str, Any] = {}
        around = {machine: closed(paths) for machine, paths in standing.items()}
        for machine in sorted({machine for machine, _ in self._touched}):
            for path in sorted(closed(p for m, p in self._touched if m == machine)):
                active = path in around.get(machine, ())
                if not self._shown(machine, path, active):
                    continue
                state = state_json(self.view(machine, path, active))
                if self._said.get((machine, path), NEVER) != state:
                    self._said[machine, path] = state
                    machines.setdefault(machine, {"s": {}, "e": {}})["s"][path] = state
        for machine, edge in sorted(self._walked):
            for edge_id, n in self._counts(machine, edge):
                machines.setdefault(machine, {"s": {}, "e": {}})["e"][edge_id] = n
        return machines

    def _shown(self, machine: str, path: str, active: bool) -> bool:
        """Whether `states` would have it, or had: it is drawn, or was seen itself."""
        known = self.machines.get(machine)
        if (known and path in known.chart.states) or (machine, path) in self._said:
            return True
        return path in self.tallies.get(machine, {}) or (active and path in self.stood.get(machine, ()))

    def _counts(self, machine: str, edge: str) -> Iterator[tuple[str, int]]:
        """How often an edge was taken, and those that are drawn a second time for it."""
        known = self.machines.get(machine)
        if known is None:
            yield edge, self.edges[machine][edge]
            return
        of = relations(known)
        for edge_id in (edge, *of.outside.get(edge, ())):
            found: Edge | None = of.edges.get(edge_id)
            if found is not None and (n := self.taken(machine, found)):
                yield edge_id, n


# As JSON values


def state_json(view: StateView) -> dict[str, Any]:
    """A state as a page gets it."""
    said: dict[str, Any] = {"look": view.look}
    for key in ("active", "visits", "skipped", "errors", "label", "error", "seen"):
        if value := getattr(view, key):
            said[key] = value
    for key in ("seconds", "last"):
        if value := round(getattr(view, key), 4):
            said[key] = value
    if view.inside and len(said) > 1:
        said["inside"] = view.inside
    return said


NEVER = state_json(StateView(""))


def levels_json(levels: Iterable[Level]) -> list[dict[str, Any]]:
    """A stack as a page gets it; `beside` are those that stand beside one told already."""
    told: set[tuple[str, ...]] = set()
    said = []
    for level in levels:
        common = base(level.at)
        said.append(level_json(level) | ({"beside": True} if common in told else {}))
        told.add(common)
    return said


def level_json(level: Level) -> dict[str, Any]:
    """A level of the stack as a page gets it."""
    said: dict[str, Any] = {
        "machine": level.machine,
        "at": list(level.at),
        "place": list(level.place),
        "state": level.state,
        "visit": level.visit,
        "since": level.since,
    }
    if level.overview:
        said["overview"] = list(level.overview)
    if level.progress:
        said["progress"] = vars(level.progress)
    return said


# Checkpoints


def _frozen(projection: Projection) -> bytes:
    """What the records made of a projection."""
    return pickle.dumps({k: v for k, v in vars(projection).items() if k not in APART}, 5)


def _thawed(checkpoint: bytes, projection: Projection) -> None:
    """Make a new projection what another one was."""
    vars(projection).update(pickle.loads(checkpoint))
