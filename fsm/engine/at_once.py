"""Going at once: the branches of a split, and the items of a map, each in a thread of its own.

The threads share the run and nothing of each other: a line has a frame of its own (`fsm.journal.lines`), and what the lines
did is put together when all have come to rest. They meet in one place, where a record is folded, numbered and written; for
the disk they wait together.

A line that fails goes through the recovery as any state does, and the others go on. Where that stops the run, or a stop is
asked for, each of the others comes to its next record first; which of them makes the run wait is told.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from fsm.drawing import Branch, Split
from fsm.engine.cancelling import Ended
from fsm.engine.context import Context, Result
from fsm.engine.kernel import Place, Step
from fsm.engine.level import Level, ended_by
from fsm.engine.observer import Observer
from fsm.engine.outcome import Leave, Stopped
from fsm.engine.runner import Runner
from fsm.engine.stop import Stop, StopRequested, Wake
from fsm.engine.waiting import Resting
from fsm.errors import PhaseError, RunReplaced, StoreError
from fsm.journal import (
    Frame,
    TwoWrites,
    Watch,
    branch_step,
    branches_of,
    copied,
    files_of,
    item_step,
    json_values,
    merged,
    place_of,
)
from fsm.store import RunStore, Shelf

PATIENCE = 5.0  # seconds from a stop until those are named that it waits for
Job = Callable[[Runner], object]


# What a machine and a handler ask for


def through(runner: Runner, level: Level, until: frozenset[str]) -> bool:
    """Go through the split that a machine stands behind: to where its branches have met. False where it stands behind none."""
    split = next((s for s in level.splits if not s.states.isdisjoint(level.place)), None)
    if split is None:
        return False
    if inside := sorted(until & split.states):
        raise PhaseError(
            f"{level.machine.name} is to be run until {inside[0]}, which is in a branch of {split.path} and runs at once with the "
            "others. Name a state behind them, or take the split out of `concurrent`."
        )
    began = time.monotonic()
    if not branches_of(level.frame, split.path):
        stands = {b.name: [p for p in level.place if p in b.states] for b in split.branches}
        said = {
            "branches": {name: place for name, place in stands.items() if place},
            "place": list(level.place),
        }
        runner.append(_of_split("split", level, split) | said)
    jobs: dict[str, Job] = {}
    levels = {branch.name: _level(level, split, branch) for branch in split.branches}
    for name, frame in branches_of(level.frame, split.path).items():
        if frame["place"]:
            jobs[name] = _walking(levels[name])
    Section(runner, f"{'/'.join(level.at)}/{split.path}", split.path).run(jobs, len(jobs))
    _join(runner, level, split, levels, began)
    return True


def under_way(level: Level) -> list[Level]:
    """The branches of a machine that go at once and are not at rest; none where it goes one way."""
    for split in level.splits:
        if frames := branches_of(level.frame, split.path):
            return [_level(level, split, b) for b in split.branches if frames.get(b.name, {}).get("place")]
    return []


def mapped(runner: Runner, ctx: Context, key: str, name: str, items: list[Any], at_once: int) -> list[Result]:
    """What `Context.map` promises. Raises PhaseError where a call is made again and is another."""
    if at_once < 1:
        raise PhaseError(f"{ctx.place}: map(at_once={at_once}): at least one item has to go. Give 1 or more.")
    if not items:
        return []
    items = json_values(items, f"{ctx.place}: the items of map")
    called = _called(runner, ctx, key)
    if called is None:
        runner.say(ctx, "split", key=key, calls=name, items=len(items))
        called = _called(runner, ctx, key)
        assert called is not None
    elif (called["calls"], called["items"]) != (name, len(items)):
        raise PhaseError(
            f"{ctx.place} mapped {called['items']} items through {called['calls']} before it was interrupted, and now "
            f"{len(items)} through {name}. A handler must make the same calls in the same order when it is run again."
        )
    steps = [item_step(ctx.state, key, number) for number in range(len(items))]
    if not called["joined"]:
        jobs: dict[str, Job] = {}
        for step, item in zip(steps, items, strict=True):
            frame = runner.fold.frame([*ctx._at, step])
            if frame is None or frame["place"]:
                jobs[step] = _driving([*ctx._at, step], name, {"item": item})
        if runner.ending:
            _end(runner, [job for step, job in jobs.items() if runner.fold.frame([*ctx._at, step])])
        began = time.monotonic()
        Section(runner, f"{'/'.join(ctx._at)}/{ctx.state}~{key}", ctx.place).run(jobs, at_once)
        _join_items(runner, ctx, key, steps, began)
    return [_result(runner, [*ctx._at, step]) for step in steps]


def _end(runner: Runner, jobs: Sequence[Job]) -> None:
    """End what items have begun outside, one after the other. Raises Ended."""
    for job in jobs:
        with suppress(Ended):
            job(runner)
    raise Ended


def _called(runner: Runner, ctx: Context, key: str) -> Mapping[str, Any] | None:
    """What an earlier attempt of the handler has mapped in this call."""
    maps: Mapping[str, Any] = runner._here(ctx).get("maps", {})
    return maps.get(key)


def _driving(at: list[str], name: str, inputs: dict[str, Any]) -> Job:
    return lambda runner: runner._drive(at, name, inputs, None, frozenset())


def _result(runner: Runner, at: list[str]) -> Result:
    frame = runner.fold.frame(at)
    assert frame is not None
    return Result(copied(frame["data"]), frame["last"], frame["label"])


def _join_items(runner: Runner, ctx: Context, key: str, steps: Sequence[str], began: float) -> None:
    frames = {step: runner.fold.frame([*ctx._at, step]) or {} for step in steps}
    try:
        merged({}, files_of(frames), whole=False)
    except TwoWrites as two:
        numbers = (step.rpartition("|")[2] for step in (two.one[0], two.other[0]))
        raise PhaseError(
            f"{ctx.place}: items {' and '.join(numbers)} of map put artifact {two.key!r}, and differently. Have each item put a name "
            "of its own, and begin anew with --fresh."
        ) from None
    runner.say(ctx, "join", key=key, took=round(time.monotonic() - began, 6))


# A branch


@dataclass(frozen=True)
class _Branching(Level):
    """A machine in one of its branches. It moves as it does while another branch is under way: it comes to the end of its own,
    and no further."""

    branch: Branch = field(kw_only=True)

    def step(self, state: str, label: str | None, place: Place | None = None) -> Step:
        here = self.place if place is None else place
        step = self.machine.kernel.step((*here, self.branch.witness), state, label)
        return Step(
            tuple(p for p in step.place if p in self.branch.states), step.edges, step.label, step.also
        )


def _level(level: Level, split: Split, branch: Branch) -> _Branching:
    at = [*level.at, branch_step(split.path, branch.name)]
    inside = tuple(s for s in level.splits if s is not split and s.states <= branch.states)
    frame = branches_of(level.frame, split.path).get(branch.name) or {}
    return _Branching(at, level.machine, level.phase, frame, level.inputs, inside, branch=branch)


def _walking(level: Level) -> Job:
    return lambda runner: runner._walk(level, frozenset())


def _of_split(kind: str, level: Level, split: Split) -> dict[str, Any]:
    return level.record(kind, split.path) | {"visit": max(1, level.visit(split.path) - 1)}


def _join(runner: Runner, level: Level, split: Split, levels: Mapping[str, _Branching], began: float) -> None:
    """All branches are at rest: put together what they did, and move on as the last of them in the drawing does."""
    branches = branches_of(level.frame, split.path)
    if wrong := _conflict(level, split, branches):
        runner._failed(level, split.path, wrong)
    name, last = list(branches.items())[-1]
    state, label = last["last"], last["label"]
    rest = tuple(p for p in level.place if p not in split.states)
    step = level.step(state, label, (*rest, state))
    told = levels[name].step(state, label, (state,)).also
    record = _of_split("join", level, split) | {"took": round(time.monotonic() - began, 6)}
    record |= {"last": state, "label": label, "to": list(step.place)}
    if also := [edge for edge in step.also if edge not in told]:
        record["also"] = also
    if not level.at and not step.place:
        record["end"] = ended_by(level.machine, state, step)
    runner.append(record)


def _conflict(level: Level, split: Split, branches: Mapping[str, Frame]) -> PhaseError | None:
    """What two branches did differently, if they did."""
    where = f"{place_of(level.at, split.path)}: of its branches, which run at once,"
    again = (
        "Have each write what is its own, put it together in a state behind them, and begin anew with --fresh"
    )
    try:
        merged(level.frame["data"], {name: branch["data"] for name, branch in branches.items()})
    except TwoWrites as two:
        return PhaseError(f"{where} two wrote data[{two.key!r}], and differently: {two}. {again}.")
    try:
        merged({}, files_of(branches), whole=False)
    except TwoWrites as two:
        both = " and ".join((two.one[0], two.other[0]))
        return PhaseError(f"{where} two put artifact {two.key!r}, and differently: {both}. {again}.")
    return None


# The threads


class Shared:
    """What all threads of a run that go at once go through: one lock for the fold and the journal, and observers in order."""

    def __init__(self, runner: Runner) -> None:
        self.lock = threading.RLock()
        self.making = threading.RLock()  # what lasts: may take long
        self.observer: Observer = runner.observer
        self.abandoned = False
        self._untold: deque[dict[str, Any]] = deque()

    def written(self, record: dict[str, Any]) -> None:
        self._untold.append(record)

    def durable(self, seq: int) -> None:
        """Tell the observer what is durable now, in the order of the journal."""
        with self.lock:
            while self._untold and self._untold[0]["seq"] <= seq:
                self.observer.record(self._untold.popleft())


class _Each:
    """The observer, told by one thread at a time; where a line works is kept for who waits for it."""

    def __init__(self, shared: Shared, line: Line) -> None:
        self._shared = shared
        self._line = line

    def opened(self, run: RunStore, records: int) -> None:
        with self._shared.lock:
            self._shared.observer.opened(run, records)

    def record(self, record: Mapping[str, Any]) -> None:
        with self._shared.lock:
            self._shared.observer.record(record)

    def entered(self, at: list[str], machine: str, state: str, visit: int) -> None:
        self._line.where = place_of(at, state)
        with self._shared.lock:
            self._shared.observer.entered(at, machine, state, visit)

    def progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None:
        with self._shared.lock:
            self._shared.observer.progress(at, state, done, total, note)

    def watched(self, at: list[str], state: str, watch: Watch) -> None:
        with self._shared.lock:
            self._shared.observer.watched(at, state, watch)


class _LineStop(Stop):
    """How a line hears of a stop: asked for from outside, or made necessary by another line."""

    def __init__(self, section: Section, outer: Stop) -> None:
        super().__init__()
        self._section = section
        self._outer = outer

    @property
    def requested(self) -> bool:
        return self._section.halted or self._outer.requested

    @requested.setter
    def requested(self, value: bool) -> None:
        """No signal comes to a thread."""

    @property
    def due(self) -> bool:
        outer = self._outer
        asked = outer.due if isinstance(outer, _LineStop) else outer.requested
        return self.depth == 0 and (self._section.halted or (asked and outer.depth == 0))

    def check(self) -> None:
        if self.due:
            raise StopRequested

    @contextmanager
    def waking(self, wake: Wake | None) -> Iterator[None]:
        with self._outer.waking(wake), super().waking(wake):
            yield

    def wake_all(self) -> None:
        """Another line has made a stop necessary: whoever awaits something here hears of it."""
        for wake in tuple(self._asleep):
            wake()


class Line(Runner):
    """The runner as one thread of a section has it: the same run, with ways of its own to write, to hear of a stop, and to be
    watched."""

    def __init__(self, runner: Runner, section: Section, name: str) -> None:
        self.__dict__.update(runner.__dict__)
        self.name = name
        self.where = ""
        self.shared: Shared = section.shared
        self.stop: _LineStop = _LineStop(section, runner.stop)
        self.waits = runner.waits.of(self)
        self.observer = _Each(self.shared, self)

    def append(self, body: dict[str, Any]) -> None:
        self._of_this_thread(body)
        shared = self.shared
        with shared.lock:
            if shared.abandoned:
                raise StopRequested
            self._fold(body)
            record = self.journal.write(body)
            record.pop("snapshot", None)  # nobody looks at it, and it goes on changing
            shared.written(record)
        self.journal.sync(record["seq"])
        shared.durable(record["seq"])
        if self.turns:
            self.turns.go_on(self.name)
        self.stop.check()

    def check_claim(self) -> None:
        with self.shared.lock:
            super().check_claim()

    def lasting(self, name: str, make: Callable[[], AbstractContextManager[Any]]) -> Any:
        with self.shared.making:
            return super().lasting(name, make)

    def shelf(self, name: str) -> Shelf:
        with self.shared.making:
            return super().shelf(name)


class Section:
    """Jobs that go at once below one state. `name` orders its threads among others, `where` is said of it."""

    def __init__(self, runner: Runner, name: str, where: str) -> None:
        self.runner = runner
        self.where = where
        self.shared: Shared = runner.shared if isinstance(runner, Line) else Shared(runner)
        self.halted = False
        self._name = name
        self._changed = threading.Condition()
        self._left: deque[tuple[int, Job]] = deque()
        self._lines: dict[str, Line] = {}
        self._errors: list[tuple[int, BaseException]] = []

    def run(self, jobs: Mapping[str, Job], at_once: int) -> None:
        """Do all the jobs, so many at a time. Raises what made that impossible, when every thread has come to rest."""
        if not jobs:
            return
        self._left.extend(enumerate(jobs.values()))
        names = [f"{self._name}#{number:04}" for number in range(min(at_once, len(jobs)))]
        self._lines = {name: Line(self.runner, self, name) for name in names}
        threads = [
            threading.Thread(target=self._work, args=(line,), name=f"line {name}", daemon=True)
            for name, line in list(self._lines.items())
        ]
        me = self.runner.name if isinstance(self.runner, Line) else None
        if self.runner.turns:
            self.runner.turns.enter(names, instead=me)
        with self._abandoned_where_it_is_left():
            self.runner.stop.depth += 1  # a signal finds all of them begun
            for thread in threads:
                thread.start()
            self.runner.stop.depth -= 1
            self._wait()
        if self.runner.turns and me is not None:
            self.runner.turns.await_turn(me)
        self._raise()

    @contextmanager
    def _abandoned_where_it_is_left(self) -> Iterator[None]:
        """Who does not wait any more takes the right to write from those that are still under way."""
        try:
            yield
        except BaseException:
            if self._lines:
                self.halted = self.shared.abandoned = True
            raise

    # In the threads

    def _work(self, line: Line) -> None:
        line.thread = threading.get_ident()
        number = 0
        try:
            if line.turns:
                line.turns.await_turn(line.name)
            while (job := self._take()) is not None:
                number, do = job
                try:
                    do(line)
                except (
                    Resting
                ) as e:  # it waits, and nobody is to wait with it: the others come as far as they can
                    self._errors.append((number, e))
        except BaseException as e:  # for the one who waits
            self._failed(number, e)
        finally:
            self._ended(line)

    def _halt(self) -> None:
        """Have every line come to rest at its next record. To be called with the lock held."""
        self.halted = True
        for line in self._lines.values():
            line.stop.wake_all()
        self._changed.notify_all()

    def _take(self) -> tuple[int, Job] | None:
        with self._changed:
            return None if self.halted or not self._left else self._left.popleft()

    def _failed(self, number: int, error: BaseException) -> None:
        with self._changed:
            self._errors.append((number, error))
            self._halt()

    def _ended(self, line: Line) -> None:
        with self._changed:
            del self._lines[line.name]
            last = not self._lines
            self._changed.notify_all()
        if line.turns:
            me = self.runner.name if last and isinstance(self.runner, Line) else None
            line.turns.leave(line.name, to=me)

    # In the thread that waits

    def _wait(self) -> None:
        try:
            self.runner.stop.check()
            with self._changed:
                self._changed.wait_for(lambda: self.halted or not self._lines)
        except StopRequested:
            self._come_to_rest()
            self._raise_fatal()  # of which the stop may be the consequence, by a line beside all of these
            raise
        self._come_to_rest()

    def _come_to_rest(self) -> None:
        """Wait for every line to reach a record; a second signal ends that."""
        if not self._lines:
            return
        with self._changed:
            self._halt()
            if self._changed.wait_for(lambda: not self._lines, PATIENCE):
                return
            slow = [line.where for line in self._lines.values()]
        failed = [str(e).rstrip(".") for _, e in self._errors if not isinstance(e, StopRequested)]
        self.runner.logger.warning(
            "the run is to stop, and waits for what runs at once to reach a record; a second Ctrl-C ends it at once",
            waiting_for=slow,
            because=failed[0] if failed else "a stop was asked for",
        )
        with self._changed:
            self._changed.wait_for(lambda: not self._lines)

    def _raise_fatal(self) -> None:
        """What no line can go on after; the first of them is the cause of the others."""
        for _, error in self._errors:
            if not isinstance(error, Exception | Stopped | StopRequested | Leave | Resting):
                raise error
        for _, error in self._errors:
            if isinstance(error, RunReplaced | StoreError):
                raise error

    def _raise(self) -> None:
        errors = self._errors
        if not errors:
            return
        self._raise_fatal()
        for _, error in errors:
            if isinstance(error, Leave):
                raise error
        in_order = [error for _, error in sorted(errors, key=lambda e: e[0])]
        for error in in_order:
            if not isinstance(error, Stopped | StopRequested | Resting):
                raise error
        stopped = [error for error in in_order if isinstance(error, Stopped)]
        if len(stopped) > 1:
            raise Stopped("\n".join(dict.fromkeys(error.message for error in stopped)))
        if stopped:
            raise stopped[0]
        raise next((error for error in in_order if isinstance(error, StopRequested)), in_order[0])
