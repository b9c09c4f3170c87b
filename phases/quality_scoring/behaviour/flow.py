"""GCC's warnings of the flow of control: what only shows where the compiler follows it (-O1, -fanalyzer)."""

from __future__ import annotations

from phases.quality_scoring.compiler import Compiler
from phases.quality_scoring.config import QualityScoringConfig
from phases.quality_scoring.diagnosis import unit
from phases.quality_scoring.guard import guard
from phases.quality_scoring.prelude import read_prelude
from phases.quality_scoring.structure import Structure

_FLOW = ("-O1", "-fanalyzer")


def flow_warnings(
    code: str, structure: Structure, compiler: Compiler, config: QualityScoringConfig
) -> tuple[tuple[int | None, str], ...]:
    """(line, message) of what GCC warns of, in the order of the lines; one that says so where it did not come to an end.

    Raises OSError where the compiler cannot be started.
    """
    settings = config.behaviour
    before = read_prelude(config.syntax.prelude).lines(structure, compiler.available)
    text = unit(before, guard(code, compiler.available).text)
    found = compiler.read(text, (*settings.flow, *_FLOW), settings.analyser, follow=True)
    warned = {
        (d.line, f"{d.message} [{d.option}]" if d.option else d.message)
        for d in found.diagnostics
        if d.kind == "warning"
    }
    told: list[tuple[int | None, str]] = sorted(warned)
    if found.failure:
        told.append((None, f"GCC followed the flow no further: {found.failure}"))
    return tuple(told)
