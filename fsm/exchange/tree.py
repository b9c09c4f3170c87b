"""A drawing as a tree of states, between the formats: what is read from any of them, and written to any of them.

Everything a chart says is in it, and nothing else: where two formats mean different things by what looks alike (a transition of a
composite, which others take at once and a drawing at the end of its inside), their readers bring it into this form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fsm.drawing import ROOT, Chart, Edge, ancestors, is_end, parse
from fsm.errors import FsmError
from fsm.mermaid import MermaidError

INDENT = "    "
MOST_ORDERS = 5  # readings after which the order of the states stays
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAKEN = frozenset(
    {"state", "note", "end", "class", "classdef", "style", "click", "direction", "root", "as", "default"}
)
_QUOTE, _QUOTED = '"', "#quot;"
_CODES = {";": "#59;", "%%": "#37;#37;"}
"""What means something to Mermaid in a text, as it is written there; in a title a quote does too."""


class Unsayable(FsmError):
    """A format cannot say what is to be said in it."""

    code = "F501"


@dataclass(frozen=True)
class Move:
    """An edge. `target` is the name of a state; None is the end of the scope that its state stands in."""

    label: str | None
    target: str | None


@dataclass
class Node:
    """A state, or the whole drawing (the root, whose name is empty).

    `name` tells it from every other one. `kind` is state, composite, region, choice, fork or join; a composite that is cut into
    regions has nothing but regions in it.
    """

    name: str
    title: str = ""
    kind: str = "state"
    initial: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """This node and all below it, in order."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass
class Read:
    """What was read of another format: the tree, what of it a drawing cannot say, and what is the handlers' to do."""

    root: Node
    unsaid: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def tree(chart: Chart) -> Node:
    """The tree of a chart. Edges that are only drawn a second time are left out; one that leads out of a composite and into it again
    leads to where that begins, as other formats have it."""
    nodes = {ROOT: Node("", kind="composite", initial=[_name(p) for p in chart.initial])}
    for path, state in chart.states.items():
        name = _name(path) if state.kind != "region" else path
        title = "" if state.kind == "region" or state.title == name else plain(state.title)
        nodes[path] = Node(name, title, state.kind)
        if state.kind == "composite" and any(s.kind == "region" for s in chart.children(path)):
            continue  # entered in all of its regions
        nodes[path].initial = [_name(p) for p in state.initial]
    for path, state in chart.states.items():
        nodes[state.parent].children.append(nodes[path])
    for edge in chart.edges:
        if not edge.seen_outside:
            target = None if is_end(edge.target) else _name(_again(chart, edge))
            label = None if edge.label is None else plain(edge.label)
            nodes[edge.source].moves.append(Move(label, target))
    return nodes[ROOT]


def _again(chart: Chart, edge: Edge) -> str:
    target = edge.target
    while target in ancestors(edge.source) and len(begins := chart.states[target].initial) == 1:
        (target,) = begins
    return target


def text_of(root: Node, notes: list[str] | None = None) -> str:
    """The tree as a state diagram, one text for one tree. Raises Unsayable where what is read back would be another."""
    ids = _ids(root)
    lines = list(_scope(root, ids, 1, strays(root)))
    back = _read_back(lines)
    for mine, its in _differences(root, back, ids):
        raise Unsayable(f"The drawing cannot be written as Mermaid text: {mine} would be read as {its}.")
    for _ in range(
        MOST_ORDERS
    ):  # states stand in the order in which they are first named: what is read decides
        again = list(_scope(back, _ids(back), 1, strays(back)))
        if again == lines:
            break
        lines, back = again, _read_back(again)
    head = ["stateDiagram-v2", *(f"{INDENT}%% {' '.join(note.split())}" for note in notes or ())]
    return "\n".join([*head, *lines]) + "\n"


def _read_back(lines: list[str]) -> Node:
    try:
        return tree(parse("\n".join(["stateDiagram-v2", *lines]) + "\n", "back"))
    except (FsmError, MermaidError) as e:
        said = e.message if isinstance(e, FsmError) else str(e)
        raise Unsayable(
            f"The drawing cannot be written as Mermaid text: {said.removeprefix('<text>:')}"
        ) from e


def entered(root: Node) -> set[str]:
    """The states that something leads to, or begins in."""
    return {t for n in root.walk() for t in (*n.initial, *(m.target for m in n.moves)) if t is not None}


