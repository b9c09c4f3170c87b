"""Limits of time and retries: what fails, when, what a resumed run has left, and what the journal says of it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsm.engine import RUN, Context, Limit, Machine, Outcome, Phase, Program, Retries, Runner, Verdict
from fsm.engine.limits import LONGEST, MOST_RETRIES
from fsm.errors import MachineError, TimeLimit
from fsm.journal import Fold, Journal, audit, essence
from fsm.store import open_store
from fsm.testing import Clock
from tests.fsm.drawn import drawn

TWO = "[*] --> A\nA --> B : go\nB --> A : back\nB --> [*] : good\nA --> [*] : late"
MENDS = "state Mends {\n[*] --> TimeLimit\nTimeLimit --> Again\n[*] --> Other\nOther --> Stop\n}"
Handlers = dict[str, Callable[[Context], str | None]]
Records = list[dict[str, Any]]


class Killed(BaseException):
    """The process is gone."""


class Works:
    """Machines with handlers by state, the first one the root, driven under one clock as often as a test likes."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock(now=1000.0)
        self.run = open_store(str(directory)).run("r")
        self.run.write_header(b'{"format": 1}')
        self.mends = drawn(
            MENDS,
            "mends",
            ends={"Again": Verdict.AGAIN, "Stop": Verdict.STOP},
            entered_at=("TimeLimit", "Other"),
        )

    def drive(
        self, *machines: Machine, recovery: bool = False, seed: int = 1, **handlers: Handlers
    ) -> Outcome:
        phases = {}
        for machine in machines:
            phases[machine.name] = phase = Phase(machine.name)
            for path, handle in handlers[machine.name].items():
                phase.state(path)(handle)
        every = {m.name: m for m in machines}
        if recovery:
            phases["mends"], every["mends"] = Phase("mends"), self.mends
            phases["mends"].state(*self.mends.states)(lambda ctx: None)
            phases["mends"].classifies(lambda error: "TimeLimit" if isinstance(error, TimeLimit) else "Other")
        program = Program(machines[0].name, every, phases, "mends" if recovery else None)
        journal = Journal(self.run)
        runner = Runner(program, self.run, journal, journal.open(), seed=seed, clock=self.clock)
        try:
            return runner.drive()
        finally:
            journal.close()

    def told(self) -> Records:
        return [r for r in Journal(self.run).records() if r["kind"] != "claim"]

    def errors(self) -> list[tuple[str, str]]:
        return [(r["from"], r["error"]) for r in self.told() if r["kind"] == "error"]

    def spent(self) -> dict[str, float]:
        return Journal(self.run).load().spent

    def takes(self, *seconds: float, label: str | None = None) -> Callable[[Context], str | None]:
        """A handler that takes so long in its first try, in its second one, and so on."""
        left = iter(seconds)

        def handle(ctx: Context) -> str | None:
            self.clock.now += next(left)
            return label

        return handle


@pytest.fixture
def works(quick: Path) -> Works:
    return Works(quick)


# What is declared


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"limits": {"A": 0}}, r"the limit of A is 0 seconds; it has to be more than 0"),
        ({"limits": {RUN: 0.0}}, r"the limit of \[\*\] is 0\.0 seconds"),
        ({"limits": {"A": Limit(5, visit=-1)}}, "is -1 seconds"),
        ({"limits": {"A": float("nan")}}, "is nan seconds"),
        ({"limits": {"A": LONGEST * 2}}, "at most 315619200, ten years"),
        ({"limits": {"A": True}}, "is True seconds"),
        ({"limits": {"A": "60"}}, "is '60' seconds"),
        ({"limits": {"A": Limit()}}, "says no number of seconds"),
        ({"limits": {"Nowhere": 5}}, "no state named 'Nowhere'"),
        ({"limits": {RUN: Limit(visit=5)}}, "from start to end is one number"),
        ({"limits": {"C": Limit(5, visit=9)}}, "C is a composite, whose limit is one number"),
        ({"retries": {"OSError": Retries(0)}}, f"retries of OSError, most is 0; .* from 1 to {MOST_RETRIES}"),
        ({"retries": {"OSError": Retries(3, factor=0.5)}}, "factor is 0.5; it has to be a number from 1"),
        ({"retries": {"OSError": Retries(3, jitter=2)}}, "jitter is 2"),
        ({"retries": {"OSError": Retries(3, base=-1)}}, "base is -1"),
    ],
)
def test_what_cannot_be_is_refused_when_the_machine_is_built(said: dict[str, Any], message: str) -> None:
    with pytest.raises(MachineError, match=f"machines/drawing: .*{message}"):
        drawn("[*] --> A\nA --> C\nstate C {\n[*] --> D\nD --> [*]\n}\nC --> [*]", **said)


