"""`check` finds what would stop a run before it begins, and says where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fsm.check import Finding, check, refuse
from fsm.engine import COUNTED, ELSEWHERE, Detail, Machine, Phase, Verdict
from fsm.errors import CheckFailed
from tests.fsm.drawn import drawn, idle, program

FORK = """
    [*] --> Split
    Split --> Left
    Split --> Right
    Left --> Join
    Right --> Join
    Join --> [*]
"""


def found(text: str, **said: Any) -> list[Finding]:
    return check(program(drawn(text, **said)), phases=False)


def codes(text: str, **said: Any) -> list[str]:
    return [f.code for f in found(text, **said)]


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, [str(f) for f in findings]
    return findings[0]


# Drawings


@pytest.mark.parametrize(
    "text",
    [
        "[*] --> A\nA --> B : go\nA --> [*] : stop\nB --> [*]",
        FORK,
        "[*] --> A\nstate A {\n[*] --> X\nX --> [*]\n}\nA --> [*]",
        "[*] --> X\nstate A {\nX --> Y : on\nY --> Z\n}\nstate B {\nZ --> [*]\n}\nA --> B\nB --> [*]",
        "[*] --> A\nstate A {\n[*] --> X\nX --> [*]\n--\n[*] --> Y\nY --> [*]\n}\nA --> [*]",
        "state f <<fork>>\nstate j <<join>>\n[*] --> f\nf --> A\nf --> B\nA --> j\nB --> j\nj --> [*]",
    ],
    ids=["simple", "fork", "composite", "crossing", "regions", "fork and join"],
)
def test_a_sound_drawing_is_clean(text: str) -> None:
    assert found(text) == []


def test_a_finding_prints_as_a_compiler_does() -> None:
    finding = only(found("[*] --> A\nA --> [*]\nLost --> [*]"))
    assert str(finding) == (
        "drawing.mmd:4:5: error[C101]: Lost cannot be reached. Draw an edge to it, or take it out."
    )


def test_a_finding_below_the_working_directory_is_shown_from_there() -> None:
    finding = Finding("warning", "C110", str(Path.cwd() / "diagrams" / "x.mmd"), 12, 5, "so.")
    assert str(finding) == "diagrams/x.mmd:12:5: warning[C110]: so."
    assert finding.as_json()["line"] == 12


def test_what_mermaid_swallows_is_a_warning_at_its_place() -> None:
    finding = only(found("[*] --> A\nA --> [*] : done %% the usual way"))
    assert (finding.severity, finding.code, finding.line, finding.column) == ("warning", "C111", 3, 22)
    assert finding.message.startswith("Mermaid takes `%%` for a part of the label")


def test_of_an_unreachable_composite_only_the_border_is_reported() -> None:
    text = "[*] --> A\nA --> [*]\nstate Lost {\n[*] --> B\nB --> C\nC --> [*]\n}\nLost --> [*]"
    assert only(found(text)).message.startswith("Lost cannot be reached")


def test_a_state_only_behind_an_exit_that_is_never_taken_is_unreachable() -> None:
    text = "[*] --> A\nstate A {\n[*] --> X\nX --> [*] : fine\n}\nA --> [*] : good\nA --> B : bad\nB --> [*]"
    findings = found(text, exits={"A": {"fine": "good", "broken": "bad"}})
    assert [(f.severity, f.code) for f in findings] == [
        ("warning", "C110"),
        ("warning", "C110"),
        ("error", "C101"),
    ]
    assert "'broken'" in findings[0].message
    assert findings[1].message.startswith("A --> B : bad is never taken")


def test_a_state_is_reached_from_where_the_machine_may_be_begun() -> None:
    text = "A --> [*]\nB --> [*]"
    assert codes(text, entered_at=("A", "B")) == []
    assert codes(text, entered_at=("A",)) == ["C101"]


def test_a_leaf_without_edges_is_a_trap_unless_declared_an_end() -> None:
    finding = only(found("[*] --> A\nA --> B"))
    assert (finding.code, finding.line) == ("C102", 3)
    assert found("[*] --> A\nA --> B", ends=("B",)) == []


def test_a_composite_that_can_end_but_not_be_left_is_a_trap() -> None:
    finding = only(found("[*] --> A\nstate A {\n[*] --> X\nX --> [*]\n}"))
    assert finding.code == "C102"
    assert "its inside can end" in finding.message


def test_a_crossing_edge_drawn_again_outside_does_not_let_the_inside_end() -> None:
    text = """
        [*] --> X
        state A {
            X --> Y : on
            X --> [*] : done
        }
        state B {
            Y --> [*]
        }
        A --> B
        B --> [*]
    """
    assert only(found(text)).message.startswith("A is a trap: its inside can end")


def test_states_that_only_lead_to_each_other_never_end() -> None:
    text = "[*] --> A\nA --> B : in\nA --> [*] : out\nB --> C\nC --> B"
    finding = only(found(text, bounds={("C", None): "something"}))
    assert finding.code == "C103"
    assert finding.message.startswith("from B (and neither from C) no end can be reached")


def test_two_edges_with_one_label_are_refused_save_in_a_fork() -> None:
    text = "[*] --> A\nA --> B : go\nA --> C : go\nB --> [*]\nC --> [*]"
    finding = only(found(text))
    assert (finding.code, finding.line, finding.column) == ("C104", 4, 5)
    assert found(text, forks=("A",)) == []


def test_a_fork_with_a_labelled_edge_is_ambiguous() -> None:
    assert codes("[*] --> A\nA --> B\nA --> C\nA --> [*] : no\nB --> [*]\nC --> [*]") == ["C105"]


def test_a_join_cannot_choose_between_edges() -> None:
    text = "state j <<join>>\n[*] --> j\nj --> A : a\nj --> B : b\nA --> [*]\nB --> [*]"
    finding = only(found(text))
    assert (finding.code, finding.line) == ("C105", 5)


def test_one_unlabelled_edge_beside_labelled_ones_is_a_choice() -> None:
    assert codes("[*] --> A\nA --> B : go\nA --> [*]\nB --> [*]") == []


def test_an_exit_must_be_decided_for_every_way_the_inside_can_end() -> None:
    text = """
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
    assert codes(text, exits={"A": {"fine": "good", "Y": "bad"}}) == []
    finding = only([f for f in found(text, exits={"A": {"fine": "good"}}) if f.severity == "error"])
    assert (finding.code, finding.line) == ("C106", 7)
    assert "after A.Y" in finding.message


