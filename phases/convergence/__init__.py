"""The convergence decision (Diagram 9): whether the epoch that ended was the last."""

from phases.convergence.handlers import PHASE

__all__ = ["PHASE"]
