"""A run on its drawing: the author's own text, with what happened marked on it.

The words of the drawing stay as they are. States get one of four classes, edges that were taken are drawn thicker, and
how often is said in comments of the text and in the tooltips of the picture.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from fsm import drawing, mermaid
from fsm.drawing import Chart, Edge
from fsm.engine import Machine
from fsm.errors import DiagramError
from fsm.mermaid import StateDiagram
from fsm.text import NotUtf8, decode, split_lines
from fsm.view.durations import duration
from fsm.view.projection import Projection, StateView

CLASSES = {
    "active": "fill:#fff3bf,stroke:#e67700,stroke-width:3px,color:#000",
    "visited": "fill:#d3f9d8,stroke:#2b8a3e,color:#000",
    "failed": "fill:#ffe3e3,stroke:#c92a2a,stroke-width:3px,color:#000",
    "never": "fill:#fff,stroke:#adb5bd,color:#868e96",
}
TAKEN = "stroke:#2b8a3e,stroke-width:3px"


@dataclass(frozen=True)
class Marked:
    """A diagram's text with a run marked on it.

    `thick` are the edges to draw as taken, by Mermaid's number (its state diagrams have no statement for the style of an
    edge); `titles` are tooltips by the same number; `states` and `edges` are what was marked. `remarks` are
    the warnings of the reader.
    """

    name: str
    text: str
    thick: tuple[int, ...] = ()
    titles: dict[int, str] = field(default_factory=dict)
    states: dict[str, StateView] = field(default_factory=dict)
    edges: dict[str, int] = field(default_factory=dict)
    remarks: tuple[mermaid.Diagnostic, ...] = ()


def plain(path: Path) -> Marked:
    """A drawing as its file has it. Raises MermaidError, DiagramError."""
    text = _text(path)
    read = mermaid.parse(text, str(path))
    said = tuple(one for one in read.diagnostics if one.severity == "warning")
    return Marked(path.stem, text, remarks=said)


def marked(machine: Machine, projection: Projection) -> Marked:
    """A machine's drawing with what a run did on it."""
    path = Path(machine.chart.file)
    text = _text(path)
    diagram = mermaid.parse(text, str(path))
    whole = drawing.load(path)
    prefix = _prefix(machine.chart, whole)
    views = {prefix + p: v for p, v in projection.states(machine.name).items() if p in machine.chart.states}
    taken = _taken(machine, projection, whole, prefix)
    lines = [f"classDef {name} {style}" for name, style in CLASSES.items()]
    lines += _class_lines(views, whole)
    if isinstance(diagram, StateDiagram):
        numbers = _numbers(diagram)
        arrows = [
            i for i, t in enumerate(diagram.transitions) if not t.from_start
        ]  # those that are edges of the chart
        titles = {numbers[arrows[i]]: f"taken {_times(n)}" for i, n in taken.items() if n}
        thick = tuple(sorted({*titles, *(numbers[i] for i in _entries(diagram, views))}))
    else:
        thick, titles = (), {}
        if drawn := [i for i, n in taken.items() if n]:
            lines.append(f"linkStyle {','.join(map(str, drawn))} {TAKEN}")
    edges = {whole.edges[i].id: n for i, n in taken.items() if n}
    lines += [f"%% taken {_times(n)}: {edge}" for edge, n in edges.items()]
    indent = "    "
    body = text if text.endswith("\n") else text + "\n"
    body += "\n" + "".join(f"{indent}{line}\n" for line in lines)
    return Marked(machine.name, body, thick, titles, views, edges)


def _text(path: Path) -> str:
    try:
        return "\n".join(split_lines(decode(path.read_bytes(), str(path))))
    except OSError as e:
        raise DiagramError(
            f"{path}: the diagram cannot be read ({e.strerror}). Give the path of a .mmd file."
        ) from e
    except NotUtf8 as e:
        raise DiagramError(f"{path}:{e.line}: the diagram {e.why}. Save it as UTF-8.") from e


def _prefix(part: Chart, whole: Chart) -> str:
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


def _numbers(diagram: StateDiagram) -> list[int]:
    """The number that Mermaid gives each arrow: it counts the lines to notes among them, in the order of the text."""
    notes = sorted((note.line, note.column) for note in diagram.notes)
    return [i + bisect_left(notes, (t.line, t.column)) for i, t in enumerate(diagram.transitions)]


def _entries(diagram: StateDiagram, views: dict[str, StateView]) -> list[int]:
    """The arrows out of `[*]` that led somewhere, by their place among the arrows."""
    seen = {path.rpartition(".")[2] for path, view in views.items() if view.visits or view.active}
    return [i for i, t in enumerate(diagram.transitions) if t.from_start and t.target in seen]


def _class_lines(views: dict[str, StateView], whole: Chart) -> Iterable[str]:
    of: dict[str, list[str]] = {name: [] for name in CLASSES}
    for path, view in views.items():
        if whole.states[path].kind == "region":  # Mermaid's own; no one can name it
            continue
        of[look(view)].append(path.rpartition(".")[2])
    return [f"class {','.join(names)} {name}" for name, names in of.items() if names]


def look(view: StateView) -> str:
    """Which of CLASSES a state has."""
    return view.look


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


# Pictures and pages


def with_marks(svg: str, drawn: Marked) -> str:
    """The picture with a tooltip on each state that was visited and each edge that was taken, which is drawn thicker."""

    def edge(found: re.Match[str]) -> str:
        number = int(found[2])
        path = found[1].rstrip()
        if number in drawn.thick:
            path = re.sub(r' style="[^"]*"', "", path) + f' style="fill:none;{TAKEN.replace(",", ";")}"'
        title = drawn.titles.get(number)
        return f"{path}>{_title(title)}</path>" if title else f"{path} />"

    svg = re.sub(r'(<path [^>]*data-id="edge(\d+)"[^>]*?)/>', edge, svg)
    names = {path.rpartition(".")[2]: view for path, view in drawn.states.items()}

    def node(found: re.Match[str]) -> str:
        view = names.get(found[2])
        return f"{found[1]}{_title(told(view))}" if view and (view.visits or view.active) else found[0]

    return re.sub(r'(<g [^>]*id="[^"]*?-(?:state|flowchart)-([^"]*)-\d+"[^>]*>)', node, svg)


def told(view: StateView) -> str:
    """A state in words."""
    words = [f"visited {_times(view.visits)}"] if view.visits else []
    words += ["active"] if view.active else []
    words += [duration(view.seconds)] if view.seconds else []
    words += [f"{view.errors} errors"] if view.errors else []
    words += [f"{view.skipped} skipped"] if view.skipped else []
    return ", ".join(words)


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"


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
.never {{color: #868e96}} .failed {{color: #c92a2a}} .active {{font-weight: bold}}
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
        f'<tr class="{look(v)}"><td>{escape(path)}<td class="n">{v.visits or ""}'
        f'<td class="n">{duration(v.seconds) if v.seconds else ""}<td class="n">{v.errors or ""}'
        f"<td>{escape(v.label or '')}\n"
        for path, v in drawn.states.items()
    )
    head = '<tr><th>state<th class="n">visits<th class="n">time<th class="n">errors<th>left by'
    return f"<table>{head}\n{rows}</table>"


def as_json(drawn: Marked) -> dict[str, Any]:
    """What `fsm render --json` says of the marks."""
    return {
        "states": {path: {"class": look(view)} | vars(view) for path, view in drawn.states.items()},
        "edges": drawn.edges,
        "text": drawn.text,
    }
