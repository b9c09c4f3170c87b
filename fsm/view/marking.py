"""A run on its drawing: the author's own text, with what happened marked on it.

The words of the drawing stay as they are. States get one of four classes, edges that were taken are drawn thicker, and
how often is said in comments of the text and in the tooltips of the picture.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from fsm import drawing, mermaid
from fsm.drawing import Chart, Edge
from fsm.engine import Machine
from fsm.mermaid import Source, StateDiagram
from fsm.text import split_lines
from fsm.view.durations import duration
from fsm.view.palette import LOOKS, TAKEN
from fsm.view.projection import Projection, StateView


@dataclass(frozen=True)
class Marked:
    """A diagram's text with a run marked on it.

    `states` (by path) and `edges` (by id) are what was marked, as the whole drawing names them. `remarks` are the warnings
    of the reader.
    """

    name: str
    text: str
    states: dict[str, StateView] = field(default_factory=dict)
    edges: dict[str, int] = field(default_factory=dict)
    remarks: tuple[mermaid.Diagnostic, ...] = ()


def plain(where: str | Path) -> Marked:
    """A drawing as it lies there. Raises MermaidError, DiagramError."""
    source = source_at(where)
    read = mermaid.parse(source.text, str(source.file), source.line)
    said = tuple(one for one in read.diagnostics if one.severity == "warning")
    return Marked(source.name, source.text, remarks=said)


def marked(machine: Machine, projection: Projection) -> Marked:
    """A machine's drawing with what a run did on it."""
    source = source_at(machine.chart.where)
    text = source.text
    diagram = mermaid.parse(text, str(source.file), source.line)
    whole = drawing.of_source(source)
    prefix = prefix_of(machine.chart, whole)
    views = {prefix + p: v for p, v in projection.states(machine.name).items() if p in machine.chart.states}
    taken = _taken(machine, projection, whole, prefix)
    lines = [f"classDef {name} {look.mermaid}" for name, look in LOOKS.items()]
    lines += _class_lines(views, whole)
    if not isinstance(diagram, StateDiagram) and (drawn := [i for i, n in taken.items() if n]):
        lines.append(
            f"linkStyle {','.join(map(str, drawn))} {TAKEN}"
        )  # state diagrams have no such statement
    edges = {whole.edges[i].id: n for i, n in taken.items() if n}
    lines += [f"%% taken {times(n)}: {edge}" for edge, n in edges.items()]
    indent = "    "
    body = text if text.endswith("\n") else text + "\n"
    body += "\n" + "".join(f"{indent}{line}\n" for line in lines)
    return Marked(machine.name, body, views, edges)


def source_at(where: str | Path) -> Source:
    """The drawing at a place, its lines ended as Mermaid's own engine wants them. Raises MermaidError, DiagramError."""
    source = drawing.text_at(where)
    return replace(source, text="\n".join(split_lines(source.text)))


def prefix_of(part: Chart, whole: Chart) -> str:
    """What the names of a part of a drawing lack: `Validation.` for the inside of Validation run alone."""
    if part.digest == whole.digest:
        return ""
    for path in whole.states:
        if hashlib.sha256(f"{whole.digest}/{path}".encode()).hexdigest() == part.digest:
            return path + "."
    return ""


def _taken(machine: Machine, projection: Projection, whole: Chart, prefix: str) -> dict[int, int]:
    """How often each edge of the whole drawing was taken, by its place among the edges."""
    counts = {}
    for i, edge in enumerate(whole.edges):
        if not edge.source.startswith(prefix):
            continue
        own = Edge(
            edge.source.removeprefix(prefix),
            edge.label,
            edge.target.removeprefix(prefix),
            edge.line,
        )
        counts[i] = projection.taken(machine.name, own)
    for i, edge in enumerate(whole.edges):
        if i in counts and edge.seen_outside:
            crossing = (
                counts[j]
                for j, e in enumerate(whole.edges)
                if j in counts and e.source.startswith(edge.source + ".") and _within(e.target, edge.target)
            )
            counts[i] = sum(crossing)
    return counts


def _within(path: str, composite: str) -> bool:
    return path == composite or path.startswith(composite + ".")


def numbers_of(diagram: StateDiagram) -> list[int]:
    """The number that Mermaid gives each arrow: it counts the lines to notes among them, in the order of the text."""
    notes = sorted((note.line, note.column) for note in diagram.notes)
    return [i + bisect_left(notes, (t.line, t.column)) for i, t in enumerate(diagram.transitions)]


def _class_lines(views: dict[str, StateView], whole: Chart) -> Iterable[str]:
    of: dict[str, list[str]] = {name: [] for name in LOOKS}
    for path, view in views.items():
        if whole.states[path].composite or whole.states[path].kind == "region":
            continue  # Mermaid gives no class to what holds states, and no one can name a region
        of[look(view)].append(path.rpartition(".")[2])
    return [f"class {','.join(names)} {name}" for name, names in of.items() if names]


def look(view: StateView) -> str:
    """Which of LOOKS a state has."""
    return view.look


def times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


# Pictures and pages


def told(view: StateView) -> str:
    """A state in words."""
    words = [f"visited {times(view.visits)}"] if view.visits else []
    words += ["active"] if view.active else []
    words += [duration(view.seconds)] if view.seconds else []
    words += [f"{view.errors} errors"] if view.errors else []
    words += [f"{view.skipped} skipped"] if view.skipped else []
    return ", ".join(words)


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{font: 15px/1.4 system-ui, sans-serif; margin: 2em; background: white; color: #111}}
table {{border-collapse: collapse; margin-top: 2em}}
td, th {{padding: .2em .8em; border-bottom: 1px solid #ddd; text-align: left}}
td.n, th.n {{text-align: right}}
.never {{color: #5c636a}} .failed {{color: #c92a2a}} .active {{font-weight: bold}}
svg {{max-width: 100%; height: auto}}
@media (prefers-color-scheme: dark) {{
  body {{background: #15181d; color: #e6e8eb}} td, th {{border-color: #3a3f47}}
  .never {{color: #adb5bd}} .failed {{color: #ff8787}}
}}
</style>
<h1>{title}</h1>
<p>{said}</p>
{svg}
{table}
</html>
"""


def page(drawn: Marked, svg: str, said: str) -> str:
    """An HTML page with the picture in it, that needs nothing from anywhere and runs nothing."""
    return PAGE.format(title=escape(drawn.name), said=escape(said), svg=svg, table=_table(drawn))


def _table(drawn: Marked) -> str:
    if not drawn.states:
        return ""
    rows = "".join(
        f'<tr class="{look(v)}"><td>{LOOKS[look(v)].mark}<td>{escape(path)}<td class="n">{v.visits or ""}'
        f'<td class="n">{duration(v.seconds) if v.seconds else ""}<td class="n">{v.errors or ""}'
        f"<td>{escape(v.label or '')}\n"
        for path, v in drawn.states.items()
    )
    head = '<tr><th><th>state<th class="n">visits<th class="n">time<th class="n">errors<th>left by'
    return f"<table>{head}\n{rows}</table>"


def as_json(drawn: Marked) -> dict[str, Any]:
    """What `fsm render --json` says of the marks."""
    return {
        "states": {path: {"class": look(view)} | vars(view) for path, view in drawn.states.items()},
        "edges": drawn.edges,
        "text": drawn.text,
    }