def test_an_exit_that_nothing_decides_needs_a_handler_on_the_composite() -> None:
    machine = drawn(
        "[*] --> A\nstate A {\n[*] --> X\nX --> [*]\n}\nA --> [*] : good\nA --> B : bad\nB --> [*]"
    )
    assert check(program(machine, phases={"drawing": idle(machine)})) == []
    finding = only(check(program(machine, phases={"drawing": idle(machine, "A")})))
    assert finding.code == "C106"
    assert "by which of 'good', 'bad' A is left is not decided" in finding.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A --> [*]", "drawing has no start"),
        ("[*] --> A\nstate A {\nX --> [*]\n}\nA --> [*]", "A is entered, but has no start"),
    ],
)
def test_what_is_entered_has_a_start(text: str, message: str) -> None:
    finding = next(f for f in found(text) if f.code == "C107")
    assert message in finding.message


def test_a_composite_entered_only_across_its_border_needs_no_start() -> None:
    assert codes("[*] --> X\nstate A {\nX --> [*]\n}\nA --> [*]") == []


def test_an_unbounded_cycle_is_named() -> None:
    text = "[*] --> A\nA --> B : more\nA --> [*] : enough\nB --> C\nC --> A : again"
    finding = only(found(text))
    assert (finding.code, finding.line) == ("C108", 6)
    assert "A --> B : more, B --> C, C --> A : again" in finding.message
    assert found(text, bounds={("A", "more"): "the prompts"}) == []
    assert found(text, waits={"C": "the job"}) == []


def test_a_bound_on_one_of_two_cycles_does_not_bound_the_other() -> None:
    text = "[*] --> A\nA --> A : retry\nA --> B : go\nB --> A : back\nB --> [*] : done"
    finding = only(found(text, bounds={("B", "back"): "tries"}))
    assert finding.message.startswith("nothing bounds the cycle A --> A : retry.")
    assert codes(text, bounds={("B", "back"): "tries", ("A", "retry"): "tries"}) == []


