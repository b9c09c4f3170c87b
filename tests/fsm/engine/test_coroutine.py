"""A handler that is a coroutine: awaited to its end, recovered as any other, stopped where it awaits, and never a danger to the journal."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsm.engine import COUNTED, Context, Machine, Outcome, Phase, Program, Stop, StopRequested, Verdict
from fsm.errors import PhaseError, StoreError
from fsm.journal import Journal, audit
from fsm.store.local import LocalRun
from tests.fsm.drawn import drawn
from tests.fsm.synthetic import World, attempt, begin, told

TWO = "[*] --> A\nA --> B : go\nA --> [*] : bad\nB --> [*] : good"
ONE = "[*] --> Only\nOnly --> [*]"
Handle = Callable[[Context], Any]


class Bench:
    """One run, gone on with by machines whose handlers are given by state; the first machine is the root."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.stop = Stop()
        begin(directory)

    def program(
        self, *machines: Machine, recovery: str | None = None, **handlers: dict[str, Handle]
    ) -> Program:
        phases = {m.name: Phase(m.name) for m in machines}
        for name, of in handlers.items():
            for path, handle in of.items():
                phases[name].state(path)(handle)
        if recovery:
            phases[recovery].classifies(
                lambda e: "Errors.Passing" if isinstance(e, ConnectionError) else None
            )
        return Program(machines[0].name, {m.name: m for m in machines}, phases, recovery)

    def drive(
        self, *machines: Machine, recovery: str | None = None, **handlers: dict[str, Handle]
    ) -> Outcome:
        made = self.program(*machines, recovery=recovery, **handlers)
        self.stop = Stop()
        with self.stop.installed():
            outcome = attempt(self.directory, World(), of=made, stop=self.stop)
        assert outcome is not None
        return outcome

    @property
    def steps(self) -> list[tuple[str, str]]:
        """(kind, state) of each record; the journal is whole."""
        assert audit(LocalRun(self.directory)).whole
        return [(r["kind"], r["from"]) for r in told(self.directory)]


@pytest.fixture
def bench(quick: Path) -> Bench:
    return Bench(quick / "r")


async def nothing(ctx: Context) -> None:
    await asyncio.sleep(0)


async def good(ctx: Context) -> str:
    return "good"


def test_its_label_is_taken_and_what_it_did_is_committed(bench: Bench) -> None:
    async def work(ctx: Context) -> str:
        first, second = await asyncio.gather(asyncio.to_thread(lambda: 1), asyncio.sleep(0, 2))
        ctx.data["sum"] = first + second
        ctx.data["once"] = ctx.once("paid", lambda: 7)
        ctx.put("a.txt", "kept")
        return "go"

    assert bench.drive(drawn(TWO), drawing={"A": work, "B": good}) == Outcome("done", "good", "B")
    once, first, _ = told(bench.directory)
    assert (once["key"], once["value"]) == ("paid", 7)
    assert first["data"] == {"set": {"sum": 3, "once": 7}}
    assert list(first["files"]) == ["a.txt"]


ERRORS = """
    state Errors {
        [*] --> Passing
        Passing --> TryAgain
    }
"""


def test_its_exception_goes_through_the_recovery_machine(bench: Bench) -> None:
    async def work(ctx: Context) -> str:
        await asyncio.sleep(0)
        if not ctx.failures:
            raise ConnectionError("the line is down")
        return "go"

    errors = drawn(ERRORS, "errors", entered_at=("Passing",), ends={"TryAgain": Verdict.AGAIN})
    outcome = bench.drive(
        drawn(TWO),
        errors,
        recovery="errors",
        drawing={"A": work, "B": good},
        errors={"Errors.Passing": nothing, "Errors.TryAgain": nothing},
    )
    assert outcome == Outcome("done", "good", "B")
    assert [kind for kind, _ in bench.steps] == ["error", *["transition"] * 2, "verdict", *["transition"] * 2]


# Stopped


def test_a_signal_cancels_it_where_it_awaits_and_it_is_run_again_later(bench: Bench) -> None:
    seen: list[str] = []

    async def work(ctx: Context) -> str:
        try:
            if ctx.data or seen:
                return "go"
            signal.raise_signal(signal.SIGTERM)
            seen.append("still in hand")
            await asyncio.sleep(60)
        finally:
            seen.append("tidied up")
        raise AssertionError("it was not stopped")

    with pytest.raises(StopRequested):
        bench.drive(drawn(TWO), drawing={"A": work, "B": good})
    assert seen == ["still in hand", "tidied up"]
    assert bench.steps == []
    assert bench.drive(drawn(TWO), drawing={"A": work, "B": good}).outcome == "done"


