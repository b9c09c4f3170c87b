"""The phase that the handlers of Diagram 4 register on."""

from fsm.engine import Phase
from phases.distillation.config import DistillationConfig

PHASE = Phase("distillation", config=DistillationConfig)
