"""The numbers of Diagram 6. A default is the number drawn; points are signed as they are drawn."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

_WARNING_FLAG = re.compile(r"-W[a-z][a-z0-9=+-]*")


Level = Annotated[float, Field(ge=0, le=10)]
"""A score."""
Points = Annotated[float, Field(ge=-10, le=10)]
"""What is added to a score, or taken off."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Domain(_Section):
    """What tells a prompt of one domain, and what its code is expected to speak of."""

    markers: tuple[str, ...] = Field(
        description="Words of a prompt that name the domain; compared without case."
    )
    keywords: tuple[str, ...] = Field(description="As drawn on the edge out of the domain's keyword state.")


TSN = Domain(
    markers=(
        "tsn", "time-sensitive", "time sensitive", "802.1qbv", "802.1qav", "802.1qbu", "802.1qci", "802.1qcc",
        "802.1cb", "802.1as", "gptp", "frer", "gate control", "time-aware", "credit-based shaper",
    ),
    keywords=("pcp", "vlan", "timestamp", "gate", "priority", "qbv", "qav", "shaper", "gcl", "schedule"),
)  # fmt: skip

AVB = Domain(
    markers=(
        "avb", "audio video bridging", "audio/video bridging", "802.1ba", "ieee 1722", "avtp", "avdecc", "maap",
        "msrp", "crf",
    ),
    keywords=("stream", "sample", "channel", "bandwidth", "srp", "talker", "listener", "reservation"),
)  # fmt: skip


class CompilerLimits(_Section):
    """What the compiler may use on one text; a text that needs more is scored as one it cannot read."""

    cpu_seconds: int = Field(default=5, ge=1, le=3600)
    wall_seconds: float = Field(
        default=10.0, gt=0, le=3600, description="Then its whole process group is killed."
    )
    memory_mb: int = Field(default=512, ge=64, le=10**6, description="Address space, in MiB.")
    output_kb: int = Field(
        default=1024,
        ge=1,
        le=10**6,
        description="Diagnostics read, in KiB; then it is killed and what came counts.",
    )


class SyntaxConfig(_Section):
    """SyntaxCheck."""

    use: Literal["gcc", "heuristic"] = Field(
        default="gcc", description="gcc falls back to the heuristic where there is none."
    )
    compiler: str = Field(default="gcc", description="A command on PATH, or a path.")
    warnings: tuple[str, ...] = Field(
        default=("-Wall", "-Wno-unused-function", "-Wno-unknown-pragmas"),
        description="-W flags only. A function without its caller is how a snippet is, not a fault.",
    )
    limits: CompilerLimits = CompilerLimits()
    prelude: Path | None = Field(
        default=None,
        description="What code out of its project may use undeclared; the prelude.h beside this file by default.",
    )

    clean: Level = 10.0
    one_warning: Level = 9.0
    many_warnings: Level = 7.0
    one_error: Level = 6.0
    many_errors: Level = 5.0
    each_more: float = Field(
        default=-0.5,
        ge=-10,
        le=0,
        description="Each warning (error) after the first, down to the lower number.",
    )
    critical_errors: int = Field(
        default=3, ge=1, le=10**6, description="So many errors of grammar are `Multiple critical errors`."
    )
    critical: Level = 0.0

    heuristic: Level = 7.0
    braces: Points = -2.0
    parens: Points = -2.0
    semicolon: Points = -0.5
    semicolons: Points = Field(default=-2.0, description="The most that missing semicolons take off.")

    @field_validator("warnings")
    @classmethod
    def _only_warnings(cls, flags: tuple[str, ...]) -> tuple[str, ...]:
        for flag in flags:
            if not _WARNING_FLAG.fullmatch(flag):
                raise ValueError(
                    f"{flag!r} is not a -W flag of the compiler; nothing else may be passed to it"
                )
        return flags


class ProtocolConfig(_Section):
    """ProtocolCheck."""

    domains: dict[str, Domain] = {"TSN": TSN, "AVB": AVB}
    full: Level = 10.0
    enough: int = Field(default=3, ge=1, le=1000, description="Distinct keywords that make the full score.")
    missing: Points = -1.5
    unknown: Level = 6.0


class SafetyConfig(_Section):
    """SafetyCheck. Each violation names the functions that it looks for."""

    base: Level = 7.0
    goto: Points = -3.0
    malloc: Points = -2.0
    malloc_functions: tuple[str, ...] = ("malloc", "calloc", "realloc", "aligned_alloc")
    setjmp: Points = -3.0
    setjmp_functions: tuple[str, ...] = (
        "setjmp",
        "sigsetjmp",
        "_setjmp",
        "longjmp",
        "siglongjmp",
        "_longjmp",
    )
    abort: Points = -1.5
    abort_functions: tuple[str, ...] = ("abort", "exit", "_Exit", "_exit", "quick_exit")
    fixed_width: Points = 0.5
    static_const: Points = 0.3
    volatile: Points = 0.2
    recursion: Points = -1.5
    infinite_loop: Points = -2.0


