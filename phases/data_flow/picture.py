"""The drawing of Diagram 7 with what a run sent along its arrows. The author's text stays; the arrows get their counts."""

from __future__ import annotations

from collections.abc import Mapping

from fsm.mermaid import Edge, Flowchart
from fsm.view import TAKEN
from phases.data_flow.lineage import Arrow, unit

_NOTHING = "stroke:#adb5bd,stroke-dasharray:4"


def drawn(drawing: Flowchart, counts: Mapping[Arrow, int]) -> str:
    """Mermaid text: every arrow on a line of its own, its label followed by its count; dashed where nothing went."""
    by_line: dict[int, list[Edge]] = {}
    for edge in drawing.edges:
        by_line.setdefault(edge.line, []).append(edge)
    lines = []
    for number, line in enumerate(drawing.source.splitlines(), 1):
        indent = line[: len(line) - len(line.lstrip())]
        edges = by_line.get(number)
        lines += [line] if edges is None else [f"{indent}{_arrow(edge, counts)}" for edge in edges]
    for style, some in ((TAKEN, True), (_NOTHING, False)):
        numbers = [
            str(i) for i, e in enumerate(drawing.edges) if bool(counts.get((e.source, e.target))) is some
        ]
        if numbers:
            lines.append(f"    linkStyle {','.join(numbers)} {style}")
    return "\n".join(lines) + "\n"


def _arrow(edge: Edge, counts: Mapping[Arrow, int]) -> str:
    arrow = edge.source, edge.target
    label = f"{edge.label}\\n" if edge.label else ""
    return f'{edge.source} -->|"{label}{said(arrow, counts.get(arrow, 0))}"| {edge.target}'


def said(arrow: Arrow, count: int) -> str:
    """A count in words: `2 artifacts`, `1 call`, `nothing`."""
    of = unit(arrow)
    if count == 1:
        of = "piece of code" if of == "pieces of code" else of.removesuffix("s")
    return f"{count} {of}" if count else "nothing"
