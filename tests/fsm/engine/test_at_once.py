"""Branches and items that go at once: the order in which they do leaves no trace, and nothing that goes wrong gets in between."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsm.check import check
from fsm.engine import RUN, Context, Outcome, Phase, Program, Runner, Stop, StopRequested, Verdict, at_once
from fsm.engine.turns import in_rotation
from fsm.errors import MachineError, PhaseError, StoreError
from fsm.journal import Fold, Journal, audit, in_order, requests
from fsm.store.local import LocalRun
from fsm.testing import Clock
from tests.fsm.drawn import drawn, program
from tests.fsm.engine.lines import artifacts, begun, by, driven, records, told, works

FORK = """
    [*] --> F
    F --> A
    F --> B
    A --> J
    B --> J
    J --> [*]
"""


def fork(a: Callable[[Context], Any], b: Callable[[Context], Any], **more: Any) -> Program:
    """A fork of two branches with a state each, at once."""
    machine = drawn(FORK, "works", concurrent=("F",), **more)
    phase = Phase("works")
    phase.state("F", "J")(lambda ctx: None)
    phase.state("A")(a)
    phase.state("B")(b)
    return program(machine, phases={"works": phase})


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> LocalRun:
    """A run in which every line waited for its turn, in rotation."""
    run = begun(tmp_path_factory.mktemp("lines") / "r")
    assert driven(run, works(), in_rotation())[0] == Outcome("done", "shipped", "Ship")
    return run


# The law


def test_the_works_use_everything(reference: LocalRun) -> None:
    assert [str(f) for f in check(works())] == []
    there = records(reference)
    assert {r["kind"] for r in there} == {
        *("transition", "once", "error", "verdict", "split", "join"),
        *("wait", "waited", "ask", "answer"),
    }
    assert any(sum("|" in step for step in r["at"]) == 2 for r in there)  # lines in lines
    assert any("snapshot" in r and any("|" in step for step in r["at"]) for r in there)
    assert audit(reference).whole
    # and they are shuffled into each other, or the test below would show nothing
    assert [r["seq"] for r in in_order(there)] != [r["seq"] for r in there]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choices=st.lists(st.integers(0, 6), min_size=20, max_size=150))
def test_whatever_the_order_of_lines_the_run_comes_to_the_same(
    choices: list[int], reference: LocalRun, quick: Path
) -> None:
    directory = quick / os.urandom(4).hex() / "r"
    run = begun(directory)
    outcome, fold = driven(run, works(), by(choices))
    assert outcome == Outcome("done", "shipped", "Ship")
    same(run, fold, reference)


def same(run: LocalRun, fold: Fold, reference: LocalRun) -> None:
    """Record for record, artifact for artifact, and the state to the byte."""
    assert told(run) == told(reference)
    assert artifacts(run) == artifacts(reference)
    assert json.dumps(fold.state) == json.dumps(Journal(reference).load().state)
    assert audit(run).whole, audit(run).findings


def test_left_to_themselves_the_threads_come_to_the_same(reference: LocalRun, quick: Path) -> None:
    run = begun(quick / "r")
    outcome, fold = driven(run, works())
    assert outcome == Outcome("done", "shipped", "Ship")
    same(run, fold, reference)


def test_one_after_the_other_the_same_is_put_and_kept(reference: LocalRun, quick: Path) -> None:
    """What branches keep to themselves doesn't know whether they go at once: not even chance and outside names."""
    run = begun(quick / "r")
    _, fold = driven(run, works(concurrent=False))
    data = Journal(reference).load().state["root"]["data"]
    assert fold.state["root"]["data"] == data
    assert {n for n in fold.files if n != "pack.txt"} == {
        n for n in Journal(reference).load().files if n != "pack.txt"
    }


class Killed(BaseException):
    """The process dies here."""


