"""What the parts of a flowchart mean, by Mermaid's rules (`flowDb.ts`, 12.3.0), with a diagnostic for each
that an author would not expect."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from fsm.mermaid.javascript import SPACES
from fsm.mermaid.model import ClassDef, Diagnostic, Edge, Flowchart, Node, Severity, Subgraph
from fsm.mermaid.scan import Token
from fsm.mermaid.shapes import SHAPES
from fsm.mermaid.source import Prepared, decode
from fsm.mermaid.swallowed import in_flow_text
from fsm.mermaid.yaml_text import NotYaml, braces

MAX_EDGES = 500  # Mermaid refuses more unless its page is configured otherwise

_TYPES = {"x": "arrow_cross", "o": "arrow_circle", "<": "arrow_point", ">": "arrow_point"}


class Words(NamedTuple):
    """A text and how it was written: text, string (in quotes) or markdown."""

    text: str
    kind: str


class Link(NamedTuple):
    """An arrow: its own id, its end or whole, its start where text stands inside, and the text."""

    id: str | None
    end: str
    start: str | None
    words: Words | None
    at: int


@dataclass
class _Vertex:
    id: str
    at: int
    label: str
    label_type: str = "text"
    shape: str | None = None
    classes: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    link: str | None = None
    from_metadata: bool = False


@dataclass
class _Group:
    id: str
    at: int
    title: str
    nodes: list[str]
    direction: str | None
    classes: list[str] = field(default_factory=list)


class FlowBuilder:
    """Collects what the parser reads; `build` makes the flowchart of it."""

    def __init__(self, prepared: Prepared) -> None:
        self.acc_title: str | None = None
        self.acc_descr: str | None = None
        self._prepared = prepared
        self._direction = "TB"
        self._vertices: dict[str, _Vertex] = {}
        self._edges: list[Edge] = []
        self._edge_ids: set[str] = set()
        self._between: dict[tuple[str, str], int] = {}
        self._seen: dict[tuple[str, str, str | None], int] = {}
        self._groups: dict[str, _Group] = {}
        self._owner: dict[str, str] = {}
        self._group_count = 0
        self._class_defs: dict[str, ClassDef] = {}
        self._diagnostics: list[Diagnostic] = []

    @property
    def edge_count(self) -> int:
        return len(self._edges)

    def say(self, severity: Severity, at: int, message: str) -> None:
        self._diagnostics.append(Diagnostic(severity, message, *self._prepared.place(at)))

    def _words(self, text: str, at: int) -> None:
        """Say what a text that stands behind `at` swallows."""
        found = self._prepared.text.text.find(text, at)
        for offset, message in in_flow_text(text):
            self.say("warning", found + offset if found >= 0 else at, message)

    def direct(self, way: str) -> None:
        """The direction behind `flowchart`."""
        way = way.strip(SPACES)
        self._direction = {"<": "RL", "^": "BT", ">": "LR", "v": "TB", "TD": "TB"}.get(way, way)

    def remark_direction(self, way: str, token: Token, *, inside: bool) -> None:
        if token.text.split() != ["direction", way]:
            self.say("warning", token.start, f"Mermaid reads this whole line as `direction {way}`")
        if not inside:
            self.say(
                "warning", token.start, "Mermaid ignores `direction` outside a subgraph; write `flowchart LR`"
            )

    def remark_arrow(self, arrow: Token, text: str) -> None:
        """`A---oB` is an edge that ends in a circle, and not one to `oB`."""
        bare = arrow.text.rstrip(SPACES)
        if bare == arrow.text and bare.endswith(("x", "o")) and text[arrow.end : arrow.end + 1].isalnum():
            head = "cross" if bare.endswith("x") else "circle"
            self.say(
                "warning", arrow.start, f"Mermaid takes the {bare[-1]!r} for a {head} at the end of the edge"
            )

    # -- nodes -----------------------------------------------------------------------------------------

    def vertex(self, name: str, at: int, words: Words | None, shape: str | None) -> None:
        """A node where it is named, with its text and shape if they are written there."""
        if name in self._edge_ids:
            if words is not None:
                self.say("warning", at, f"{name!r} is the id of an edge, Mermaid drops the node")
            return
        vertex = self._vertices.get(name)
        if vertex is None:
            vertex = self._vertices[name] = _Vertex(name, at, name)
        if words is not None:
            label = words.text.strip(SPACES)
            self._words(label, at)
            if label.startswith('"') and label.endswith('"'):
                label = label[1:-1]
            if vertex.shape is not None and label != vertex.label:
                self.say("warning", at, f"{name!r} had the text {vertex.label!r}, Mermaid shows the last one")
            vertex.label, vertex.label_type = label, words.kind
            vertex.from_metadata = False
        if shape is not None:
            vertex.shape = shape

    def shape_data(self, name: str, data: str, at: int) -> None:
        """`A@{ shape: diam, label: "..." }`."""
        try:
            values = {key: decode(value) for key, value in braces(data).items()}
        except NotYaml as error:
            raise self._prepared.error(
                at, f"what stands in @{{ }} is not YAML: {error.why}", "key: value"
            ) from None
        if name in self._groups or name in self._edge_ids:
            return
        vertex = self._vertices[name]
        shape = values.get("shape")
        if shape:
            if shape not in SHAPES:
                raise self._prepared.error(at, f"no such shape: {shape}", "the name of a shape in lower case")
            vertex.shape = shape
        if values.get("label"):
            vertex.label = values["label"]
            vertex.from_metadata = True
            kind = values.get("labelType", "markdown")
            vertex.label_type = kind if kind in ("markdown", "string", "text") else "markdown"
        pictured = values.get("icon") or values.get("img")
        if pictured and not values.get("label", "").strip(SPACES) and vertex.label == name:
            vertex.label = ""

    # -- edges -----------------------------------------------------------------------------------------

    def link(self, sources: list[str], targets: list[str], link: Link) -> None:
        """An arrow from each of some nodes to each of others; its own id goes to one of them only."""
        arrow, stroke, length = _arrow(link.end, link.start)
        if arrow == "INVALID":
            self.say(
                "warning", link.at, "the two ends of this edge do not fit together, Mermaid draws no head"
            )
        label = link.words.text.strip(SPACES) if link.words else ""
        self._words(label, link.at)
        if label.startswith('"') and label.endswith('"'):
            label = label[1:-1]
        line, column = self._prepared.place(link.at)
        for source in sources:
            for target in targets:
                mine = source == sources[-1] and target == targets[0]
                name = self._edge_id(source, target, link.id if mine else None)
                self._remark_twice(source, target, label or None, link.at)
                self._edges.append(
                    Edge(source, target, label or None, line, column, arrow, stroke, length, name)
                )
        if len(self._edges) > MAX_EDGES >= len(self._edges) - len(sources) * len(targets):
            self.say(
                "warning", link.at, f"Mermaid refuses more than {MAX_EDGES} edges unless configured otherwise"
            )

    def _edge_id(self, source: str, target: str, wanted: str | None) -> str:
        before = self._between.get((source, target), 0)
        self._between[source, target] = before + 1
        name = wanted
        if not name or name in self._edge_ids:
            name = f"L_{source}_{target}_{before + 1 if before else 0}"
        self._edge_ids.add(name)
        return name

    def _remark_twice(self, source: str, target: str, label: str | None, at: int) -> None:
        key = (source, target, label)
        if key in self._seen:
            line, _ = self._prepared.place(self._seen[key])
            self.say("warning", at, f"the edge {source} --> {target} stands in line {line} already")
        self._seen.setdefault(key, at)

    # -- subgraphs -------------------------------------------------------------------------------------

    def subgraph(self, at: int, name: Words, title: Words, members: list[str], direction: str | None) -> str:
        """A subgraph at its `end`; returns its id, which is made up where the title has a space in it."""
        given = name.text.strip(SPACES)
        if name is title and re.search(f"[{SPACES}]", name.text):
            given = f"subGraph{self._group_count}"
        self._group_count += 1
        nodes = {node: None for node in members if node != given}
        kept = []
        for node in nodes:
            owner = self._owner.get(node)
            if owner is None:
                kept.append(node)
                self._owner[node] = given
            elif owner != given and self._owner.get(owner) != given and owner not in nodes:
                self.say("warning", at, f"{node!r} is in the subgraph {owner!r} already and stays there")
        existing = self._groups.get(given)
        if existing:
            existing.nodes += kept
            self.say("info", at, f"the subgraph {given!r} is written twice, Mermaid joins the two")
        else:
            self._groups[given] = _Group(given, at, title.text.strip(SPACES), kept, direction)
        return given

    # -- styling ---------------------------------------------------------------------------------------

    def style(self, name: str, styles: list[str], at: int) -> None:
        if name not in self._vertices and name not in self._edge_ids:
            self.say("warning", at, f"`style` names {name!r}, which is no node before it; Mermaid draws one")
        self.vertex(name, at, None, None)
        if name in self._vertices:
            self._vertices[name].styles += styles

    def class_def(self, names: str, styles: list[str], at: int) -> None:
        joined = ",".join(styles).replace("\\,", "\0").replace(",", ";").replace("\0", ",")
        line, column = self._prepared.place(at)
        for name in names.split(","):
            earlier = self._class_defs.get(name)
            found = (earlier.styles if earlier else ()) + tuple(joined.split(";"))
            self._class_defs[name] = ClassDef(name, found, line, column)

    def apply_class(self, names: str, name: str, at: int, *, remark: bool = False) -> None:
        for one in names.split(","):
            found = False
            if one in self._vertices:
                self._vertices[one].classes.append(name)
                found = True
            if one in self._groups:
                self._groups[one].classes.append(name)
                found = True
            if remark and not found and one not in self._edge_ids:
                self.say("warning", at, f"`class` names {one!r}, which is no node before it")

    def click(self, names: str, url: str | None, at: int) -> None:
        for name in names.split(","):
            if url is not None and name in self._vertices:
                self._vertices[name].link = _url(url)
            elif name not in self._vertices:
                self.say("warning", at, f"`click` names {name!r}, which is no node before it")
        self.apply_class(names, "clickable", at)

    # -- the whole -------------------------------------------------------------------------------------

    def build(self) -> Flowchart:
        """The flowchart. Call once, at the end."""
        self._remark_cycles()
        prepared = self._prepared
        swallowed = [
            Diagnostic("warning", said, *prepared.places.of(offset)) for offset, said in prepared.swallowed
        ]
        return Flowchart(
            file=prepared.places.file,
            source=prepared.places.source,
            title=prepared.title,
            direction=self._direction,
            nodes=tuple(self._node(vertex) for vertex in self._vertices.values()),
            edges=tuple(self._edges),
            subgraphs=tuple(self._subgraph(group) for group in self._groups.values()),
            comments=prepared.comments,
            class_defs=tuple(self._class_defs.values()),
            acc_title=self.acc_title,
            acc_descr=self.acc_descr,
            diagnostics=tuple(
                sorted([*self._diagnostics, *swallowed], key=lambda one: (one.line, one.column))
            ),
        )

    def _remark_cycles(self) -> None:
        settled: set[str] = set()
        for name in self._groups:
            path: dict[str, None] = {}
            at: str | None = name
            while at is not None and at not in settled and at not in path:
                path[at] = None
                at = self._owner.get(at)
            if at is not None and at in path:
                self.say("error", self._groups[name].at, f"the subgraph {at!r} is inside itself")
            settled.update(path)

    def _node(self, vertex: _Vertex) -> Node:
        line, column = self._prepared.place(vertex.at)
        return Node(
            id=vertex.id,
            label=vertex.label,
            shape=vertex.shape,
            parent=self._owner.get(vertex.id),
            line=line,
            column=column,
            label_type=vertex.label_type,
            classes=tuple(vertex.classes),
            styles=tuple(vertex.styles),
            link=vertex.link,
            also_subgraph=vertex.id in self._groups,
            from_metadata=vertex.from_metadata,
        )

    def _subgraph(self, group: _Group) -> Subgraph:
        line, column = self._prepared.place(group.at)
        return Subgraph(
            id=group.id,
            title=group.title,
            nodes=tuple(group.nodes),
            parent=self._owner.get(group.id),
            direction=group.direction,
            line=line,
            column=column,
            classes=tuple(group.classes),
        )


def _arrow(end: str, start: str | None) -> tuple[str, str, int]:
    """(head, stroke, length) of an arrow as Mermaid's `destructLink` finds them."""
    end = end.strip(SPACES)
    line, head = end[:-1], _TYPES.get(end[-1:], "arrow_open") if end[-1:] != "<" else "arrow_open"
    if head != "arrow_open" and end[0] == {"arrow_cross": "x", "arrow_point": "<", "arrow_circle": "o"}[head]:
        head, line = f"double_{head}", line[1:]
    stroke = {"=": "thick", "~": "invisible"}.get(line[:1], "normal")
    dots = line.count(".")
    if dots:
        stroke = "dotted"
    length = min(dots or len(line) - 1, 10)
    if start is None:
        return head, stroke, length
    start = start.strip(SPACES)
    begin = _TYPES.get(start[0], "arrow_open")
    start_stroke = "dotted" if "." in start else "thick" if "=" in start else "normal"
    if start_stroke != stroke or begin not in ("arrow_open", head):
        return "INVALID", "INVALID", 0
    return (head if begin == "arrow_open" else f"double_{begin}"), stroke, length


def _url(text: str) -> str:
    """A link as Mermaid writes it: a web address has a path, a script has no address."""
    text = text.strip(SPACES)
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    if parts.scheme in ("javascript", "data", "vbscript"):
        return "about:blank"
    if parts.scheme in ("http", "https") and parts.netloc and not parts.path:
        return parts._replace(netloc=parts.netloc.lower(), path="/").geturl()
    return text
