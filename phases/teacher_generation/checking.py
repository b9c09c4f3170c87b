"""Whether an answer is worth learning from: code is there, and it compiles, by the states of Diagram 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from fsm.engine import Walk
from phases.quality_scoring import PHASE, QualityScoringConfig, Scoring
from phases.quality_scoring.behaviour import consensus, require
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
    best_by: str = "score"

    @classmethod
    def of(cls, asking: AskingConfig, quality: QualityScoringConfig | None = None) -> Checker:
        """Raises SandboxMissing where answers are to be taken by what they do, and nothing can be run here."""
        found = quality or DEFAULT
        if asking.best_by == "behaviour":
            require(found.behaviour, "teacher_generation.best_by is behaviour")
        if asking.check == "code":  # the compiler is not asked
            found = found.model_copy(update={"syntax": found.syntax.model_copy(update={"use": "heuristic"})})
        return cls(asking.check, asking.best_of, found, asking.best_by)

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

    def agreement(self, texts: Sequence[str], prompt: str) -> list[float]:
        """How far each of several answers does what the others do, in [0, 10]; 0 for all where that is not to decide.

        What none of the others can be compared with is not what most of them do.
        """
        if self.best_by == "score" or len(texts) < 2:
            return [0.0] * len(texts)
        return [found or 0.0 for found in consensus(texts, words(prompt), self.quality.behaviour)]


@lru_cache(maxsize=1)
def _walk() -> Walk:
    from machines.quality_scoring import MACHINE

    return Walk(MACHINE, PHASE)
