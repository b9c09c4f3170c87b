"""Which blocks of an answer are the answer: what belongs together, and what stands beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from phases.quality_scoring.asked import named
from phases.quality_scoring.heaps import Unreadable
from phases.quality_scoring.markdown import Block
from phases.quality_scoring.structure import Structure

_MOST = 64  # blocks that are compared with each other; no answer has as many
_BETTER = re.compile(
    r"\b(?:improved?|corrected|fixed|fix(?:es)? (?:it|this|that)|final(?:ly)?|better|optimi[sz]ed|revised|refined|updated|"
    r"complete|full|whole|putting|together|robust|cleaner|safer|rewritten|instead|actually|wait)\b"
)
_WORSE = re.compile(
    r"\b(?:original|buggy|wrong|incorrect|bad|broken|unsafe|naive|don'?t|do not|never|avoid|before|your code|"
    r"first (?:draft|attempt|version|try)|draft)\b"
)
_EXAMPLE = re.compile(
    r"\b(?:usage|examples?|used?|using|call(?:s|ed|ing)?|tests?|testing|demo(?:nstrat\w+)?|driver|try|main|integrat\w+)\b"
)
_PROGRAM = re.compile(r"\bprogram\b|\bmain\b|\btests?\b|\bexamples?\b", re.IGNORECASE)
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class _Part:
    block: Block

    @cached_property
    def structure(self) -> Structure:
        try:
            return Structure(self.block.code)
        except Unreadable:
            return Structure("")

    @cached_property
    def functions(self) -> frozenset[str]:
        return frozenset(f.name for f in self.structure.functions)

    @property
    def is_code(self) -> bool:
        return self.structure.substance or (bool(self.structure.declared) and not self.structure.faults)

    @cached_property
    def squeezed(self) -> str:
        return _SPACE.sub("", self.block.code)


def choose(found: Sequence[Block], prompt: str) -> list[Block]:
    """The blocks that are the answer to the prompt, in their order.

    Blocks of C; where none has a function, those that say nothing too, if there is code in them. Of these, examples of
    use and earlier or other versions are left out. What stands there twice stays: it is no other version.
    """
    parts = [_Part(b) for b in found if b.code.strip() and b.language in ("c", "")]
    picked = [p for p in parts if p.block.language == "c"]
    if len(parts) == 1:
        return [parts[0].block]
    if len(parts) > _MOST:
        return [p.block for p in picked or parts]
    if not any(p.functions for p in picked):
        picked = [p for p in parts if p.block.language == "c" or p.is_code] or parts
    if len(picked) > 1:
        picked = _without_other_versions(_without_examples(picked, prompt))
    return [p.block for p in picked]


def _without_examples(parts: list[_Part], prompt: str) -> list[_Part]:
    asked, program = named(prompt), bool(_PROGRAM.search(prompt))
    kept = []
    for part in parts:
        others = frozenset[str]().union(*(p.functions for p in parts if p is not part))
        if others and not (part.functions & asked) and _is_example(part, others, program):
            continue
        kept.append(part)
    return kept if any(p.functions for p in kept) else parts


def _is_example(part: _Part, others: frozenset[str], program: bool) -> bool:
    if not part.functions:
        return part.structure.loose
    uses = bool(part.structure.identifiers & (others - part.functions))
    if program or not uses:
        return False
    return "main" in part.functions or bool(_EXAMPLE.search(part.block.before))


def _without_other_versions(parts: list[_Part]) -> list[_Part]:
    """Of blocks that define the same function, one: the first, or the later one that is said to be better or has more."""
    kept: list[_Part] = []
    for part in parts:
        rivals = [p for p in kept if p.functions & part.functions or (p.squeezed in part.squeezed)]
        if not rivals or any(p.squeezed == part.squeezed for p in rivals):
            kept.append(part)
        elif all(_is_better(part, p) for p in rivals):
            kept = [p for p in kept if not any(p is r for r in rivals)]
            kept.append(part)
    return kept


def _is_better(later: _Part, earlier: _Part) -> bool:
    if earlier.functions < later.functions or earlier.squeezed in later.squeezed:
        return True
    if later.functions < earlier.functions:
        return False
    return bool(_BETTER.search(later.block.before) or _WORSE.search(earlier.block.before))
