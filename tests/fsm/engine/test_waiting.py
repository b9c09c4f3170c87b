"""Waiting and asking: what stands in the journal, what a clock that jumps does, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsm.engine import Context, Outcome, Phase, Runner, Stop, waiting
from fsm.errors import PhaseError
from fsm.journal import Fold, Journal, essence, pauses_of, requests
from fsm.store.local import LocalRun
from tests.fsm.drawn import drawn, program

Handler = Callable[[Context], Any]
DRAWING = """
    [*] --> Pause
    Pause --> Sign : Yes
    Pause --> [*] : No
    Sign --> [*]
"""


@dataclass
class Clock:
    """Time that passes where it is slept; the wall may be set otherwise."""

    wall: float = 1_800_000_000.0
    here: float = 0.0
    slept: float = 0.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.here

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.here += seconds
        self.slept += seconds


class Desk:
    """A machine of a state that pauses and two edges, with its run in a directory."""

    def __init__(self, directory: Path, pause: Handler) -> None:
        self.directory = directory / "r"
        self.clock = Clock()
        self.machine = drawn(DRAWING, "desk")
        self.phase = Phase("desk")
        self.phase.state("Pause")(pause)
        self.phase.state("Sign")(lambda ctx: None)
        LocalRun(self.directory).write_header(json.dumps({"format": 1, "name": "r"}).encode())

    @property
    def run(self) -> LocalRun:
        return LocalRun(self.directory)

    def drive(self, *, stay: bool = True, stop: Stop | None = None) -> Outcome:
        run = self.run
        journal = Journal(run)
        fold = journal.open()
        runner = Runner(
            program(self.machine, phases={"desk": self.phase}),
            run,
            journal,
            fold,
            seed=1,
            work=self.directory.parent / "work",
            stay=stay,
            clock=self.clock,
            stop=stop,
        )
        try:
            return runner.drive()
        finally:
            runner.scratch.release()
            journal.close()

    def records(self) -> list[dict[str, Any]]:
        return [r for r in Journal(self.run).records() if r["kind"] != "claim"]

    def kinds(self) -> list[str]:
        return [r["kind"] for r in self.records()]

    def slot(self) -> str:
        (pause,) = pauses_of(Journal(self.run).load().root)
        assert pause.slot is not None
        return pause.slot

    def answer(self, label: str, **more: Any) -> requests.AnswerRequest:
        return requests.put(
            self.run, self.slot(), requests.AnswerRequest(id=label, by="ada", label=label, **more)
        )


def waits(seconds: float) -> Handler:
    def pause(ctx: Context) -> str:
        ctx.wait(seconds)
        return "Yes"

    return pause


def asks(**said: Any) -> Handler:
    def pause(ctx: Context) -> str:
        return ctx.ask("May it go on?", **said).label

    return pause


# Waiting


def test_a_wait_stands_in_the_journal_and_is_over_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, waits(60))
    assert desk.drive() == Outcome("done", None, "Sign")
    assert desk.kinds() == ["wait", "waited", "transition", "transition"]
    assert desk.clock.slept == pytest.approx(60)


def test_a_resumed_run_waits_the_rest(tmp_path: Path) -> None:
    desk = Desk(tmp_path, waits(60))
    assert desk.drive(stay=False).outcome == "waiting"
    desk.clock.wall += 45
    desk.drive()
    assert desk.clock.slept == pytest.approx(15)


def test_a_run_that_is_not_to_wait_says_for_when(tmp_path: Path) -> None:
    outcome = Desk(tmp_path, waits(60)).drive(stay=False)
    assert outcome.message == "Pause is waiting until 2027-01-15 08:01:00 UTC."
    assert outcome.exit_code == 4


def test_what_is_due_is_gone_on_with_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, waits(60))
    desk.drive(stay=False)
    desk.clock.wall += 60
    assert desk.drive(stay=False).outcome == "done"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    jumps=st.lists(st.tuples(st.floats(0, 100), st.floats(-1e6, 1e6)), max_size=5), seconds=st.floats(0, 1000)
)
def test_a_clock_that_jumps_neither_waits_twice_nor_for_ever(
    jumps: list[tuple[float, float]], seconds: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """While one process waits it is over after its seconds at the latest, whatever is done to the clock on the wall."""
    desk = Desk(tmp_path_factory.mktemp("jumps"), waits(seconds))
    left = list(jumps)
    slept = desk.clock.sleep

    def sleep(pause: float) -> None:
        slept(pause)
        if left and desk.clock.slept > left[0][0]:
            desk.clock.wall += left.pop(0)[1]

    desk.clock.sleep = sleep  # type: ignore[method-assign, assignment]
    desk.drive()
    assert desk.clock.slept <= seconds + 1e-3


def test_a_wait_that_is_over_is_not_begun_again_where_the_clock_was_set_back(tmp_path: Path) -> None:
    def pause(ctx: Context) -> str:
        ctx.wait(60)
        if broken:
            raise ValueError("broken")
        return "Yes"

    broken = True
    desk = Desk(tmp_path, pause)
    assert desk.drive().outcome == "stopped"
    desk.clock.wall -= 3600
    broken = False
    desk.drive()
    assert desk.clock.slept == pytest.approx(60)


def test_a_clock_set_back_between_two_processes_costs_no_more_than_the_seconds_asked_for(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path, waits(60))
    desk.drive(stay=False)
    desk.clock.wall -= 86400
    desk.drive()
    assert desk.clock.slept <= 60 + 1e-3


def test_a_moment_is_one_on_the_wall(tmp_path: Path) -> None:
    def pause(ctx: Context) -> str:
        ctx.wait(until=datetime.fromtimestamp(1_800_000_030, UTC))
        return "Yes"

    desk = Desk(tmp_path, pause)
    desk.drive()
    assert desk.clock.wall == pytest.approx(1_800_000_030)


def test_a_moment_that_is_past_is_no_wait(tmp_path: Path) -> None:
    def pause(ctx: Context) -> str:
        ctx.wait(until=1_000.0)
        return "Yes"

    desk = Desk(tmp_path, pause)
    assert desk.drive(stay=False).outcome == "done"
    assert desk.clock.slept == 0


def test_ten_years_can_be_waited_and_more_is_taken_for_a_wrong_unit(tmp_path: Path) -> None:
    assert Desk(tmp_path / "ten", waits(waiting.LONGEST)).drive(stay=False).message == (
        "Pause is waiting until 2037-01-15 08:00:00 UTC."
    )
    outcome = Desk(tmp_path / "more", waits(waiting.LONGEST + 1)).drive()
    assert outcome.outcome == "stopped"
    assert "ten years at most" in outcome.message


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), -float("inf")])
def test_no_wait_is_of_such_a_time(seconds: float, tmp_path: Path) -> None:
    desk = Desk(tmp_path, waits(seconds))
    assert "of 0 seconds or more" in desk.drive().message
    assert desk.kinds() == ["error"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, "give one of the two"),
        ({"seconds": 1, "until": 5.0}, "give one of the two"),
        ({"until": datetime(2030, 1, 1)}, "names no time zone"),
    ],
)
def test_a_wait_is_of_one_time(how: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in Desk(tmp_path, lambda ctx: ctx.wait(**how)).drive().message


def test_no_wait_where_a_stop_would_not_be_heard(tmp_path: Path) -> None:
    def pause(ctx: Context) -> None:
        with ctx.deferring_stop():
            ctx.wait(5)

    assert "inside deferring_stop" in Desk(tmp_path, pause).drive().message


def test_two_equal_runs_differ_in_the_moment_alone(tmp_path: Path) -> None:
    one, other = Desk(tmp_path / "one", waits(60)), Desk(tmp_path / "other", waits(60))
    other.clock.wall += 12345.678
    for desk in (one, other):
        desk.drive(stay=False)
    assert one.records()[0]["until"] != other.records()[0]["until"]
    assert [essence(r) for r in one.records()] == [essence(r) for r in other.records()]
    states = []
    for desk in (one, other):
        fold = Fold.of(desk.records())
        weight = fold._snapshot
        states.append((essence({"snapshot": fold.snapshot()}), weight))
    assert states[0] == states[1]


# Asking


def test_the_label_that_is_answered_is_the_edge_taken(tmp_path: Path) -> None:
    desk = Desk(tmp_path, asks(show={"dollars": 12.5}))
    assert desk.drive(stay=False).message == (
        "Pause asks: May it go on? Answer with `fsm answer r LABEL`, by one of: 'Yes', 'No'."
    )
    desk.answer("No", note="too dear")
    assert desk.drive(stay=False) == Outcome("done", "No", "Pause")
    ask, answer, _ = desk.records()
    assert (ask["labels"], ask["show"]) == (["Yes", "No"], {"dollars": 12.5})
    assert (answer["label"], answer["by"], answer["note"]) == ("No", "ada", "too dear")


def test_what_is_set_with_an_answer_is_in_the_data(tmp_path: Path) -> None:
    desk = Desk(tmp_path, asks())
    desk.drive(stay=False)
    desk.answer("Yes", values={"epochs": 3})
    desk.drive()
    assert Journal(desk.run).load().root["data"] == {"epochs": 3}  # type: ignore[index]


def test_of_several_answers_at_once_the_first_stands(tmp_path: Path) -> None:
    desk = Desk(tmp_path, asks())
    desk.drive(stay=False)
    assert desk.answer("Yes").label == "Yes"
    assert desk.answer("No").label == "Yes"
    assert desk.drive().label is None  # left by Sign's edge


def test_a_question_without_an_answer_in_time_is_left_by_the_edge_drawn_for_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, asks(seconds=3600, otherwise="No"))
    assert desk.drive() == Outcome("done", "No", "Pause")
    assert desk.records()[1]["by"] is None
    assert desk.clock.slept == pytest.approx(3600, abs=0.01)


def test_an_answer_in_time_goes_before_the_time_limit_though_it_is_read_after_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, asks(seconds=3600, otherwise="No"))
    desk.drive(stay=False)
    desk.answer("Yes")
    desk.clock.wall += 7200
    desk.drive(stay=False)
    assert desk.records()[1]["label"] == "Yes"


def test_each_visit_asks_a_question_of_its_own(tmp_path: Path) -> None:
    def pause(ctx: Context) -> str:
        if ctx.ask("First?").label == "Yes":
            return ctx.ask("Second?").label
        return "No"

    desk = Desk(tmp_path, pause)
    desk.drive(stay=False)
    first = desk.slot()
    desk.answer("Yes")
    desk.drive(stay=False)
    assert desk.slot() != first
    desk.answer("Yes")
    assert desk.drive().outcome == "done"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"seconds": 5}, "needs both"),
        ({"otherwise": "No"}, "needs both"),
        ({"seconds": 5, "otherwise": "Perhaps"}, "has no edge 'Perhaps'"),
        ({"seconds": -5, "otherwise": "No"}, "0 seconds or more"),
    ],
)
def test_a_question_that_cannot_be_asked(how: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in Desk(tmp_path, asks(**how)).drive().message


def test_a_state_whose_edges_have_no_labels_cannot_ask(tmp_path: Path) -> None:
    desk = Desk(tmp_path, lambda ctx: "Yes")
    desk.phase.handlers.pop("Sign")
    desk.phase.state("Sign")(lambda ctx: ctx.ask("Well?").label)
    assert "no edge with a label" in desk.drive().message


def test_a_handler_that_asks_where_it_waited_before_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path, waits(60))
    desk.drive(stay=False)
    desk.phase.handlers.pop("Pause")
    desk.phase.state("Pause")(asks())
    assert "same calls in the same order" in desk.drive(stay=False).message


def test_a_request_from_elsewhere_that_is_none_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path, asks())
    desk.drive(stay=False)
    requests.put(desk.run, desk.slot(), requests.AnswerRequest(label="Perhaps"))
    assert "none of its edges" in desk.drive().message


# Cancelled


def cancel(desk: Desk, **said: Any) -> None:
    requests.put(desk.run, requests.CANCEL, requests.CancelRequest(id="c", **said))


def test_a_cancelled_run_is_over_and_says_by_whom_and_why(tmp_path: Path) -> None:
    desk = Desk(tmp_path, asks())
    desk.drive(stay=False)
    cancel(desk, by="ada", why="no money left")
    outcome = desk.drive(stay=False)
    assert (outcome.outcome, outcome.message, outcome.exit_code) == (
        "cancelled",
        "by ada, for: no money left",
        5,
    )
    assert desk.records()[-1]["end"] == {
        "outcome": "cancelled",
        "label": None,
        "last": "Pause",
        "by": "ada",
        "why": "no money left",
    }
    assert Journal(desk.run).load().ended is not None


def test_a_run_is_cancelled_before_it_has_a_record(tmp_path: Path) -> None:
    desk = Desk(tmp_path, asks())
    cancel(desk)
    assert desk.drive().outcome == "cancelled"
    assert desk.kinds() == ["cancel"]


def test_what_a_state_has_begun_outside_is_ended_first(tmp_path: Path) -> None:
    ended: list[str] = []
    desk = Desk(tmp_path, asks())

    @desk.phase.ends("Pause")
    def end(ctx: Context) -> None:
        ended.append(f"{ctx.place} {ctx.visit}")
        assert desk.kinds()[-1] == "ask"

    desk.drive(stay=False)
    cancel(desk)
    desk.drive()
    assert ended == ["Pause 1"]


def test_where_it_cannot_be_ended_the_run_stays_and_is_cancelled_when_it_can(tmp_path: Path) -> None:
    desk = Desk(tmp_path, asks())
    broken = True

    @desk.phase.ends("Pause")
    def end(ctx: Context) -> None:
        if broken:
            raise ValueError("access denied")

    desk.drive(stay=False)
    cancel(desk)
    outcome = desk.drive()
    assert outcome.outcome == "stopped"
    assert "cannot be ended: ValueError: access denied" in outcome.message
    broken = False
    assert desk.drive().outcome == "cancelled"


def test_a_run_ended_anyway_says_what_is_left(tmp_path: Path) -> None:
    desk = Desk(tmp_path, asks())

    @desk.phase.ends("Pause")
    def end(ctx: Context) -> None:
        raise ValueError("access denied")

    cancel(desk)
    requests.put(desk.run, requests.ANYWAY, requests.CancelRequest())
    assert desk.drive().outcome == "cancelled"
    assert desk.records()[-1]["left"] == ["ValueError: access denied"]


def test_below_a_call_the_machine_that_is_in_progress_is_ended_with_what_its_caller_gave(
    tmp_path: Path,
) -> None:
    ended: list[Any] = []
    outer = drawn("[*] --> Call\nCall --> [*]", "outer", calls={"Call": ("inner",)})
    inner = drawn("[*] --> Hold\nHold --> [*] : Let go", "inner")
    phases = {"outer": Phase("outer"), "inner": Phase("inner")}
    phases["outer"].state("Call")(lambda ctx: ctx.run("inner", {"job": "j-1"}) and None)
    phases["inner"].state("Hold")(lambda ctx: ctx.ask("Let go?").label)
    phases["inner"].ends("Hold")(lambda ctx: ended.append(ctx.inputs["job"]))
    phases["outer"].ends("Call")(lambda ctx: ended.append("the caller"))
    desk = Desk(tmp_path, asks())

    def drive() -> Outcome:
        journal = Journal(desk.run)
        runner = Runner(
            program(outer, inner, phases=phases),
            desk.run,
            journal,
            journal.open(),
            seed=1,
            work=tmp_path / "work",
            stay=False,
        )
        try:
            return runner.drive()
        finally:
            runner.scratch.release()
            journal.close()

    assert drive().outcome == "waiting"
    cancel(desk)
    assert drive().outcome == "cancelled"
    assert ended == ["j-1"]


def test_a_running_handler_is_broken_off(tmp_path: Path) -> None:
    stop = Stop()

    def pause(ctx: Context) -> str:
        cancel(desk, by="ada")
        stop.cancel()
        ctx.wait(3600)
        raise AssertionError("not reached")

    desk = Desk(tmp_path, pause)
    assert desk.drive(stop=stop).outcome == "cancelled"
    assert desk.clock.slept == 0
    assert desk.kinds() == ["cancel"]


def test_phases_end_a_state_in_one_way() -> None:
    phase = Phase("desk")
    phase.ends("Pause")(lambda ctx: None)
    with pytest.raises(PhaseError, match="ended by two functions"):
        phase.ends("Pause")(lambda ctx: None)


def test_a_handler_that_hears_no_signal_is_broken_off_at_its_next_call_into_its_context(
    tmp_path: Path,
) -> None:
    """As one is whose run is driven by another thread than the main one."""
    stop = Stop()

    def pause(ctx: Context) -> str:
        cancel(desk, by="ada")
        stop.cancel()
        ctx.progress(1, 2)
        raise AssertionError("not reached")

    desk = Desk(tmp_path, pause)
    assert desk.drive(stop=stop).outcome == "cancelled"


@pytest.mark.parametrize("pause", ["wait", "ask"])
def test_no_limit_of_time_counts_what_is_waited_for(pause: str, tmp_path: Path) -> None:
    left: list[float | None] = []

    def handle(ctx: Context) -> str:
        if pause == "wait":
            ctx.wait(3600)
        else:
            ctx.ask("Well?", seconds=3600, otherwise="No")
        left.append(ctx.left)
        return "Yes"

    desk = Desk(tmp_path, handle)
    desk.machine = drawn(DRAWING, "desk", limits={"Pause": 10})
    assert desk.drive().outcome == "done"
    assert left == [pytest.approx(10)]
