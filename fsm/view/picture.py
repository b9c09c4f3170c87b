"""The picture of a drawing, drawn by Mermaid once, and then only marked.

A base is drawn anew for a drawing that was never drawn before. It is looked for in `pictures/` beside the drawing, where
it may be shipped, then in the user's cache, both by the digest of the text and of what draws it. Marking puts classes on
its states and edges, numbers beside them and a legend below, and takes a few milliseconds whatever was drawn.

Classes of a state: fsm-active, fsm-visited, fsm-failed or fsm-never; of an edge: fsm-taken, fsm-nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from math import dist
from pathlib import Path
from typing import Any, TypeVar
from xml.sax.saxutils import escape

from fsm import drawing, mermaid
from fsm.drawing import Chart
from fsm.engine import Machine
from fsm.errors import FsmError
from fsm.mermaid import Flowchart, Source, StateDiagram
from fsm.speech import say
from fsm.view import marking, mermaid_draw, palette
from fsm.view import svg as pictures
from fsm.view.durations import duration
from fsm.view.mend import mend
from fsm.view.projection import StateView
from fsm.view.scene import Box, Label, Line, scene

T = TypeVar("T")

EDITION = "1"
"""Counted up when the same text is drawn otherwise: by the shield, the configuration, the sieve or the mending."""

SIGNED = re.compile(
    r'<svg data-source-sha256="([0-9a-f]{64})" data-mermaidx="([^"]+)" data-edition="([^"]+)" '
)
GROUP = re.compile(r'<g [^>]*?\bid="([^"]*)"[^>]*?(/?)>')
LINE = re.compile(r'<path [^>]*?\bdata-id="edge(\d+)"[^>]*?/>')
CLASS = re.compile(r'\bclass="([^"]*)')
LONG = 200  # lines of a drawing whose picture is waited for
LETTER = 6.9  # points wide that a character of a number is taken for
WORD = 8.4  # and one of the legend
ROW = 20  # points from one line of the legend to the next
SHORT = 36.0  # points of a line that its own count would hide
HEAD = 18.0  # points that the head of an arrow and a count are apart
NARROWEST = 460.0  # points that a legend needs

Put = tuple[int, int, str]  # what stands between two places of the picture instead of what does


@dataclass(frozen=True)
class Picture:
    """A drawing as SVG, without marks.

    states   path of a state -> the id of its group
    edges    id of an edge of the chart -> k, of `data-id="edge<k>"`
    entries  path of a state -> the k of the arrows out of `[*]` that lead to it
    boxes    path of a state -> (x, y, width, height) in points of the picture
    counts   k -> (x, y) of the middle of where its count stands
    view     (x, y, width, height) of the whole
    digest   of the text and of what drew it
    """

    name: str
    svg: str
    states: Mapping[str, str]
    edges: Mapping[str, int]
    entries: Mapping[str, tuple[int, ...]]
    boxes: Mapping[str, tuple[float, float, float, float]]
    counts: Mapping[int, tuple[float, float]]
    composites: frozenset[str]
    view: tuple[float, float, float, float]
    digest: str
    _groups: Mapping[str, tuple[int, int]] = field(repr=False, default_factory=dict)
    _lines: Mapping[int, tuple[int, int]] = field(repr=False, default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """What a page needs to mark it, the SVG aside: the fields above as JSON has them."""
        return {
            "name": self.name,
            "digest": self.digest,
            "view": list(self.view),
            "states": dict(self.states),
            "edges": dict(self.edges),
            "entries": {path: list(ks) for path, ks in self.entries.items()},
            "boxes": {path: list(box) for path, box in self.boxes.items()},
            "counts": {str(k): list(at) for k, at in self.counts.items()},
        }


def base(machine: Machine) -> Picture:
    """The picture of a machine's drawing, by the paths and ids of its chart.

    A part of a drawing run alone is drawn on the whole. Raises MermaidError, DiagramError, DrawingError.
    """
    where = machine.chart.where
    found, whole = of_file(where), drawing.load(where)
    prefix = marking.prefix_of(machine.chart, whole)
    if not prefix:
        return found

    def own(found: Mapping[str, T]) -> dict[str, T]:
        return {path.removeprefix(prefix): value for path, value in found.items() if path.startswith(prefix)}

    inside = {
        replace(
            e, source=e.source.removeprefix(prefix), target=e.target.removeprefix(prefix)
        ).id: found.edges[e.id]
        for e in whole.edges
        if e.source.startswith(prefix) and e.id in found.edges
    }
    return replace(
        found,
        states=own(found.states),
        edges=inside,
        entries=own(found.entries),
        boxes=own(found.boxes),
        composites=frozenset(own(dict.fromkeys(found.composites))),
        _groups=own(found._groups),
    )


def of_file(where: str | Path) -> Picture:
    """The picture of a drawing, by the paths and ids of the whole of it. Raises as `base` does."""
    source = marking.source_at(where)
    return _read(_svg(source), source)


def drawn(text: str, name: str, file: str = "<text>") -> str:
    """Have Mermaid draw a text, and return the base: mended, signed with its source, ready to be marked.

    Raises MermaidError, DrawingError.
    """
    lines = text.count("\n")
    if lines > LONG:
        say(
            f"Mermaid draws {file}, which may take minutes for its {lines} lines; the picture is kept for the next time."
        )
    plain = mermaid_draw.draw(text, name, file, mermaid_draw.SECONDS + lines)
    root = ET.fromstring(plain)
    _number(root, mermaid.parse(text, file))
    mend(root, _ends(mermaid.parse(text, file)))
    for style in root.iter(f"{pictures.SVG}style"):
        style.text = (style.text or "") + palette.style(root.get("id", ""))
        break
    return _signed(pictures.text(root), text)


def digest(text: str) -> str:
    """Of a text and of what draws it."""
    return hashlib.sha256(f"{package()} {EDITION}\n{text}".encode()).hexdigest()


def package() -> str:
    """The version of the package that draws; empty where it is not installed."""
    try:
        return version("mermaidx")
    except PackageNotFoundError:
        return ""


def source_digest(text: str) -> str:
    """SHA-256 of a diagram's text, by which a picture names its source."""
    return hashlib.sha256(text.encode()).hexdigest()


