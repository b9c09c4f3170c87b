"""From poor outputs to training rows: sorted, capped, gated, appended. Text in, text out; no model in here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phases.quality_scoring import Behaviour
from phases.teacher_generation.teacher import digest
from phases.turns import before_answer, turns

_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Poor:
    """An output that needs correction, with its scores in [0, 10]."""

    prompt: str
    overall: float
    syntax: float


@dataclass(frozen=True)
class Refused:
    """A correction that is not learned from, and why."""

    prompt: str
    reason: str


def poor(scored: Iterable[Mapping[str, Any]], below: float) -> list[Poor]:
    """FilterPoor: those below the threshold, in the order they come. Rows have prompt, overall and syntax."""
    return [Poor(r["prompt"], r["overall"], r["syntax"]) for r in scored if r["overall"] < below]


def worst_first(found: Iterable[Poor]) -> list[Poor]:
    """SortByScore: by score, and among equals by the digest of the prompt, so that the order is one."""
    return sorted(found, key=lambda p: (p.overall, digest(p.prompt)))


def gate(
    found: Poor, answer: str, overall: float, syntax: float, compiles_at: float, better: bool = True
) -> Refused | None:
    """Why a correction is not to be learned from; None when it is better than what it corrects and compiles.

    It need not be `better` where it was asked for out of doubt: a wrong answer can have the better form.
    """
    if not answer.strip():
        return Refused(found.prompt, "the correction is empty")
    if syntax < compiles_at:
        return Refused(found.prompt, f"the correction does not compile (syntax {syntax:.1f})")
    if better and overall <= found.overall:
        return Refused(
            found.prompt,
            f"the correction scores {overall:.2f}, no better than the output's {found.overall:.2f}",
        )
    return None


def behaves(found: Poor, behaviour: Behaviour, least: float) -> Refused | None:
    """Why a correction is not to be learned from for what it does; None when it does what it should, or nobody can tell."""
    if behaviour.score is not None and behaviour.score < least:
        return Refused(
            found.prompt, f"the correction behaves wrongly ({behaviour.score:.2f}): {behaviour.reason}"
        )
    failed = [note for line, note in behaviour.findings if line is None and behaviour.inputs]
    if behaviour.score is None and failed:
        return Refused(found.prompt, f"the correction does not bear its inputs: {failed[0]}")
    return None


def row(prompt: str, answer: str, epoch: int) -> dict[str, Any]:
    """FormatAsTraining: a correction as a training row, with the epoch it is of."""
    said = [*turns(prompt), {"role": "assistant", "content": answer}]
    return {"messages": said, "learned_from": "correction", "correction_of_epoch": epoch}


def append(
    rows: Sequence[Mapping[str, Any]], corrections: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], list[Refused]]:
    """AppendToDataset: (the grown set, what was there already and did not enter).

    A duplicate has the same prompt and the same answer, white space aside.
    """
    seen = {_identity(r) for r in rows}
    grown = list(rows)
    duplicates = []
    for correction in corrections:
        identity = _identity(correction)
        if identity in seen:
            duplicates.append(Refused(before_answer(correction), "the set holds it already"))
            continue
        seen.add(identity)
        grown.append(correction)
    return grown, duplicates


def merge(raw: Sequence[Mapping[str, Any]], teacher: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Both sets as one: the teacher's row where both have a prompt, duplicates once, in a fixed order."""
    answered = {before_answer(r) for r in teacher}
    return append([], [*(r for r in raw if before_answer(r) not in answered), *teacher])[0]


def copied(answers: Iterable[str], rows: Sequence[Mapping[str, Any]]) -> int:
    """How many answers are a training row's, word for word, white space aside: a score they earned by heart."""
    known = {_SPACE.sub(" ", str(r["messages"][-1]["content"])).strip() for r in rows}
    return sum(_SPACE.sub(" ", answer).strip() in known for answer in answers)


def _identity(row: Mapping[str, Any]) -> str:
    text = "\0".join(_SPACE.sub(" ", str(m["content"])).strip() for m in row["messages"])
    return hashlib.sha256(text.encode()).hexdigest()
