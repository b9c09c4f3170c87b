"""Whom to ask: of many prompts that no teacher was asked, those of which an answer teaches most. No model in here.

Asked is where the student is bad *and* unsure (uncertainty sampling; Settles, Active Learning Literature Survey, 2009,
sections 3.1 and 3.2), and of two alike prompts only one (density; ibid., 3.6): the first answer tells most of the second.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from phases.distillation.agreement import Judged, acceptable
from phases.distillation.config import AcceptConfig
from phases.distillation.corrections import Poor
from phases.teacher_generation.teacher import digest
from phases.turns import words

_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Need:
    """How much a prompt needs a teacher.

    badness  in [0, 1]: what its answers lack to a score of 10
    doubt    in [0, 1]: the mean of how far its samples disagree and how unlikely the student finds what it says
    """

    prompt: str
    badness: float
    doubt: float

    @property
    def total(self) -> float:
        """Both together: a prompt that is answered badly and with doubt is before one that is only either."""
        return self.badness + self.doubt


def need(judged: Judged) -> Need:
    """How much the prompt of these samples needs a teacher."""
    samples = judged.samples
    unlikely = 1 - math.exp(mean(s.likelihood for s in samples))
    apart = 1 - mean(s.agreement for s in samples)
    return Need(judged.prompt, 1 - mean(s.overall for s in samples) / 10, (apart + unlikely) / 2)


def unsure(judged: Sequence[Judged], accept: AcceptConfig, most: int) -> list[Poor]:
    """The prompts to ask about, the neediest first, spread over what they ask for.

    Not those that the student answers acceptably by itself. One after another is taken: the neediest, where what is alike to
    one taken already counts for as much less.
    """
    open_ = {j.prompt: j for j in judged if not any(acceptable(s, accept) for s in j.samples)}
    left = {prompt: need(j).total for prompt, j in open_.items()}
    said = {prompt: _words(prompt) for prompt in left}
    order = sorted(left, key=digest)  # among equals
    near = dict.fromkeys(order, 0.0)
    taken: list[str] = []
    while len(taken) < most and len(taken) < len(order):
        chosen = max((p for p in order if p in left), key=lambda p: left[p] * (1 - near[p]))
        taken.append(chosen)
        del left[chosen]
        for prompt in left:
            near[prompt] = max(near[prompt], alike(said[prompt], said[chosen]))
    return [
        Poor(p, mean(s.overall for s in open_[p].samples), mean(s.syntax for s in open_[p].samples))
        for p in taken
    ]


def alike(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of words that both have, in [0, 1] (Jaccard)."""
    return len(one & other) / len(one | other) if one or other else 1.0


def _words(prompt: str) -> frozenset[str]:
    """Its words, names taken apart, numbers left out: what is asked for with other numbers is the same."""
    found: Iterable[str] = _WORD.findall(words(prompt).lower())
    return frozenset(found)
