"""Limits of time: how long a try of a state, a visit, a stay in a composite and a run may take, and who hears of it.

    limits={"Train": 3600, "Ask": Limit(60, visit=600), "EpochLoop": 7200, RUN: 86400}

The time that counts is that in which a runner is at it: not while the run is stopped, nor while it waits for a moment or for a
person. What a visit, a stay and a run have used stands in the records of the journal, so a resumed run has the rest; what was
used after the last record before a kill is not known, and not counted. A try begins anew whenever its handler is called.

When a limit has passed, the state that is in hand in the machine that declares it fails, and what is in progress below it with
it: the handler is broken off at its next call into its context, at the latest when it returns.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, Protocol

from fsm.drawing import ancestors
from fsm.errors import TimeLimit
from fsm.journal import Fold, is_branch, place_of

if TYPE_CHECKING:
    from fsm.engine.machine import Machine
    from fsm.engine.program import Program

RUN = "[*]"  # a machine from its start to its end: of the root machine, the run
LONGEST = 3653 * 86400.0  # seconds, ten years; a longer limit is a wrong unit
MOST_RETRIES = 100
LARGEST_FACTOR = 100.0
PIECE = 1.0  # seconds slept at a time, so that a stop asked for by another thread is heard
GRACE = 5.0  # seconds that a process has between being asked to end and being killed


@dataclass(frozen=True)
class Limit:
    """Seconds for each try of a state (a call of its handler), and for all tries of one visit together, waits between included."""

    each: float | None = None
    visit: float | None = None

    def wrong(self) -> str:
        """What is wrong with it, or nothing."""
        if self.each is None and self.visit is None:
            return "says no number of seconds"
        for seconds in (self.each, self.visit):
            if seconds is not None and not _seconds(seconds):
                return (
                    f"is {seconds!r} seconds; it has to be more than 0 and at most {LONGEST:.0f}, ten years"
                )
        return ""


@dataclass(frozen=True)
class Retries:
    """How often a state starts again after an error, and after how many seconds: base, then `factor` times as many each time.

    `jitter` is the share by which each wait is longer or shorter, by chance from the run's seed; none is longer than
    `longest` seconds before that.
    """

    most: int
    base: float = 1.0
    factor: float = 2.0
    jitter: float = 0.1
    longest: float = 3600.0

    def wrong(self) -> str:
        """What is wrong with them, or nothing."""
        if (
            isinstance(self.most, bool)
            or not isinstance(self.most, int)
            or not 1 <= self.most <= MOST_RETRIES
        ):
            return f"most is {self.most!r}; it has to be a number from 1 to {MOST_RETRIES}"
        for name, low, high in (
            ("base", 0.0, LONGEST),
            ("factor", 1.0, LARGEST_FACTOR),
            ("jitter", 0.0, 1.0),
            ("longest", 0.0, LONGEST),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                return f"{name} is {value!r}; it has to be a number from {low:g} to {high:g}"
        return ""

    def seconds(self, tried: int, seed: str) -> float:
        """How long to wait before the next try, so many having been given already."""
        chance = random.Random(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8])).uniform(-1, 1)
        return round(min(self.base * self.factor**tried, self.longest) * (1 + self.jitter * chance), 3)


def _seconds(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and isfinite(value)
        and 0 < value <= LONGEST
    )


def wrong_limits(
    machine: Machine, limits: Mapping[str, Limit], retries: Mapping[str, Retries]
) -> Iterator[str]:
    """What is wrong with what a machine declares, each as the end of a sentence that begins with the machine."""
    for where, limit in limits.items():
        if why := limit.wrong():
            yield f"the limit of {where} {why}."
        if where == RUN:
            if limit.visit is not None:
                yield "its limit from start to end is one number of seconds; a visit is of a state."
            continue
        state = machine.chart.states[where]
        if any(above in machine.opaque for above in ancestors(where)) or state.kind in (
            "fork",
            "join",
            "region",
        ):
            yield f"{where} has a limit, and is no state that a handler or a composite stands for. Limit the one around it."
        elif state.composite and where not in machine.opaque and limit.visit is not None:
            yield f"{where} is a composite, whose limit is one number of seconds, from entering it to leaving it."
    for error, how in retries.items():
        if why := how.wrong():
            yield f"in the retries of {error}, {why}."


def retries_of(machine: Machine, error: BaseException) -> tuple[str, Retries] | None:
    """The nearest of an error's classes that the machine declares retries of, by its name."""
    for cls in type(error).__mro__:
        if cls.__name__ in machine.retries:
            return cls.__name__, machine.retries[cls.__name__]
    return None