class Mortal(LocalRun):
    """A run that dies before, or after, it has written a record of a number, the claims not counted."""

    def __init__(self, directory: Path, number: int, after: bool) -> None:
        super().__init__(directory)
        self.number = number
        self.after = after
        self.count = 0
        self.dead = False

    def _dying(self, line: bytes, do: Callable[[], None]) -> None:
        if self.dead:
            raise Killed
        mine = b'"kind":"claim"' not in line and self.count == self.number
        self.count += b'"kind":"claim"' not in line
        self.dead = mine
        if mine and not self.after:
            raise Killed
        do()
        if mine:
            raise Killed

    def append(self, seq: int, line: bytes) -> None:
        self._dying(line, lambda: LocalRun.append(self, seq, line))

    def write(self, seq: int, line: bytes) -> None:
        self._dying(line, lambda: LocalRun.write(self, seq, line))


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_record_it_comes_to_the_same(after: bool, reference: LocalRun, quick: Path) -> None:
    for number in range(after, len(records(reference)), 3):  # all of them are tests/crash's to kill at
        directory = quick / f"{number}" / "r"
        begun(directory)
        with pytest.raises(Killed):
            driven(Mortal(directory, number, after), works(), in_rotation())
        run = LocalRun(directory)
        _, fold = driven(run, works())
        same(run, fold, reference)


def test_it_costs_nothing_who_does_not_use_it(quick: Path) -> None:
    run = begun(quick / "r")
    driven(run, works(concurrent=False))
    one_by_one = [r for r in records(run) if not any("|" in step for step in r["at"])]
    assert {r["kind"] for r in one_by_one if r.get("key") is None} == {"transition", "error", "verdict"}


# What branches must not do


def test_two_branches_that_write_one_key_differently_are_an_error_that_names_both(quick: Path) -> None:
    run = begun(quick / "r")
    of = fork(lambda ctx: ctx.data.update(k=1), lambda ctx: ctx.data.update(k=2))
    outcome, _ = driven(run, of)
    assert outcome.outcome == "stopped"
    assert "two wrote data['k'], and differently: A wrote 1 and B wrote 2" in outcome.message
    assert "--fresh" in outcome.message
    again, _ = driven(LocalRun(run.directory), of)
    assert again.message == outcome.message
    assert audit(run).whole


def test_to_drop_a_key_is_to_write_it(quick: Path) -> None:
    of = fork(lambda ctx: ctx.data.pop("k") and None, lambda ctx: ctx.data.update(k=2))
    of.phases["works"].handlers.pop("F")
    of.phases["works"].state("F")(lambda ctx: ctx.data.update(k=1))
    outcome, _ = driven(begun(quick / "r"), of)
    assert "A dropped it and B wrote 2" in outcome.message


def test_the_same_value_from_two_branches_is_no_conflict(quick: Path) -> None:
    of = fork(lambda ctx: ctx.data.update(k=[1], a=1), lambda ctx: ctx.data.update(k=[1], b=2))
    _, fold = driven(begun(quick / "r"), of)
    assert fold.state["root"]["data"] == {"k": [1], "a": 1, "b": 2}


def test_two_branches_that_put_one_artifact_differently_are_an_error_that_names_both(quick: Path) -> None:
    of = fork(lambda ctx: ctx.put("x", "1") and None, lambda ctx: ctx.put("x", "2") and None)
    outcome, _ = driven(begun(quick / "r"), of)
    assert "two put artifact 'x', and differently: A and B" in outcome.message


def test_a_branch_sees_nothing_of_the_one_beside_it(quick: Path) -> None:
    seen: dict[str, Any] = {}
    put = threading.Event()

    def a(ctx: Context) -> None:
        ctx.put("mine", "1")
        ctx.once("done", lambda: 1)
        put.set()

    def b(ctx: Context) -> None:
        assert put.wait(10)
        seen.update(data=dict(ctx.data), names=ctx.names(), has=ctx.has("mine"))

    driven(begun(quick / "r"), fork(a, b))
    assert seen == {"data": {}, "names": [], "has": False}


