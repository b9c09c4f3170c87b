"""SelfTraining of Diagram 4: between teacher calls the student answers by itself, and learns what its answers agree on.

distillation/unasked_prompts.json       the pool, as it was before the first epoch
distillation/epoch-N/unasked.json       those of it that no teacher has answered meanwhile
distillation/epoch-N/samples.jsonl      the student's answers to them, several each, with their likelihoods
distillation/epoch-N/judged.jsonl       scores, and which of them do the same
distillation/epoch-N/self.jsonl         what is learned from, as training rows: judged anew in every epoch
distillation/epoch-N/pairs.jsonl, pairs_validation.jsonl   right and wrong answers to one prompt, for Prefer
distillation/epoch-N/unsure.jsonl       what the teacher is asked about, where corrections.whom is unsure
distillation/epoch-N/learning.jsonl     the rows that the epoch after trains on, where there are any of its own
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fsm.engine import Context
from phases.distillation import agreement, alike, choosing, loading, student
from phases.distillation.agreement import Judged
from phases.distillation.correcting import ANSWERS
from phases.distillation.phase import PHASE
from phases.qlora_training import data
from phases.teacher_generation.teacher import digest
from phases.turns import before_answer, words

POOL = "distillation/unasked_prompts.json"
_HELD_OUT = 10  # one pair in so many is for the evaluations of preference training
_LEAST_PAIRS = 2  # one to learn from and one to evaluate by


@PHASE.state("EpochN.SelfTraining.DrawUnasked")
def draw_unasked(ctx: Context) -> str:
    """Those of the pool that no teacher has answered; what was kept of others is the teacher's to say now."""
    pool: list[str] = json.loads(ctx.open(POOL).read_text("utf-8"))
    answered = {r["digest"] for r in loading.read(ctx, ANSWERS)} if ctx.has(ANSWERS) else set()
    left = [p for p in pool if digest(p) not in answered]
    last = ctx.data["epoch"] >= ctx.config.max_epochs
    for of_the_epoch_before in ("self_training", "pairs"):
        ctx.data.pop(of_the_epoch_before, None)
    if last or not left:
        if not last:
            ctx.log.warning("every prompt of self_training was asked by now: none is left", pool=len(pool))
            ctx.data["own"] = None
        ctx.put(f"{_here(ctx)}/unasked.json", "[]\n")
        return "None left, or the last epoch"
    ctx.put(f"{_here(ctx)}/unasked.json", json.dumps(left, ensure_ascii=False, indent=1) + "\n")
    return "Prompts drawn"


@PHASE.state("EpochN.SelfTraining.SampleAnswers")
def sample_answers(ctx: Context) -> None:
    """Several answers to each, drawn apart by their number."""
    config, epoch = ctx.config.self_training, ctx.data["epoch"]
    prompts = json.loads(ctx.open(f"{_here(ctx)}/unasked.json").read_text("utf-8"))
    total = len(prompts) * config.samples
    rows: list[dict[str, Any]] = []
    for number in range(config.samples):
        outputs = student.generate(
            ctx,
            prompts,
            epoch,
            draw=f"unasked {number}",
            temperature=config.temperature,
            done=len(rows),
            total=total,
        )
        likely = student.likelihoods(ctx, outputs)
        rows += [
            o.to_json() | {"sample": number, "likelihood": value}
            for o, value in zip(outputs, likely, strict=True)
        ]
    ctx.put(f"{_here(ctx)}/samples.jsonl", loading.lines(rows))


@PHASE.state("EpochN.SelfTraining.JudgeSamples")
def judge_samples(ctx: Context) -> None:
    """Diagram 6 for every different answer, those kept before too; then which of them do the same."""
    from phases.quality_scoring import score_many

    settings = loading.section(ctx, "quality_scoring")
    samples = loading.read(ctx, f"{_here(ctx)}/samples.jsonl")
    before = {before_answer(r): r["messages"][-1]["content"] for r in _own(ctx)}
    said: dict[str, list[Mapping[str, Any]]] = {}
    for row in samples:
        said.setdefault(row["prompt"], []).append(row)
    texts = {p: [r["text"] for r in rows] + ([before[p]] if p in before else []) for p, rows in said.items()}
    different = list(dict.fromkeys((text, p) for p, all_of_it in texts.items() for text in all_of_it))
    walk = ctx.walk("quality_scoring")
    found = score_many([(text, words(p)) for text, p in different], settings, walk=walk)
    scores = dict(zip(different, found, strict=True))
    judged = []
    for p, rows in said.items():
        side_by_side = alike.Alike(texts[p], words(p), settings, [scores[text, p] for text in texts[p]])
        judged.append(side_by_side.judged(p, [r["likelihood"] for r in rows]))
        ctx.progress(len(judged), len(said), "answers side by side")
    ctx.put(f"{_here(ctx)}/judged.jsonl", loading.lines(j.to_json() for j in judged))


