"""The step function, held against an interpreter of another kind, and each of its rules by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm.engine import COUNTED, Kernel, Machine, Place
from fsm.errors import DiagramError, MachineError, UnknownLabel
from tests.fsm.charts import machines
from tests.fsm.drawn import drawn
from tests.fsm.table import Loop, Table, Tokens


def agreed(place: Callable[[], Place], tokens: Callable[[], Tokens]) -> Place | None:
    """The place both come to; None where both say that forks and joins lead to each other without end."""
    try:
        wanted = tokens()
    except Loop:
        with pytest.raises(DiagramError, match="without a state between"):
            place()
        return None
    found = place()
    assert set(found) == wanted
    return found


@settings(max_examples=250, deadline=None)
@given(machines(), st.data())
def test_the_kernel_stands_where_the_table_stands_after_every_event(
    machine: Machine, data: st.DataObject
) -> None:
    kernel = machine.kernel
    table = Table(machine.chart, machine.opaque, machine.forks, machine.exits)
    place = agreed(kernel.enter, table.enter)
    for _ in range(20):
        if not place:
            break
        state = kernel.runnable(place)
        assert state == table.first(frozenset(place))
        if data.draw(st.integers(0, 3)) == 0:
            state = data.draw(st.sampled_from(place))
        label = None if state in machine.forks else data.draw(st.sampled_from(kernel.labels(state)))
        place = agreed(
            partial(lambda *event: kernel.step(*event).place, place, state, label),
            partial(table.step, frozenset(place), state, label),
        )


def walk(kernel: Kernel, place: Place, *labels: str | None) -> Place:
    """The place after taking edges, each from the state that is to run next."""
    for label in labels:
        place = kernel.step(place, kernel.runnable(place), label).place
    return place


# Labels


def test_a_single_edge_needs_no_label_and_its_label_is_a_remark() -> None:
    kernel = drawn("[*] --> A\nA --> B : because\nB --> [*]").kernel
    assert kernel.step(("A",), "A", None).place == ("B",)
    assert kernel.step(("A",), "A", "because").place == ("B",)


@pytest.mark.parametrize("label", [None, "no", ""])
def test_a_label_that_the_state_does_not_have_is_told_with_those_it_has(label: str | None) -> None:
    kernel = drawn("[*] --> A\nA --> B : x\nA --> [*] : y\nB --> [*]").kernel
    with pytest.raises(UnknownLabel, match="'x', 'y'"):
        kernel.step(("A",), "A", label)


def test_no_label_takes_the_unlabelled_edge_beside_labelled_ones() -> None:
    kernel = drawn("[*] --> A\nA --> B : x\nA --> C\nB --> [*]\nC --> [*]").kernel
    assert kernel.step(("A",), "A", None).place == ("C",)


def test_a_machine_ends_at_a_declared_end() -> None:
    kernel = drawn("[*] --> A\nstate A {\n[*] --> X\nX --> Y : go\n}", ends=("Y",)).kernel
    step = kernel.step(("A.Y",), "A.Y", None)
    assert (step.place, step.edges) == ((), ())


# Composites


def test_entering_a_composite_is_entering_its_start_however_deep() -> None:
    kernel = drawn(
        "[*] --> A\nA --> B\nstate B {\n[*] --> C\nstate C {\n[*] --> D\nD --> [*]\n}\nC --> [*]\n}\nB --> [*]"
    ).kernel
    assert walk(kernel, kernel.enter(), None) == ("B.C.D",)


def test_leaving_a_composite_takes_the_edges_of_all_borders_on_the_way() -> None:
    kernel = drawn(
        "[*] --> B\nstate B {\n[*] --> C\nstate C {\n[*] --> D\nD --> [*] : in\n}\nC --> [*] : mid\n}\nB --> [*] : out"
    ).kernel
    step = kernel.step(("B.C.D",), "B.C.D", "in")
    assert step.place == ()
    assert [e.id for e in step.edges] == ["B.C.D --> B.C.[*] : in", "B.C --> B.[*] : mid", "B --> [*] : out"]


EXITS = """
    [*] --> A
    state A {
        [*] --> X
        X --> [*] : fine
        X --> Y : odd
        Y --> [*]
    }
    A --> B : good
    A --> [*] : bad
    B --> [*]