# A try of a state


def test_a_state_without_limits_is_told_that_none_holds(works: Works) -> None:
    left: list[float | None] = []
    works.drive(drawn("[*] --> A\nA --> [*]"), drawing={"A": lambda ctx: left.append(ctx.left)})
    assert left == [None]
    assert "spent" not in works.told()[0]


def test_a_handler_is_told_how_long_it_has(works: Works) -> None:
    left: list[float | None] = []

    def handle(ctx: Context) -> str:
        left.append(ctx.left)
        works.clock.now += 4
        left.append(ctx.left)
        return "late"

    machine = drawn(TWO, limits={"A": 10, RUN: 12})
    assert works.drive(machine, drawing={"A": handle, "B": works.takes(0)}).outcome == "done"
    assert left == [10, 6]


CALLS: dict[str, Callable[[Context], Any]] = {
    "once": lambda ctx: ctx.once("key", lambda: 1),
    "put": lambda ctx: ctx.put("a.txt", "a"),
    "open": lambda ctx: ctx.open("a.txt"),
    "progress": lambda ctx: ctx.progress(1, 2),
    "stopping": lambda ctx: ctx.stopping(),
    "watch": lambda ctx: ctx.watch("other"),
    "return": lambda ctx: "late",
}


@pytest.mark.parametrize("call", CALLS)
def test_who_does_not_listen_is_broken_off_at_its_next_call(call: str, works: Works) -> None:
    went_on = []

    def handle(ctx: Context) -> str:
        ctx.data["kept"] = True
        works.clock.now += 11
        assert ctx.left == 0
        try:
            CALLS[call](ctx)
        except Exception:
            went_on.append("an `except Exception` heard of it")
        if call != "return":
            went_on.append("it went on")
        return "late"

    outcome = works.drive(drawn(TWO, limits={"A": 10}), drawing={"A": handle, "B": works.takes(0)})
    assert went_on == []
    assert outcome.outcome == "stopped"
    assert "A: A has taken longer than the 10 s of its limit." in outcome.message
    (error,) = works.told()
    assert (error["error"], error["recovery"]) == ("TimeLimit", None)
    assert outcome.exit_code == 3
    fold: Fold = Journal(works.run).load()
    assert (fold.root or {})["data"] == {}


def test_what_must_reach_a_point_of_its_own_is_broken_off_after_it(works: Works) -> None:
    reached = []

    def handle(ctx: Context) -> str:
        with ctx.deferring_stop():
            works.clock.now += 11
            ctx.put("a.txt", "a")
            reached.append("the point")
        reached.append("what follows")
        return "late"

    works.drive(drawn(TWO, limits={"A": 10}), drawing={"A": handle, "B": works.takes(0)})
    assert (reached, works.errors()) == (["the point"], [("A", "TimeLimit")])


def test_a_thread_of_the_handler_is_not_broken_off_in_its_place(works: Works) -> None:
    died: list[BaseException] = []

    def shows(ctx: Context) -> None:
        try:
            ctx.progress(1, 1)
        except BaseException as e:
            died.append(e)

    def handle(ctx: Context) -> str:
        works.clock.now += 11
        thread = threading.Thread(target=shows, args=(ctx,))
        thread.start()
        thread.join()
        return "late"

    works.drive(drawn(TWO, limits={"A": 10}), drawing={"A": handle, "B": works.takes(0)})
    assert (died, works.errors()) == ([], [("A", "TimeLimit")])


def test_a_process_that_is_declared_is_ended(quick: Path) -> None:
    run = open_store(str(quick)).run("r")
    run.write_header(b'{"format": 1}')
    ended: list[int] = []
    phase = Phase("drawing")

    @phase.state("A")
    def handle(ctx: Context) -> None:
        command = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
        with ctx.ending(subprocess.Popen(command)) as process:
            ended.append(process.wait())

    machine = drawn("[*] --> A\nA --> [*]", limits={"A": 0.05})
    journal = Journal(run)
    program = Program("drawing", {"drawing": machine}, {"drawing": phase})
    outcome = Runner(program, run, journal, journal.open(), seed=1).drive()
    journal.close()
    assert (ended, outcome.outcome) == ([-15], "stopped")