@PHASE.state("EpochN.SelfTraining.KeepAgreed")
def keep_agreed(ctx: Context) -> None:
    """What joins the rows, within the share that may be the student's own; what was kept before and is no more, leaves."""
    config, judged = ctx.config.self_training, _judged(ctx)
    most = agreement.room(ctx.data["examples"], config.share)
    kept = agreement.kept(judged, config.accept, most)
    before = {before_answer(r): r["messages"][-1]["content"] for r in _own(ctx)}
    now = {k.prompt: k.sample.text for k in kept}
    ctx.put(f"{_here(ctx)}/self.jsonl", loading.lines(k.row(ctx.data["epoch"]) for k in kept))
    ctx.data["own"] = f"{_here(ctx)}/self.jsonl"
    ctx.data["self_training"] = {
        "prompts": len(judged),
        "acceptable": sum(j.accepted(config.accept) is not None for j in judged),
        "kept": len(kept),
        "stayed": sum(now.get(p) == text for p, text in before.items()),
        "left": sum(now.get(p) != text for p, text in before.items()),
    }
    ctx.log.info("answers of its own", **ctx.data["self_training"])
    if ctx.config.learn == "sft+dpo":
        _put_pairs(ctx, judged)


@PHASE.state("EpochN.SelfTraining.ChooseToAsk")
def choose_to_ask(ctx: Context) -> str:
    """The prompts that the student is worst at and unsure of; or, as drawn, the poor of the drawn set."""
    if ctx.config.corrections.whom == "worst":
        return "For the teacher" if ctx.data["poor"] else "Nothing for the teacher"
    drawn = json.loads(ctx.open(f"{_here(ctx)}/unasked.json").read_text("utf-8"))
    chosen = (
        choosing.unsure(_judged(ctx), ctx.config.self_training.accept, ctx.config.corrections.budget)
        if drawn
        else []
    )
    ctx.put(f"{_here(ctx)}/unsure.jsonl", loading.lines(asdict(p) for p in chosen))
    return "For the teacher" if chosen else "Nothing for the teacher"


@PHASE.state("EpochN.Prefer")
def prefer(ctx: Context) -> str:
    """Diagram 5 from TrainerSetup on, by preference: the adapter that the epoch has trained goes on from where it is."""
    job = student.preference_job(ctx)
    trained = ctx.run("qlora_training", job.inputs(), start="TrainerSetup").data
    # what the epoch came to has one name, whoever learned last
    ctx.put(ctx.data["adapter"], ctx.open(trained["adapter"]))
    ctx.data["preferred"] = {**trained["trained"], "data": trained["data"]}
    return "Preferences learned"


def join(ctx: Context) -> None:
    """Have the next epoch train on the set and on the student's own rows behind it."""
    own = _own(ctx)
    if not own:
        ctx.data["learning"] = None
        return
    name = f"{_here(ctx)}/learning.jsonl"
    ctx.put(name, loading.lines([*loading.read(ctx, ctx.data["dataset"]), *own]))
    ctx.data["learning"] = name


def _put_pairs(ctx: Context, judged: Sequence[Judged]) -> None:
    """The pairs of this epoch's answers, for Prefer of the next; none where there are too few to evaluate by one."""
    config = ctx.config
    found = agreement.pairs(judged, config.self_training.accept, config.preferences.most)
    if len(found) < _LEAST_PAIRS:
        ctx.log.warning("too few pairs of a right and a wrong answer to prefer by", pairs=len(found))
        return
    learn, evaluate = data.hold_out(found, _HELD_OUT, student.seed(ctx, f"pairs {ctx.data['epoch']}"))
    ctx.put(f"{_here(ctx)}/pairs.jsonl", loading.lines(learn))
    ctx.put(f"{_here(ctx)}/pairs_validation.jsonl", loading.lines(evaluate))
    ctx.data["pairs"] = _here(ctx)


def _judged(ctx: Context) -> list[Judged]:
    return [Judged.from_json(r) for r in loading.read(ctx, f"{_here(ctx)}/judged.jsonl")]


def _own(ctx: Context) -> list[Any]:
    """The student's own rows of the last time it was its turn."""
    return loading.read(ctx, ctx.data["own"]) if ctx.data.get("own") else []


def _here(ctx: Context) -> str:
    return student.prefix(ctx.data["epoch"])
