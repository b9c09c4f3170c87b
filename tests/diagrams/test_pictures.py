"""The pictures are those of the diagrams as they now stand."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

from fsm.mermaid import Flowchart, read
from fsm.view import picture

DIAGRAMS = Path(__file__).parents[2] / "diagrams"
PICTURES = DIAGRAMS / "pictures"
SVG = "{http://www.w3.org/2000/svg}"
each = pytest.mark.parametrize("name", sorted(path.stem for path in DIAGRAMS.glob("*.mmd")))


def load_drawing_program() -> ModuleType:
    """diagrams/pictures is no package: nothing of the project imports it."""
    spec = importlib.util.spec_from_file_location("draw", PICTURES / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


drawing = load_drawing_program()


def words(text: str) -> str:
    """Text without its spaces and line breaks, which a picture has where it wraps."""
    return "".join(text.replace("\\n", " ").split())


@each
def test_the_picture_is_drawn_from_the_diagram_as_it_stands(name: str) -> None:
    """And by the package that the tests pass with: it is used as it is, and not drawn anew."""
    text = (DIAGRAMS / f"{name}.mmd").read_text(encoding="utf-8")
    pinned = re.search(r"^mermaidx==(\S+)$", (DIAGRAMS.parent / "constraints.txt").read_text(), re.M)
    assert pinned
    signed = picture.signature((PICTURES / f"{name}.svg").read_text(encoding="utf-8"))
    wanted = (picture.source_digest(text), pinned[1], picture.EDITION)
    assert signed == wanted, f"draw it anew: python diagrams/pictures/draw.py {name}"


def test_no_picture_is_left_of_a_diagram_that_is_gone() -> None:
    assert {path.stem for path in PICTURES.glob("*.svg")} <= {path.stem for path in DIAGRAMS.glob("*.mmd")}


@each
def test_the_picture_shows_every_name_and_label_without_html(name: str) -> None:
    root = ET.parse(PICTURES / f"{name}.svg").getroot()
    assert not list(root.iter(f"{SVG}foreignObject"))
    shown = {words("".join(text.itertext())) for text in root.iter(f"{SVG}text")}
    diagram = read(DIAGRAMS / f"{name}.mmd")
    if isinstance(diagram, Flowchart):
        wanted = {node.label for node in diagram.nodes if not node.also_subgraph}
        wanted |= {subgraph.title for subgraph in diagram.subgraphs}
        wanted |= {edge.label for edge in diagram.edges if edge.label}
    else:
        states = [state for state in diagram.states if state.kind not in ("start", "end")]
        wanted = {text for state in states for text in state.descriptions or (state.id,)}
        wanted |= {edge.label for edge in diagram.transitions if edge.label}
        wanted |= {note.text for note in diagram.notes}
    assert {words(text) for text in wanted} - shown == set()


def test_drawn_anew_a_picture_is_the_same_to_the_byte() -> None:
    assert drawing.picture("convergence") == (PICTURES / "convergence.svg").read_text(encoding="utf-8")


def test_a_name_that_no_diagram_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        drawing.main(["nothing"])
    assert "no diagram is called nothing; there are convergence, data_flow" in capsys.readouterr().err