def test_a_stop_from_another_thread_cancels_it(bench: Bench) -> None:
    async def work(ctx: Context) -> None:
        threading.Thread(target=bench.stop.request).start()
        await asyncio.sleep(60)

    with pytest.raises(StopRequested):
        bench.drive(drawn(ONE), drawing={"Only": work})
    assert bench.steps == []


def test_one_that_returns_all_the_same_is_committed_and_the_run_stops_after_it(bench: Bench) -> None:
    async def work(ctx: Context) -> str:
        bench.stop.request()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ctx.data["saved"] = True
        return "go"

    with pytest.raises(StopRequested):
        bench.drive(drawn(TWO), drawing={"A": work, "B": good})
    assert bench.steps == [("transition", "A")]


def test_one_that_blocks_hears_of_the_stop_when_it_awaits_and_the_journal_stays_whole(bench: Bench) -> None:
    async def work(ctx: Context) -> str:
        asked = threading.Event()

        def ask() -> None:
            bench.stop.request()
            asked.set()

        threading.Thread(target=ask).start()
        asked.wait(10)  # nothing can interrupt that
        ctx.data["blocked"] = True
        await asyncio.sleep(60)
        return "go"

    with pytest.raises(StopRequested):
        bench.drive(drawn(TWO), drawing={"A": work, "B": good})
    assert bench.steps == []


def test_a_second_signal_stops_one_that_blocks_at_once(bench: Bench) -> None:
    reached = []

    async def work(ctx: Context) -> None:
        signal.raise_signal(signal.SIGINT)
        reached.append("first")
        signal.raise_signal(signal.SIGINT)
        reached.append("second")

    with pytest.raises(StopRequested):
        bench.drive(drawn(ONE), drawing={"Only": work})
    assert reached == ["first"]
    assert bench.steps == []


def test_what_defers_the_stop_is_not_cancelled_inside(bench: Bench) -> None:
    reached = []

    async def work(ctx: Context) -> None:
        with ctx.deferring_stop():
            signal.raise_signal(signal.SIGTERM)
            for _ in range(3):
                await asyncio.sleep(0)
            reached.append("its own point")

    with pytest.raises(StopRequested):
        bench.drive(drawn(ONE), drawing={"Only": work})
    assert reached == ["its own point"]


@pytest.mark.parametrize("beside", [False, True])
def test_a_limit_of_time_cancels_it_where_it_awaits_and_fails_its_state(beside: bool, bench: Bench) -> None:
    ended = []

    async def slow(ctx: Context) -> None:
        assert ctx.left is not None
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(ctx.left)

    limited: dict[str, Any] = {"limits": {"Only": 0.02}}
    outcome = (
        below(bench, slow, **limited)
        if beside
        else bench.drive(drawn(ONE, **limited), drawing={"Only": slow})
    )
    assert outcome.outcome == "stopped"
    assert "has taken longer than the 0.02 s of its limit" in outcome.message
    assert ended == [0]
    assert [(r["error"]) for r in told(bench.directory)] == ["TimeLimit"]


def test_a_wait_that_no_limit_counts_does_not_end_it(bench: Bench) -> None:
    async def work(ctx: Context) -> None:
        ctx.wait(0.03)
        await asyncio.sleep(0.005)

    assert bench.drive(drawn(ONE, limits={"Only": 0.02}), drawing={"Only": work}).outcome == "done"


# What is left behind, and what comes in groups


def test_tasks_that_it_leaves_end_with_the_visit(bench: Bench) -> None:
    ended = []

    async def forever() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("task")

    async def work(ctx: Context) -> str:
        ctx.data["task"] = asyncio.create_task(forever()).get_name() and "begun"
        await asyncio.sleep(0)
        return "go"

    async def after(ctx: Context) -> str:
        assert ended == ["task"]
        assert len(asyncio.all_tasks()) == 1
        return "good"

    assert bench.drive(drawn(TWO), drawing={"A": work, "B": after}).outcome == "done"


