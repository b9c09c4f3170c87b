"""What a machine says of its drawing is held against it when it is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fsm.engine import COUNTED, ELSEWHERE, Detail, Machine, Verdict
from fsm.errors import DiagramError, MachineError
from tests.fsm.drawn import drawn

TEXT = """
    [*] --> A
    A --> B : go
    A --> [*] : stop
    state B {
        [*] --> X
        X --> Y
        X --> Z
        Y --> C
        Z --> C
        state C {
            [*] --> P
            P --> [*] : one
            P --> Q : two
            Q --> [*]
        }
        C --> [*] : fine
        C --> X : again
    }
    B --> D : done
    B --> [*] : failed
    D --> End
"""


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"forks": ["Nowhere"]}, "no state named 'Nowhere'"),
        ({"inside": {"A": COUNTED}}, "A is a simple state; only a composite has an inside"),
        ({"exits": {"A": {"x": "go"}}}, "A is a simple state"),
        ({"exits": {"B": {"C": "gone"}}}, r"B has no edge 'gone'; it has \['done', 'failed'\]"),
        ({"ends": ["A"]}, "A is declared an end, but edges leave it"),
        ({"bounds": {("A", "went"): "x"}}, "A has no edge 'went'"),
        ({"waits": {"Nowhere": "x"}}, "no state named 'Nowhere'"),
        ({"failures": ["Failed"]}, "no edge or state is called 'Failed'"),
        ({"on_error": {("A", "Bad"): "gone"}}, "A has no edge 'gone'"),
        ({"calls": {"Nowhere": ["m"]}}, "no state named 'Nowhere'"),
        ({"entered_at": ["Nowhere"]}, "no state named 'Nowhere'"),
    ],
)
def test_what_the_drawing_does_not_have_is_told(said: dict[str, Any], message: str) -> None:
    with pytest.raises(MachineError, match=f"machines/drawing: .*{message}") as e:
        drawn(TEXT, **said)
    assert e.value.exit_code == 2


def test_states_are_where_the_engine_stands() -> None:
    assert drawn(TEXT).states == ("A", "B", "B.X", "B.Y", "B.Z", "B.C", "B.C.P", "B.C.Q", "D", "End")
    decided = drawn(TEXT, exits={"B": {"fine": "done"}, "B.C": {"one": "fine"}})
    assert decided.states == ("A", "B.X", "B.Y", "B.Z", "B.C.P", "B.C.Q", "D", "End")
    assert drawn(TEXT, inside={"B": COUNTED}).states == ("A", "B", "D", "End")


def test_several_unlabelled_edges_are_a_fork_and_others_may_be_declared_one() -> None:
    assert drawn(TEXT).forks == {"B.X"}
    assert drawn(TEXT, forks=["A"]).forks == {"A", "B.X"}


def test_states_are_named_by_their_last_name_where_that_is_unique() -> None:
    machine = drawn(TEXT, ends={"End": Verdict.STOP}, inside={"C": ELSEWHERE}, bounds={("C", "again"): "x"})
    assert dict(machine.bounds) == {("B.C", "again"): "x"}
    assert machine.opaque == {"B.C"}
    assert dict(machine.ends) == {"End": Verdict.STOP}


def test_a_detail_is_a_call_of_its_machine() -> None:
    machine = drawn(TEXT, inside={"C": Detail("detail", {})}, calls={"A": ["other"]})
    assert dict(machine.calls) == {"A": ("other",), "B.C": ("detail",)}


def test_the_counted_inside_is_a_machine_with_what_is_said_of_it() -> None:
    machine = drawn(TEXT, inside={"B": COUNTED}, exits={"B.C": {"one": "fine", "Q": "again"}})
    inside = machine.counted_inside("B")
    assert inside is machine.counted_inside("B")
    assert inside.counted
    assert inside.forks == {"X"}
    assert dict(inside.exits["C"]) == {"one": "fine", "Q": "again"}
    assert inside.states == ("X", "Y", "Z", "C.P", "C.Q")
    with pytest.raises(MachineError, match="A is not declared COUNTED"):
        machine.counted_inside("A")


def test_a_part_is_a_machine_of_its_own() -> None:
    part = drawn(TEXT).part("C", "part", failures=["two"])
    assert part.name == part.chart.name == "part"
    assert part.states == ("P", "Q")
    assert part.chart.digest != drawn(TEXT).chart.digest


def test_what_was_said_cannot_be_changed() -> None:
    machine = drawn(TEXT, bounds={("A", "go"): "x"})
    with pytest.raises(TypeError):
        machine.bounds["A", "go"] = "y"  # type: ignore[index]


def test_a_drawing_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(DiagramError, match="cannot be read"):
        Machine("m", tmp_path / "none.mmd")