def test_a_cycle_through_the_end_of_a_composite_is_seen() -> None:
    text = "[*] --> A\nstate A {\n[*] --> X\nX --> [*] : done\n}\nA --> A : again\nA --> [*] : over"
    assert codes(text) == ["C108"]
    assert codes(text, bounds={("A", "again"): "epochs"}) == []
    assert codes(text, waits={"A": "the day"}) == []


def test_declared_exits_tell_a_cycle_from_a_way_out() -> None:
    text = """
        [*] --> A
        state A {
            [*] --> X
            X --> [*] : over
        }
        A --> A : again
        A --> [*] : done
    """
    assert [f.code for f in found(text, exits={"A": {"over": "done"}}) if f.severity == "error"] == []


def test_a_cycle_inside_a_counted_composite_is_bounded_too() -> None:
    text = "[*] --> A\nstate A {\n[*] --> X\nX --> X : again\nX --> [*] : done\n}\nA --> [*]"
    assert codes(text, inside={"A": COUNTED}) == ["C108"]
    assert codes(text, inside={"A": COUNTED}, bounds={("A.X", "again"): "tries"}) == []
    assert codes(text, inside={"A": ELSEWHERE}) == []


@pytest.mark.parametrize("edge", ["A.X leaves", "B enters", "start enters"])
def test_no_edge_crosses_the_border_of_what_is_one_state_to_the_engine(edge: str) -> None:
    texts = {
        "A.X leaves": "[*] --> A\nstate A {\n[*] --> X\nX --> B : away\nX --> [*] : done\n}\nA --> B\nB --> [*]",
        "B enters": "[*] --> B\nB --> X\nstate A {\n[*] --> X\nX --> Z\nZ --> [*]\n}\nA --> [*]",
        "start enters": "[*] --> X\nstate A {\n[*] --> X\nX --> Y\nY --> [*]\n}\nA --> [*]",
    }
    assert "C109" in codes(texts[edge], inside={"A": COUNTED})


# Phases


def test_every_state_has_a_handler_and_every_handler_a_state() -> None:
    machine = drawn("[*] --> A\nA --> B\nB --> [*]")
    phase = idle(machine, "B")
    phase.state("Bee")(lambda ctx: None)
    missing, surplus = check(program(machine, phases={"drawing": phase}))
    assert (missing.code, missing.line, missing.column) == ("C201", 3, 11)
    assert (surplus.code, surplus.file) == ("C202", __file__)


def test_a_handler_with_a_misspelt_state_is_told_the_nearest() -> None:
    machine = drawn("[*] --> Validate\nValidate --> [*]")
    phase = idle(machine)
    phase.state("Validat")(lambda ctx: None)
    assert "did you mean 'Validate'?" in only(check(program(machine, phases={"drawing": phase}))).message


def test_a_handler_where_the_engine_does_not_stand_is_never_called() -> None:
    machine = drawn("[*] --> A\nstate A {\n[*] --> X\nX --> [*]\n}\nA --> [*]")
    phase = idle(machine)
    phase.state("A")(lambda ctx: None)
    finding = only(check(program(machine, phases={"drawing": phase})))
    assert (finding.severity, finding.code) == ("warning", "C203")


def test_a_machine_without_a_phase_is_reported() -> None:
    assert only(check(program(drawn("[*] --> A\nA --> [*]")))).code == "C204"


COUNTING = "[*] --> A\nstate A {\n[*] --> X\nX --> Y\nY --> [*]\n}\nA --> [*]"


def test_a_counted_inside_is_handled_whole_or_driven_from_outside() -> None:
    machine = drawn(COUNTING, inside={"A": COUNTED})
    phase = idle(machine)
    assert check(program(machine, phases={"drawing": phase})) == []
    phase.state("A.X")(lambda item: None)
    finding = only(check(program(machine, phases={"drawing": phase})))
    assert (finding.code, finding.message[:3]) == ("C201", "A.Y")
    phase.state("A.Y")(lambda item: None)
    assert check(program(machine, phases={"drawing": phase})) == []


def test_every_state_of_a_counted_machine_has_a_handler() -> None:
    machine = drawn("[*] --> A\nA --> [*]", counted=True)
    assert only(check(program(machine, phases={"drawing": Phase("drawing")}))).code == "C201"


def test_the_inside_of_a_composite_elsewhere_may_have_handlers_or_not() -> None:
    machine = drawn(COUNTING, inside={"A": ELSEWHERE})
    phase = idle(machine)
    assert check(program(machine, phases={"drawing": phase})) == []
    phase.state("A.X")(lambda ctx: None)
    assert check(program(machine, phases={"drawing": phase})) == []


