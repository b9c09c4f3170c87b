"""What a diagram says, as immutable values: the reader makes them and everything above reads them.

Positions are 1-based lines and columns of the text as the author wrote it. A name that Mermaid makes up
(``root_start``, ``Active__region2``) has the position of the ``[*]`` or of the body that caused it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ROOT = "root"

StateKind = Literal["state", "composite", "region", "start", "end", "fork", "join", "choice"]
Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Something Mermaid accepts in silence although the author most likely means something else.

    ``error``: the drawing contradicts itself; ``warning``: what is drawn differs from what is written;
    ``info``: a statement without effect on the drawing.
    """

    severity: Severity
    message: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.severity}: {self.message}"


@dataclass(frozen=True, slots=True)
class Comment:
    """A ``%%`` comment without the marks. ``own_line`` is false behind a statement on the same line."""

    text: str
    line: int
    own_line: bool = True


@dataclass(frozen=True, slots=True)
class ClassDef:
    """``classDef NAME style,style``."""

    name: str
    styles: tuple[str, ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class ClassApplication:
    """``class ID,ID NAME``; ``scope`` is the composite whose body holds the line."""

    ids: tuple[str, ...]
    name: str
    scope: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class StyleStatement:
    """``style ID,ID css``; ``ids`` and ``style`` are the text as written."""

    ids: str
    style: str
    scope: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Click:
    """``click ID "url" "tooltip"``."""

    target: str
    url: str
    tooltip: str
    scope: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Note:
    """A note beside a state. Floating notes are not drawn by Mermaid and are diagnostics instead."""

    state: str
    position: Literal["left of", "right of"]
    text: str
    scope: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class StateDecl:
    """A state and every place that mentions it.

    ``parent`` is the composite (or region) that Mermaid draws it in: the last one that mentions it, or None
    at the top. ``scopes`` are all that mention it, in order, ``"root"`` being the top. ``shape`` is the shape
    Mermaid draws, which differs from the kind where a fork is declared after its first mention; None where a note
    is the first mention, which Mermaid reads and then cannot draw.
    """

    id: str
    kind: StateKind
    parent: str | None
    scopes: tuple[str, ...]
    descriptions: tuple[str, ...]
    line: int
    column: int
    shape: str | None = "rect"
    direction: str | None = None
    classes: tuple[str, ...] = ()
    classes_declared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transition:
    """An edge. ``[*]`` is ``<scope>_start`` as a source and ``<scope>_end`` as a target."""

    source: str
    target: str
    label: str | None
    scope: str
    line: int
    column: int
    from_start: bool = False
    to_end: bool = False


@dataclass(frozen=True, slots=True)
class StateDiagram:
    """A ``stateDiagram`` or ``stateDiagram-v2``. States stand in order of first mention, edges in source order.

    ``direction_statements`` has the last ``direction`` of each scope that has one.
    """

    file: str
    source: str
    title: str | None
    direction: str
    states: tuple[StateDecl, ...]
    transitions: tuple[Transition, ...]
    notes: tuple[Note, ...]
    comments: tuple[Comment, ...]
    class_defs: tuple[ClassDef, ...]
    class_applications: tuple[ClassApplication, ...]
    style_statements: tuple[StyleStatement, ...]
    clicks: tuple[Click, ...]
    direction_statements: tuple[tuple[str, str], ...]
    acc_title: str | None
    acc_descr: str | None
    diagnostics: tuple[Diagnostic, ...]

    def state(self, name: str) -> StateDecl:
        """The state of that id. Raises KeyError."""
        for state in self.states:
            if state.id == name:
                return state
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a flowchart. ``shape`` is None where none is written; ``parent`` is the innermost subgraph.

    ``also_subgraph``: the id is a subgraph's, so this is an edge's end at that subgraph and not a box.
    ``from_metadata``: the label was written in ``@{ label: ... }``.
    """

    id: str
    label: str
    shape: str | None
    parent: str | None
    line: int
    column: int
    label_type: str = "text"
    classes: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    link: str | None = None
    also_subgraph: bool = False
    from_metadata: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge of a flowchart; ``length`` is the number of ranks it spans at least."""

    source: str
    target: str
    label: str | None
    line: int
    column: int
    arrow: str = "arrow_point"
    stroke: str = "normal"
    length: int = 1
    id: str = ""


@dataclass(frozen=True, slots=True)
class Subgraph:
    """``nodes`` are the members as Mermaid keeps them: an id belongs to the first subgraph that closes on it."""

    id: str
    title: str
    nodes: tuple[str, ...]
    parent: str | None
    direction: str | None
    line: int
    column: int
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flowchart:
    """A ``flowchart`` or ``graph``; subgraphs stand in the order in which they close, as in Mermaid."""

    file: str
    source: str
    title: str | None
    direction: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    subgraphs: tuple[Subgraph, ...]
    comments: tuple[Comment, ...]
    class_defs: tuple[ClassDef, ...]
    acc_title: str | None
    acc_descr: str | None
    diagnostics: tuple[Diagnostic, ...]

    def node(self, name: str) -> Node:
        """The node of that id. Raises KeyError."""
        for node in self.nodes:
            if node.id == name:
                return node
        raise KeyError(name)


Diagram = StateDiagram | Flowchart