# Where it comes from


@lru_cache(maxsize=64)
def _svg(source: Source) -> str:
    name, text = source.name, source.text
    beside = source.file.parent / "pictures" / f"{name}.svg"
    kept = _cache() / f"{pictures.identifier(name)[:80]}-{digest(text)[:32]}.svg"
    for place in (beside, kept):
        with contextlib.suppress(OSError, UnicodeDecodeError, pictures.NoPicture):
            svg = place.read_text("utf-8")
            signed = signature(svg)
            # without the package any of its versions will do: there is nobody to draw it better
            if signed and signed == (source_digest(text), package() or signed[1], EDITION):
                return pictures.sieved(svg, name)
    svg = drawn(text, name, source.where)
    with contextlib.suppress(
        OSError
    ):  # a cache that cannot be written costs the time of drawing, and no more
        _keep(kept, svg)
    return pictures.sieved(svg, name)


def signature(svg: str) -> tuple[str, str, str] | None:
    """The source, package and edition that a picture says it is of; None where it does not."""
    found = SIGNED.match(svg)
    return (found[1], found[2], found[3]) if found else None


def _signed(svg: str, text: str) -> str:
    said = (
        f'<svg data-source-sha256="{source_digest(text)}" data-mermaidx="{package()}" '
        f'data-edition="{EDITION}" '
    )
    return svg.replace("<svg ", said, 1).rstrip("\n") + "\n"


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "fsm" / "pictures"


def _keep(place: Path, svg: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.parent, suffix=".new")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(svg)
    Path(name).replace(place)


def _number(root: ET.Element, diagram: StateDiagram | Flowchart) -> None:
    """Give the edges of a flowchart the numbers that those of a state diagram have: by their place in the text."""
    if isinstance(diagram, StateDiagram):
        return
    seen: dict[tuple[str, str], int] = {}
    numbers = {}
    for k, edge in enumerate(diagram.edges):
        n = seen[edge.source, edge.target] = seen.get((edge.source, edge.target), -1) + 1
        numbers[f"L_{edge.source}_{edge.target}_{n}"] = f"edge{k}"
    for element in root.iter():
        if (own := element.get("data-id")) in numbers:
            element.set("data-id", numbers[str(own)])


def _ends(diagram: StateDiagram | Flowchart) -> Iterable[tuple[str, str, str]]:
    if isinstance(diagram, StateDiagram):
        numbers = marking.numbers_of(diagram)
        return [(f"edge{numbers[i]}", t.source, t.target) for i, t in enumerate(diagram.transitions)]
    return [(f"edge{k}", e.source, e.target) for k, e in enumerate(diagram.edges)]


