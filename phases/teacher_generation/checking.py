"""Whether an answer is worth learning from: code is there, and it compiles, by the states of Diagram 6."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fsm.engine import Walk
from phases.quality_scoring import PHASE, QualityScoringConfig, Scoring
from phases.quality_scoring.scoring import DEFAULT
from phases.teacher_generation.config import AskingConfig
from phases.teacher_generation.teacher import NoText
from phases.turns import words

TURNED_AWAY = frozenset({"prose", "stub", "astray", "uncompiled", "oversized", "refused"})
"""The causes of answers that were given, and are nothing to learn from."""
SHOWN = 200  # characters of the compiler's reason


@dataclass(frozen=True)
class Checker:
    """The check that a configuration asks for."""

    check: str
    best_of: int = 1
    quality: QualityScoringConfig = DEFAULT

    @classmethod
    def of(cls, asking: AskingConfig, quality: QualityScoringConfig | None = None) -> Checker:
        found = quality or DEFAULT
        if asking.check == "code":  # the compiler is not asked
            found = found.model_copy(update={"syntax": found.syntax.model_copy(update={"use": "heuristic"})})
        return cls(asking.check, asking.best_of, found)

    def __call__(self, text: str, prompt: str) -> float:
        """The overall score of an answer by Diagram 6; 0 where it is not needed. Raises NoText, whose cause is in TURNED_AWAY."""
        if self.check == "none" and self.best_of == 1:
            return 0.0
        if len(text) > self.quality.max_chars:
            raise NoText(f"the answer has {len(text)} characters, more than any function", "oversized")
        item = Scoring(text, words(prompt), self.quality)
        _walk().run(item)
        score = item.result
        if self.check == "none":
            return score.overall
        if not item.structure.substance:
            if item.structure.functions:
                raise NoText("the answer holds only functions that do nothing", "stub")
            raise NoText(f"the answer holds no C code: {' '.join(text.split())[:80]!r}", "prose")
        if item.astray:
            raise NoText(
                "the code answers another question: it has none of the names that the prompt asks for",
                "astray",
            )
        if self.check == "compiles" and score.syntax < self.quality.syntax.many_warnings:
            found = "; ".join(r.note for r in score.reasons if r.rule.startswith("SyntaxCheck"))
            raise NoText(f"the code does not compile: {found[:SHOWN]}", "uncompiled")
        return score.overall


@lru_cache(maxsize=1)
def _walk() -> Walk:
    from machines.quality_scoring import MACHINE

    return Walk(MACHINE, PHASE)
