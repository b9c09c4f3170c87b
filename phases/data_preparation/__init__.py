"""Diagram 2: raw C and C++ sources become examples, and these the training and validation splits."""

from __future__ import annotations

from phases.data_preparation.handlers import PHASE

__all__ = ["PHASE"]
