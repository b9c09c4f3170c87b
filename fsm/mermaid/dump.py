"""A diagram as plain JSON values, in the form in which Mermaid's own parser is compared with this one."""

from __future__ import annotations

import re
from typing import Any

from fsm.mermaid.model import ROOT, Diagram, Flowchart, StateDecl, StateDiagram

_BREAK = re.compile(r"<br[ \t\n\r\f]*/?>", re.IGNORECASE)


def dump(diagram: Diagram) -> dict[str, Any]:
    """The diagram as JSON values. Positions, comments and diagnostics are left out."""
    return _state_diagram(diagram) if isinstance(diagram, StateDiagram) else _flowchart(diagram)


def _state_diagram(diagram: StateDiagram) -> dict[str, Any]:
    return {
        "direction": diagram.direction,
        "direction_statements": dict(diagram.direction_statements),
        "acc_title": diagram.acc_title,
        "acc_descr": None if diagram.acc_descr is None else _joined(diagram.acc_descr),
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
        "acc_title": diagram.acc_title,
        "acc_descr": None if diagram.acc_descr is None else _joined(diagram.acc_descr),
        "nodes": [
            {
                "id": node.id,
                "label": node.label,
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
                "label": edge.label,
                "arrow": edge.arrow,
                "stroke": edge.stroke,
                "length": edge.length,
                "id": edge.id,
            }
            for edge in diagram.edges
        ],
        "subgraphs": [
            {
                "id": graph.id,
                "title": graph.title,
                "nodes": list(graph.nodes),
                "parent": graph.parent,
                "direction": graph.direction,
                "classes": list(graph.classes),
            }
            for graph in diagram.subgraphs
        ],
        "class_defs": {definition.name: list(definition.styles) for definition in diagram.class_defs},
    }


def _joined(text: str) -> str:
    """Mermaid takes the indentation out of a description of several lines."""
    return re.sub(r"\n[ \t\n\r\f\v]+", "\n", text)


def _as_html(text: str) -> str:
    """A text with `<` in it as a browser would print it back; Mermaid passes such texts through one."""
    if "<" not in text:
        return text
    parts = _BREAK.split(text)
    if any(re.search(r"<[A-Za-z/!?]", part) for part in parts):
        return _BREAK.sub("<br>", text)
    return "<br>".join(part.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for part in parts)
