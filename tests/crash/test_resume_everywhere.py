"""Every state of every machine is a place to resume from.

A run is led through the drawing to a state, dies in its handler, and is opened again: the first handler that runs then is
that state's, in the same visit, and the run ends as one that was left alone. In a counted machine it dies in the middle of
a batch, in each state of it, and the batch is worked through again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fsm.engine import (
    COUNTED,
    Context,
    Kernel,
    Machine,
    Nobody,
    Outcome,
    Phase,
    Place,
    Program,
    Registry,
    Runner,
)
from fsm.journal import Journal
from tests.crash.simulation import HEADER, Killed, Wire, World, essences
from tests.fsm.drawn import drawn

MACHINES = Registry("machines", Machine)
NAMES = list(MACHINES.names)
DURABLE = [n for n in NAMES if not MACHINES[n].counted]

Step = tuple[str, str | None]
Plan = dict[tuple[str, int], str | None]


def options(kernel: Kernel, state: str) -> list[str | None]:
    """What a handler of the state may return."""
    return [None] if state in kernel.forks else kernel.labels(state) or [None]


def way(kernel: Kernel, start: Place, there: Callable[[Place], bool]) -> tuple[list[Step], Place]:
    """The shortest way from a place to one where `there` holds: the states that act and the labels they choose."""
    seen: dict[Place, tuple[Place, Step] | None] = {start: None}
    todo = deque([start])
    while todo:
        place = todo.popleft()
        if there(place):
            steps, at = [], place
            while (came := seen[at]) is not None:
                at, step = came
                steps.append(step)
            return steps[::-1], place
        if not place:
            continue
        state = kernel.runnable(place)
        for label in options(kernel, state):
            after = kernel.step(place, state, label).place
            if after not in seen:
                seen[after] = (place, (state, label))
                todo.append(after)
    raise AssertionError(f"{kernel.chart.name}: no way there from {start}")


def plan(kernel: Kernel, start: Place, target: str) -> tuple[Plan, int]:
    """What each state chooses in each visit so that the run comes through `target` to an end; and the target's visit."""
    to, place = way(kernel, start, lambda p: bool(p) and kernel.runnable(p) == target)
    on, _ = way(kernel, place, lambda p: not p)
    visits: Counter[str] = Counter()
    chosen: Plan = {}
    for state, label in [*to, *on]:
        visits[state] += 1
        chosen[state, visits[state]] = label
    return chosen, sum(state == target for state, _ in to) + 1


@dataclass
class Item:
    """One item of a batch, walked through a counted machine."""

    chosen: Plan
    visits: Counter[str] = field(default_factory=Counter)
    deadly: str = ""

    def handle(self, state: str) -> str | None:
        self.visits[state] += 1
        if state == self.deadly:
            raise Killed
        return self.chosen[state, self.visits[state]]


class Trace(Nobody):
    """Remembers which states were entered."""

    def __init__(self) -> None:
        self.seen: list[tuple[tuple[str, ...], str, str, int]] = []

    def entered(self, at: list[str], machine: str, state: str, visit: int) -> None:
        self.seen.append((tuple(at), machine, state, visit))


def drive(world: World, program: Program) -> tuple[Trace, Outcome | None]:
    """Open the run and drive it until it ends or dies."""
    wire = Wire(world)
    wire.calm = True
    run = world.store(wire).run("run")
    run.write_header(HEADER)
    journal = Journal(run)
    trace = Trace()
    runner = Runner(
        program, run, journal, journal.open(takeover=True), seed=1, work=Path("/nonexistent"), observer=trace
    )
    try:
        return trace, runner.drive()
    except Killed:
        return trace, None


def resumed(make: Callable[[bool], Program]) -> tuple[Trace, Trace]:
    """A run that dies and one that does not, made by `make`, come to the same; the traces of both sessions of the first."""
    alone, dies = World(), World()
    _, expected = drive(alone, make(False))
    program = make(True)
    first, nothing = drive(dies, program)
    assert nothing is None, "it did not die"
    second, outcome = drive(dies, program)
    assert outcome == expected
    assert essences(dies) == essences(alone)
    assert first.seen + second.seen[1:]
    return first, second


def durable_states() -> Iterator[Any]:
    for name in DURABLE:
        for state in MACHINES[name].states:
            if MACHINES[name].chart.initial:
                yield pytest.param(name, state, id=f"{name}-{state}")


def led(machine: Machine, chosen: Plan, target: str, visit: int, deadly: bool) -> Phase:
    """A phase whose handlers follow a plan; the target's dies when it is first run in that visit."""
    phase = Phase(machine.name)
    dying = [deadly]

    def handle(ctx: Context) -> str | None:
        ctx.data["seen"] = [*ctx.data.get("seen", []), [ctx.state, ctx.seed()]]
        if (ctx.state, ctx.visit) == (target, visit) and dying.pop() if dying else False:
            raise Killed
        return chosen[ctx.state, ctx.visit]

    phase.state(*machine.states)(handle)
    return phase


