"""Diagram 6, quality scoring: walked once for each output. The four violation checks are a fork."""

from fsm.engine import Machine
from machines import diagram

MACHINE = Machine(
    "quality_scoring",
    diagram("quality_scoring"),
    forks=("SafetyCheck.CheckViolations",),
    counted=True,
)
