"""Handlers, the kernel and the commit: what a phase plugs in, and the loop that drives it."""

from fsm.engine.context import Context, Given, Result
from fsm.engine.kernel import Kernel, Place
from fsm.engine.limits import RUN, Limit, Retries
from fsm.engine.machine import COUNTED, ELSEWHERE, Detail, Inside, Machine, Verdict, callee
from fsm.engine.observer import Nobody, Observer
from fsm.engine.outcome import Outcome
from fsm.engine.phase import Phase, Registered
from fsm.engine.program import Program, Registry, closure, nearest
from fsm.engine.runner import Runner
from fsm.engine.skeleton import skeleton, whole
from fsm.engine.stop import Stop, StopRequested
from fsm.engine.turns import Turns, in_rotation
from fsm.engine.waiting import Answer, Clock, Waits
from fsm.engine.walk import Walk

__all__ = [
    "COUNTED",
    "ELSEWHERE",
    "RUN",
    "Answer",
    "Clock",
    "Context",
    "Detail",
    "Given",
    "Inside",
    "Kernel",
    "Limit",
    "Machine",
    "Nobody",
    "Observer",
    "Outcome",
    "Phase",
    "Place",
    "Program",
    "Registered",
    "Registry",
    "Result",
    "Retries",
    "Runner",
    "Stop",
    "StopRequested",
    "Turns",
    "Verdict",
    "Waits",
    "Walk",
    "callee",
    "closure",
    "in_rotation",
    "nearest",
    "skeleton",
    "whole",
]
