"""A diagram as plain JSON values, in the form in which Mermaid's own parser is compared with this one."""

from __future__ import annotations

import html
import re
from typing import Any

from fsm.mermaid.model import ROOT, Diagram, Flowchart, StateDecl, StateDiagram

_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)([^<>]*)>")
_ATTRIBUTE = re.compile(r"""([A-Za-z][\w-]*)(?:=(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
# What the sanitizer lets through, of the tags that stand in labels; the text inside a dropped tag stays.
_ALLOWED = frozenset(
    """
    a abbr b big blockquote center code dd del div dl dt em figure font h1 h2 h3 h4 h5 h6 hr i img ins kbd li
    mark ol p pre q s small span strike strong sub sup svg table tbody td th thead tr tt u ul var
    """.split()  # noqa: SIM905
)
_UNCLOSED = re.compile(r"<[A-Za-z/!?][^>]*$")


def dump(diagram: Diagram) -> dict[str, Any]:
    """The diagram as JSON values. Positions, comments and diagnostics are left out."""
    return _state_diagram(diagram) if isinstance(diagram, StateDiagram) else _flowchart(diagram)


def _state_diagram(diagram: StateDiagram) -> dict[str, Any]:
    return {
        "direction": diagram.direction,
        "direction_statements": dict(diagram.direction_statements),
        "acc_title": _accessible(diagram.acc_title),
        "acc_descr": _accessible(diagram.acc_descr),
        "states": [_state(state) for state in diagram.states],
        "transitions": [
            {"from": edge.source, "to": edge.target, "label": edge.label, "scope": edge.scope}
            for edge in diagram.transitions
        ],
        "notes": [
            {
                "state": note.state,
                "position": note.position,
                "text": _as_html(note.text) if note.scope == ROOT else note.text,
                "scope": note.scope,
            }
            for note in diagram.notes
        ],
        "class_defs": {definition.name: list(definition.styles) for definition in diagram.class_defs},
        "class_applications": [
            {"ids": list(one.ids), "cls": one.name, "scope": one.scope} for one in diagram.class_applications
        ],
        "style_statements": [
            {"ids": one.ids, "style": one.style, "scope": one.scope} for one in diagram.style_statements
        ],
        "clicks": [
            {"id": click.target, "url": click.url, "tooltip": click.tooltip} for click in diagram.clicks
        ],
        "title": diagram.title,
        "multi_scope_states": [state.id for state in diagram.states if len(state.scopes) > 1],
    }


def _state(state: StateDecl) -> dict[str, Any]:
    unlabelled = state.kind in ("start", "end", "region")
    return {
        "id": state.id,
        "kind": state.kind,
        "parent": state.parent,
        "scopes": list(state.scopes),
        "descriptions": list(state.descriptions),
        "rendered_label": None if unlabelled else list(state.descriptions) or [state.id],
        "mermaid_shape": state.shape,
        "direction": state.direction,
        "classes_effective": list(state.classes),
        "classes_declared": list(state.classes_declared),
    }


def _flowchart(diagram: Flowchart) -> dict[str, Any]:
    return {
        "direction": diagram.direction,
        "acc_title": _accessible(diagram.acc_title),
        "acc_descr": _accessible(diagram.acc_descr),
        "nodes": [
            {
                "id": node.id,
                "label": node.label if node.from_metadata else _as_html(node.label),
                "label_type": node.label_type,
                "shape": node.shape,
                "parent": node.parent,
                "classes": list(node.classes),
                "styles": list(node.styles),
                "link": node.link,
                "also_subgraph": node.also_subgraph,
            }
            for node in diagram.nodes
        ],
        "edges": [
            {
                "from": edge.source,
                "to": edge.target,
                "label": None if edge.label is None else _as_html(edge.label),
                "arrow": edge.arrow,
                "stroke": edge.stroke,
                "length": None if edge.arrow == "INVALID" else edge.length,
                "id": edge.id,
            }
            for edge in diagram.edges
        ],
        "subgraphs": [
            {
                "id": graph.id,
                "title": _as_html(graph.title),
                "nodes": list(graph.nodes),
                "parent": graph.parent,
                "direction": graph.direction,
                "classes": list(graph.classes),
            }
            for graph in diagram.subgraphs
        ],
        "class_defs": {definition.name: list(definition.styles) for definition in diagram.class_defs},
    }


def _accessible(text: str | None) -> str | None:
    """A text for screen readers, if there is one; Mermaid takes the indentation out of one of several lines."""
    return None if not text else re.sub(r"\n[ \t\n\r\f\v]+", "\n", _as_html(text))


def _as_html(text: str) -> str:
    """A text with `<` in it as a browser prints it back: Mermaid passes these through its sanitizer."""
    if "<" not in text:
        return text
    parts: list[str] = []
    done = 0
    for tag in _TAG.finditer(text):
        parts += [_escaped(text[done : tag.start()]), _tag(tag)]
        done = tag.end()
    rest = text[done:]
    cut = rest.rfind("<", 0, len(rest))
    if cut != -1 and _UNCLOSED.match(rest, cut):
        rest = rest[:cut]
    return "".join([*parts, _escaped(rest)])


def _escaped(text: str) -> str:
    return html.escape(html.unescape(text), quote=False).replace("\xa0", "&nbsp;")


def _tag(tag: re.Match[str]) -> str:
    slash, name, rest = tag.group(1), tag.group(2).lower(), tag.group(3)
    if name == "br":
        return "<br>"
    if name not in _ALLOWED:
        return ""
    if slash:
        return f"</{name}>"
    attributes = ""
    for found in _ATTRIBUTE.finditer(rest):
        key = found.group(1).lower()
        value = next((value for value in found.groups()[1:] if value is not None), "")
        if not key.startswith("on"):
            attributes += f' {key}="{html.escape(html.unescape(value), quote=False)}"'
    return f"<{name}{attributes}>"
