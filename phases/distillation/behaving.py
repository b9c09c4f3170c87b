"""What the student's answers do, beside the teacher's answers to the same prompts, or those that a file gives.

distillation/references.jsonl           answers that a file of prompts gives beside them, where one does
distillation/epoch-N/behaviour.jsonl, held_out_behaviour.jsonl   of each answer what it does, where a sandbox is installed
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fsm.engine import Context
from phases.distillation import loading, report
from phases.quality_scoring import Score
from phases.quality_scoring.behaviour import available, require
from phases.teacher_generation.teacher import digest
from phases.turns import before_answer, words

REFERENCES = "distillation/references.jsonl"
FILES = {"drawn": "behaviour", "held_out": "held_out_behaviour"}


def measures(ctx: Context) -> bool:
    """Whether behaviour is looked at in this run."""
    return available(loading.section(ctx, "quality_scoring").behaviour)


def needed(ctx: Context) -> None:
    """Raises SandboxMissing where something is decided by behaviour, and nothing can be run here."""
    _require(ctx, loading.section(ctx, "convergence"))


def still_needed(ctx: Context) -> None:
    """The same in an epoch: the run may have been resumed where nothing can be run.

    What decides is looked at and not used: an epoch comes to the same whichever it is.
    """
    _require(ctx, ctx.program.sections.get("convergence"))


def _require(ctx: Context, convergence: Any) -> None:
    settings = loading.section(ctx, "quality_scoring")
    reasons = {
        "quality_scoring.weights gives behaviour a weight": settings.weights.get("behaviour", 0) > 0,
        "convergence.on is behaviour": convergence is not None and convergence.on == "behaviour",
        "distillation.corrections.behaves_at is set": ctx.config.corrections.behaves_at is not None,
        "distillation.keep is behaviour": ctx.config.keep == "behaviour",
    }
    for why, needs in reasons.items():
        if needs:
            require(settings.behaviour, why)


def references(ctx: Context, prompts: Sequence[str]) -> list[str | None]:
    """An answer to each prompt that counts as right, or None.

    That of a file of prompts; else what the teacher has answered already, in this run or before it; else what the
    offline teacher would, which costs nothing.
    """
    from phases.teacher_generation.offline.teacher import write_function

    given = {r["digest"]: r["answer"] for r in _rows(ctx, REFERENCES)}
    seen = _rows(ctx, "distillation/seen.jsonl")
    learned = {digest(before_answer(r)): r["messages"][-1]["content"] for r in seen}
    corrected = {r["digest"]: r["answer"] for r in _rows(ctx, "distillation/answers.jsonl")}
    known = learned | corrected | given
    offline = loading.section(ctx, "teacher_generation").teacher.kind == "offline"
    return [known.get(digest(p)) or (write_function(words(p)) if offline else None) for p in prompts]


def given(ctx: Context, prompts: Sequence[str]) -> list[str | None]:
    """The answers that a file gives; a teacher's correction is not to be compared with the teacher's own answer."""
    known = {r["digest"]: r["answer"] for r in _rows(ctx, REFERENCES)}
    return [known.get(digest(prompt)) for prompt in prompts]


def rows(prompts: Iterable[str], scores: Iterable[Score]) -> list[dict[str, Any]]:
    """What is kept of an epoch's answers: for each what it does, or why that is not known."""
    kept = []
    for prompt, score in zip(prompts, scores, strict=True):
        told = score.behaviour
        kept.append(
            {"prompt": prompt, "behaviour": None, "reason": "no reference to compare with"}
            if told is None
            else {
                "prompt": prompt,
                "behaviour": told.score,
                **{k: v for k, v in told.as_dict().items() if k != "score"},
            }
        )
    return kept


def summary(found: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """A set's behaviour: mean and interval of what was compared, how many were, and how many do all that they should."""
    scores = [r["behaviour"] for r in found if r["behaviour"] is not None]
    return {
        "outputs": len(found),
        "compared": len(scores),
        "right": sum(s >= report.RIGHT for s in scores),
        "weak": sum(bool(r.get("weak")) for r in found),
        "behaviour": report.interval(scores, seed),
    }


def mean(found: Sequence[Mapping[str, Any]]) -> float | None:
    """The mean of what was compared; None where nothing was."""
    scores = [r["behaviour"] for r in found if r["behaviour"] is not None]
    return round(sum(scores) / len(scores), 6) if scores else None


def _rows(ctx: Context, name: str) -> list[Any]:
    return loading.read(ctx, name) if ctx.has(name) else []