class Clock(Protocol):
    """The time as it passes here."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


def pause(seconds: float, clock: Clock, check: Callable[[], None]) -> None:
    """Wait so long, in pieces, between which `check` may raise what ends the wait."""
    end = clock.monotonic() + seconds
    check()
    while (rest := end - clock.monotonic()) > 0:
        clock.sleep(min(rest, PIECE))
        check()


class TimeUp(BaseException):
    """A limit has passed. Not an Exception, for no handler's `except Exception` may swallow it; passes through all that is
    below the state that it fails."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope.what)
        self.scope = scope


@dataclass
class Scope:
    """A limit that holds for a visit. `ends` is by the runner's clock; `key` names in the fold what was used, empty for a try."""

    at: list[str]
    state: str
    key: str
    what: str
    seconds: float
    ends: float

    def error(self) -> TimeLimit:
        where = place_of(self.at, self.state)
        told = (
            "" if not self.key else " It counts what earlier runners used: raise it before the run goes on."
        )
        return TimeLimit(
            f"{where}: {self.what} has taken longer than the {self.seconds:g} s of its limit.{told}"
        )


class TimeLeft:
    """The limits that hold for one visit, outermost first. Of the thread that calls the handler, and checked in no other."""

    def __init__(self, scopes: Sequence[Scope], clock: Clock) -> None:
        self.scopes = tuple(scopes)
        self._clock = clock
        self._thread = threading.get_ident()

    def seconds(self) -> float:
        """Until the first of them passes; 0 where it has."""
        return max(0.0, min((s.ends for s in self.scopes), default=inf) - self._clock.monotonic())

    def check(self) -> None:
        """Raises TimeUp, of the outermost that has passed."""
        if threading.get_ident() != self._thread:  # of the handler's own, where it would end nothing but that
            return
        now = self._clock.monotonic()
        for scope in self.scopes:
            if now > scope.ends:
                raise TimeUp(scope)


@contextmanager
def ended_in_time(process: subprocess.Popen[Any], left: TimeLeft | None) -> Iterator[None]:
    """Inside, the process is ended when the first limit passes; it is ended too when this is left with it running."""
    watch = threading.Timer(left.seconds(), _end, (process,)) if left is not None else None
    if watch:
        watch.daemon = True
        watch.start()
    try:
        yield
    finally:
        if watch:
            watch.cancel()
        _end(process)


