"""The drawing with its open questions settled: owners, entries, crossing edges, parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm import mermaid
from fsm.drawing import Chart, chart
from fsm.errors import DiagramError
from tests.fsm.drawn import drawn


def read(text: str) -> Chart:
    return drawn(text).chart


def edges(c: Chart) -> list[str]:
    return [e.id for e in c.edges]


def test_a_state_in_two_composites_belongs_to_the_one_that_gives_it_outgoing_edges() -> None:
    c = read("[*] --> X\nstate A {\nX --> Y\n}\nA --> B\nstate B {\nY --> [*]\n}\nB --> [*]")
    assert set(c.states) == {"A", "A.X", "B", "B.Y"}
    assert edges(c) == ["A.X --> B.Y", "A --> B", "B.Y --> B.[*]", "B --> [*]"]


def test_the_edge_seen_from_outside_beside_a_crossing_one_is_no_second_move() -> None:
    c = read("[*] --> X\nstate A {\nX --> Y\n}\nA --> B\nstate B {\nY --> [*]\n}\nB --> [*]")
    assert [e.id for e in c.edges if e.seen_outside] == ["A --> B"]
    assert c.moves("A") == ()


def test_an_edge_between_composites_without_a_crossing_one_is_a_move() -> None:
    c = read(
        "[*] --> A\nstate A {\n[*] --> X\nX --> [*]\n}\nA --> B\nstate B {\n[*] --> Y\nY --> [*]\n}\nB --> [*]"
    )
    assert [e.id for e in c.moves("A")] == ["A --> B"]


def test_a_state_with_outgoing_edges_in_two_composites_is_refused() -> None:
    with pytest.raises(DiagramError, match=r"drawing\.mmd:3: X has outgoing edges in A and in B"):
        read("state A {\nX --> Y\n}\nstate B {\nX --> Z\n}")


def test_a_state_without_edges_is_where_mermaid_draws_it() -> None:
    assert "A.B.X" in read("[*] --> A\nstate A {\n[*] --> B\nstate B {\n[*] --> X\n}\n}").states


@pytest.mark.parametrize("name", ["a.b", "a~b"])
def test_a_name_that_paths_are_written_with_is_refused(name: str) -> None:
    with pytest.raises(DiagramError, match=r"drawing\.mmd:2: .* cannot be a state"):
        read(f"[*] --> {name}\n{name} --> [*]")


def test_a_beginning_that_is_the_end_is_refused() -> None:
    with pytest.raises(DiagramError, match="there is nothing to run"):
        read("[*] --> [*]")


def test_composites_may_not_stand_in_themselves_nor_too_deep() -> None:
    with pytest.raises(DiagramError, match="stand inside each other"):
        read("[*] --> A\nstate A {\n[*] --> B\nB --> A\n}")
    deep = "".join(f"state A{i} {{\n" for i in range(600)) + "[*] --> x\n" + "}\n" * 600
    with pytest.raises(DiagramError, match="50 deep"):
        chart.parse("stateDiagram-v2\n" + deep, "deep")


def test_regions_are_entered_together() -> None:
    c = read("[*] --> A\nstate A {\n[*] --> X\nX --> [*]\n--\n[*] --> Y\nY --> [*]\n}\nA --> [*]")
    assert c.states["A"].initial == ("A.region1", "A.region2")
    assert c.states["A.region2.Y"].parent == "A.region2"


def test_positions_are_those_of_the_text() -> None:
    c = read("[*] --> A\n  A --> B : go\nB --> [*]")
    assert [(e.line, e.column) for e in c.edges] == [(3, 7), (4, 5)]
    assert (c.states["B"].line, c.states["B"].column) == (3, 13)


def test_a_state_is_found_by_its_path_or_by_a_unique_last_name() -> None:
    c = read("[*] --> A\nstate A {\n[*] --> X\nX --> [*]\n}\nA --> X2\nX2 --> [*]")
    assert c.find("A.X") == c.find("X") == "A.X"
    with pytest.raises(DiagramError, match="no state named 'Y'"):
        c.find("Y")


def test_a_name_that_several_regions_share_must_be_a_path() -> None:
    text = "[*] --> A\nstate A {\n[*] --> X\nX --> [*]\n--\n[*] --> Y\nY --> [*]\n}\nA --> B\nstate B {\n"
    c = read(text + "[*] --> P\nP --> [*]\n--\n[*] --> Q\nQ --> [*]\n}\nB --> [*]")
    with pytest.raises(DiagramError, match="2 states"):
        c.find("region1")


def test_the_digest_is_the_texts_and_makes_charts_equal() -> None:
    text = "stateDiagram-v2\n[*] --> A\nA --> [*]\n"
    one, two = chart.parse(text, "n"), chart.parse(text, "n")
    assert one == two
    assert hash(one) == hash(two)
    assert chart.parse(text + "%% more\n", "n") != one


def test_the_inside_of_a_composite_is_a_chart_of_its_own() -> None:
    whole = read(
        "[*] --> A\nstate A {\n[*] --> X\nX --> C : in\nstate C {\n[*] --> Y\nY --> [*]\n}\nC --> [*] : out\n}\nA --> [*]"
    )
    part = whole.inside("A", "part")
    assert list(part.states) == ["X", "C", "C.Y"]
    assert edges(part) == ["X --> C : in", "C.Y --> C.[*]", "C --> [*] : out"]
    assert part.initial == ("X",)
    assert part.digest != whole.digest
    assert part.edges[0].under("A.") == next(e for e in whole.edges if e.source == "A.X")


def test_an_inside_with_an_edge_across_its_border_cannot_run_alone() -> None:
    whole = read("[*] --> A\nstate A {\n[*] --> X\nX --> B\n}\nB --> [*]")
    with pytest.raises(DiagramError, match=r"A cannot run alone, for the edge 'A\.X --> B'"):
        whole.inside("A", "part")


def test_a_flowchart_is_a_chart_of_simple_states_begun_at_its_first_node() -> None:
    text = 'flowchart TD\nSTART["Epoch"] --> CHECK{"enough?"}\nCHECK -->|Yes| DONE["Done"]\nCHECK -->|No| START\n'
    c = chart.parse(text, "flow")
    assert c.initial == ("START",)
    assert c.states["CHECK"].title == "enough?"
    assert edges(c) == ["START --> CHECK", "CHECK --> DONE : Yes", "CHECK --> START : No"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flowchart TD\nsubgraph S\nA --> B\nend\nB --> S", "subgraph S, in which no one can stand"),
        ("flowchart TD", "has no node"),
    ],
)
def test_a_flowchart_in_which_nothing_can_run_is_refused(text: str, message: str) -> None:
    with pytest.raises(DiagramError, match=message):
        chart.parse(text, "flow")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(DiagramError, match="cannot be read"):
        chart.load(tmp_path / "none.mmd")
    (tmp_path / "latin.mmd").write_bytes(b"stateDiagram-v2\n[*] --> \xe4\n")
    with pytest.raises(
        mermaid.MermaidError, match=r"latin.mmd:2:1: error: the file is not UTF-8 text \(byte 0xe4"
    ):
        chart.load(tmp_path / "latin.mmd")
    (tmp_path / "wrong.mmd").write_text("stateDiagram-v2\n[*] -> A\n")
    with pytest.raises(mermaid.MermaidError):
        chart.load(tmp_path / "wrong.mmd")


def test_a_chart_takes_the_name_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "draft.mmd"
    path.write_text("stateDiagram-v2\n[*] --> A\nA --> [*]\n")
    assert chart.load(path).name == "draft"