def test_a_process_that_is_left_running_is_ended_with_or_without_a_limit(works: Works) -> None:
    processes: list[subprocess.Popen[bytes]] = []

    def handle(ctx: Context) -> None:
        with ctx.ending(subprocess.Popen(["sleep", "60"])) as process:
            processes.append(process)

    works.drive(drawn("[*] --> A\nA --> [*]"), drawing={"A": handle})
    assert processes[0].poll() == -15


# Recovery


def test_a_limit_enters_the_recovery_machine_as_anything_else_does(works: Works) -> None:
    machine = drawn(TWO, limits={"A": 10})
    outcome = works.drive(
        machine, recovery=True, drawing={"A": works.takes(11, 3, label="late"), "B": works.takes(0)}
    )
    assert outcome.outcome == "done"
    assert [(r["kind"], r["from"]) for r in works.told()] == [
        ("error", "A"),
        ("transition", "Mends.TimeLimit"),
        ("transition", "Mends.Again"),
        ("verdict", "A"),
        ("transition", "A"),
    ]
    assert works.told()[0]["recovery"] == "Mends.TimeLimit"


def test_a_limit_may_end_a_state_by_an_edge_of_its_own(works: Works) -> None:
    works.mends = drawn(
        MENDS, "mends", ends={"Again": Verdict.STOP, "Stop": Verdict.STOP}, entered_at=("TimeLimit", "Other")
    )
    machine = drawn(TWO, limits={"A": 10}, on_error={("A", "TimeLimit"): "late"})
    outcome = works.drive(machine, recovery=True, drawing={"A": works.takes(11), "B": works.takes(0)})
    assert outcome == Outcome("done", "late", "A")


# A visit, a composite, a run


def test_a_visit_counts_all_its_tries(works: Works) -> None:
    machine = drawn(TWO, limits={"A": Limit(10, visit=25)})
    handle = works.takes(11, 11, 11, 11, label="late")
    outcome = works.drive(machine, recovery=True, drawing={"A": handle, "B": works.takes(0)})
    # the third try passes both, and is told of the outer one; then the recovery says again, and the fourth has no time left
    assert "this visit of A has taken longer than the 25 s" in works.told()[8]["message"]
    assert outcome.outcome == "stopped"


def test_a_composite_counts_from_entering_to_leaving_and_fails_the_state_in_hand(works: Works) -> None:
    text = """
        [*] --> In
        state In {
            [*] --> X
            X --> Y
            Y --> [*] : out
        }
        In --> In : once more
        In --> [*] : over
    """
    machine = drawn(text, limits={"In": 10})
    ways = iter(["once more", "once more", "over"])
    left: list[float | None] = []

    def x(ctx: Context) -> None:
        left.append(ctx.left)
        works.clock.now += 4

    handlers = {"In.X": x, "In.Y": works.takes(4, 4, 7), "In": lambda ctx: next(ways)}
    outcome = works.drive(machine, drawing=handlers)
    assert left == [10, 10, 10]  # entered anew, it has its time anew
    assert outcome.outcome == "stopped"
    assert works.errors() == [("In.Y", "TimeLimit")]
    assert "In.Y: In has taken longer than the 10 s of its limit." in outcome.message


def test_a_run_that_has_used_its_time_stops_and_goes_on_where_it_is_given_more(works: Works) -> None:
    handlers: Handlers = {"A": works.takes(50, label="go"), "B": works.takes(51, 1, label="good")}
    outcome = works.drive(drawn(TWO, limits={RUN: 100}), drawing=handlers)
    assert (
        "B: the run has taken longer than the 100 s of its limit. It counts what earlier" in outcome.message
    )
    again = works.drive(drawn(TWO, limits={RUN: 100}), drawing={"A": works.takes(), "B": works.takes(0)})
    assert again.outcome == "stopped"  # it has none left
    more = drawn(TWO, limits={RUN: 200})
    assert (
        works.drive(more, drawing={"A": works.takes(), "B": works.takes(1, label="good")}).outcome == "done"
    )
    assert works.spent() == {}


def test_a_limit_of_a_state_above_breaks_off_what_is_below_it(works: Works) -> None:
    outer = drawn(TWO, "outer", limits={"A": 10}, calls={"A": ("inner",)})
    inner = drawn("[*] --> P\nP --> Q\nQ --> [*]", "inner")
    left: list[float | None] = []

    def below(ctx: Context) -> None:
        left.append(ctx.left)
        works.clock.now += 6
        ctx.progress(1, 1)

    def above(ctx: Context) -> str:
        ctx.run("inner")
        return "late"

    works.drive(outer, inner, outer={"A": above, "B": works.takes(0)}, inner={"P": below, "Q": below})
    assert left == [10, 4]
    assert [(r["kind"], *r["at"], r["from"]) for r in works.told()] == [
        ("transition", "A", "P"),
        ("error", "A"),  # what was below it has said nothing
    ]


