"""Error recovery (Diagram 8): what is done about an exception, and what the run does then."""

from phases.error_recovery.handlers import PHASE

__all__ = ["PHASE"]
