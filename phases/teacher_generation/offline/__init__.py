"""The teacher of a run without a model: kinds of C functions, the prompts that ask for them, and their answers."""

from phases.teacher_generation.offline.prompts import generate
from phases.teacher_generation.offline.teacher import OfflineTeacher

__all__ = ["OfflineTeacher", "generate"]