def test_waiting_for_a_moment_or_a_person_is_not_counted(works: Works) -> None:
    left: list[float | None] = []

    def handle(ctx: Context) -> str:
        works.clock.now += 3
        works.clock.now += 1000
        limits = ctx._runner.limits  # type: ignore[attr-defined]
        limits.not_counted(ctx._at, ctx.state, 1000)
        left.append(ctx.left)
        return "go"

    machine = drawn(TWO, limits={"A": 10, RUN: 50})
    handlers: Handlers = {"A": handle, "B": works.takes(60, label="good")}
    works.drive(machine, drawing=handlers)
    assert left == [7]
    assert works.errors() == [("B", "TimeLimit")]
    assert works.spent() == {"[*]": 63}


# Interrupted


def killed_in(works: Works, seconds: float) -> Callable[[Context], str]:
    def handle(ctx: Context) -> str:
        works.clock.now += seconds
        raise Killed

    return handle


def test_a_killed_try_begins_its_limit_anew_and_a_run_has_the_rest(works: Works) -> None:
    machine = drawn(TWO, limits={"B": Limit(10, visit=30), RUN: 100})
    with pytest.raises(Killed):
        works.drive(machine, drawing={"A": works.takes(40, label="go"), "B": killed_in(works, 9)})
    works.clock.now += 5000  # nobody is at it
    left: list[float | None] = []

    def b(ctx: Context) -> str:
        left.append(ctx.left)
        works.clock.now += 2
        ctx.once("key", lambda: 1)
        raise Killed

    with pytest.raises(Killed):
        works.drive(machine, drawing={"A": works.takes(), "B": b})
    assert works.spent() == {"[*]": 42, "B#": 2}  # of the 9 s before the first kill no record tells
    assert left == [10]


def test_a_visit_has_the_rest_after_a_kill_and_all_of_it_after_a_stop(works: Works) -> None:
    machine = drawn(TWO, limits={"A": Limit(visit=30)})
    left: list[float | None] = []

    def a(do: Callable[[], None]) -> Callable[[Context], str]:
        def handle(ctx: Context) -> str:
            left.append(ctx.left)
            works.clock.now += 20
            ctx.once(str(len(left)), lambda: 1)
            do()
            return "late"

        return handle

    def kill() -> None:
        raise Killed

    with pytest.raises(Killed):
        works.drive(machine, drawing={"A": a(kill), "B": works.takes()})
    assert works.drive(machine, drawing={"A": a(lambda: None), "B": works.takes()}).outcome == "stopped"
    works.drive(machine, drawing={"A": a(lambda: None), "B": works.takes()})
    assert left == [30, 10, 30]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 15), max_size=6))
