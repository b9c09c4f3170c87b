"""The drawing as a statechart: what was read, as states, moves, composites and the walks through them."""

from fsm.drawing.branches import Apart, Branch, Split, splits
from fsm.drawing.chart import (
    END,
    ROOT,
    Chart,
    Edge,
    State,
    ancestors,
    join,
    load,
    of_source,
    parent_of,
    parse,
    text_at,
    texts_at,
)
from fsm.drawing.flow import Arc, Flow, is_end, leave_by
from fsm.drawing.meeting import Meetings

__all__ = [
    "END",
    "ROOT",
    "Apart",
    "Arc",
    "Branch",
    "Chart",
    "Edge",
    "Flow",
    "Meetings",
    "Split",
    "State",
    "ancestors",
    "is_end",
    "join",
    "leave_by",
    "load",
    "of_source",
    "parent_of",
    "parse",
    "splits",
    "text_at",
    "texts_at",
]
