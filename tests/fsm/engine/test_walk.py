"""Counted machines: walked in memory, every edge of the drawing, and counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fsm.engine import COUNTED, Machine, Phase, Walk
from fsm.errors import PhaseError, UnknownLabel
from tests.fsm.drawn import drawn

TEXT = "[*] --> Try\nTry --> Try : again\nTry --> Good : fine\nTry --> Bad : wrong\nGood --> [*]\nBad --> [*]"


def phase_of(machine: Machine, **handlers: Any) -> Phase:
    phase = Phase(machine.name)
    for state, handle in handlers.items():
        phase.state(state)(handle)
    return phase


@pytest.fixture
def walk() -> Walk:
    machine = drawn(TEXT, counted=True)

    def attempt(item: list[int]) -> str:
        item[0] -= 1
        return "again" if item[0] > 0 else "fine" if item[0] == 0 else "wrong"

    return Walk(machine, phase_of(machine, Try=attempt, Good=lambda i: None, Bad=lambda i: None))


def test_an_item_is_driven_by_the_handlers_to_the_end(walk: Walk) -> None:
    assert walk.run([3]) == "Good"
    assert walk.run([0]) == "Bad"
    assert walk.counts() == {
        "Try --> Try : again": 2,
        "Try --> Good : fine": 1,
        "Try --> Bad : wrong": 1,
        "Good --> [*]": 1,
        "Bad --> [*]": 1,
    }


def test_edges_are_counted_right_from_many_threads(walk: Walk) -> None:
    with ThreadPoolExecutor(8) as pool:
        lasts = list(pool.map(lambda n: walk.run([n % 5]), range(1000)))
    assert lasts.count("Bad") == 200
    assert walk.counts()["Try --> Try : again"] == 200 * (0 + 1 + 2 + 3)
    assert walk.counts()["Good --> [*]"] == 800


def test_what_was_walked_before_an_error_counts_and_the_error_says_where() -> None:
    machine = drawn("[*] --> A\nA --> B : on\nB --> [*]", counted=True)

    def fail(item: object) -> None:
        raise ValueError("odd")

    walk = Walk(machine, phase_of(machine, A=lambda i: "on", B=fail))
    with pytest.raises(ValueError, match="odd") as e:
        walk.run(None)
    assert e.value.__notes__ == ["in drawing: B"]
    assert walk.counts() == {"A --> B : on": 1}


def test_a_label_that_the_state_does_not_have_is_told() -> None:
    machine = drawn(TEXT, counted=True)
    with pytest.raises(UnknownLabel, match="'again', 'fine', 'wrong'"):
        Walk(machine, phase_of(machine, Try=lambda i: "maybe")).run(None)


def test_a_state_without_a_handler_is_told() -> None:
    machine = drawn(TEXT, counted=True)
    with pytest.raises(PhaseError, match="Good has no handler"):
        Walk(machine, phase_of(machine, Try=lambda i: "fine")).run(None)


def test_a_walk_driven_from_outside_goes_where_the_drawing_goes() -> None:
    walk = Walk(drawn(TEXT, counted=True))
    assert walk.at == ""
    assert walk.begin() == walk.at == "Try"
    assert walk.labels() == ["again", "fine", "wrong"]
    assert walk.go("again") == "Try"
    with pytest.raises(UnknownLabel):
        walk.go("elsewhere")
    assert walk.at == "Try"
    assert walk.go("fine") == "Good"
    assert walk.go() == ""
    with pytest.raises(UnknownLabel, match="the walk has ended"):
        walk.go()
    assert walk.begin("Bad") == "Bad"
    assert sum(walk.counts().values()) == 3


def test_the_inside_of_a_composite_is_counted_by_the_names_of_the_whole() -> None:
    text = "[*] --> A\nA --> Box\nstate Box {\n[*] --> X\nX --> Y : on\nY --> [*]\n}\nBox --> [*]"
    machine = drawn(text, inside={"Box": COUNTED})
    phase = Phase("drawing")
    seen: list[str] = []
    phase.state("A")(lambda ctx: None)
    phase.state("Box.X", "Box.Y")(lambda item: seen.append(item))
    walk = Walk(machine.counted_inside("Box"), phase, prefix="Box.")
    assert walk.run("item") == "Y"
    assert seen == ["item", "item"]
    assert walk.counts() == {"Box.X --> Box.Y : on": 1, "Box.Y --> Box.[*]": 1}


def test_a_fork_runs_every_branch_for_every_item() -> None:
    text = "[*] --> S\nS --> A : -1\nS --> B : -2\nA --> J\nB --> J\nJ --> [*]"
    machine = drawn(text, forks=["S"], counted=True)
    order: list[str] = []
    handlers = {s: lambda item, s=s: order.append(s) for s in machine.states}
    walk = Walk(machine, phase_of(machine, **handlers))
    assert walk.run(None) == "J"
    assert order == ["S", "A", "B", "J"]
    assert list(walk.counts().values()) == [1, 1, 1, 1, 1]


def test_counts_stand_in_the_order_of_the_drawing(walk: Walk) -> None:
    walk.run([0])
    walk.run([2])
    assert list(walk.counts()) == [e.id for e in walk.machine.chart.edges]