@pytest.mark.parametrize(("name", "state"), list(durable_states()))
def test_a_run_that_dies_in_a_durable_state_goes_on_there(name: str, state: str) -> None:
    machine: Machine = MACHINES[name]
    chosen, visit = plan(machine.kernel, machine.kernel.enter(), state)

    def make(deadly: bool) -> Program:
        return Program(name, {name: machine}, {name: led(machine, chosen, state, visit, deadly)})

    first, second = resumed(make)
    assert first.seen[-1] == second.seen[0] == ((), name, state, visit)


def recovery_states() -> Iterator[Any]:
    machine: Machine = MACHINES["error_recovery"]
    for state in machine.states:
        for entry in machine.entered_at:
            try:
                way(machine.kernel, machine.kernel.enter(entry), lambda p, s=state: s in p)  # type: ignore[misc]
            except AssertionError:
                continue
            yield pytest.param(entry, state, id=f"{entry.rpartition('.')[2]}-{state.rpartition('.')[2]}")


@pytest.mark.parametrize(("entry", "state"), list(recovery_states()))
def test_a_run_that_dies_in_a_recovery_goes_on_in_it(entry: str, state: str) -> None:
    machine: Machine = MACHINES["error_recovery"]
    chosen, visit = plan(machine.kernel, machine.kernel.enter(entry), state)
    host = drawn("[*] --> Work\nWork --> [*]", "host")

    def make(deadly: bool) -> Program:
        work = Phase("host")
        failing = [True]

        @work.state("Work")
        def fail(ctx: Context) -> None:
            if failing and failing.pop():
                raise ValueError("of one item")

        recovery = led(machine, chosen, state, visit, deadly)
        recovery.classifies(lambda error: entry)
        return Program(
            "host",
            {"host": host, machine.name: machine},
            {"host": work, machine.name: recovery},
            machine.name,
        )

    first, second = resumed(make)
    assert first.seen[-1] == (("Work~!",), machine.name, state, visit)
    assert (
        first.seen[-1] in second.seen[:2]
    )  # the state that failed is entered, and its recovery gone on with


def counted_states() -> Iterator[Any]:
    for name in NAMES:
        machine: Machine = MACHINES[name]
        composites = [c for c, how in machine.inside.items() if how is COUNTED]
        for composite in composites:
            for state in machine.counted_inside(composite).states:
                yield pytest.param(name, composite, state, id=f"{name}-{composite}.{state}")
        if machine.counted:
            for state in machine.states:
                yield pytest.param(name, "", state, id=f"{name}-{state}")


@pytest.mark.parametrize(("name", "composite", "state"), list(counted_states()))
def test_a_run_that_dies_in_the_middle_of_a_batch_works_it_through_again(
    name: str, composite: str, state: str
) -> None:
    machine: Machine = MACHINES[name]
    counted = machine.counted_inside(composite) if composite else machine
    chosen, _ = plan(counted.kernel, counted.kernel.enter(), state)
    prefix = f"{composite}." if composite else ""
    host = drawn("[*] --> Batch\nBatch --> [*]", "host", calls={"Batch": (name,)})

    def make(deadly: bool) -> Program:
        phase = Phase(name)
        for s in counted.states:
            phase.state(prefix + s)(lambda item, s=s: item.handle(s))
        dying = [deadly]

        def batch(ctx: Context) -> None:
            walk = ctx.walk(None if composite else name)
            for number in range(3):
                die_here = number == 1 and bool(dying) and dying.pop()
                walk.run(Item(chosen, deadly=state if die_here else ""))

        if (
            composite
        ):  # stand in the composite itself: led there, and on, by the plan of the machine around it
            around, visit = plan(machine.kernel, machine.kernel.enter(), composite)

            def lead(ctx: Context) -> str | None:
                if ctx.state == composite and ctx.visit == visit:
                    batch(ctx)
                return around[ctx.state, ctx.visit]

            phase.state(*machine.states)(lead)
            return Program(name, {name: machine}, {name: phase})
        working = Phase("host")
        working.state("Batch")(batch)
        return Program("host", {"host": host, name: machine}, {"host": working, name: phase})

    first, second = resumed(make)
    assert first.seen[-1] == second.seen[0]


def test_every_machine_that_ships_is_stood_in() -> None:
    stood = {p.values[0] for p in [*durable_states(), *counted_states()]} | {"error_recovery"}
    assert stood == set(NAMES)
    assert {p.values[1] for p in recovery_states()} == set(MACHINES["error_recovery"].states)