# What is where


def _read(svg: str, source: Source) -> Picture:
    whole = _chart(source)
    root = ET.fromstring(svg)
    seen = scene(root)
    composites = {c.name: c.element.get("id", "") for c in seen.clusters}
    ids = {n.name: n.element.get("id", "") for n in seen.nodes if n.name} | composites
    paths = {p: p.rpartition(".")[2] for p in (whole.states if whole else ())}
    states = {p: ids[name] for p, name in paths.items() if name in ids}
    read = mermaid.parse(source.text, str(source.file), source.line)
    edges, entries = _arrows(read, whole, paths)
    counts = {}
    for data, line in seen.lines.items():
        if data.startswith("edge") and data[4:].isdigit():
            counts[int(data[4:])] = _beside(line, seen.labels.get(data))
    spots = {m[1]: _spot(svg, m) for m in GROUP.finditer(svg)}
    return Picture(
        name=source.name,
        svg=svg,
        states=states,
        edges=edges,
        entries=entries,
        boxes={p: _measures(box) for p, name in paths.items() if (box := seen.box(name))},
        counts=counts,
        composites=frozenset(p for p, name in paths.items() if name in composites),
        view=_measures(seen.size),
        digest=digest(source.text),
        _groups={p: spots[id_] for p, id_ in states.items() if id_ in spots},
        _lines={int(m[1]): _spot(svg, m) for m in LINE.finditer(svg)},
    )


def _beside(line: Line, label: Label | None) -> tuple[float, float]:
    """Where the count of a line stands: below its label, or on it; beside either where it would hide the head."""
    if label is None:
        x, y = line.at(0.45)
        x += 0 if line.length > SHORT else HEAD
    else:
        x, y = label.box.middle[0], label.box.y1 + 5
        if dist(line.points[-1], (x, y)) < HEAD:
            x, y = label.box.x1 + 10, label.box.middle[1]
    return round(x, 1), round(y, 1)


def _chart(source: Source) -> Chart | None:
    """The drawing as a statechart, by which its parts are known; None for one that is a picture only."""
    try:
        return drawing.of_source(source)
    except FsmError:
        return None


def _measures(box: Box) -> tuple[float, float, float, float]:
    return round(box.x0, 1), round(box.y0, 1), round(box.width, 1), round(box.height, 1)


def _arrows(
    diagram: StateDiagram | Flowchart, whole: Chart | None, paths: Mapping[str, str]
) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    if whole is None:
        return {}, {}
    if not isinstance(diagram, StateDiagram):
        return {edge.id: k for k, edge in enumerate(whole.edges)}, {}
    numbers = marking.numbers_of(diagram)
    moves = [numbers[i] for i, t in enumerate(diagram.transitions) if not t.from_start]
    into: dict[str, list[int]] = {}
    for i, t in enumerate(diagram.transitions):
        if t.from_start:
            into.setdefault(t.target, []).append(numbers[i])
    edges = {edge.id: k for edge, k in zip(whole.edges, moves, strict=False)}
    return edges, {p: tuple(into[name]) for p, name in paths.items() if name in into}


def _spot(svg: str, found: re.Match[str]) -> tuple[int, int]:
    """Where a class is added to a tag, and where the tag ends."""
    classes = CLASS.search(svg, found.start(), found.end())
    return (classes.end() if classes else -1), found.end()


# Marking


def mark(
    picture: Picture,
    states: Mapping[str, StateView],
    edges: Mapping[str, int],
    said: str = "",
) -> str:
    """The picture with what a run did: `edges` are counts by id, `said` a sentence below the picture."""
    puts: list[Put] = []
    badges: list[str] = []
    for path, view in states.items():
        if path not in picture._groups:
            continue
        look = marking.look(view)
        classes, end = picture._groups[path]
        told = marking.told(view) or palette.LOOKS["never"].says
        title = f"<title>{escape(f'{path}: {told}')}</title>"
        puts += [(classes, classes, f" fsm-{look}"), (end, end, title)]
        if words := _badge(look, view):
            badges.append(_state_badge(picture, path, look, words))
    taken = {picture.edges[e]: n for e, n in edges.items() if n and e in picture.edges}
    entered = {k for path, ks in picture.entries.items() if _entered(states.get(path)) for k in ks}
    for k in sorted({*taken, *entered}):
        n = taken.get(k)
        puts += _on_line(picture, k, "fsm-taken", f"taken {marking.times(n)}" if n else "")
        if n and k in picture.counts:
            badges.append(_pill(*picture.counts[k], f"{n}×", "fsm-count"))
    return _finished(picture, puts, badges, _legend(said))


