"""ProcessFuture of Diagram 3, to walk a call through."""

from __future__ import annotations

from fsm.engine import Walk
from machines.teacher_generation import MACHINE
from phases.teacher_generation import PHASE

INSIDE = "ParallelExecution.ProcessFuture"
_walk = Walk(MACHINE.counted_inside(INSIDE), PHASE, prefix=f"{INSIDE}.")
walk, way = _walk.run, _walk.way