def _end(process: subprocess.Popen[Any]) -> None:
    """Ask it to end, and kill it where it has not within a few seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Limits:
    """What was used of every limit of a run that is being driven."""

    def __init__(self, fold: Fold, clock: Clock) -> None:
        self._clock = clock
        self._fold = fold
        self._used = dict(fold.spent)  # seconds by the key of a scope, when this runner came to it
        self._since: dict[str, float] = {}  # when this runner came to it
        self._visits: dict[tuple[str, ...], TimeLeft] = {}  # those in progress, by path and state

    @staticmethod
    def of(program: Program, fold: Fold, clock: Clock) -> Limits | None:
        """None where no machine of the program declares any."""
        return Limits(fold, clock) if any(m.limits for m in program.machines.values()) else None

    def begin(self, at: list[str], machine: Machine, state: str) -> TimeLeft | None:
        """A handler is about to be called: what holds for it, by its machine and by all above; None where nothing does."""
        own = [
            self._scope(at, state, key, what, limit)
            for key, what, limit in self._declared(at, machine, state)
        ]
        around = [
            scope
            for depth in range(len(at))
            if (visit := self._visits.get((*at[:depth], at[depth].partition("~")[0])))
            for scope in visit.scopes
            if scope.at == at[:depth]
        ]
        self._visits.pop((*at, state), None)
        if not around and not own:
            return None
        left = self._visits[(*at, state)] = TimeLeft([*around, *own], self._clock)
        return left

    def _declared(self, at: list[str], machine: Machine, state: str) -> Iterator[tuple[str, str, float]]:
        limits, path = machine.limits, _path(_whole(at))
        if limit := limits.get(RUN):
            assert limit.each is not None
            yield path + RUN, f"machine {machine.name}" if at else "the run", limit.each
        for composite in reversed(ancestors(state)):
            if limit := limits.get(composite):
                assert limit.each is not None
                yield path + composite, composite, limit.each
        if limit := limits.get(state):
            if limit.visit is not None:
                yield f"{path}{state}#", f"this visit of {state}", limit.visit
            if limit.each is not None:
                yield "", state, limit.each

    def _scope(self, at: list[str], state: str, key: str, what: str, limit: float) -> Scope:
        now = self._clock.monotonic()
        begun = self._since.setdefault(key, now) - self._used.get(key, 0.0) if key else now
        return Scope(at, state, key, what, limit, begun + limit)

    def recovering(self, at: list[str], state: str) -> None:
        """A state has failed: its own limits do not hold for what is done about it."""
        self._visits.pop((*at, state), None)

    def not_counted(self, at: list[str], state: str, seconds: float) -> None:
        """The visit has waited for so long, for a moment or a person: no limit around it counts that."""
        if visit := self._visits.get((*at, state)):
            for scope in visit.scopes:
                scope.ends += seconds
                if scope.key:
                    self._since[scope.key] += seconds

    def tell(self, body: dict[str, Any]) -> None:
        """Say in a record what is used of the limits around it, `spent`: {key: seconds}, None for what is over with it."""
        at, state = body["at"], body["from"]
        now = self._clock.monotonic()
        used: dict[str, float | None] = {}
        for depth in range(len(at) + 1):
            visit = (*at[:depth], at[depth].partition("~")[0] if depth < len(at) else state)
            for scope in self._visits[visit].scopes if visit in self._visits else ():
                if scope.key:
                    used[scope.key] = round(self._used.get(scope.key, 0.0) + now - self._since[scope.key], 3)
        for key in [key for key in {**self._fold.spent, **used} if _is_over(key, body)]:
            used[key] = None
            self._used.pop(key, None)
            self._since.pop(key, None)
        if used:
            body["spent"] = used
        if body["kind"] == "transition":
            self._visits.pop((*at, state), None)


def _path(at: Sequence[str]) -> str:
    return "".join(f"{step}/" for step in at)


def _whole(at: Sequence[str]) -> list[str]:
    """The path to a machine that is in one of its branches: what limits the whole counts them together."""
    steps = list(at)
    while steps and is_branch(steps[-1]):
        steps.pop()
    return steps


def _is_over(key: str, body: Mapping[str, Any]) -> bool:
    """Whether what a key counts ends with a record."""
    at = _whole(body["at"])
    path, state, kind = _path(at), body["from"], body["kind"]
    if not key.startswith(path):
        return False
    of = key.removeprefix(path)
    below = of.startswith((f"{state}/", f"{state}~"))
    if kind == "verdict":
        return below or (of == f"{state}#" and body["verdict"] == "stop")
    if kind == "error":
        return (below and "retry" in body) or (
            of == f"{state}#" and not body["recovery"] and "retry" not in body
        )
    joins = kind == "join" and "to" in body
    if (kind != "transition" and not joins) or "/" in of:
        return below and kind == "transition"
    splits = [step.partition("~")[0] for step in body["at"][len(at) :]]
    if splits and (of == RUN or any(f"{split}.".startswith(f"{of}.") for split in splits)):
        return False  # a branch has moved, and what is around the split waits for all
    if of == RUN:
        return not body["to"]
    if of.endswith("#"):
        return bool(of == f"{state}#")
    left = {edge.partition(" --> ")[0] for edge in body.get("also") or ()}
    stands = any(place.startswith(f"{of}.") for place in body["to"])
    return not stands or any(of == one or of.startswith(f"{one}.") for one in left)
