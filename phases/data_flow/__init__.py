"""Diagram 7, the flow of data: the recorded lineage of a run, held against the drawing and drawn on it."""

from phases.data_flow.lineage import Arrow, Lineage, lineage

__all__ = ["Arrow", "Lineage", "lineage"]
