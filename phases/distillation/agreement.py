"""Which of its own answers a student may learn from, and what it should prefer to what. Rows in, rows out; no model in here.

A student that learns from what it says feeds on its mistakes, unless something but itself chooses. What chooses here is the
compiler, the score, and what the answers do: of several samples the one that most others behave like (self-consistency,
arXiv:2203.11171, by behaviour instead of the words of an answer).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from phases.distillation.config import AcceptConfig
from phases.teacher_generation.teacher import digest
from phases.turns import turns


@dataclass(frozen=True)
class Sample:
    """One answer of the student's.

    overall     in [0, 10]
    syntax      in [0, 10]
    fit         it compiles without a warning, bears the asked name, and runs where it can be run
    likelihood  mean log-probability of its tokens; 0 for an answer kept before, whose tokens are nobody's now
    same        of each sample of this epoch, whether this one does the same; of itself too
    own         its place among the samples of this epoch; None for the answer that was kept before
    """

    text: str
    overall: float
    syntax: float
    fit: bool
    likelihood: float
    same: tuple[bool, ...]
    own: int | None

    @property
    def agreement(self) -> float:
        """The share of this epoch's samples that do the same; itself is one of them."""
        return sum(self.same) / len(self.same)


@dataclass(frozen=True)
class Judged:
    """The samples of one prompt, and the answer that was kept before, where one was."""

    prompt: str
    samples: tuple[Sample, ...]
    before: Sample | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Judged:
        """The inverse of to_json."""

        def sample(found: dict[str, Any]) -> Sample:
            return Sample(**found | {"same": tuple(found["same"])})

        return cls(
            said["prompt"],
            tuple(map(sample, said["samples"])),
            sample(said["before"]) if said["before"] else None,
        )

    def accepted(self, accept: AcceptConfig) -> Sample | None:
        """The answer to keep: of those that may be, the one that most do like; among equals the one kept before, the better
        score, the first."""
        candidates = [s for s in (*self.samples, self.before) if s is not None and acceptable(s, accept)]
        if not candidates:
            return None
        return max(candidates, key=lambda s: (s.agreement, s.own is None, s.overall, -(s.own or 0)))


def acceptable(sample: Sample, accept: AcceptConfig) -> bool:
    """Whether it may be learned from."""
    return sample.fit and sample.overall >= accept.score and sample.agreement > accept.agreement


@dataclass(frozen=True)
class Kept:
    """An answer that is learned from."""

    prompt: str
    sample: Sample

    def row(self, epoch: int) -> dict[str, Any]:
        """As a training row, with the epoch that judged it."""
        said = [*turns(self.prompt), {"role": "assistant", "content": self.sample.text}]
        return {"messages": said, "learned_from": "self", "self_of_epoch": epoch}


def kept(judged: Sequence[Judged], accept: AcceptConfig, most: int) -> list[Kept]:
    """What is learned from, in the order of the prompts: at most `most`, those with the most agreement and the best score."""
    found = [Kept(j.prompt, sample) for j in judged if (sample := j.accepted(accept))]
    best = sorted(found, key=lambda k: (-k.sample.agreement, -k.sample.overall, digest(k.prompt)))
    stay = {k.prompt for k in best[:most]}
    return [k for k in found if k.prompt in stay]


def room(rows: int, share: float) -> int:
    """How many rows may join `rows` so that they are at most `share` of all."""
    return int(rows * share / (1 - share) + 1e-9)


def pairs(judged: Sequence[Judged], accept: AcceptConfig, most: int) -> list[dict[str, Any]]:
    """Of each prompt a right answer and a wrong one, of this epoch's samples: {"prompt", "chosen", "rejected"}.

    Right is what may be learned from; wrong what does something else, or does not compile. Of several wrong ones the
    likeliest, for it is the one to unlearn. The first `most` by the digest of the prompt, in the order of the prompts.
    """
    found = []
    for j in judged:
        right = Judged(j.prompt, j.samples).accepted(accept)
        if right is None:
            continue
        wrong = [s for s, same in zip(j.samples, right.same, strict=True) if not same]
        if wrong:
            worst = max(wrong, key=lambda s: (s.likelihood, -(s.own or 0)))
            found.append({"prompt": j.prompt, "chosen": right.text, "rejected": worst.text})
    stay = set(sorted(digest(p["prompt"]) for p in found)[:most])
    return [p for p in found if digest(p["prompt"]) in stay]
