"""Diagram 9, the convergence decision: one walk an epoch, ended by a decision or by CONTINUE."""

from fsm.engine import Machine
from machines import diagram

MACHINE = Machine(
    "convergence",
    diagram("convergence"),
    ends=("CONVERGED1", "CONVERGED2", "MAXED"),
    bounds={("CONTINUE", None): "distillation.max_epochs"},
)
