"""From a diagram to a statechart: owners, composites, entries, exits, forks.

A `Chart` is the drawing with its open questions settled, and nothing more: it is immutable, has no
behaviour, and its digest is the version of the program. States are named by dotted path from the
outermost composite (`EpochN.RequestCorrections.SortByScore`); the end of a composite is `<path>.[*]`, the
end of the whole chart `[*]`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from fsm import mermaid
from fsm.errors import DiagramError
from fsm.mermaid import Flowchart, Source, StateDecl, StateDiagram

T = TypeVar("T")
END = "[*]"
ROOT = ""
DEEPEST = 50  # composites in composites
RESERVED = ".~"  # what paths, and the stacks of paths in a journal, are written with


def join(parent: str, name: str) -> str:
    """The dotted path of `name` inside `parent` (the root is the empty path)."""
    return f"{parent}.{name}" if parent else name


def parent_of(path: str) -> str:
    """The composite a state (or an end) stands in; the root is the empty path."""
    return path.rpartition(".")[0]


def ancestors(path: str) -> list[str]:
    """The composites around a path, innermost first, the root last."""
    out = []
    while path:
        path = parent_of(path)
        out.append(path)
    return out


@dataclass(frozen=True)
class State:
    """One box. `initial` holds the targets of its `[*] -->` edges, in order; empty for a simple state."""

    path: str
    kind: str  # state, composite, region, fork, join, choice
    initial: tuple[str, ...]
    title: str
    line: int
    column: int = 1

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def parent(self) -> str:
        return parent_of(self.path)

    @property
    def composite(self) -> bool:
        return self.kind in ("composite", "region")


@dataclass(frozen=True)
class Edge:
    """One arrow. `target` is a state or an end. A `seen_outside` edge is a crossing edge drawn a second time."""

    source: str
    label: str | None
    target: str
    line: int
    seen_outside: bool = False
    column: int = 1

    @property
    def id(self) -> str:
        """How counts and pictures name the edge: unique in a chart unless drawn twice alike."""
        return f"{self.source} --> {self.target}" + (f" : {self.label}" if self.label else "")

    def under(self, prefix: str) -> Edge:
        """The same edge as the whole chart names it, where this one is of the inside of `prefix`."""
        return replace(self, source=prefix + self.source, target=prefix + self.target)


@dataclass(frozen=True)
class Chart:
    """A drawing, settled. `states` is in the order of the drawing; `initial` are the root's entries.

    `fence` names it in a page that holds it; empty where the file is the drawing.
    """

    name: str
    file: str
    digest: str
    states: Mapping[str, State] = field(repr=False, compare=False)  # the digest says as much
    edges: tuple[Edge, ...] = field(repr=False, compare=False)
    initial: tuple[str, ...]
    out: Mapping[str, tuple[Edge, ...]] = field(repr=False, compare=False)
    remarks: tuple[mermaid.Diagnostic, ...] = field(default=(), repr=False, compare=False)  # of the reader
    fence: str = field(default="", compare=False)

    @property
    def where(self) -> str:
        """How the drawing is found again: its file, with `#fence` in a page."""
        return f"{self.file}#{self.fence}" if self.fence else self.file

    def moves(self, path: str) -> tuple[Edge, ...]:
        """The edges that leave a state, those only drawn a second time from outside left out."""
        return tuple(e for e in self.out.get(path, ()) if not e.seen_outside)

    def children(self, path: str) -> list[State]:
        """The states directly inside a composite (or the root), in the order of the drawing."""
        return [s for s in self.states.values() if s.parent == path]

    def find(self, name: str) -> str:
        """The full path of a state named by its path or, where that is unique, by its last name.

        Raises DiagramError where there is none or more than one.
        """
        if name in self.states:
            return name
        found = [path for path in self.states if path.endswith("." + name)]
        if len(found) == 1:
            return found[0]
        what = f"{len(found)} states ({', '.join(found)})" if found else "no state"
        raise DiagramError(f"{self.file}: {what} named {name!r}; name one of its states by its dotted path.")

    def inside(self, composite: str, name: str) -> Chart:
        """The inside of a composite as a chart of its own: `Validation` run alone.

        Its digest is derived from the whole drawing's: the part is not the same program as the whole.
        """
        path = self.find(composite)
        prefix = path + "."

        def strip(p: str) -> str:
            return p.removeprefix(prefix)

        states = {
            strip(p): replace(s, path=strip(p), initial=tuple(map(strip, s.initial)))
            for p, s in self.states.items()
            if p.startswith(prefix)
        }
        inner = [e for e in self.edges if e.source.startswith(prefix)]
        crossing = [e for e in inner if not e.target.startswith(prefix)]
        if crossing:
            raise DiagramError(
                f"{self.file}:{crossing[0].line}: {path} cannot run alone, for the edge {crossing[0].id!r} leaves "
                "it across its border. End its inside at [*] instead."
            )
        edges = [replace(e, source=strip(e.source), target=strip(e.target)) for e in inner]
        digest = hashlib.sha256(f"{self.digest}/{path}".encode()).hexdigest()
        initial = tuple(map(strip, self.states[path].initial))
        part = _chart(name, self.file, digest, states, edges, initial)
        return replace(part, remarks=self.remarks, fence=self.fence)


def _chart(
    name: str,
    file: str,
    digest: str,
    states: dict[str, State],
    edges: Iterable[Edge],
    initial: tuple[str, ...],
) -> Chart:
    edges = tuple(edges)
    out: dict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        out[edge.source].append(edge)
    frozen = MappingProxyType({p: tuple(es) for p, es in out.items()})
    return Chart(name, file, digest, MappingProxyType(states), edges, initial, frozen)


def load(where: str | Path, name: str | None = None) -> Chart:
    """Read the drawing of a file, or of a page's fence (`page.md#name`), as a chart.

    Raises mermaid.MermaidError where Mermaid's grammar does not fit, DiagramError where it does but the drawing
    cannot be run, and DiagramError where the file cannot be read.
    """
    return of_source(text_at(where), name)


def text_at(where: str | Path) -> Source:
    """The text of the one drawing at a place. Raises MermaidError, and DiagramError where the file cannot be read."""
    return _found(mermaid.find, where)


def texts_at(where: str | Path) -> list[Source]:
    """The texts of all drawings at a place. Raises as `text_at` does."""
    return _found(mermaid.find_all, where)


def _found(find: Callable[[str | Path], T], where: str | Path) -> T:
    try:
        return find(where)
    except OSError as e:
        raise DiagramError(
            f"{where}: the diagram cannot be read ({e.strerror}). Give the path of a .mmd file, or of a page with one in a fence."
        ) from e


def of_source(source: Source, name: str | None = None) -> Chart:
    """A drawing that was found, as a chart. Raises as `load` does."""
    chart = parse(source.text, name or source.name, str(source.file), source.line)
    return replace(chart, fence=source.fence)


def parse(text: str, name: str, file: str = "<text>", first_line: int = 1) -> Chart:
    """Read the text of a drawing as a chart. Raises as `load` does."""
    diagram = mermaid.parse(text, file, first_line)
    digest = hashlib.sha256(text.encode()).hexdigest()
    build = from_states if isinstance(diagram, StateDiagram) else from_flowchart
    chart = build(diagram, name, digest)  # type: ignore[arg-type]
    return replace(chart, remarks=diagram.diagnostics)


def from_flowchart(diagram: Flowchart, name: str, digest: str) -> Chart:
    """A decision flow as a chart: nodes are simple states, the first one drawn is where it begins."""
    if not diagram.nodes:
        raise DiagramError(f"{diagram.file}: the flowchart has no node; there is nothing to run.")
    for n in diagram.nodes:
        _usable(n.id, diagram.file, n.line)
        if n.also_subgraph:
            raise DiagramError(
                f"{diagram.file}:{n.line}: an edge leads to or from the subgraph {n.id}, in which no one can stand. Draw it to or "
                "from a node."
            )
    states = {n.id: State(n.id, "state", (), n.label or n.id, n.line, n.column) for n in diagram.nodes}
    edges = [Edge(e.source, e.label or None, e.target, e.line, column=e.column) for e in diagram.edges]
    return _chart(name, diagram.file, digest, states, edges, (diagram.nodes[0].id,))


def from_states(diagram: StateDiagram, name: str, digest: str) -> Chart:
    """A state diagram as a chart. A state named in two composites belongs to the one that gives it outgoing edges."""
    decls = {s.id: s for s in diagram.states if s.kind not in ("start", "end")}
    for s in decls.values():
        _usable(s.id, diagram.file, s.line)
    owner = _owners(diagram, decls)
    paths: dict[str, str] = {}

    def path_of(state_id: str, seen: tuple[str, ...] = ()) -> str:
        if state_id == "root":
            return ROOT
        if state_id in seen:
            ring = " in ".join((*seen, state_id))
            raise DiagramError(
                f"{diagram.file}: composites stand inside each other: {ring}. Draw one of them outside."
            )
        if len(seen) > DEEPEST:
            raise DiagramError(
                f"{diagram.file}: composites stand more than {DEEPEST} deep in each other. Draw the inner ones in a diagram of their own."
            )
        if state_id not in paths:
            name = state_id.rpartition("__")[2] if decls[state_id].kind == "region" else state_id
            paths[state_id] = join(path_of(owner[state_id], (*seen, state_id)), name)
        return paths[state_id]

    initial: dict[str, list[str]] = defaultdict(list)
    edges: list[Edge] = []
    for t in diagram.transitions:
        scope = path_of(t.scope)
        target = join(scope, END) if t.to_end else path_of(t.target)
        if t.from_start and t.to_end:
            raise DiagramError(
                f"{diagram.file}:{t.line}: [*] leads to [*]: there is nothing to run. Draw a state between."
            )
        if t.from_start:
            initial[scope].append(target)
        else:
            edges.append(Edge(path_of(t.source), t.label, target, t.line, column=t.column))

    for s in decls.values():  # a composite cut into regions is entered in all of them
        if s.kind == "region":
            initial[path_of(owner[s.id])].append(path_of(s.id))
    if len({path_of(s.id) for s in decls.values()}) < len(decls):
        raise DiagramError(
            f"{diagram.file}: a state is named like a region of the composite it stands in. Name it otherwise."
        )
    states = {
        path_of(s.id): State(
            path_of(s.id),
            s.kind,
            tuple(initial.get(path_of(s.id), ())),
            " ".join(s.descriptions) or s.id,
            s.line,
            s.column,
        )
        for s in decls.values()
    }
    return _chart(name, diagram.file, digest, states, _mark_seen_outside(states, edges), tuple(initial[ROOT]))


def _usable(name: str, file: str, line: int) -> None:
    if any(c in name for c in RESERVED):
        raise DiagramError(
            f"{file}:{line}: {name!r} cannot be a state, for paths of states are written with '.' and '~'. Name it without, and say "
            f'what it is called in a description: state "{name}" as ID.'
        )


def _owners(diagram: StateDiagram, decls: Mapping[str, StateDecl]) -> dict[str, str]:
    leaving: dict[str, list[str]] = defaultdict(list)
    for t in diagram.transitions:
        if not t.from_start and t.scope not in leaving[t.source]:
            leaving[t.source].append(t.scope)
    owner = {}
    for s in decls.values():
        scopes = leaving.get(s.id, [])
        if s.kind == "region":
            scopes = []
        if len(scopes) > 1:
            raise DiagramError(
                f"{diagram.file}:{s.line}: {s.id} has outgoing edges in {' and in '.join(scopes)}; a state belongs to one "
                "composite. Draw all its outgoing edges in the same one."
            )
        owner[s.id] = scopes[0] if scopes else (s.parent or "root")
    return owner


def _mark_seen_outside(states: Mapping[str, State], edges: list[Edge]) -> list[Edge]:
    """`Setup --> ModelSetup` beside `LoadEvalPrompts --> LoadGranite8B` is one move, seen from outside."""

    def within(path: str, composite: str) -> bool:
        return path == composite or path.startswith(composite + ".")

    def doubled(edge: Edge) -> bool:
        if edge.source not in states or not states[edge.source].composite or edge.target not in states:
            return False
        return any(
            other.source.startswith(edge.source + ".")
            and within(other.target, edge.target)
            and not within(edge.target, edge.source)
            for other in edges
        )

    return [replace(e, seen_outside=doubled(e)) for e in edges]