class StyleConfig(_Section):
    """StyleCheck."""

    many: int = Field(default=5, ge=2, le=10**6, description="So many comments are Score8.")
    many_comments: Level = 8.0
    some_comments: Level = 7.0
    no_comments: Level = 5.0
    doxygen: Points = Field(
        default=0.5, description="A Doxygen comment, and each of @brief, @param, @return in one."
    )
    doxygen_most: Level = 2.0
    single_letters: int = Field(default=5, ge=0, le=10**6, description="Single-letter names that pass.")
    names: Points = -1.0
    indentation: Points = -0.5
    repetition: Points = Field(
        default=-1.0, description="Each copy of a function that stands in the text already."
    )


class BehaviourConfig(_Section):
    """BehaviourCheck (added): what the code does, beside that of a reference."""

    use: Literal["wasm", "none"] = Field(
        default="wasm",
        description="wasm takes the extra `behaviour`; where it is not installed nothing is measured.",
    )
    inputs: int = Field(default=96, ge=1, le=10**5, description="Made from the signature, for each function.")
    calls: int = Field(
        default=8, ge=1, le=10**4, description="So many follow each other before everything begins anew."
    )
    least: int = Field(
        default=4,
        ge=1,
        le=10**5,
        description="With fewer inputs that the reference bears nothing is compared.",
    )
    enough: int = Field(
        default=2, ge=1, le=10**5, description="Fewer distinct results of the reference: a weak test."
    )
    fuel: int = Field(
        default=1_000_000,
        ge=1000,
        le=10**12,
        description="Instructions of one call of the reference; others get ten times as many.",
    )
    memory_mb: int = Field(default=4, ge=2, le=1024, description="Of one instance, in MiB.")
    tolerance: float = Field(default=1e-6, ge=0, le=1, description="Floats may differ by so much of them.")
    levels: tuple[tuple[float, Level], ...] = Field(
        default=((0.0, 0.0), (1.0, 10.0)),
        min_length=2,
        description="(share of agreeing inputs, score), rising; between them straight lines.",
    )
    trap: Level = Field(default=0.0, description="Where it traps, or never ends, and the reference does not.")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Of the inputs.")
    compiler: CompilerLimits = CompilerLimits(cpu_seconds=10, wall_seconds=20.0, memory_mb=2048)
    analyser: CompilerLimits = Field(
        default=CompilerLimits(cpu_seconds=5, wall_seconds=10.0, memory_mb=1024),
        description="GCC following the flow (-fanalyzer), where there is no reference.",
    )
    flow: tuple[str, ...] = Field(
        default=(
            "-Wall",
            "-Wextra",
            "-Wmaybe-uninitialized",
            "-Wno-unused-function",
            "-Wno-unused-parameter",
            "-Wno-unknown-pragmas",
        ),
        description="-W flags of that.",
    )

    @field_validator("levels")
    @classmethod
    def _rising(cls, levels: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        if list(levels) != sorted(levels) or levels[0][0] != 0 or levels[-1][0] != 1:
            raise ValueError(f"levels must rise from a share of 0 to a share of 1; they are {levels}")
        return levels


class QualityScoringConfig(_Section):
    """Scores are in [0, 10]; the overall score is their weighted average."""

    syntax: SyntaxConfig = SyntaxConfig()
    protocol: ProtocolConfig = ProtocolConfig()
    safety: SafetyConfig = SafetyConfig()
    style: StyleConfig = StyleConfig()
    behaviour: BehaviourConfig = BehaviourConfig()
    weights: dict[str, float] = Field(
        default={"syntax": 0.30, "protocol": 0.30, "safety": 0.25, "style": 0.15},
        description="By score; a scorer of one's own is a state in the drawing, a handler and a weight here.",
    )
    acceptable: Level = Field(default=7.0, description="An overall score below it needs correction.")
    max_chars: int = Field(
        default=500_000, ge=1, le=10**8, description="A longer text is not read; its score says so."
    )
    workers: int = Field(default=2, ge=1, le=1000, description="Texts scored at once.")

    @field_validator("weights")
    @classmethod
    def _whole(cls, weights: dict[str, float]) -> dict[str, float]:
        if not math.isclose(sum(weights.values()), 1.0, abs_tol=1e-9) or min(weights.values()) < 0:
            raise ValueError(f"the weights must be at least 0 and add up to 1; they are {weights}")
        return weights
