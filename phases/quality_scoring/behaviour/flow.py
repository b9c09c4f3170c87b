"""GCC's warnings of the flow of control: what only shows where the compiler follows it.

Twice: -fanalyzer at -O0, for at -O1 GCC 12 has dropped many a fault before it looks for it (an undefined value is whatever
suits, a leaked block that is only written to is none); and the warnings that need optimisation at -O1.
"""

from __future__ import annotations

from phases.quality_scoring.compiler import Compiler
from phases.quality_scoring.config import QualityScoringConfig
from phases.quality_scoring.diagnosis import unit
from phases.quality_scoring.guard import guard
from phases.quality_scoring.prelude import read_prelude
from phases.quality_scoring.structure import Structure

_READINGS = (("-O0", "-fanalyzer"), ("-O1",))


def flow_warnings(
    code: str, structure: Structure, compiler: Compiler, config: QualityScoringConfig
) -> tuple[tuple[int | None, str], ...]:
    """(line, message) of what GCC warns of, in the order of the lines; one that says so where it did not come to an end.

    Raises OSError where the compiler cannot be started.
    """
    settings = config.behaviour
    before = read_prelude(config.syntax.prelude).lines(structure, compiler.available)
    text = unit(before, guard(code, compiler.available).text)
    told: dict[tuple[int | None, str], None] = {}
    failures: dict[str, None] = {}
    for options in _READINGS:
        found = compiler.read(text, (*settings.flow, *options), settings.analyser, follow=True)
        for d in found.diagnostics:
            if d.kind == "warning":
                told[d.line, f"{d.message} [{d.option}]" if d.option else d.message] = None
        if found.failure:
            failures[f"GCC followed the flow no further: {found.failure}"] = None
    return (*sorted(told, key=lambda f: (f[0] or 0, f[1])), *((None, why) for why in failures))