"""


def test_a_composite_without_edges_ends_its_surroundings() -> None:
    text = "[*] --> A\nstate A {\n[*] --> B\nstate B {\n[*] --> X\nX --> [*]\n}\n}\nA --> Z\nZ --> [*]"
    assert walk(drawn(text).kernel, ("A.B.X",), None) == ("Z",)


def test_where_two_branches_end_at_once_the_first_edge_decides_the_exit() -> None:
    text = "[*] --> A\nstate A {\n[*] --> S\nS --> [*] : one\nS --> [*] : two\n}\nA --> Y : y\nA --> Z : z\nY --> [*]\nZ --> [*]"
    kernel = drawn(text, forks=["S"], exits={"A": {"one": "y", "two": "z"}}).kernel
    assert walk(kernel, ("A.S",), None) == ("Y",)


def test_declared_exits_decide_by_the_label_or_by_the_last_state() -> None:
    kernel = drawn(EXITS, exits={"A": {"fine": "good", "Y": "bad"}}).kernel
    assert kernel.step(("A.X",), "A.X", "fine").place == ("B",)
    assert kernel.step(("A.Y",), "A.Y", None).place == ()


def test_an_end_that_the_exits_do_not_name_is_told() -> None:
    kernel = drawn(EXITS, exits={"A": {"fine": "good"}}).kernel
    with pytest.raises(DiagramError, match=r"A ended after A\.Y"):
        kernel.step(("A.Y",), "A.Y", None)


def test_where_nothing_decides_the_machine_stands_in_the_composite_for_its_handler() -> None:
    kernel = drawn(EXITS).kernel
    assert kernel.undecided == {"A"}
    assert walk(kernel, kernel.enter(), "fine", "good") == ("B",)


def test_an_edge_across_borders_leaves_and_enters_on_its_own() -> None:
    text = """
        [*] --> X
        state A {
            X --> Y
        }
        A --> B
        state B {
            Y --> Z
            Z --> [*]
        }
        B --> [*]
    """
    kernel = drawn(text).kernel
    assert kernel.enter() == ("A.X",)
    step = kernel.step(("A.X",), "A.X", None)
    assert (step.place, len(step.edges)) == (("B.Y",), 1)


def test_an_opaque_composite_is_one_state() -> None:
    machine = drawn(EXITS, inside={"A": COUNTED})
    assert machine.states == ("A", "B")
    assert walk(machine.kernel, machine.kernel.enter(), "good") == ("B",)


def test_the_first_state_drawn_may_be_inside_an_opaque_composite() -> None:
    kernel = drawn("state A {\n[*] --> X\nX --> [*]\n}\n[*] --> A\nA --> [*]", inside={"A": COUNTED}).kernel
    assert kernel.enter() == ("A",)


def test_a_composite_without_a_start_cannot_be_entered() -> None:
    kernel = drawn("[*] --> B\nB --> A\nstate A {\nX --> [*]\n}\nA --> [*]").kernel
    with pytest.raises(DiagramError, match="A is entered, but has no"):
        kernel.step(("B",), "B", None)


def test_a_machine_without_a_start_must_be_told_one() -> None:
    kernel = drawn("A --> [*]").kernel
    with pytest.raises(MachineError, match="say in which state"):
        kernel.enter()
    assert kernel.enter("A") == ("A",)


# Forks


def test_a_fork_takes_all_edges_and_the_meeting_waits_for_all_branches() -> None:
    text = "[*] --> S\nS --> A\nS --> B\nA --> J\nB --> C\nC --> J\nJ --> [*]"
    kernel = drawn(text).kernel
    assert walk(kernel, kernel.enter(), None) == ("A", "B")
    assert walk(kernel, ("A", "B"), None) == ("B", "J")
    assert kernel.runnable(("B", "J")) == "B"
    assert walk(kernel, ("B", "J"), None, None) == ("J",)


def test_a_composite_with_a_fork_ends_when_all_branches_have() -> None:
    kernel = drawn(
        "[*] --> F\nstate F {\n[*] --> S\nS --> A\nS --> B\nA --> [*]\nB --> [*]\n}\nF --> Z\nZ --> [*]"
    ).kernel
    assert walk(kernel, ("F.A", "F.B"), None) == ("F.B",)
    assert walk(kernel, ("F.B",), None) == ("Z",)


def test_a_branch_that_ends_at_once_does_not_end_the_composite_for_the_others() -> None:
    kernel = drawn(
        "[*] --> F\nstate F {\n[*] --> S\nS --> [*]\nS --> A\nA --> [*]\n}\nF --> Z\nZ --> [*]"
    ).kernel
    assert walk(kernel, kernel.enter(), None) == ("F.A",)


def test_a_meeting_behind_a_choice_runs_once() -> None:
    text = """
        [*] --> S
        S --> A
        S --> B
        A --> X : short
        A --> Y : long
        B --> X
        X --> Z
        Y --> Z
        Z --> [*]
    """
    kernel = drawn(text).kernel
    place = walk(kernel, kernel.enter(), None, "long")
    ran = []
    while place:
        ran.append(kernel.runnable(place))
        place = walk(kernel, place, None)
    assert sorted(ran) == ["B", "X", "Y", "Z"]
    assert ran[-1] == "Z"


def test_a_meeting_does_not_wait_for_a_branch_that_went_elsewhere() -> None:
    text = "[*] --> S\nS --> A\nS --> B\nA --> J\nB --> J : on\nB --> [*] : out\nJ --> [*]"
    kernel = drawn(text).kernel
    assert kernel.runnable(("B", "J")) == "B"
    assert walk(kernel, ("B", "J"), "out") == ("J",)
    assert kernel.runnable(("J",)) == "J"


def test_a_loop_back_into_a_branch_keeps_the_branch_first() -> None:
    text = "[*] --> S\nS --> A\nS --> B\nA --> J\nB --> J\nJ --> A : redo\nJ --> [*] : done"
    kernel = drawn(text).kernel
    assert walk(kernel, ("A", "B"), None, None) == ("J",)
    assert walk(kernel, ("J",), "redo", None, "done") == ()


def test_forks_and_joins_are_passed_through_also_where_the_machine_begins() -> None:
    text = "state f <<fork>>\nstate j <<join>>\n[*] --> f\nf --> A\nf --> B\nA --> j\nB --> j\nj --> Z\nZ --> [*]"
    kernel = drawn(text).kernel
    assert kernel.enter() == ("A", "B")
    assert walk(kernel, ("A", "B"), None) == ("j", "B")
    assert walk(kernel, ("A", "B"), None, None) == ("Z",)


def test_a_join_goes_on_when_the_branch_it_waits_for_ends_elsewhere() -> None:
    text = """
        state f <<fork>>
        state j <<join>>
        [*] --> f
        f --> A
        f --> B
        A --> j
        B --> j : on
        B --> [*] : out
        j --> Z
        Z --> [*]
    """
    kernel = drawn(text).kernel
    waiting = walk(kernel, kernel.enter(), None)
    assert walk(kernel, waiting, "out") == ("Z",)


def test_a_composite_with_regions_runs_all_and_ends_when_all_have() -> None:
    text = "[*] --> A\nstate A {\n[*] --> X\nX --> [*]\n--\n[*] --> Y\nY --> [*]\n}\nA --> Z\nZ --> [*]"
    kernel = drawn(text).kernel
    assert len(kernel.enter()) == 2
    assert walk(kernel, kernel.enter(), None, None) == ("Z",)


def test_the_answer_to_one_step_is_kept_and_the_same_in_every_thread() -> None:
    kernel = drawn("[*] --> A\nA --> A : again\nA --> B : go\nB --> A").kernel
    seen = []

    def many() -> None:
        place: Place = ("A",)
        for i in range(2000):
            place = kernel.step(place, place[0], None if place == ("B",) else ("again", "go")[i % 2]).place
        seen.append(place)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(seen)) == 1
    assert len(seen) == 4
    assert kernel.step(("A",), "A", "go") is kernel.step(("A",), "A", "go")


def test_a_composite_named_as_the_start_begins_where_the_drawing_crosses_into_it() -> None:
    from machines.qlora_training import MACHINE

    assert MACHINE.kernel.enter("TrainerSetup") == ("TrainerSetup.SetPadToken",)