def mark_flow(picture: Picture, said: Mapping[int, str], nothing: Iterable[int], words: str = "") -> str:
    """The picture of a flow with what went along its arrows: `said` in words by k, `nothing` those along which none did."""
    without = set(nothing)
    puts: list[Put] = []
    badges: list[str] = []
    for k, text in said.items():
        puts += _on_line(picture, k, "fsm-nothing" if k in without else "fsm-taken", text)
        if k in picture.counts:
            badges.append(_pill(*picture.counts[k], text, "fsm-count"))
    rows = [words] if words else []
    return _finished(picture, puts, badges, [*rows, "green: went along here · dashed: nothing did"])


def _entered(view: StateView | None) -> bool:
    return view is not None and bool(view.visits or view.active)


def _on_line(picture: Picture, k: int, name: str, title: str) -> list[Put]:
    if k not in picture._lines:
        return []
    classes, end = picture._lines[k]
    puts = [(classes, classes, f" {name}")]
    if title:
        start = end - 3 if picture.svg[end - 3] == " " else end - 2
        puts.append((start, end, f"><title>{escape(title)}</title></path>"))
    return puts


def _badge(look: str, view: StateView) -> str:
    mark = palette.LOOKS[look].mark
    if look == "never":
        return ""
    words = [f"{mark} {view.visits}×" if view.visits else mark]
    words += [duration(view.seconds)] if view.seconds >= 0.001 else []
    words += [f"{view.errors} err"] if view.errors else []
    return " ".join(words)


def _state_badge(picture: Picture, path: str, look: str, words: str) -> str:
    x, y, width, _ = picture.boxes[path]
    wide = len(words) * LETTER + 8
    if path in picture.composites:
        return _pill(x + width - wide / 2 + 4, y - 4, words, f"fsm-{look}")
    right = max(
        x + width + 8, x + width / 2 + 8 + wide
    )  # the arrow that arrives in the middle stays in sight
    return _pill(right - wide / 2, y - 1, words, f"fsm-{look}")


def _pill(x: float, y: float, words: str, name: str) -> str:
    wide = len(words) * LETTER + 8
    return (
        f'<g class="fsm-badge {name}"><rect x="{x - wide / 2:.1f}" y="{y - 8:.1f}" width="{wide:.1f}" height="16" rx="8"/>'
        f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{escape(words)}</text></g>'
    )


def _legend(said: str) -> list[str]:
    marks = [
        f"{look.mark} {look.says}" if look.mark else f"dashed: {look.says}" for look in palette.LOOKS.values()
    ]
    return [*([said] if said else []), " · ".join([*marks, "green line, n×: taken, how often"])]


def _finished(picture: Picture, puts: list[Put], badges: list[str], rows: list[str]) -> str:
    svg = picture.svg
    pieces, at = [], 0
    for start, end, text in sorted((put for put in puts if put[0] >= 0), key=lambda put: put[0]):
        pieces += [svg[at:start], text]
        at = end
    pieces.append(svg[at:].rstrip().removesuffix("</svg>"))
    x, y, width, height = picture.view
    wide = max(width, NARROWEST)
    lines = [part for row in rows for part in textwrap.wrap(row, int((wide - 20) / WORD))]
    texts = "".join(
        f'<text x="{x + 10:g}" y="{y + height + 24 + ROW * i:g}">{escape(line)}</text>'
        for i, line in enumerate(lines)
    )
    pieces += [*badges, f'<g class="fsm-legend">{texts}</g></svg>\n']
    head, rest = pieces[0].split(">", 1)
    head = _resized(head, wide, height + 16 + ROW * len(lines))
    return "".join([f"{head}><desc>{escape(' '.join(rows))}</desc>{rest}", *pieces[1:]])


def _resized(head: str, width: float, height: float) -> str:
    """The opening tag with room for what was added below."""
    head = re.sub(r' width="[^"]*"', f' width="{width:g}"', head, count=1)
    head = re.sub(r' height="[^"]*"', f' height="{height:g}"', head, count=1)
    return re.sub(r' viewBox="(\S+) (\S+) [^"]*"', rf' viewBox="\1 \2 {width:g} {height:g}"', head, count=1)
