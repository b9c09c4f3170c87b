"""Iterative distillation (Diagram 4): train, answer, score, correct, until it converges."""

from phases.distillation.handlers import PHASE

__all__ = ["PHASE"]