def strays(root: Node) -> set[str]:
    """The states that nothing leaves and something in another scope leads to: Mermaid has them where they are named last."""
    found = set()
    for scope in root.walk():
        own = {c.name for c in scope.children}
        found |= {
            m.target for c in scope.children for m in c.moves if m.target is not None and m.target not in own
        }
    return found & {n.name for n in root.walk() if not n.moves}


def _scope(node: Node, ids: dict[str, str], depth: int, strays: set[str]) -> Iterator[str]:
    pad = INDENT * depth
    for child in node.children:
        name = ids[child.name]
        title = child.title or (child.name if name != child.name and child.kind != "region" else "")
        if title:
            yield f'{pad}state "{_coded(title).replace(_QUOTE, _QUOTED)}" as {name}'
        if child.kind in ("choice", "fork", "join"):
            yield f"{pad}state {name} <<{child.kind}>>"
        elif child.kind == "composite":
            yield f"{pad}state {name} {{"
            regions = [c for c in child.children if c.kind == "region"]
            for number, region in enumerate(regions or [child]):
                if number:
                    yield f"{pad}{INDENT}--"
                yield from _scope(region, ids, depth + 1, strays)
            yield f"{pad}}}"
        elif not title:
            yield f"{pad}{name}"
    yield from (f"{pad}[*] --> {ids[name]}" for name in node.initial)
    for child in node.children:
        for move in _in_order(child.moves):
            label = f" : {_coded(move.label)}" if move.label is not None else ""
            yield f"{pad}{ids[child.name]} --> {ids[move.target] if move.target is not None else '[*]'}{label}"
    yield from (f"{pad}{ids[child.name]}" for child in node.children if child.name in strays)


def _ids(root: Node) -> dict[str, str]:
    """What each state is called in the text: its own name where Mermaid can read it."""
    found: dict[str, str] = {}
    for node in root.walk():
        name = (
            node.name
            if _ID.fullmatch(node.name)
            else re.sub(r"\W+", "_", node.name, flags=re.ASCII).strip("_")
        )
        if not _ID.fullmatch(name) or name.lower() in _TAKEN:
            name = f"S_{name}".rstrip("_")
        number, unique = 2, name
        while unique in found.values():
            unique, number = f"{name}_{number}", number + 1
        found[node.name] = unique
    return found


def _differences(mine: Node, its: Node, ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What a tree and the one that was read back differ in, in words; the order of states is left open."""
    where = mine.name or "the drawing"
    cut = any(c.kind == "region" for c in mine.children)
    pairs = list(zip(mine.children, its.children, strict=False))
    if not cut:
        named = {child.name: child for child in its.children}
        pairs = [(child, named[ids[child.name]]) for child in mine.children if ids[child.name] in named]
    if len(pairs) < max(len(mine.children), len(its.children)):
        said, read = ([c.name for c in n.children] for n in (mine, its))
        yield f"{where} with {', '.join(said) or 'nothing'}", f"{where} with {', '.join(read) or 'nothing'}"
        return
    initial = [ids[n] for n in mine.initial]
    if initial != its.initial:
        yield (
            f"the start of {where} at {', '.join(initial) or 'none'}",
            f"at {', '.join(its.initial) or 'none'}",
        )
    moves = _in_order(Move(m.label, ids[m.target] if m.target is not None else None) for m in mine.moves)
    if moves != (read_back := _in_order(its.moves)):
        yield f"the edges {_words(moves)} of {where}", _words(read_back)
    for one, other in pairs:
        yield from _differences(one, other, ids)


def _words(moves: list[Move]) -> str:
    return "; ".join(f"{m.label or '(unlabelled)'} to {m.target or '[*]'}" for m in moves) or "none"


def _in_order(moves: Iterable[Move]) -> list[Move]:
    """Those without a label first: formats that keep the two apart do not tell their order."""
    return sorted(moves, key=lambda m: m.label is not None)


def _name(path: str) -> str:
    return path.rpartition(".")[2]


def _coded(text: str) -> str:
    """A text as Mermaid writes it on one line."""
    text = " ".join(text.split())
    text = text.replace(";", "\0")  # first, for the codes have it in them
    for words, code in _CODES.items():
        text = text.replace(words, code)
    return text.replace("\0", _CODES[";"])


def plain(text: str) -> str:
    """A text without Mermaid's codes, on one line."""
    for words, code in (*_CODES.items(), (_QUOTE, _QUOTED)):
        text = text.replace(code, words)
    return " ".join(re.sub(r"\\n|<br ?/?>", " ", text).split())
