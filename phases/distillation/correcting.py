"""RequestCorrections of Diagram 4: the worst outputs, the teacher's corrections, and what of them is learned from.

distillation/epoch-N/poor.jsonl         what needs correction, worst first, cut to the most that is asked
distillation/epoch-N/answers.jsonl      what the teacher answered, or why it did not
distillation/epoch-N/corrections.jsonl  training rows            distillation/epoch-N/refused.jsonl  the rest, with reasons
distillation/epoch-N/dataset.jsonl      the grown training set
distillation/answers.jsonl              every correction by the digest of its prompt: none is asked for twice
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

from fsm.engine import Context
from phases.distillation import behaving, corrections, loading, showing, student
from phases.distillation.corrections import Poor, Refused
from phases.distillation.phase import PHASE
from phases.teacher_generation.teacher import digest
from phases.turns import words

ANSWERS = "distillation/answers.jsonl"


@PHASE.state("EpochN.RequestCorrections.SortByScore")
def sort_by_score(ctx: Context) -> str:
    """The poor of the drawn set; or, where the student chose whom to ask, those, in its order."""
    if ctx.config.corrections.whom == "unsure":
        ctx.put(f"{_here(ctx)}/poor.jsonl", ctx.open(f"{_here(ctx)}/unsure.jsonl"))
        return "Worst first"
    scored = loading.read(ctx, f"{_here(ctx)}/scores.jsonl")
    found = corrections.worst_first(corrections.poor(scored, ctx.config.poor_below))
    ctx.put(f"{_here(ctx)}/poor.jsonl", loading.lines(asdict(p) for p in found))
    return "Worst first"


@PHASE.state("EpochN.RequestCorrections.CapAt500")
def cap_at_500(ctx: Context) -> None:
    found = loading.read(ctx, f"{_here(ctx)}/poor.jsonl")
    kept = found[: ctx.config.corrections.budget]
    ctx.put(f"{_here(ctx)}/poor.jsonl", loading.lines(kept))
    if len(kept) < len(found):
        ctx.log.warning("more poor outputs than corrections allowed", poor=len(found), most=len(kept))


@PHASE.state("EpochN.RequestCorrections.ParallelTeacherCalls")
def parallel_teacher_calls(ctx: Context) -> None:
    """Ask for what has not been answered before, by the code that Diagram 3 asks with.

    Raises AttemptsSpent where more failed for a passing reason than may: an epoch would be trained without what a resume
    can still ask for. What the teacher will not answer at all is refused by FormatAsTraining, with its reason.
    """
    from phases.teacher_generation import failures
    from phases.teacher_generation.desk import desk, spends_for
    from phases.teacher_generation.teachers import make_teacher
    from phases.teacher_generation.window import ask

    section = loading.section(ctx, "teacher_generation")
    if (payer := spends_for(ctx)) != ctx.run_identity:
        ctx.data["spends_for"] = payer
    wanted = [p["prompt"] for p in loading.read(ctx, f"{_here(ctx)}/poor.jsonl")]
    known = {r["digest"]: r for r in loading.read(ctx, ANSWERS)} if ctx.has(ANSWERS) else {}
    asked = [prompt for prompt in wanted if digest(prompt) not in known]
    teacher = make_teacher(section.teacher, section.workers)
    shown = (
        _shown(ctx, asked) if ctx.config.corrections.show_attempt and showing.can_be_shown(teacher) else asked
    )
    walk = ctx.walk("teacher_generation:ParallelExecution.ProcessFuture")
    with ctx.deferring_stop():  # calls under way are paid for: their answers are kept before the run stops
        results = ask(
            teacher,
            shown,
            asking=section,
            desk=desk(ctx, section, spends_for(ctx)),
            way=walk.way,
            count=walk.count,
            scope="" if section.reuse else ctx.effect_name("answers"),
            stopping=ctx.stopping,
            progress=lambda done, total, note: ctx.progress(done, total, f"corrections, {note}".rstrip(", ")),
            log=ctx.log,
        )
    results = [replace(r, prompt=prompt) for r, prompt in zip(results, asked, strict=False)]
    if causes := failures.by_cause(results):
        ctx.log.warning(f"corrections without an answer: {failures.said(causes)}", asked=len(results))
    passing = [r for r in results if r.passing]
    if not failures.within(len(passing), len(results), section.max_failed_share):
        raise failures.not_corrected(passing, len(results), section.max_failed_share)
    fresh = {digest(r.prompt): _row(r) for r in results}
    answered = {d: r for d, r in fresh.items() if not r["reason"]}
    ctx.put(ANSWERS, loading.lines([*known.values(), *answered.values()]))
    ctx.put(
        f"{_here(ctx)}/answers.jsonl", loading.lines((known | fresh)[digest(prompt)] for prompt in wanted)
    )
    ctx.data["corrections"] |= {
        "asked": len(asked),
        "reused": len(wanted) - len(asked),
        "tokens": [sum(r.input_tokens for r in results), sum(r.output_tokens for r in results)],
    }
    if dollars := sum(Decimal(r.dollars or 0) for r in results):
        ctx.data["corrections"]["dollars"] = round(float(dollars), 6)


@PHASE.state("EpochN.RequestCorrections.FormatAsTraining")
def format_as_training(ctx: Context) -> None:
    """Corrections as rows; with the gate, only those that score better than what they correct and compile."""
    found = [Poor(**p) for p in loading.read(ctx, f"{_here(ctx)}/poor.jsonl")]
    answers = loading.read(ctx, f"{_here(ctx)}/answers.jsonl")
    refused = [Refused(p.prompt, a["reason"]) for p, a in zip(found, answers, strict=True) if a["reason"]]
    pairs = [(p, a["answer"]) for p, a in zip(found, answers, strict=True) if not a["reason"]]
    if ctx.config.corrections.gate:
        pairs, turned_away = _gated(ctx, pairs)
        refused += turned_away
    ctx.put(
        f"{_here(ctx)}/corrections.jsonl",
        loading.lines(corrections.row(p.prompt, answer, ctx.data["epoch"]) for p, answer in pairs),
    )
    ctx.put(f"{_here(ctx)}/refused.jsonl", loading.lines(asdict(r) for r in refused))


@PHASE.state("EpochN.RequestCorrections.AppendToDataset")
def append_to_dataset(ctx: Context) -> None:
    grown, duplicates = corrections.append(
        loading.read(ctx, ctx.data["dataset"]), loading.read(ctx, f"{_here(ctx)}/corrections.jsonl")
    )
    refused = [*loading.read(ctx, f"{_here(ctx)}/refused.jsonl"), *map(asdict, duplicates)]
    ctx.put(f"{_here(ctx)}/refused.jsonl", loading.lines(refused))
    ctx.put(f"{_here(ctx)}/dataset.jsonl", loading.lines(grown))
    ctx.data["corrections"] |= {"accepted": len(grown) - ctx.data["examples"], "refused": len(refused)}
    ctx.data["dataset"] = f"{_here(ctx)}/dataset.jsonl"
    ctx.data["examples"] = len(grown)


def _gated(ctx: Context, pairs: list[tuple[Poor, str]]) -> tuple[list[tuple[Poor, str]], list[Refused]]:
    """(what may be learned from, what may not), by Diagram 6; a correction may have to behave, too.

    Raises SandboxMissing where it has to, and the run was resumed where nothing can be run.
    """
    from phases.quality_scoring import score_many

    config: Any = loading.section(ctx, "quality_scoring")
    walk, settings = ctx.walk("quality_scoring"), ctx.config.corrections
    behaves = settings.behaves_at is not None
    behaving.still_needed(ctx)
    scores = score_many(
        [(answer, words(p.prompt)) for p, answer in pairs],
        config,
        references=behaving.given(ctx, [p.prompt for p, _ in pairs]) if behaves else None,
        behaves=behaves,
        walk=walk,
    )
    taken, refused = [], []
    for (p, answer), score in zip(pairs, scores, strict=True):
        no = corrections.gate(
            p, answer, score.overall, score.syntax, settings.compiles_at, better=settings.whom == "worst"
        )
        if no is None and behaves and score.behaviour is not None:
            no = corrections.behaves(p, score.behaviour, settings.behaves_at)
        if no:
            refused.append(no)
        else:
            taken.append((p, answer))
    return taken, refused


def _shown(ctx: Context, prompts: Sequence[str]) -> list[str]:
    """The prompts with the student's attempts at them, and what is wrong with each."""
    from phases.quality_scoring import score_many

    source = "samples" if ctx.config.corrections.whom == "unsure" else "outputs"
    attempts: dict[str, str] = {}
    for row in loading.read(ctx, f"{_here(ctx)}/{source}.jsonl"):
        attempts.setdefault(row["prompt"], row["text"])
    found = score_many(
        [(attempts[p], words(p)) for p in prompts],
        loading.section(ctx, "quality_scoring"),
        references=behaving.references(ctx, prompts) if behaving.measures(ctx) else None,
        behaves=behaving.measures(ctx),
        walk=ctx.walk("quality_scoring"),
    )
    return [showing.question(p, attempts[p], s) for p, s in zip(prompts, found, strict=True)]


def _row(result: Any) -> dict[str, Any]:
    row = {"digest": digest(result.prompt), "answer": result.text, "reason": result.reason}
    return row | ({"entries": list(result.entries)} if result.entries else {})


def _here(ctx: Context) -> str:
    return student.prefix(ctx.data["epoch"])
