"""What a run looks like: its journal, folded into what faces show.

One `Projection` is fed records, and, where someone looks on live, what the runner says between two of them (`entered`,
`progress`). Records decide: what was said in between is shown until the next record settles it, so that a projection
of the journal and one that was fed live agree after every record. It holds counts by state and edge, the machines in
progress and a few last records, so its size is that of the drawings and not that of the run.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

from fsm.drawing import Edge, ancestors
from fsm.engine import Detail, Machine
from fsm.journal import MARK, RECOVERY, Pause, base, branch_step, is_branch, is_line, is_open, place_of, said
from fsm.view.overview import overview_states, path_between
from fsm.view.relations import relations
from fsm.view.rows import flat, moment
from fsm.view.views import At, Level, Progress, StateView, Tally

__all__ = ["At", "Level", "Progress", "Projection", "StateView", "Tally", "flat", "moment"]

RECENT = 12  # records kept as they are
LONGEST = 500  # characters of an error that are kept with its state
NONE = Tally()


@dataclass
class _Frame:
    """A machine in progress, as the journal knows it. `since` is the time of the record that brought it there."""

    machine: str
    place: tuple[str, ...]
    since: float
    visits: dict[str, int] = field(default_factory=dict)


@dataclass
class _Now:
    """The state whose handler runs, as the runner said."""

    machine: str
    state: str
    visit: int
    since: float
    progress: Progress | None = None


class Projection:
    """A run, ready to be shown. `machines` are the drawings by name; without one, its composites are not known."""

    def __init__(self, machines: Mapping[str, Machine] | None = None) -> None:
        self.machines: Mapping[str, Machine] = machines or {}
        self.tallies: dict[str, dict[str, Tally]] = {}
        self.moves: defaultdict[str, Counter[tuple[str, str | None]]] = defaultdict(
            Counter
        )  # taken by a state's handler
        self.edges: defaultdict[str, Counter[str]] = defaultdict(
            Counter
        )  # by id: counted, left with a composite, or an overview's
        self.watched: dict[At, Projection] = {}  # the run that a state follows, by place
        self.name = ""
        self.records = 0
        self.began = 0.0
        self.latest = 0.0
        self.artifacts = 0
        self.errors = 0
        self.ended: dict[str, Any] | None = None
        self.pauses: dict[tuple[At, str], Pause] = {}  # what is waited for, by place and state
        self.stopped: str | None = None  # why, where the last thing that happened ends the attempt
        self._recent: deque[Mapping[str, Any]] = deque(maxlen=RECENT)
        self._left_by: dict[str, dict[str, set[str]]] = {}  # of the counted edges those out of a state
        self._gone: dict[str, list[str]] = {}  # states that the drawing no longer has
        self._overviews: dict[tuple[int, tuple[str, ...]], tuple[str, ...]] = {}  # what was looked up
        self._ways: dict[tuple[Any, ...], list[str]] = {}  # likewise
        self._frames: dict[At, _Frame] = {}
        self._now: dict[At, _Now] = {}

    # What happens

    def read(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take several records."""
        for record in records:
            self.apply(record)

    def apply(self, record: Mapping[str, Any]) -> None:
        """Take the next record of the journal."""
        self.records += 1
        self.began = self.began or record["time"]
        self.latest = record["time"]
        self._recent.append(record)
        kind = record["kind"]
        if kind == "claim":
            self.stopped = None
            return
        if kind == "fork":
            if root := record["snapshot"]["root"]:
                self._take_up((), root, record["time"], {})
            return
        if kind == "accept":
            self._rename(record.get("renames") or {})
            return
        for above in record.get("above") or ():  # machines that called down before they had a record
            if tuple(above["at"]) not in self._frames:
                self._begin(tuple(above["at"]), above["machine"], tuple(above["place"]), record["time"])
        at, state = tuple(record["at"]), record["from"]
        frame = self._frames.get(at)
        if frame is None:
            place = tuple(record.get("place") or (state,))
            frame = self._begin(at, record["machine"], place, record["time"])
        tally = self._tally(frame.machine, state)
        if kind == "transition":
            self._transition(at, frame, tally, record)
        elif kind == "error":
            self._error(at, state, tally, record)
        elif kind == "verdict":
            self._verdict(at, state, tally, record)
        elif kind == "split":
            self._split(at, frame, state, record)
        elif kind == "join":
            self._join(at, frame, state, record)
        elif kind in ("wait", "ask"):
            self.pauses[at, state] = Pause.of(place_of(at, state), record)
        elif kind in ("waited", "answer"):
            self.pauses.pop((at, state), None)
        elif kind == "cancel":
            self.ended = record["end"]
            self.pauses.clear()

    def entered(self, at: Iterable[str], machine: str, state: str, visit: int, time: float) -> None:
        """A handler begins (advisory)."""
        key = tuple(at)
        self._forget_now(key)
        self._now[key] = _Now(machine, state, visit, time)

    def progress(self, at: Iterable[str], state: str, done: float, total: float, note: str = "") -> None:
        """How far the handler of a state is (advisory)."""
        now = self._now.get(tuple(at))
        if now is not None and now.state == state:
            now.progress = Progress(done, total, note)

    def knows(self, at: Iterable[str]) -> bool:
        """Whether the machine at a path of calls is in progress."""
        key = tuple(at)
        return key in self._frames or key in self._now

    def watch(self, at: Iterable[str], state: str, below: Projection) -> None:
        """A state follows another run (advisory)."""
        self.watched[(*at, state)] = below

    def settled(self) -> Projection:
        """The same by its records alone, to be read and not to be fed."""
        alone = copy(self)
        alone._now, alone.watched = {}, {}
        return alone

    @property
    def under_way(self) -> bool:
        """Whether anything is known of it beyond its records."""
        return bool(self._now or self.watched)

    @property
    def waits(self) -> str:
        """What it waits for, in words; empty where that is nothing."""
        return " ".join(pause.words(self.name or "RUN") for pause in self.pauses.values())

    @property
    def recent(self) -> list[dict[str, Any]]:
        """The newest records as rows of a history, oldest first."""
        return [flat(record) for record in self._recent]

    def _begin(self, at: At, machine: str, place: tuple[str, ...], time: float) -> _Frame:
        self._frames[at] = frame = _Frame(machine, place, time)
        return frame

    def _take_up(self, at: At, found: Mapping[str, Any], time: float, before: Mapping[str, int]) -> None:
        """The machines in progress where a fork begins, with how often their states were left; of what was before no more is said.

        `before`: how often they were before the split that a branch is of, which each branch counts on.
        """
        frame = self._begin(at, found["machine"], tuple(found["place"]), time)
        for state, visits in found["visits"].items():
            frame.visits[state] = visits
            self._tally(frame.machine, state).visits += visits - before.get(state, 0)
        for state, here in found["open"].items():
            for pause in here.get("pauses", {}).values():
                if is_open(pause):
                    self.pauses[at, state] = Pause.of(place_of(at, state), pause)
            for key, below in here["calls"].items():
                step = state if key == "0" else f"{state}~{key}"
                self._take_up((*at, step), below, time, found["visits"] if is_branch(step) else {})

    def _rename(self, renames: Mapping[str, Mapping[str, str]]) -> None:
        """Go on under other drawings, in which states are called otherwise."""
        for machine, names in renames.items():
            for old, new in names.items():
                if tally := self.tallies.get(machine, {}).pop(old, None):
                    self.tallies[machine][new] = tally
                    self._tally(machine, new)  # as one that has changed
        for at, frame in list(self._frames.items()):
            names = renames.get(frame.machine, {})
            frame.place = tuple(names.get(s, s) for s in frame.place)
            frame.visits = {names.get(s, s): n for s, n in frame.visits.items()}
            del self._frames[at]
            self._frames[self._called_now(at, renames)] = frame
        pauses, self.pauses = self.pauses, {}
        for (at, state), pause in pauses.items():
            now = self._called_now(at, renames)
            called = renames.get(self._frames[now].machine, {}).get(state, state)
            self.pauses[now, called] = replace(pause, place=place_of(now, called))

    def _called_now(self, at: At, renames: Mapping[str, Mapping[str, str]]) -> At:
        """A path of calls with the states on it as they are called now. The frames above were renamed before."""
        steps: At = ()
        for step in at:
            state, mark, key = step.partition("~")
            above = self._frames.get(steps)
            names = renames.get(above.machine, {}) if above else {}
            steps = (*steps, f"{names.get(state, state)}{mark}{key}")
        return steps

    def _transition(self, at: At, frame: _Frame, tally: Tally, record: Mapping[str, Any]) -> None:
        state, took = record["from"], record["took"]
        label = record.get("label")
        tally.visits += 1
        tally.seconds += took
        tally.last = took
        tally.label, tally.failing = label, False
        self._move(frame.machine, state, label)
        self._left_with(frame.machine, record)
        for counted, n in (record.get("counts") or {}).items():
            machine, _, edge = counted.partition(": ")
            self._count(machine, edge, n)
        self.artifacts += len(record.get("files") or ())
        frame.visits[state] = frame.visits.get(state, 0) + 1
        before, frame.place, frame.since = frame.place, tuple(record["to"]), record["time"]
        if at:
            self._overview(at, before, frame.place, took, label)
        if self._now:
            self._forget_now(at)
        self._drop(at, state)
        if self.pauses:
            self.pauses.pop((at, state), None)
        if self.watched:
            self.watched.pop((*at, state), None)
        if end := record.get("end"):
            self.ended = end
            tally.failing = end["outcome"] == "failed"

    def _left_with(self, machine: str, record: Mapping[str, Any]) -> None:
        """The edges of composites that were left on the way."""
        for edge in record.get("also") or ():
            self._count(machine, edge, 1)
            source, _, rest = edge.partition(" --> ")
            self._tally(machine, source).label = rest.partition(" : ")[2] or None

    def _split(self, at: At, frame: _Frame, state: str, record: Mapping[str, Any]) -> None:
        for name, place in (record.get("branches") or {}).items():
            begun = self._begin((*at, branch_step(state, name)), frame.machine, tuple(place), record["time"])
            begun.visits.update(frame.visits)

    def _join(self, at: At, frame: _Frame, state: str, record: Mapping[str, Any]) -> None:
        if record.get("key") is None:
            for branch in self._branches(at, resting=True):
                frame.visits.update(self._frames[branch].visits)
            self._left_with(frame.machine, record)
            before, frame.place, frame.since = frame.place, tuple(record["to"]), record["time"]
            if at:
                self._overview(at, before, frame.place, 0.0, record["label"])
            if end := record.get("end"):
                self.ended = end
                self._tally(frame.machine, record["last"]).failing = end["outcome"] == "failed"
        self._drop(at, state)

    def _branches(self, at: At, resting: bool = False) -> list[At]:
        """The branches of the machine at a path that go at once, those that rest aside."""
        deep = len(at) + 1
        return [
            key
            for key, frame in self._frames.items()
            if len(key) == deep and key[:-1] == at and is_branch(key[-1]) and (resting or frame.place)
        ]

    def _error(self, at: At, state: str, tally: Tally, record: Mapping[str, Any]) -> None:
        tally.errors += 1
        self.errors += 1
        tally.failing = True
        tally.error = f"{record['error']}: {record['message']}"[:LONGEST]
        recovering = next((i for i, step in enumerate(at) if step.endswith(RECOVERY)), None)
        if recovering is not None:  # a resume tries the state that failed first again
            self._drop(at[:recovering], at[recovering].removesuffix(RECOVERY))
            self.stopped = f"{record['error']}: {record['message']}"
        elif record.get("retry"):  # it starts again, and with it what it had called
            self._drop(at, state)
        elif entry := record["recovery"]:
            self._begin((*at, state + RECOVERY), record["by"], (entry,), record["time"])
        else:
            self.stopped = f"{record['error']}: {record['message']}"

    def _verdict(self, at: At, state: str, tally: Tally, record: Mapping[str, Any]) -> None:
        self._drop(at, state)  # it starts again, and with it what it had called
        tally.skipped += len(record.get("skipped") or ())
        if record["verdict"] == "stop":
            if record.get("leave") is None:
                self.stopped = f"the recovery ended at {record['last']}"
        else:
            tally.failing = False

    def _drop(self, at: At, state: str) -> None:
        """Forget the machines below a state."""
        deep = len(at)
        for known in (self._frames, self._now):
            for called in [key for key in known if len(key) > deep and _below(key, at, state)]:
                del known[called]
        for key in [key for key in self.pauses if _below(key[0], at, state)]:
            del self.pauses[key]

    def _forget_now(self, at: At) -> None:
        for key in [k for k in self._now if k[: len(at)] == at]:
            del self._now[key]

    def _tally(self, machine: str, state: str) -> Tally:
        tallies = self.tallies.get(machine)
        if tallies is None:
            tallies = self.tallies[machine] = {}
        found = tallies.get(state)
        if found is None:
            found = tallies[state] = Tally()
            if (known := self.machines.get(machine)) and state not in known.chart.states:
                self._gone.setdefault(machine, []).append(state)
        return found

    def _count(self, machine: str, edge: str, n: int) -> None:
        self.edges[machine][edge] += n
        source = edge.partition(" --> ")[0]
        left = self._left_by.setdefault(machine, {})
        if source in left:
            left[source].add(edge)
        else:
            left[source] = {edge}

    def _move(self, machine: str, state: str, label: str | None) -> None:
        self.moves[machine][state, label] += 1

    # The overview of a detail

    def _detail(self, at: At) -> tuple[Machine, str, Detail] | None:
        """The machine that called the one at `at`, the composite it did that from, and how the two fit."""
        branch = at
        while at and is_branch(at[-1]):
            at = at[:-1]
        caller = self._frames.get(at[:-1]) or self._now.get(at[:-1]) if at else None
        machine = self.machines.get(caller.machine) if caller else None
        if machine is None or at[-1].endswith(RECOVERY):
            return None
        composite = at[-1].partition("~")[0]
        how = machine.inside.get(composite)
        below = self._frames.get(branch) or self._now.get(branch)
        if not isinstance(how, Detail) or below is None or below.machine != how.machine:
            return None
        return machine, composite, how

    def _seen_above(self, how: Detail, place: tuple[str, ...]) -> tuple[str, ...]:
        """Where a place of the detail is in the overview; looked up once, for every record asks."""
        known = self._overviews.get((id(how), place))
        if known is None:
            known = self._overviews[id(how), place] = overview_states(how, place)
        return known

    def _overview(
        self, at: At, before: tuple[str, ...], after: tuple[str, ...], took: float, label: str | None
    ) -> None:
        """A detail has moved: what that is, seen from above."""
        detail = self._detail(at)
        if detail is None:
            return
        machine, composite, how = detail
        was, is_ = self._seen_above(how, before), self._seen_above(how, after)
        if was:
            self._tally(machine.name, f"{composite}.{was[0]}").seconds += took
        if was != is_ and not is_branch(at[-1]):  # what branches come to is told when they have joined
            way = (machine.name, composite, was, is_, label)
            if way not in self._ways:
                self._ways[way] = [e.id for e in path_between(machine.chart, composite, was, is_, label)]
            for edge in self._ways[way]:
                self._count(machine.name, edge, 1)

    # What faces read

    def stack(self) -> list[Level]:
        """The machines in progress, outermost first; empty before the first and after the last record.

        Where lines go at once, each of them with what it has called; of a machine whose branches do, the branches stand for it.
        """
        return list(self._from(()))

    def _from(self, at: At) -> Iterator[Level]:
        frame = self._frames.get(at)
        if frame is not None and not frame.place:
            return
        if branches := self._branches(at):
            for branch in branches:
                yield from self._from(branch)
            return
        level = self._level(at)
        if level is not None:
            yield level
            for called in self._called(at, level):
                yield from self._from(called)

    def _level(self, at: At) -> Level | None:
        frame, now = self._frames.get(at), self._now.get(at)
        if frame is not None and not frame.place:
            return None
        if now is not None and (frame is None or now.state in frame.place):
            place = frame.place if frame else (now.state,)
            found = Level(at, now.machine, place, now.state, now.visit, now.since, now.progress)
        elif frame is not None:
            state = self._in_hand(frame)
            visit = frame.visits.get(state, 0) + 1
            found = Level(at, frame.machine, frame.place, state, visit, frame.since)
        else:
            return None
        machine = self.machines.get(found.machine)
        how = machine.inside.get(found.state) if machine else None
        if isinstance(how, Detail):
            stands = self._detail_stands((*at, found.state), how.machine)
            return replace(found, overview=self._seen_above(how, stands))
        return found

    def _detail_stands(self, at: At, machine: str) -> tuple[str, ...]:
        """Where the detail called at `at` stands: below, or in a run of its own that a state below follows."""
        if (frame := self._frames.get(at)) is not None and frame.machine == machine:
            branches = [p for branch in self._branches(at) for p in self._frames[branch].place]
            return tuple(branches) or frame.place
        if (now := self._now.get(at)) is not None and now.machine == machine:
            return (now.state,)
        for key, followed in self.watched.items():
            if key[: len(at)] == at and (stack := followed.stack()) and stack[0].machine == machine:
                return stack[0].place
        return ()

    def _in_hand(self, frame: _Frame) -> str:
        """The state whose handler runs next, of those the machine stands in."""
        machine = self.machines.get(frame.machine)
        if machine is None or len(frame.place) == 1:
            return frame.place[0]
        known = all(p in machine.chart.states for p in frame.place)
        return machine.kernel.runnable(frame.place) if known else frame.place[0]

    def _called(self, at: At, level: Level) -> list[At]:
        """The machine below the state in hand, the one called last; of items that go at once all."""
        found = [
            key
            for key in dict.fromkeys((*self._frames, *self._now))
            if len(key) == len(at) + 1
            and not is_branch(key[-1])
            and _below(key, at, level.state)
            and ((frame := self._frames.get(key)) is None or frame.place)
        ]
        if not found or not is_line(found[-1][-1]):
            return found[-1:]
        items = [key for key in found if base(key) == base(found[-1])]
        return sorted(items, key=lambda key: int(key[-1].rpartition(MARK)[2]))

    @property
    def place(self) -> str:
        """The stack of places in words: `IterativeDistillation > EpochN.Train > ForwardPass`."""
        return said([(level.at, level.state) for level in self.stack()])

    def states(self, machine: str) -> dict[str, StateView]:
        """Every state of a machine in the order of the drawing; of one that is not known, those that were seen."""
        known = self.machines.get(machine)
        tallies = self.tallies.get(machine, {})
        active = self.standing().get(machine, set())
        paths = list(known.chart.states) if known else []
        paths += [
            p for p in (*tallies, *sorted(active - set(tallies))) if not known or p not in known.chart.states
        ]
        around = closed(active)
        return {path: self.view(machine, path, path in around) for path in paths}

    def standing(self, levels: Iterable[Level] | None = None) -> dict[str, set[str]]:
        """Where the run stands, by machine; composites around a place are not told. `levels` are those of the stack."""
        standing: dict[str, set[str]] = {}
        for level in self.stack() if levels is None else levels:
            paths = standing.setdefault(level.machine, set())
            paths.update(level.place)
            paths.update(f"{level.state}.{inner}" for inner in level.overview)
        return standing

    def view(self, machine: str, path: str, active: bool) -> StateView:
        """One state; `active` is whether it is, or is around, one that the run stands in."""
        tallies = self.tallies.get(machine, {})
        own = tallies.get(path, NONE)
        visits = max(own.visits, self._left(machine, path), self._crossed(machine, path))
        seconds, errors, skipped, failing = 0.0, own.errors, own.skipped, own.failing
        for inner in self._within(machine, path):
            if tally := tallies.get(inner):
                seconds += tally.seconds
                errors += tally.errors
                skipped += tally.skipped
                failing = failing or tally.failing
        innermost = self._innermost(machine, path)
        return StateView(
            path,
            active,
            visits,
            own.seconds or seconds,
            errors,
            skipped,
            own.label,
            failing,
            own.last,
            own.error,
            seen=sum(self._visited(machine, p) for p in innermost),
            inside=len(innermost),
        )

    def _within(self, machine: str, path: str) -> Iterable[str]:
        """The states inside one, those among them that its drawing no longer has."""
        known = self.machines.get(machine)
        tallies = self.tallies.get(machine, {})
        if known is None:
            return [p for p in tallies if p.startswith(path + ".")]
        drawn = relations(known).within.get(path, ())
        gone = [p for p in self._gone.get(machine, ()) if p.startswith(path + ".")]
        return (*drawn, *gone) if gone else drawn

    def _innermost(self, machine: str, path: str) -> tuple[str, ...]:
        known = self.machines.get(machine)
        return relations(known).innermost.get(path, ()) if known else ()

    def _visited(self, machine: str, path: str) -> bool:
        own = self.tallies.get(machine, {}).get(path)
        return bool((own and own.visits) or path in self._left_by.get(machine, {}))

    def _left(self, machine: str, path: str) -> int:
        """How often a state without records of its own was left, by the edges that were counted."""
        taken = self._left_by.get(machine, {}).get(path)
        if not taken:
            return 0
        counts = self.edges[machine]
        known = self.machines.get(machine)
        fork = known is not None and path in known.forks
        return max(counts[e] for e in taken) if fork else sum(counts[e] for e in taken)

    def _crossed(self, machine: str, path: str) -> int:
        """How often a composite was left by edges that cross its border from within."""
        known = self.machines.get(machine)
        moves = self.moves.get(machine)
        if known is None or moves is None:
            return 0
        return sum(moves[move] for move in relations(known).crossing.get(path, ()))

    def taken(self, machine: str, edge: Edge) -> int:
        """How often an edge was taken; one that is drawn a second time from outside, as often as those it stands for."""
        known = self.machines.get(machine)
        if edge.seen_outside and known and (same := relations(known).crossed_by.get(edge.id)):
            return sum(self.taken(machine, e) for e in same)
        moves = self.moves.get(machine, Counter())
        own = moves[edge.source, edge.label]
        if edge.label is not None and known and edge.source in known.forks:
            own += moves[edge.source, None]  # a labelled fork takes all its edges, naming none
        return own + self.edges.get(machine, Counter())[edge.id]

    def durable(self) -> dict[str, Any]:
        """What records alone decide, as plain values: equal for a journal read and a run watched live."""
        return {
            "records": self.records,
            "tallies": {m: {s: vars(t) for s, t in ts.items()} for m, ts in self.tallies.items()},
            "moves": {m: dict(c) for m, c in self.moves.items()},
            "edges": {m: dict(c) for m, c in self.edges.items()},
            "frames": {at: vars(f) for at, f in self._frames.items()},
            "ended": self.ended,
            "stopped": self.stopped,
            "pauses": dict(self.pauses),
            "recent": self.recent,
        }


def closed(paths: Iterable[str]) -> set[str]:
    """The paths with all composites around them."""
    return {p for path in paths for p in (path, *ancestors(path)) if p}


def _below(key: At, at: At, state: str) -> bool:
    """Whether a machine was called, directly or not, by `state` of the machine at `at`."""
    return len(key) > len(at) and key[: len(at)] == at and key[len(at)].partition("~")[0] == state
