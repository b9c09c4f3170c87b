"""Drawings in other formats, and machines of other formats as drawings."""

from fsm.exchange import asl, asl_read, dot, scxml, xstate
from fsm.exchange.tree import Move, Node, Read, Unsayable, text_of, tree

__all__ = [
    "Move",
    "Node",
    "Read",
    "Unsayable",
    "asl",
    "asl_read",
    "dot",
    "scxml",
    "text_of",
    "tree",
    "xstate",
]
