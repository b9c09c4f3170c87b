"""How text leaves the process: to where nobody may listen, and without what a terminal would obey."""

from fsm.speech.calling import called, origin, posted
from fsm.speech.outlet import MOST, NOT_READ, PATIENCE, Outlet, spoken, writer
from fsm.speech.standard import CANNOT_WRITE, READER_GONE, emit, finished, out, say, settle, unwritten
from fsm.speech.visible import ESCAPES, one_for_one, stripped, visible

__all__ = [
    "CANNOT_WRITE",
    "ESCAPES",
    "MOST",
    "NOT_READ",
    "PATIENCE",
    "READER_GONE",
    "Outlet",
    "called",
    "emit",
    "finished",
    "one_for_one",
    "origin",
    "out",
    "posted",
    "say",
    "settle",
    "spoken",
    "stripped",
    "unwritten",
    "visible",
    "writer",
]