# Programs


def test_a_called_machine_exists_and_is_called_where_a_handler_could() -> None:
    machine = drawn(COUNTING, calls={"A.X": ("below",), "A": ("nowhere",)})
    below = drawn("[*] --> B\nB --> [*]", "below")
    findings = check(program(machine, below), phases=False)
    assert [f.code for f in findings] == ["C301", "C301"]
    assert "'nowhere'" in findings[0].message
    assert "does not stand in it" in findings[1].message


def test_what_is_walked_of_another_machine_is_a_counted_inside() -> None:
    machine = drawn("[*] --> X\nX --> [*]", calls={"X": ("below:A", "below:B", "below:C")})
    below = drawn(
        "[*] --> A\nstate A {\n[*] --> Y\nY --> [*]\n}\nA --> B\nB --> [*]", "below", inside={"A": COUNTED}
    )
    findings = check(program(machine, below), phases=False)
    assert [f.code for f in findings] == ["C301", "C301"]
    assert "walk B of machine below" in findings[0].message


def test_machines_that_call_each_other_in_a_ring_are_reported_once() -> None:
    a = drawn("[*] --> X\nX --> [*]", "a", calls={"X": ("b",)})
    b = drawn("[*] --> Y\nY --> [*]", "b", calls={"Y": ("a",)})
    finding = only(check(program(a, b), phases=False))
    assert finding.code == "C302"
    assert "a > b > a" in finding.message


def test_the_recovery_machine_decides_in_every_end() -> None:
    recovery = drawn("Bad --> Stop : mend", "recovery", ends=("Stop",), entered_at=("Bad",))
    main = drawn("[*] --> A\nA --> [*]")
    finding = only(check(program(main, recovery, recovery="recovery"), phases=False))
    assert (finding.code, finding.message[:4]) == ("C304", "Stop")


def test_on_error_names_an_entry_and_a_state_that_can_fail() -> None:
    recovery = drawn("Bad --> Stop : mend", "recovery", ends={"Stop": Verdict.STOP}, entered_at=("Bad",))
    text = "[*] --> A\nstate A {\n[*] --> X\nX --> [*]\n}\nA --> [*] : done\nA --> B : failed\nB --> [*]"
    on_error = {("A", "Bad"): "failed", ("B", "Bda"): None}
    main = drawn(text, exits={"A": {"X": "done"}}, on_error=on_error)
    findings = [
        f
        for f in check(program(main, recovery, recovery="recovery"), phases=False)
        if f.code not in ("C110", "C101")
    ]
    assert [f.code for f in findings] == ["C303", "C303"]
    assert "does not stand in A" in findings[0].message
    assert "did you mean 'Bad'?" in findings[1].message


def test_a_program_with_errors_is_refused_in_one_message() -> None:
    lost = "\n".join(f"Lost{i} --> [*]" for i in range(8))
    machine = drawn(f"[*] --> A\nA --> [*]\n{lost}")
    with pytest.raises(
        CheckFailed, match=r"8 errors(?s:.*)drawing\.mmd:4:5: error\[C101\](?s:.*)and 3 more"
    ) as e:
        refuse(program(machine, phases={"drawing": idle(machine)}))
    assert e.value.exit_code == 2


def test_warnings_do_not_refuse_a_program() -> None:
    machine = drawn(COUNTING)
    phase = idle(machine)
    phase.state("A")(lambda ctx: None)
    refuse(program(machine, phases={"drawing": phase}))


# Details

OVERVIEW = """
    [*] --> Box
    state Box {
        [*] --> Load
        Load --> Work : ready
        Work --> Work2 : half
        Work2 --> Work : more
        Work2 --> [*] : done
    }
    Box --> [*]
"""
DETAIL = """
    [*] --> Open
    Open --> Read : opened
    state Loop {
        [*] --> First
        First --> Second : go
        Second --> [*] : over
        Second --> First : again
    }
    Read --> Loop
    Loop --> [*]
"""
STANDS = {"Load": ("Open", "Read"), "Work": ("Loop.First",), "Work2": ("Loop.Second",)}


