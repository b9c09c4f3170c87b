"""Several answers to one prompt side by side: which may be learned from at all, and which of them do the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phases.distillation.agreement import Judged, Sample
from phases.distillation.report import RIGHT
from phases.quality_scoring import Score, extract
from phases.quality_scoring.behaviour import available, beside
from phases.quality_scoring.behaviour.compile import Program, compiled
from phases.quality_scoring.behaviour.judging import alone, asked_function


class Alike:
    """`texts` for one prompt (its words), with their `scores`; `settings` are the section quality_scoring.

    Where no sandbox is installed, only the same code does the same, and nothing is run.
    """

    def __init__(self, texts: Sequence[str], prompt: str, settings: Any, scores: Sequence[Score]) -> None:
        self.texts, self.scores = list(texts), list(scores)
        self._prompt, self._settings = prompt, settings
        self._runs = available(settings.behaviour)
        self._code = [" ".join(extract.code(text, prompt).split()) for text in texts]

    def judged(self, prompt: str, likelihoods: Sequence[float]) -> Judged:
        """The samples of the prompt (as it is spelt), as many as there are likelihoods; an answer behind them is the one that was
        kept before."""
        number = len(likelihoods)
        found = [
            Sample(
                text,
                score.overall,
                score.syntax,
                self.fit(place),
                likelihoods[place] if place < number else 0.0,
                tuple(self.same(place, other) for other in range(number)),
                place if place < number else None,
            )
            for place, (text, score) in enumerate(zip(self.texts, self.scores, strict=True))
        ]
        return Judged(prompt, tuple(found[:number]), found[number] if len(found) > number else None)

    def fit(self, place: int) -> bool:
        """Whether an answer compiles without a warning, bears the name that is asked for, and runs where it can be run."""
        if self.scores[place].syntax < self._settings.syntax.clean:
            return False
        code = extract.code(self.texts[place], self._prompt)
        if asked_function(code, self._prompt) is None:
            return False
        return not self._runs or self._bears(place)

    def _bears(self, place: int) -> bool:
        """Whether it bears enough inputs to be compared with itself; true of what cannot be run at all, of which nobody can tell.

        Not all inputs: honest code has its contracts, too, and traps at the ends of an `int`.
        """
        text, settings = self.texts[place], self._settings.behaviour
        code = extract.code(text, self._prompt)
        program = compiled(code, asked_function(code, self._prompt) or "", settings)
        if not isinstance(program, Program) or not alone(program, settings).findings:
            return True
        return beside(text, text, self._prompt, settings, stand_ins=False).score is not None

    def same(self, one: int, other: int) -> bool:
        """Whether two of them do the same. One that calls what it has made up does nothing that another could do too."""
        if self._code[one] == self._code[other]:
            return True
        if not self._runs:
            return False
        texts, settings = (self.texts[one], self.texts[other]), self._settings.behaviour
        found = beside(*texts, self._prompt, settings, stand_ins=False)
        return found.score is not None and found.score >= RIGHT