def test_a_thread_that_a_handler_started_may_not_write(quick: Path) -> None:
    said: list[BaseException] = []

    def a(ctx: Context) -> None:
        def work() -> None:
            try:
                ctx.once("mine", lambda: 1)
            except PhaseError as e:
                said.append(e)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    run = begun(quick / "r")
    for of in (fork(a, lambda ctx: None), fork(lambda ctx: None, lambda ctx: None)):
        assert driven(run, of)[0].outcome == "done"
    assert len(said) == 1
    assert "A: a thread that its handler started asked for a record (once)" in str(said[0])
    assert audit(run).whole


# Failing and stopping


class Wobble(Exception):
    """Fits a class of the rescue."""


def rescued(of: Program, verdict: Verdict) -> Program:
    rescue = drawn("[*] --> Hold\nHold --> Decide", "rescue", ends={"Decide": verdict}, entered_at=("Hold",))
    phase = Phase("rescue")
    phase.state("Hold", "Decide")(lambda ctx: None)
    phase.classifies(lambda error: "Hold" if isinstance(error, Wobble) else None)
    both = {**of.machines, "rescue": rescue}
    return Program("works", both, {**of.phases, "rescue": phase}, "rescue")


def test_while_one_branch_recovers_the_others_go_on(quick: Path) -> None:
    recovered, beside = threading.Event(), threading.Event()

    def a(ctx: Context) -> None:
        if not ctx.failures:
            assert beside.wait(10)  # the other one is at work
            raise Wobble
        recovered.set()

    def b(ctx: Context) -> None:
        beside.set()
        assert recovered.wait(10)  # and still is when this one has recovered

    run = begun(quick / "r")
    assert driven(run, rescued(fork(a, b), Verdict.AGAIN))[0].outcome == "done"
    mine = [r["kind"] for r in records(run) if r["at"][:1] == ["F~|A"]]
    assert mine == ["error", "transition", "transition", "verdict", "transition"]


def test_a_stop_waits_for_each_branch_to_reach_a_record(quick: Path) -> None:
    failed = threading.Event()
    mended: list[int] = []

    def a(ctx: Context) -> None:
        if not mended:
            failed.set()
            raise ValueError("no")

    def b(ctx: Context) -> None:
        assert failed.wait(10)
        time.sleep(0.05)
        ctx.once("halfway", lambda: 1)
        ctx.data["b"] = len(mended)

    run = begun(quick / "r")
    outcome, _ = driven(run, fork(a, b))
    assert outcome.outcome == "stopped"
    assert "A: ValueError: no" in outcome.message
    assert {r["kind"] for r in records(run) if r["at"] == ["F~|B"]} <= {"once"}
    mended.append(1)
    outcome, fold = driven(LocalRun(run.directory), fork(a, b))
    assert outcome.outcome == "done"
    assert fold.state["root"]["data"] == {"b": 1}
    assert audit(run).whole


def test_a_branch_that_does_not_end_while_another_has_failed_is_named(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_once, "PATIENCE", 0.05)
    begun_waiting = threading.Event()

    def a(ctx: Context) -> None:
        assert begun_waiting.wait(10)
        raise ValueError("no")

    def b(ctx: Context) -> None:
        begun_waiting.set()
        while not ctx.stopping():  # who listens is told
            time.sleep(0.01)
        time.sleep(0.3)

    with structlog.testing.capture_logs() as said:
        driven(begun(quick / "r"), fork(a, b))
    (line,) = [entry for entry in said if entry["log_level"] == "warning"]
    assert line["waiting_for"] == ["B"]
    assert line["because"].startswith("A: ValueError: no")