def test_limits_change_nothing_of_what_a_killed_run_says(
    kills: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = """
        [*] --> In
        state In {
            [*] --> X
            X --> Y : on
            Y --> X : back
            Y --> [*] : out
        }
        In --> [*]
    """
    machine = drawn(
        text,
        limits={"In": 1000, "X": Limit(5, visit=50), RUN: 5000},
        retries={"OSError": Retries(3, base=2)},
        bounds={("In.Y", "back"): "visits"},
    )

    def go(works: Works, kills: list[int]) -> Records:
        after = iter(kills)

        def x(ctx: Context) -> str:
            works.clock.now += 1
            if ctx.failures < 2:
                raise OSError("again")
            return "on"

        def y(ctx: Context) -> str:
            works.clock.now += 1
            ctx.once("key", lambda: 1)
            return "out" if ctx.visit == 3 else "back"

        for _ in range(10):
            mortal = MortalRun(works.run, next(after, None))
            works.run, run = mortal, works.run
            try:
                works.drive(machine, drawing={"In.X": x, "In.Y": y})
            except Killed:
                continue
            finally:
                works.run = run
            break
        return [essence(r) for r in works.told()]

    whole = go(Works(tmp_path_factory.mktemp("whole")), [])
    parts = Works(tmp_path_factory.mktemp("parts"))
    assert go(parts, kills) == whole
    assert not audit(parts.run).findings
    assert len(whole) == 15


class MortalRun:
    """A run in a directory whose process dies after so many records."""

    def __init__(self, run: Any, after: int | None) -> None:
        self._run = run
        self._left = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def append(self, seq: int, line: bytes) -> None:
        if self._left == 0:
            raise Killed
        self._left = None if self._left is None else self._left - 1
        self._run.append(seq, line)


# Retries


def fails(works: Works, times: int, error: Exception, label: str = "late") -> Callable[[Context], str]:
    left = iter(range(times))

    def handle(ctx: Context) -> str:
        if next(left, None) is not None:
            raise error
        return label

    return handle


def test_a_declared_error_starts_the_state_again_after_growing_waits(works: Works) -> None:
    machine = drawn(TWO, retries={"OSError": Retries(4, base=1, factor=3, jitter=0, longest=5)})
    handle = fails(works, 4, FileNotFoundError("not yet"))  # a class of errors is those below it too
    assert works.drive(machine, drawing={"A": handle, "B": works.takes()}).outcome == "done"
    assert [r.get("retry") for r in works.told()] == [
        *({"of": "OSError", "seconds": seconds} for seconds in (1, 3, 5, 5)),
        None,
    ]
    assert sum(works.clock.slept) == 14
    assert max(works.clock.slept) == 1  # in pieces, so that a stop is heard


def test_the_waits_are_by_chance_and_the_same_for_a_seed(tmp_path: Path) -> None:
    def waits(where: str, seed: int) -> list[float]:
        works = Works(tmp_path / where)
        machine = drawn(TWO, retries={"OSError": Retries(3, base=10, factor=1, jitter=0.5)})
        works.drive(machine, seed=seed, drawing={"A": fails(works, 3, OSError("x")), "B": works.takes()})
        return [r["retry"]["seconds"] for r in works.told() if "retry" in r]

    first, same, other = waits("a", 1), waits("b", 1), waits("c", 2)
    assert first == same != other
    assert len(set(first)) == 3
    assert all(5 <= seconds <= 15 for seconds in first + other)


def test_when_they_are_used_up_the_recovery_machine_is_asked(works: Works) -> None:
    machine = drawn(TWO, retries={"OSError": Retries(2, base=0)})
    handlers: Handlers = {"A": fails(works, 9, OSError("gone")), "B": works.takes()}
    assert works.drive(machine, recovery=True, drawing=handlers).outcome == "stopped"
    errors = [r for r in works.told() if r["kind"] == "error"]
    assert [r["recovery"] for r in errors] == [None, None, "Mends.Other"]
    works.drive(machine, recovery=True, drawing=handlers)  # gone on with, it has them all again
    errors = [r for r in works.told() if r["kind"] == "error"]
    assert [r["recovery"] for r in errors[3:]] == [None, None, "Mends.Other"]


def test_without_a_recovery_a_stop_gives_the_retries_back_too(works: Works) -> None:
    machine = drawn(TWO, retries={"OSError": Retries(1, base=0)})
    handlers: Handlers = {"A": fails(works, 3, OSError("gone")), "B": works.takes()}
    assert works.drive(machine, drawing=handlers).outcome == "stopped"
    assert works.drive(machine, drawing=handlers).outcome == "done"


def test_an_error_that_is_not_declared_is_not_tried_again(works: Works) -> None:
    machine = drawn(TWO, retries={"OSError": Retries(5)})
    works.drive(machine, drawing={"A": fails(works, 1, ValueError("odd")), "B": works.takes()})
    assert works.clock.slept == []
    assert works.errors() == [("A", "ValueError")]


def test_a_limit_may_be_retried_and_what_is_used_up_for_good_is_not(works: Works) -> None:
    machine = drawn(
        TWO, limits={"A": Limit(10, visit=25)}, retries={"TimeLimit": Retries(9, base=0, jitter=0)}
    )
    handlers: Handlers = {"A": works.takes(11, 11, 11, label="late"), "B": works.takes()}
    assert works.drive(machine, drawing=handlers).outcome == "stopped"
    assert ["retry" in r for r in works.told()] == [True, True, False]


def test_the_machines_below_begin_anew_with_a_retry_and_what_was_done_once_stays(works: Works) -> None:
    outer = drawn(TWO, "outer", retries={"OSError": Retries(1, base=0)}, calls={"A": ("inner",)})
    inner = drawn("[*] --> P\nP --> [*]", "inner")
    paid: list[int] = []

    def above(ctx: Context) -> str:
        ctx.once("pay", lambda: paid.append(1))
        ctx.run("inner")
        if not ctx.failures:
            raise OSError("x")
        return "late"

    works.drive(outer, inner, outer={"A": above, "B": works.takes()}, inner={"P": lambda ctx: None})
    assert [r["from"] for r in works.told()] == ["A", "P", "A", "P", "A"]
    assert paid == [1]
