"""The Mermaid reader: text to diagram, as Mermaid 12.3.0 reads it.

>>> diagram = parse("stateDiagram-v2\\n[*] --> Validation\\nValidation --> [*] : Validation failed\\n")
>>> [(edge.source, edge.target, edge.label) for edge in diagram.transitions]
[('root_start', 'Validation', None), ('Validation', 'root_end', 'Validation failed')]
"""

from fsm.mermaid.dump import dump
from fsm.mermaid.error import MermaidError, OtherKind
from fsm.mermaid.model import (
    ROOT,
    ClassApplication,
    ClassDef,
    Click,
    Comment,
    Diagnostic,
    Diagram,
    Edge,
    Flowchart,
    Node,
    Note,
    StateDecl,
    StateDiagram,
    StyleStatement,
    Subgraph,
    Transition,
)
from fsm.mermaid.pages import SUFFIXES, Source, drawn_in, find, find_all
from fsm.mermaid.reader import parse, read, read_all

__all__ = [
    "ROOT",
    "SUFFIXES",
    "ClassApplication",
    "ClassDef",
    "Click",
    "Comment",
    "Diagnostic",
    "Diagram",
    "Edge",
    "Flowchart",
    "MermaidError",
    "Node",
    "Note",
    "OtherKind",
    "Source",
    "StateDecl",
    "StateDiagram",
    "StyleStatement",
    "Subgraph",
    "Transition",
    "drawn_in",
    "dump",
    "find",
    "find_all",
    "parse",
    "read",
    "read_all",
]