def test_a_signal_stops_the_branches_at_their_next_records_and_the_run_goes_on_from_there(
    quick: Path,
) -> None:
    stop, all_there = Stop(), threading.Barrier(3)

    def branch(ctx: Context) -> None:
        ctx.once("begun", lambda: 1)
        all_there.wait(10)
        while not ctx.stopping():
            time.sleep(0.002)
        ctx.once("halfway", lambda: 2)
        raise AssertionError("it goes on behind a record")

    def interrupt() -> None:
        all_there.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    run = begun(quick / "r")
    threading.Thread(target=interrupt).start()
    with stop.installed(), pytest.raises(StopRequested):
        driven(run, fork(branch, branch), stop=stop)
    lines = {(r["at"][0], r["key"]) for r in records(run) if r["at"]}
    assert lines == {(f"F~|{name}", key) for name in "AB" for key in ("begun", "halfway")}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("line ")]

    def rest(ctx: Context) -> None:
        ctx.data[ctx.state] = ctx.once("halfway", lambda: 3)

    outcome, fold = driven(LocalRun(run.directory), fork(rest, rest))
    assert outcome.outcome == "done"
    assert fold.state["root"]["data"] == {"A": 2, "B": 2}


def test_a_second_signal_ends_it_at_once_and_what_still_runs_writes_no_more(quick: Path) -> None:
    stop, there, gone = Stop(), threading.Barrier(2), threading.Event()
    ended: list[BaseException] = []

    def deaf(ctx: Context) -> None:
        there.wait(10)
        assert gone.wait(10)
        try:
            ctx.once("late", lambda: 1)
        except BaseException as e:
            ended.append(e)
            raise

    def interrupt() -> None:
        there.wait(10)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)

    run = begun(quick / "r")
    threading.Thread(target=interrupt).start()
    with stop.installed(), pytest.raises(StopRequested):
        driven(run, fork(deaf, lambda ctx: None), stop=stop)
    gone.set()
    for thread in [t for t in threading.enumerate() if t.name.startswith("line ")]:
        thread.join(10)
    assert [type(e) for e in ended] == [StopRequested]
    assert [r.get("key") for r in records(run) if r["at"] == ["F~|A"]] == []
    assert audit(run).whole


def test_an_error_that_leads_out_of_the_state_above_ends_its_branches(quick: Path) -> None:
    inner = drawn(FORK, "inner", concurrent=("F",))
    outer = drawn(
        "[*] --> Do\nDo --> [*] : done\nDo --> Mend : broken\nMend --> [*]",
        "works",
        calls={"Do": ("inner",)},
        on_error={("Do", "Hold"): "broken"},
    )
    phases = {"works": Phase("works"), "inner": Phase("inner")}
    phases["works"].state("Do")(lambda ctx: ctx.run("inner") and "done")
    phases["works"].state("Mend")(lambda ctx: None)
    phases["inner"].state("F", "J", "B")(lambda ctx: None)

    @phases["inner"].state("A")
    def a(ctx: Context) -> None:
        raise Wobble

    run = begun(quick / "r")
    of = rescued(program(outer, inner, phases=phases), Verdict.STOP)
    outcome, _ = driven(run, of)
    assert outcome == Outcome("done", None, "Mend")
    left = [r for r in told(run) if r["at"][:1] == ["Do"] and "F~|B" in r["at"]]
    assert left == []  # how far B had come is chance, and no part of what two such runs have in common
    assert audit(run).whole


