"""Graphviz' language, written: a drawing as a graph whose composites are clusters."""

from __future__ import annotations

from collections.abc import Iterator

from fsm.exchange.tree import Node

INDENT = "  "


def write(root: Node, name: str) -> str:
    """A drawing as a digraph."""
    lines = [
        f"digraph {_quoted(name)} {{",
        f"{INDENT}compound=true",
        f"{INDENT}node [shape=box, style=rounded]",
        *_scope(root, 1),
        *(f"{INDENT}{line}" for line in _edges(root, _first(root))),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _scope(node: Node, depth: int) -> Iterator[str]:
    pad = INDENT * depth
    if node.initial:
        yield f'{pad}{_quoted(_start(node))} [shape=circle, style=filled, fillcolor=black, width=0.15, label=""]'
    for child in node.children:
        title = child.title or child.name.rpartition(".")[2]
        if child.children:
            yield f"{pad}subgraph {_quoted('cluster_' + child.name)} {{"
            yield f"{pad}{INDENT}label={_quoted('' if child.kind == 'region' else title)}"
            yield f"{pad}{INDENT}style={_quoted('dashed' if child.kind == 'region' else 'rounded')}"
            yield from _scope(child, depth + 1)
            yield f"{pad}}}"
        else:
            shape = {
                "choice": ", shape=diamond",
                "fork": ", shape=box, height=0.05",
                "join": ", shape=box, height=0.05",
            }
            yield f"{pad}{_quoted(child.name)} [label={_quoted(title)}{shape.get(child.kind, '')}]"
    if any(m.target is None for c in node.children for m in c.moves):
        yield f'{pad}{_quoted(_end(node))} [shape=doublecircle, style=filled, fillcolor=black, width=0.12, label=""]'


def _edges(root: Node, first: dict[str, str]) -> Iterator[str]:
    for node in root.walk():
        for name in node.initial:
            yield _edge(_start(node), name, None, first)
        for child in node.children:
            for move in child.moves:
                yield _edge(child.name, _end(node) if move.target is None else move.target, move.label, first)


def _edge(source: str, target: str, label: str | None, first: dict[str, str]) -> str:
    """An arrow; to or from a composite it is drawn to one of its states, and cut at its border."""
    said = {
        "label": label,
        "ltail": f"cluster_{source}" if source in first else None,
        "lhead": f"cluster_{target}" if target in first else None,
    }
    words = ", ".join(f"{key}={_quoted(value)}" for key, value in said.items() if value is not None)
    ends = f"{_quoted(first.get(source, source))} -> {_quoted(first.get(target, target))}"
    return f"{ends} [{words}]" if words else ends


def _first(root: Node) -> dict[str, str]:
    """composite -> a simple state inside it, for arrows to hold on to."""
    found = {}
    for node in root.walk():
        if node.name and node.children:
            found[node.name] = next(n.name for n in node.walk() if not n.children)
    return found


def _start(node: Node) -> str:
    return f"{node.name}/start"


def _end(node: Node) -> str:
    return f"{node.name}/end"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
