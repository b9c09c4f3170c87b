"""The machines that the engine is measured with, and one run of them, taken up and left as often as wanted."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fsm import session
from fsm.config import Config, Engine, Run
from fsm.drawing import chart
from fsm.engine import Context, Machine, Phase, Program, StopRequested

NAME = "loop"
KEYS, ITEMS = 20, 20  # what `realistic` keeps: about 20 KB

Keep = Callable[[dict[str, Any], int], None]


def nothing(data: dict[str, Any], number: int) -> None:
    """What a trivial handler keeps."""


def counter(data: dict[str, Any], number: int) -> None:
    """How many states there have been."""
    data["n"] = number + 1


def realistic(data: dict[str, Any], number: int) -> None:
    """A table of 20 KB, of which each state replaces a twentieth."""
    data[f"source {number % KEYS}"] = _rows(number)


def rewriting(data: dict[str, Any], number: int) -> None:
    """The same table, all of it replaced by each state."""
    for key in range(KEYS):
        data[f"source {key}"] = _rows(number + key)


def untouched(data: dict[str, Any], number: int) -> None:
    """A table of 2 MB, which the first state puts and no other looks at."""
    if number == 0:
        for key in range(KEYS):
            data[f"source {key}"] = _rows(key, 100 * ITEMS)


def _rows(number: int, items: int = ITEMS) -> list[dict[str, Any]]:
    return [
        {"name": f"function_{i}", "score": (number * 31 + i) % 997 / 97, "ok": True} for i in range(items)
    ]


def around(states: int, step: Callable[[Context], None]) -> Program:
    """A machine that goes round: each state calls `step`, which has to end it some time."""
    names = [f"S{i}" for i in range(states)]
    edges = [f"    {a} --> {b} : Next" for a, b in zip(names, [*names[1:], names[0]], strict=True)]
    text = "\n".join(["stateDiagram-v2", "    [*] --> S0", *edges, ""])
    machine = Machine(NAME, chart.parse(text, NAME, f"{NAME}.mmd"))
    phase = Phase(NAME)

    def handle(ctx: Context) -> str:
        step(ctx)
        return "Next"

    phase.state(*names)(handle)
    return Program(NAME, {NAME: machine}, {NAME: phase})


def _drive(directory: Path, program: Program) -> None:
    """Begin the run in `directory`, or go on with it, until a handler has had enough."""
    config = Config("", Engine(machine=NAME, store=str(directory), run=Run(name=NAME)), program, {})
    try:
        session.run(config)
    except StopRequested:
        return
    raise AssertionError("the loop has no end")


def round_trip(
    directory: Path, states: int, steps: int, begins: Callable[[int], None], keep: Keep = nothing
) -> None:
    """A run of so many transitions, which then is left where it stands; `begins` is called with the number of each."""
    numbers = itertools.count()

    def step(ctx: Context) -> None:
        number = next(numbers)
        begins(number)
        if number == steps:
            raise StopRequested
        keep(ctx.data, number)

    _drive(directory, around(states, step))


def seconds_to_resume(directory: Path, states: int) -> float:
    """From the beginning of a session to the moment when the handler of the state in hand is called."""
    reached: list[float] = []

    def step(ctx: Context) -> None:
        reached.append(time.perf_counter())
        raise StopRequested

    program = around(states, step)
    program.machine(NAME).kernel  # noqa: B018 - built once in a process, whatever the run
    begun = time.perf_counter()
    _drive(directory, program)
    return reached[0] - begun


def journal_of(directory: Path) -> Path:
    """The file that the records of the run are in."""
    return directory / "runs" / NAME / "journal.jsonl"