def test_a_disk_that_is_full_stops_all_of_them_and_nothing_is_lost(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()
    real = os.fdatasync

    def full(fd: int) -> None:
        if next(calls) == 6:
            raise OSError(28, "No space left on device")
        real(fd)

    def branch(ctx: Context) -> None:
        for number in range(10):
            ctx.once(f"{number}", lambda: number)  # noqa: B023

    run = begun(quick / "r")
    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(StoreError):
        driven(run, fork(branch, branch))
    assert audit(run).whole
    assert driven(LocalRun(run.directory), fork(branch, branch))[0].outcome == "done"
    assert audit(run).whole


# Items


def items(handle: Callable[[Context], Any], n: int = 5, at_once: int = 3) -> Program:
    outer = drawn("[*] --> All\nAll --> [*]", "works", calls={"All": ("one",)})
    one = drawn("[*] --> Take\nTake --> Keep\nKeep --> [*]", "one")
    phases = {"works": Phase("works"), "one": Phase("one")}

    @phases["works"].state("All")
    def all_(ctx: Context) -> None:
        ctx.data["all"] = [r.data for r in ctx.map("one", range(n), at_once=at_once)]

    phases["one"].state("Take")(handle)
    phases["one"].state("Keep")(lambda ctx: ctx.data.update(kept=ctx.inputs["item"]))
    return program(outer, one, phases=phases)


def test_results_come_in_the_order_of_the_items(quick: Path) -> None:
    def late(ctx: Context) -> None:
        time.sleep(0.02 * (5 - ctx.inputs["item"]))

    _, fold = driven(begun(quick / "r"), items(late, at_once=5))
    assert fold.state["root"]["data"]["all"] == [{"kept": n} for n in range(5)]


def test_no_more_items_go_at_once_than_were_asked_for(quick: Path) -> None:
    going, most, lock = [0], [0], threading.Lock()

    def count(ctx: Context) -> None:
        with lock:
            going[0] += 1
            most[0] = max(most[0], going[0])
        time.sleep(0.01)
        with lock:
            going[0] -= 1

    driven(begun(quick / "r"), items(count, n=20, at_once=4))
    assert most[0] == 4


def test_items_that_have_ended_are_not_walked_again(quick: Path) -> None:
    taken: list[int] = []
    broken = [True]

    def take(ctx: Context) -> None:
        taken.append(ctx.inputs["item"])
        if ctx.inputs["item"] == 3 and broken[0]:
            raise ValueError("no")

    run = begun(quick / "r")
    of = items(take, at_once=1)
    assert driven(run, of)[0].outcome == "stopped"
    assert taken == [0, 1, 2, 3]
    broken[0] = False
    _, fold = driven(LocalRun(run.directory), of)
    assert taken == [0, 1, 2, 3, 3, 4]
    assert fold.state["root"]["data"]["all"] == [{"kept": n} for n in range(5)]


def test_other_items_than_before_the_interruption_are_refused(quick: Path) -> None:
    def fail(ctx: Context) -> None:
        raise ValueError("no")

    run = begun(quick / "r")
    driven(run, items(fail))
    outcome, _ = driven(LocalRun(run.directory), items(fail, n=6))
    assert (
        "All mapped 5 items through one before it was interrupted, and now 6 through one" in outcome.message
    )


def test_two_items_that_put_one_artifact_differently_are_an_error(quick: Path) -> None:
    outcome, _ = driven(
        begun(quick / "r"), items(lambda ctx: ctx.put("x", str(ctx.inputs["item"])) and None, n=2)
    )
    assert "items 0 and 1 of map put artifact 'x', and differently" in outcome.message


def test_no_items_are_no_records(quick: Path) -> None:
    run = begun(quick / "r")
    driven(run, items(lambda ctx: None, n=0))
    assert [r["kind"] for r in records(run)] == ["transition"]


# What a machine may say


@pytest.mark.parametrize(
    ("drawing", "named"),
    [(FORK, "A"), ("[*] --> C\nstate C {\n    [*] --> A\n    A --> [*]\n}\nC --> [*]", "C")],
)
def test_where_only_one_way_is_gone_nothing_can_go_at_once(drawing: str, named: str) -> None:
    with pytest.raises(MachineError, match="the engine goes only one way there"):
        drawn(drawing, concurrent=(named,))


def test_a_machine_is_not_run_until_a_state_in_a_branch(quick: Path) -> None:
    inner = drawn(FORK, "inner", concurrent=("F",))
    outer = drawn("[*] --> Do\nDo --> [*]", "works", calls={"Do": ("inner",)})
    phases = {"works": Phase("works"), "inner": Phase("inner")}
    phases["works"].state("Do")(lambda ctx: ctx.run("inner", until=("A",)) and None)
    phases["inner"].state("F", "J", "A", "B")(lambda ctx: None)
    outcome, _ = driven(begun(quick / "r"), program(outer, inner, phases=phases))
    assert "inner is to be run until A, which is in a branch of F" in outcome.message


# With what else there is


def test_a_branch_that_waits_keeps_no_other_from_going_on(quick: Path) -> None:
    def a(ctx: Context) -> None:
        ctx.wait(3600)

    def b(ctx: Context) -> None:
        ctx.data["b"] = 1

    run = begun(quick / "r")
    of = fork(a, b)
    journal = Journal(run)
    runner = Runner(of, run, journal, journal.open(), seed=7, work=quick / "work", stay=False)
    assert runner.drive().outcome == "waiting"
    journal.close()
    assert {(r["at"][0], r["kind"]) for r in records(run) if r["at"]} == {
        ("F~|A", "wait"),
        ("F~|B", "transition"),
    }
    assert audit(run).whole


def test_a_coroutine_in_a_branch_is_stopped_where_it_awaits_when_another_branch_fails(quick: Path) -> None:
    awaiting = threading.Event()
    ended: list[BaseException] = []

    async def a(ctx: Context) -> None:
        awaiting.set()
        try:
            await asyncio.sleep(60)
        except BaseException as e:
            ended.append(e)
            raise

    def b(ctx: Context) -> None:
        assert awaiting.wait(10)
        raise ValueError("no")

    began = time.monotonic()
    outcome, _ = driven(begun(quick / "r"), fork(a, b))
    assert time.monotonic() - began < 30
    assert "B: ValueError: no" in outcome.message
    assert [type(e) for e in ended] == [asyncio.CancelledError]


def test_what_branches_have_begun_outside_is_ended_with_the_run(quick: Path) -> None:
    ended: list[str] = []

    def branch(ctx: Context) -> None:
        ctx.once("begun", lambda: 1)
        ctx.wait(3600)

    of = fork(branch, branch)
    of.phases["works"].ends("A", "B")(lambda ctx: ended.append(ctx.state))
    run = begun(quick / "r")
    for asks in (False, True):
        if asks:
            requests.put(run, requests.CANCEL, requests.CancelRequest(id="c", by="ada"))
        journal = Journal(run)
        runner = Runner(of, run, journal, journal.open(), seed=7, work=quick / "work", stay=False)
        outcome = runner.drive()
        journal.close()
    assert outcome.outcome == "cancelled"
    assert ended == ["A", "B"]


def test_a_limit_around_branches_counts_them_together(quick: Path) -> None:
    clock = Clock(now=1000.0)

    def slow(ctx: Context) -> None:
        clock.sleep(6.0)
        ctx.once("looked", lambda: 1)

    of = fork(slow, lambda ctx: None, limits={RUN: 10.0})
    run = begun(quick / "r")
    journal = Journal(run)
    fold = journal.open()
    outcome = Runner(of, run, journal, fold, seed=7, work=quick / "work", clock=clock).drive()
    assert outcome.outcome == "done"
    assert fold.state.get("spent") is None  # all that was counted is over with the run


def test_an_item_that_passes_its_limit_fails_alone(quick: Path) -> None:
    clock = Clock(now=1000.0)

    def take(ctx: Context) -> None:
        if ctx.inputs["item"] == 1:
            clock.sleep(20.0)
            ctx.once("late", lambda: 1)

    made = items(take, at_once=1)
    one = drawn("[*] --> Take\nTake --> Keep\nKeep --> [*]", "one", limits={"Take": 10.0})
    of = Program("works", {**made.machines, "one": one}, made.phases)
    run = begun(quick / "r")
    journal = Journal(run)
    outcome = Runner(of, run, journal, journal.open(), seed=7, work=quick / "work", clock=clock).drive()
    assert "All[1] > Take: Take has taken longer than the 10 s of its limit" in outcome.message
