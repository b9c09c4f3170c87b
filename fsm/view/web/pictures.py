"""The drawings of machines as the page needs them: the base picture, and which of its elements is which state and edge."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fsm import drawing, mermaid
from fsm.engine import Machine
from fsm.mermaid import StateDiagram
from fsm.view import diagram

_SOURCE = re.compile(r'data-source-sha256="([0-9a-f]{64})"')


@dataclass(frozen=True)
class Drawn:
    """`states`: path -> id of its group; `edges`: id of an edge -> `data-id` of its path and label."""

    svg: str
    states: dict[str, str]
    edges: dict[str, str]
    entries: dict[str, str]  # `data-id` of an arrow out of [*] -> the state that it leads to


@lru_cache(maxsize=64)
def drawn(machine: Machine) -> Drawn:
    """The picture of a machine's drawing. Raises DrawingError, MermaidError, DiagramError."""
    path = Path(machine.chart.file)
    text = path.read_text("utf-8")
    svg = _shipped(path, text) or _cached(path, text)
    return Drawn(for_a_page(svg), _states(machine, svg), _edges(machine, path, text), _entries(machine, path, text))


def for_a_page(svg: str) -> str:
    """The picture without a style sheet, and with its style attributes under another name.

    A page whose policy allows no inline style may not even parse them; the page's script sets them, property by property.
    """
    root = ET.fromstring(svg)
    for element in root.iter():
        for child in [c for c in element if c.tag == "{http://www.w3.org/2000/svg}style"]:
            element.remove(child)
        if (style := element.attrib.pop("style", None)) and element is not root:
            element.set("data-style", style)
    ET.register_namespace("", "http://www.w3.org/2000/svg")
    return ET.tostring(root, encoding="unicode")


def _shipped(path: Path, text: str) -> str | None:
    picture = path.parent / "pictures" / f"{path.stem}.svg"
    if not picture.is_file():
        return None
    svg = picture.read_text("utf-8")
    source = _SOURCE.search(svg[:500])
    return svg if source and source[1] == hashlib.sha256(text.encode()).hexdigest() else None


def _cached(path: Path, text: str) -> str:
    from importlib.metadata import version

    from fsm.view import mermaid_draw

    key = hashlib.sha256(f"{version('mermaidx')}\0{path.stem}\0{text}".encode()).hexdigest()
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fsm" / "pictures"
    kept = base / f"{key}.svg"
    if kept.is_file():
        return kept.read_text("utf-8")
    svg = mermaid_draw.draw(text, path.stem, str(path))
    try:
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=base, encoding="utf-8", delete=False) as f:
            f.write(svg)
        Path(f.name).replace(kept)
    except OSError:
        pass  # it is drawn again next time
    return svg


def _states(machine: Machine, svg: str) -> dict[str, str]:
    ids = {
        found[2]: found[1] for found in re.finditer(r'\bid="([^"]*?-(?:state|flowchart)-([^"]*)-\d+)"', svg)
    }
    for found in re.finditer(r'<g class="[^"]*cluster[^"]*" id="([^"]*)" data-id="([^"]*)"', svg):
        ids[found[2]] = found[1]
    return {p: ids[name] for p in machine.chart.states if (name := p.rpartition(".")[2]) in ids}


def _edges(machine: Machine, path: Path, text: str) -> dict[str, str]:
    whole = drawing.load(path)
    prefix = diagram._prefix(machine.chart, whole)
    read = mermaid.parse(text, str(path))
    names: list[str]
    if isinstance(read, StateDiagram):
        numbers = diagram._numbers(read)
        names = [f"edge{numbers[i]}" for i, t in enumerate(read.transitions) if not t.from_start]
    else:
        seen: dict[tuple[str, str], int] = {}
        names = []
        for edge in whole.edges:
            n = seen[edge.source, edge.target] = seen.get((edge.source, edge.target), -1) + 1
            names.append(f"L_{edge.source}_{edge.target}_{n}")
    found = {}
    for edge, name in zip(whole.edges, names, strict=False):
        if edge.source.startswith(prefix):
            own = drawing.Edge(
                edge.source.removeprefix(prefix), edge.label, edge.target.removeprefix(prefix), edge.line
            )
            found[own.id] = name
    return found


def _entries(machine: Machine, path: Path, text: str) -> dict[str, str]:
    read = mermaid.parse(text, str(path))
    if not isinstance(read, StateDiagram):
        return {}
    numbers = diagram._numbers(read)
    paths = {p.rpartition(".")[2]: p for p in machine.chart.states}
    return {
        f"edge{numbers[i]}": paths[t.target]
        for i, t in enumerate(read.transitions)
        if t.from_start and t.target in paths
    }
