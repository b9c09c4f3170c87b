"""The shapes of the offline teacher: every kind of function that it can write, by domain."""

from __future__ import annotations

from phases.teacher_generation.offline.shapes.avb import AVB
from phases.teacher_generation.offline.shapes.shape import UNITS, Shape, words
from phases.teacher_generation.offline.shapes.tsn import TSN
from phases.teacher_generation.offline.shapes.vehicle import VEHICLE

SHAPES: dict[str, tuple[Shape, ...]] = {"TSN": TSN, "AVB": AVB, "CARLA": VEHICLE}
"""Domain, as prompts name it, to its shapes."""

__all__ = ["SHAPES", "UNITS", "Shape", "words"]
