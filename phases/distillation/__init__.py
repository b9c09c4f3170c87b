"""Iterative distillation (Diagram 4): train, answer, score, correct, until it converges."""

from phases.distillation import correcting, handlers, self_training  # noqa: F401 - they register the states
from phases.distillation.phase import PHASE

__all__ = ["PHASE"]
