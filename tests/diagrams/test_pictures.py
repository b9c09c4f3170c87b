"""The pictures are those of the diagrams as they now stand, and the program that draws them says what it lacks."""

from __future__ import annotations

import base64
import importlib.util
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

from fsm.mermaid import Flowchart, read

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
    text = (DIAGRAMS / f"{name}.mmd").read_text(encoding="utf-8")
    drawn_from = drawing.source_of((PICTURES / f"{name}.svg").read_text(encoding="utf-8"))
    assert drawn_from == drawing.digest(text), f"draw it anew: python diagrams/pictures/draw.py {name}"


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


def browser(folder: Path, prints: str) -> str:
    """A browser that prints a page as it stands after Mermaid drew, or failed to."""
    command = folder / "browser"
    command.write_text(f"#!/bin/sh\ncat <<'THE-END'\n{prints}\nTHE-END\n", encoding="utf-8")
    command.chmod(0o755)
    return str(command)


def page(kind: str, text: str) -> str:
    return f'<html><body><pre id="{kind}">{base64.b64encode(text.encode()).decode()}</pre></body></html>'


def test_what_mermaid_would_swallow_stands_in_for_itself_until_it_has_drawn(tmp_path: Path) -> None:
    chromium = browser(tmp_path, page("svg", "<svg><text>a ≺ b ≻ c ∗ d ˋ</text></svg>"))
    svg = drawing.draw("stateDiagram-v2\nA --> B\n", chromium, tmp_path / "mermaid.min.js")
    assert svg == "<svg><text>a &lt; b &gt; c * d `</text></svg>"


def test_a_text_that_mermaid_refuses_is_refused_in_its_words(tmp_path: Path) -> None:
    chromium = browser(tmp_path, page("error", "Parse error on line 2"))
    with pytest.raises(drawing.DrawingError, match="Mermaid refuses that: Parse error on line 2"):
        drawing.draw("stateDiagram-v2\nA -->\n", chromium, tmp_path / "mermaid.min.js", "that")


def test_a_page_on_which_nothing_was_drawn_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(drawing.DrawingError, match="drew nothing"):
        drawing.draw("stateDiagram-v2\n", browser(tmp_path, "<html></html>"), tmp_path / "mermaid.min.js")


def test_a_browser_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(drawing.DrawingError, match="did not show the page"):
        drawing.draw("stateDiagram-v2\n", str(tmp_path / "none"), tmp_path / "mermaid.min.js")


def test_without_mermaid_it_says_how_to_get_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert drawing.main(["--mermaid", str(tmp_path / "mermaid.min.js")]) == 2
    assert "npm install --prefix build/mermaid --ignore-scripts mermaid@12.3.0" in capsys.readouterr().err


def test_another_mermaid_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tmp_path / "dist" / "mermaid.min.js"
    bundle.parent.mkdir()
    bundle.touch()
    (tmp_path / "package.json").write_text(json.dumps({"version": "11.0.0"}))
    assert drawing.main(["--mermaid", str(bundle)]) == 2
    assert "is Mermaid 11.0.0, not 12.3.0" in capsys.readouterr().err
