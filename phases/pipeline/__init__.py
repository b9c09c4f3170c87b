"""The pipeline (Diagram 1): validation, and the phases one after the other."""

from phases.pipeline.handlers import PHASE, VALIDATION

__all__ = ["PHASE", "VALIDATION"]
