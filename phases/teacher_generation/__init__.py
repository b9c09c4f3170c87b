"""Diagram 3: a teacher answers the prompts that the student is to learn from."""

from __future__ import annotations

from phases.teacher_generation.handlers import PHASE

__all__ = ["PHASE"]