def refined(
    overview: str = OVERVIEW, detail: str = DETAIL, stands: dict[str, tuple[str, ...]] = STANDS, **said: Any
) -> list[Finding]:
    above = drawn(
        overview,
        "above",
        inside={"Box": Detail("below", stands)},
        bounds={("Box.Work2", "more"): "it"} if "more" in overview else {},
    )
    below: Machine = drawn(detail, "below", bounds={("Loop.Second", "again"): "it"}, **said)
    return check(program(above, below), phases=False)


def test_a_detail_that_moves_as_the_overview_draws_refines_it() -> None:
    assert refined() == []


def test_the_edge_that_breaks_the_refinement_is_named() -> None:
    finding = only(refined(OVERVIEW.replace("Work2 --> Work : more\n", "")))
    assert (finding.code, finding.file, finding.line) == ("C405", "below.mmd", 8)
    assert finding.message.startswith(
        "Loop.Second --> Loop.First : again breaks the refinement of above's Box"
    )
    assert "from Work2 to Work" in finding.message


def test_a_jump_over_a_state_of_the_overview_breaks_it() -> None:
    finding = only(
        refined(
            detail=DETAIL.replace("Open --> Read : opened", "Open --> Read : opened\nOpen --> Second : skip")
        )
    )
    assert (finding.code, finding.line) == ("C405", 4)
    assert "from Load to Work2" in finding.message


def test_an_end_where_the_overview_does_not_end_breaks_it() -> None:
    finding = only(
        refined(detail=DETAIL.replace("Read --> Loop", "Read --> Loop : on\nRead --> [*] : nothing"))
    )
    assert (finding.code, "the end" in finding.message) == ("C405", True)


def test_a_declared_end_is_an_end() -> None:
    detail = DETAIL.replace("Loop --> [*]", "Loop --> Last")
    stands = {**STANDS, "Work2": ("Loop.Second", "Last")}
    assert refined(detail=detail, stands=stands, ends=("Last",)) == []


def test_the_detail_begins_where_the_overview_begins() -> None:
    finding = refined(detail=DETAIL.replace("[*] --> Open", "[*] --> Loop\nLoop --> Open : never"))
    assert "C406" in [f.code for f in finding]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"Load": ("Read",), "Lode": ("Open",)}, "C401", "'Lode'"),
        ({"Load": ("Open", "Read", "Missing")}, "C402", "'Missing'"),
        ({"Load": ("Open",)}, "C403", "Read stands at no state"),
        ({"Work": ("Loop.*",)}, "C404", "Loop.Second stands at Work and at Work2"),
    ],
)
def test_every_state_of_the_detail_stands_at_one_of_the_overview(
    change: dict[str, tuple[str, ...]], code: str, message: str
) -> None:
    finding = only(refined(stands={**STANDS, **change}))
    assert finding.code == code
    assert message in finding.message


def test_an_overview_state_in_which_nothing_stands_is_reported() -> None:
    findings = refined(stands={"Load": ("Open", "Read"), "Work": ("Loop.*",)})
    assert "C407" in [f.code for f in findings]


ITEMS_ABOVE = """
    [*] --> Box
    state Box {
        [*] --> Fetch
        Fetch --> First : fetched
        First --> Second : done
        Second --> [*] : all
    }
    Box --> [*]
"""
ITEMS = "[*] --> Get\nGet --> Each\nstate Each {\n[*] --> In\nIn --> Out\nOut --> [*]\n}\nEach --> [*]"
ITEM_STANDS = {"Fetch": ("Get",), "First": ("Each.*",), "Second": ("Each.*",)}


def test_in_a_counted_composite_the_item_may_decide_where_its_states_stand() -> None:
    above = drawn(ITEMS_ABOVE, "above", inside={"Box": Detail("below", ITEM_STANDS)})
    assert check(program(above, drawn(ITEMS, "below", inside={"Each": COUNTED})), phases=False) == []
    durable = check(program(above, drawn(ITEMS, "below")), phases=False)
    assert {f.code for f in durable} == {"C404"}


def test_from_item_to_item_the_overview_must_find_its_way() -> None:
    stands = {"Fetch": ("Get",), "First": ("Each.In",), "Second": ("Each.Out",)}
    above = drawn(ITEMS_ABOVE, "above", inside={"Box": Detail("below", stands)})
    below = drawn(ITEMS, "below", inside={"Each": COUNTED})
    finding = only(check(program(above, below), phases=False))
    assert (finding.code, "First" in finding.message) == ("C408", True)