def test_a_stop_in_a_group_of_tasks_is_a_stop_and_a_store_that_fails_is_that(bench: Bench) -> None:
    async def record(ctx: Context, key: str) -> None:
        ctx.once(key, lambda: 1)

    async def stopped(ctx: Context) -> None:
        with ctx.deferring_stop():
            bench.stop.request()
        raise AssertionError

    async def failing(ctx: Context) -> None:
        raise StoreError("the disk is full")

    def grouped(one: Callable[[Context], Any]) -> Handle:
        async def work(ctx: Context) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(record(ctx, "paid"))
                group.create_task(one(ctx))

        return work

    with pytest.raises(StopRequested):
        bench.drive(drawn(ONE), drawing={"Only": grouped(stopped)})
    with pytest.raises(StoreError, match="the disk is full"):
        bench.drive(drawn(ONE), drawing={"Only": grouped(failing)})
    assert bench.steps == [("once", "Only")]


def test_a_cancellation_that_nobody_asked_for_is_an_error_like_others(bench: Bench) -> None:
    async def work(ctx: Context) -> None:
        asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)  # type: ignore[union-attr]
        await asyncio.sleep(60)

    outcome = bench.drive(drawn(ONE), drawing={"Only": work})
    assert outcome.outcome == "stopped"
    assert "CancelledError: it was cancelled, though no stop was asked for" in outcome.message
    assert bench.steps == [("error", "Only")]


# Where a loop runs already


def below(bench: Bench, work: Handle, **said: Any) -> Outcome:
    """Drive a coroutine that calls a machine, whose handler is given."""

    async def call(ctx: Context) -> None:
        result = ctx.run("inner")
        await asyncio.sleep(0)
        ctx.data["below"] = dict(result.data)

    outer, inner = drawn(ONE, "outer", calls={"Only": ["inner"]}), drawn(ONE, "inner", **said)
    return bench.drive(outer, inner, outer={"Only": call}, inner={"Only": work})


def test_a_coroutine_may_stand_below_another(bench: Bench) -> None:
    async def work(ctx: Context) -> None:
        await asyncio.sleep(0)
        ctx.data["n"] = ctx.once("n", lambda: 5)

    assert below(bench, work).outcome == "done"
    assert told(bench.directory)[-1]["data"] == {"set": {"below": {"n": 5}}}


@pytest.mark.parametrize("coroutine", [True, False])
def test_a_signal_reaches_what_stands_below_a_coroutine(coroutine: bool, bench: Bench) -> None:
    async def awaiting(ctx: Context) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        await asyncio.sleep(60)

    def plain(ctx: Context) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("a plain handler is broken off at once, whatever called it")

    with pytest.raises(StopRequested):
        below(bench, awaiting if coroutine else plain)
    assert bench.steps == []


def test_a_run_may_be_driven_by_async_code(bench: Bench) -> None:
    async def main() -> Outcome:
        return bench.drive(drawn(TWO), drawing={"A": lambda ctx: "go", "B": good})

    assert asyncio.run(main()) == Outcome("done", "good", "B")


def test_one_that_still_blocks_after_its_run_was_left_cannot_write(bench: Bench) -> None:
    go_on, found = threading.Event(), []
    done = threading.Event()

    async def blocking(ctx: Context) -> None:
        main = threading.main_thread().ident or 0
        signal.pthread_kill(main, signal.SIGINT)
        while not bench.stop.requested:  # two that are pending are one
            go_on.wait(0.001)
        signal.pthread_kill(main, signal.SIGINT)
        go_on.wait(10)
        try:
            ctx.once("late", lambda: 1)
        except BaseException as e:
            found.append(e)
        finally:
            done.set()

    with pytest.raises(StopRequested):
        below(bench, blocking)
    go_on.set()
    assert done.wait(10)
    assert [type(e) for e in found] == [StoreError]
    assert bench.steps == []


def test_a_counted_machine_says_that_it_waits_for_none(quick: Path) -> None:
    text = "[*] --> A\nstate A {\n[*] --> X\nX --> [*]\n}\nA --> [*]"
    machine = drawn(text, inside={"A": COUNTED})
    directory = quick / "r"
    begin(directory)
    phase = Phase("drawing")
    phase.state("A.X")(nothing)
    phase.state("A")(lambda ctx: ctx.walk().run(1) and None)
    outcome = attempt(directory, World(), of=Program("drawing", {"drawing": machine}, {"drawing": phase}))
    assert outcome is not None
    assert "the handler of A.X is a coroutine" in outcome.message
    assert [r["error"] for r in Journal(LocalRun(directory)).records() if r["kind"] == "error"] == [
        PhaseError.__name__
    ]
