"""The handlers of Diagram 4 but those of RequestCorrections (correcting.py).

distillation/train.jsonl, validation.jsonl        the first training set, and the rows that eval_loss is computed on
distillation/eval_prompts.json, held_out_prompts.json   the drawn set and the frozen one
distillation/base/...                             the tiny student, where that is the model
distillation/epoch-N/...                          what epoch N came to (numbered from 1): adapter, outputs, scores,
                                                  corrections, the grown dataset.jsonl, report.json, .md and .svg;
                                                  wordings.jsonl is what it learned from, where rows have several
distillation/model/...                            the adapter at the end, its tokenizer, its card
distillation/metrics.json                         all epochs, and how it ended
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from fsm.engine import Context
from phases.distillation import (
    answering,
    behaving,
    early,
    loading,
    report,
    report_to,
    self_training,
    showing,
    student,
)
from phases.distillation.phase import PHASE
from phases.qlora_training import job as jobs
from phases.turns import words

SETS = {
    "drawn": ("eval_prompts", "outputs", "scores"),
    "held_out": ("held_out_prompts", "held_out_outputs", "held_out_scores"),
}
"""Set of prompts -> the names of its prompts, of an epoch's answers to them, and of their scores."""


# Setup


@PHASE.state("Setup.DetectEnvironment")
def detect_environment(ctx: Context) -> str:
    return "SM_TRAINING_ENV set" if jobs.in_container(os.environ) else "Not on SageMaker"


@PHASE.state("Setup.SageMakerMode")
def sagemaker_mode(ctx: Context) -> None:
    ctx.data["mode"] = "sagemaker"


@PHASE.state("Setup.LocalMode")
def local_mode(ctx: Context) -> None:
    ctx.data["mode"] = "local"


@PHASE.state("Setup.CreateDirs")
def create_dirs(ctx: Context) -> None:
    """Make the directories, and see before anything is loaded that the checkpoints will fit, and who is to be told."""
    from phases.student import preflight

    report_to.needed(ctx.config.report_to)

    preflight.disk(jobs.checkpoints(ctx, "distillation"), student.training(ctx).min_free_gb)
    if ctx.data["mode"] == "sagemaker":
        jobs.layout().make()


@PHASE.state("Setup.LoadTrainData")
def load_train_data(ctx: Context) -> None:
    """The first training set: raw rows, the teacher's answers, or both."""
    rows = loading.rows(ctx)
    train, validation = loading.split(ctx, rows)
    ctx.put("distillation/train.jsonl", loading.lines(train))
    ctx.put("distillation/validation.jsonl", loading.lines(validation))
    ctx.put("distillation/seen.jsonl", loading.lines(rows.all))
    ctx.data["dataset"] = "distillation/train.jsonl"
    ctx.data["examples"] = len(train)
    ctx.log.info(
        "training data loaded",
        raw=rows.raw,
        teacher=rows.teacher,
        train=len(train),
        validation=len(validation),
    )


@PHASE.state("Setup.LoadEvalPrompts")
def load_eval_prompts(ctx: Context) -> None:
    """The drawn set and the frozen one; a frozen prompt that is trained on would be no test, and is left out."""
    drawn, held_out, left_out = loading.prompts(ctx)
    ctx.put("distillation/eval_prompts.json", _json(drawn))
    ctx.put("distillation/held_out_prompts.json", _json(held_out))
    if ctx.config.self_training is not None:
        pool = loading.unasked(ctx, drawn, held_out)
        ctx.put(self_training.POOL, _json(pool))
        if len(pool) < ctx.config.self_training.prompts:
            ctx.log.warning(
                "fewer prompts for self-training than asked for",
                asked=ctx.config.self_training.prompts,
                found=len(pool),
            )
    if given := loading.given_answers(ctx):
        ctx.put(behaving.REFERENCES, loading.lines(given))
    if left_out:
        ctx.log.warning("frozen prompts that are trained on or drawn were left out", prompts=left_out)
    asked = {"drawn": ctx.config.eval_prompts, "held_out": ctx.config.held_out_prompts}
    ctx.data["prompts"] = {"drawn": len(drawn), "held_out": len(held_out)}
    for name, count in asked.items():
        if ctx.data["prompts"][name] < count:
            ctx.log.warning(
                "fewer prompts than asked for", set=name, asked=count, found=ctx.data["prompts"][name]
            )


# ModelSetup: each state has the session of this process come as far as its own step


@PHASE.state("ModelSetup.LoadGranite8B")
def load_granite_8b(ctx: Context) -> str:
    """Make the tiny student, if that is the model; and look before loading: do settings, model, rows and GPU fit."""
    from phases.qlora_training import fitting
    from phases.student import session

    session.make_base(ctx, student.training(ctx), loading.read(ctx, "distillation/seen.jsonl"), student.BASE)
    fitting.check(ctx, student.job(ctx))
    return "4-bit nf4"


@PHASE.state("ModelSetup.ApplyQuantization")
def apply_quantization(ctx: Context) -> None:
    _session(ctx).reach("load")


@PHASE.state("ModelSetup.PrepareKBit")
def prepare_kbit(ctx: Context) -> str:
    _session(ctx).reach("prepare")
    return "rank=32, alpha=64"


@PHASE.state("ModelSetup.ApplyLoRA")
def apply_lora(ctx: Context) -> None:
    model = _session(ctx).reach("adapt").model
    ctx.data["trainable"] = sum(p.numel() for p in model.parameters() if p.requires_grad)


@PHASE.state("ModelSetup.InitTokenizer")
def init_tokenizer(ctx: Context) -> None:
    """And see, before an epoch is trained, that an answer fits the model's context, and that there is who answers."""
    from phases.student.generate import room

    room(_session(ctx).reach("pad").model, ctx.config.sampling)
    answering.needed(ctx)


@PHASE.state("ModelSetup.InitEvaluator")
def init_evaluator(ctx: Context) -> str:
    """Score a text that is known to be good: an evaluator that does not work shows before an epoch is trained."""
    from phases.quality_scoring import score

    behaving.needed(ctx)
    found = score(
        "int twice(int value)\n{\n    return 2 * value;\n}\n", "", loading.section(ctx, "quality_scoring")
    )
    ctx.log.info("evaluator ready", syntax=found.syntax)
    return "CodeQualityEvaluator"


@PHASE.state("ModelSetup.InitTeacher")
def init_teacher(ctx: Context) -> str:
    """Name who will correct: the teacher that generated the first answers, by the same settings."""
    from phases.teacher_generation.checking import Checker
    from phases.teacher_generation.teachers import make_teacher

    section = loading.section(ctx, "teacher_generation")
    Checker.of(section, ctx.program.sections.get("quality_scoring"))  # what it takes to choose is here
    teacher = make_teacher(section.teacher, section.workers)
    ctx.data["teacher"] = teacher.name
    if ctx.config.corrections.show_attempt and not showing.can_be_shown(teacher):
        ctx.log.warning(
            "corrections.show_attempt has no effect: this teacher is no model and answers the prompt alone",
            teacher=teacher.name,
        )
    return "BedrockTeacherGenerator"


@PHASE.state("ModelSetup.CreateSFTTrainer")
def create_sft_trainer(ctx: Context) -> None:
    """Begin the loop's counters. Each epoch makes its own trainer, in TrainerSetup of Diagram 5."""
    ctx.data["epoch"] = 0
    ctx.data["epochs_at_threshold"] = 0
    ctx.data["low_correction_count"] = 0


# EpochN


@PHASE.state("EpochN.Train")
def train(ctx: Context) -> str:
    """Diagram 5 from TrainerSetup on; the model is there already."""
    epoch = ctx.data["epoch"] + 1
    job = student.worded(ctx, student.job(ctx, epoch))
    before = ctx.data["examples"]
    ctx.data.pop("preferred", None)  # of the epoch before
    trained = ctx.run("qlora_training", job.inputs(), start="TrainerSetup").data
    ctx.data["epoch"] = epoch
    ctx.data["adapter"] = trained["adapter"]
    ctx.data["training"] = {
        **trained["trained"],
        "data": trained["data"],
        "from": job.adapter,
        "before": before,
        **{name: trained[name] for name in ("wordings",) if name in trained},
    }
    ctx.data["micro_batch"] = ctx.config.sampling.batch  # of Generate, for ReduceBatchSize of Diagram 8
    ctx.data["accumulation"] = 1
    return "Pairs to prefer by" if ctx.data.get("pairs") else "train_loss recorded"


@PHASE.state("EpochN.Generate")
def generate(ctx: Context) -> str:
    """The student's answers to both sets."""
    epoch = ctx.data["epoch"]
    asked = {
        name: json.loads(ctx.open(f"distillation/{files[0]}.json").read_text("utf-8"))
        for name, files in SETS.items()
    }
    prompts_of_both = [p for prompts in asked.values() for p in prompts]
    with early.going_on(ctx, asked["drawn"], prompts_of_both) as heard:
        everything = student.generate(ctx, prompts_of_both, epoch, heard)
    said = {}
    for name, prompts in asked.items():
        outputs, everything = everything[: len(prompts)], everything[len(prompts) :]
        ctx.put(f"{student.prefix(epoch)}/{SETS[name][1]}.jsonl", loading.lines(o.to_json() for o in outputs))
        said[name] = {
            "tokens": sum(o.tokens for o in outputs),
            "cut": sum(o.cut for o in outputs),
            "prompts_cut": sum(o.prompt_cut for o in outputs),
        }
        if said[name]["cut"] or said[name]["prompts_cut"]:
            ctx.log.warning("answers without an end, or prompts cut", set=name, **said[name])
    ctx.data["generated"] = said
    return "student_outputs[]"


@PHASE.state("EpochN.Evaluate")
def evaluate(ctx: Context) -> str:
    """Diagram 6 for every answer of both sets; what an answer does is told beside its scores.

    Raises SandboxMissing where something is decided by that, and the run was resumed where nothing can be run.
    """
    from phases.quality_scoring import score_many

    behaving.still_needed(ctx)
    epoch, walk = ctx.data["epoch"], ctx.walk("quality_scoring")
    config, measures = loading.section(ctx, "quality_scoring"), behaving.measures(ctx)
    averages, behaviour = {}, {}
    for name, (_, outputs, scores) in SETS.items():
        rows = loading.read(ctx, f"{student.prefix(epoch)}/{outputs}.jsonl")
        prompts = [r["prompt"] for r in rows]
        found = score_many(
            [(r["text"], words(r["prompt"])) for r in rows],
            config,
            references=behaving.references(ctx, prompts) if measures else None,
            walk=walk,
            ahead=early.scores(ctx),
        )
        scored = [{"prompt": p, **s.drawn_as_dict()} for p, s in zip(prompts, found, strict=True)]
        ctx.put(f"{student.prefix(epoch)}/{scores}.jsonl", loading.lines(scored))
        averages[name] = round(sum(s.overall for s in found) / len(found), 6)
        if measures:
            behaved = behaving.rows(prompts, found)
            ctx.put(f"{student.prefix(epoch)}/{behaving.FILES[name]}.jsonl", loading.lines(behaved))
            behaviour[name] = behaving.mean(behaved)
    early.forget()
    ctx.data["average"] = averages
    if measures:
        ctx.data["behaviour"] = behaviour
    return "scores[]"


@PHASE.state("EpochN.FilterPoor")
def filter_poor(ctx: Context) -> str:
    from phases.distillation import corrections

    scored = loading.read(ctx, f"{student.prefix(ctx.data['epoch'])}/scores.jsonl")
    found = corrections.poor(scored, ctx.config.poor_below)
    ctx.data["poor"] = len(found)
    ctx.data["correction_rate"] = round(len(found) / len(scored), 6)
    ctx.data["corrections"] = {"asked": 0, "accepted": 0, "refused": 0, "reused": 0, "tokens": [0, 0]}
    if ctx.config.self_training is not None:
        return "Prompts that no teacher was asked"
    return "score < 7.0" if found else "All scores >= 7.0"


# CheckConvergence


@PHASE.state("EpochN.CheckConvergence.CheckThreshold")
def check_threshold(ctx: Context) -> str:
    """Diagram 9 decides; the two states here only tell its decision in the words of this drawing."""
    data, settings = ctx.data, loading.section(ctx, "convergence")
    decided = ctx.run(
        "convergence",
        {
            "avg_score": _deciding(ctx, settings.on),
            "correction_rate": data["correction_rate"],
            "epoch": data["epoch"],
            "max_epochs": ctx.config.max_epochs,
            "epochs_at_threshold": data["epochs_at_threshold"],
            "low_correction_count": data["low_correction_count"],
        },
        until=("CONTINUE",),
    ).data
    data["epochs_at_threshold"] = decided["epochs_at_threshold"]
    data["low_correction_count"] = decided["low_correction_count"]
    data["outcome"], data["reason"] = decided["outcome"], decided["reason"]
    _report(ctx, settings)
    by_quality = (
        data["outcome"] == "converged" and data["epochs_at_threshold"] >= settings.epochs_at_threshold
    )
    return "avg >= 8.0 for 3+ epochs" if by_quality else "Not at threshold"


def _deciding(ctx: Context, on: str) -> float:
    """The average that decides. Where nothing of the frozen set could be compared, its behaviour is 0, which is said."""
    if on != "behaviour":
        return float(ctx.data["average"][on])
    found = ctx.data.get("behaviour", {}).get("held_out")
    if found is None:
        ctx.log.warning(
            "no answer to the frozen set could be compared with a reference: its behaviour counts as 0"
        )
    return float(found or 0.0)


@PHASE.state("EpochN.CheckConvergence.CheckCorrectionRate")
def check_correction_rate(ctx: Context) -> str:
    return {
        "converged": "rate < 10% for 3 epochs",
        "complete": "Max epochs reached",
        "continue": "Still improving",
    }[ctx.data["outcome"]]


@PHASE.state("EpochN.CheckConvergence.Converged")
def converged(ctx: Context) -> None:
    average, lag = ctx.data["average"], loading.section(ctx, "convergence").lag
    ctx.log.info("converged", reason=ctx.data["reason"], epoch=ctx.data["epoch"], **average)
    if average["drawn"] - average["held_out"] > lag:
        ctx.log.warning(
            "the frozen set lags behind the drawn one, whose prompts were corrected and trained on: the student has "
            "learned those better than the task",
            **average,
        )


@PHASE.state("EpochN.CheckConvergence.Continue")
def go_on(ctx: Context) -> None:
    self_training.join(ctx)
    ctx.log.info("epoch complete", epoch=ctx.data["epoch"], **ctx.data["average"])
    report_to.tell(ctx, _epochs(ctx, ctx.data["epoch"]))


def _report(ctx: Context, settings: Any) -> None:
    """The epoch's report, as JSON, as a table of the epochs so far, and as a picture of them."""
    data, epoch = ctx.data, ctx.data["epoch"]
    where = student.prefix(epoch)
    bootstrap, learned = student.seed(ctx, "bootstrap"), _learned(ctx)
    said = {
        "epoch": epoch,
        **{
            name: report.summary(loading.read(ctx, f"{where}/{scores}.jsonl"), bootstrap)
            for name, (_, _, scores) in SETS.items()
        },
        **_behaviour(ctx, bootstrap),
        "failures": _failures(ctx),
        "learned_from": report.learned_from(learned),
        "copied": _copied(ctx, learned),
        "poor": data["poor"],
        "correction_rate": data["correction_rate"],
        "corrections": data["corrections"],
        "dollars": _dollars(ctx),
        "training": {k: v for k, v in data["training"].items() if k != "before"},
        **_own_ways(ctx),
        "generated": data["generated"],
        "examples": {"before": data["training"]["before"], "after": data["examples"]},
        "counters": {k: data[k] for k in ("epochs_at_threshold", "low_correction_count")},
        "outcome": data["outcome"],
        "reason": data["reason"],
        "teacher": data["teacher"],
        "restart": ctx.config.restart,
    }
    epochs = [*_epochs(ctx, epoch - 1), said]
    ctx.put(f"{where}/report.json", _json(said))
    beside = report.side_by_side(_answered(ctx, epoch - 1), _answered(ctx, epoch)) if epoch > 1 else []
    ctx.put(f"{where}/report.md", report.markdown(epochs, beside))
    ctx.put(f"{where}/report.svg", report.picture(epochs, settings.avg_score))


def _own_ways(ctx: Context) -> dict[str, Any]:
    """What came of the student's own answers, and of the preferences it was trained by; nothing where neither is configured."""
    config, data = ctx.config, ctx.data
    said = {"self_training": data.get("self_training")} if config.self_training is not None else {}
    return said | ({"preferences": data.get("preferred")} if config.learn == "sft+dpo" else {})


def _behaviour(ctx: Context, seed: int) -> dict[str, Any]:
    where = student.prefix(ctx.data["epoch"])
    if not all(ctx.has(f"{where}/{file}.jsonl") for file in behaving.FILES.values()):
        return {}
    found = {name: loading.read(ctx, f"{where}/{file}.jsonl") for name, file in behaving.FILES.items()}
    return {"behaviour": {name: behaving.summary(rows, seed) for name, rows in found.items()}}


def _failures(ctx: Context) -> dict[str, dict[str, int]]:
    """Of each set how many answers are of which kind of failure."""
    where = student.prefix(ctx.data["epoch"])
    found = {}
    for name, (_, _, scores) in SETS.items():
        behaved = f"{where}/{behaving.FILES[name]}.jsonl"
        rows = loading.read(ctx, behaved) if ctx.has(behaved) else None
        found[name] = report.failures(
            loading.read(ctx, f"{where}/{scores}.jsonl"), rows, ctx.config.poor_below
        )
    return found


def _answered(ctx: Context, epoch: int) -> list[dict[str, Any]]:
    """An epoch's answers to the frozen set, with their scores."""
    said, scored = (
        loading.read(ctx, f"{student.prefix(epoch)}/{file}.jsonl") for file in SETS["held_out"][1:]
    )
    return [
        {"prompt": o["prompt"], "text": o["text"], "overall": s["overall"]}
        for o, s in zip(said, scored, strict=True)
    ]


def _learned(ctx: Context) -> list[Any]:
    """The rows that this epoch was trained on: the student's own among them, but no correction that came since."""
    if own := ctx.data.get("learning"):
        return loading.read(ctx, own)
    return loading.read(ctx, ctx.data["dataset"])[
        : ctx.data["training"]["before"]
    ]  # this set only ever grows


def _copied(ctx: Context, learned: list[Any]) -> dict[str, int]:
    """How many answers of each set stand word for word in what was trained on; the score does not see that."""
    from phases.distillation import corrections

    where = student.prefix(ctx.data["epoch"])
    return {
        name: corrections.copied([r["text"] for r in loading.read(ctx, f"{where}/{outputs}.jsonl")], learned)
        for name, (_, outputs, _) in SETS.items()
    }


def _epochs(ctx: Context, last: int) -> list[dict[str, Any]]:
    return [
        json.loads(ctx.open(f"{student.prefix(n)}/report.json").read_text("utf-8"))
        for n in range(1, last + 1)
    ]


def _dollars(ctx: Context) -> float:
    if (known := ctx.data["corrections"].get("dollars")) is not None:  # what the teacher's answers did cost
        return float(known)
    prices = ctx.config.corrections
    read, written = ctx.data["corrections"]["tokens"]
    dollars: float = round(
        (read * prices.dollars_per_million_input + written * prices.dollars_per_million_output) / 1e6, 6
    )
    return dollars


# The end


@PHASE.state("SaveModel")
def save_model(ctx: Context) -> None:
    """The adapter that is kept, with its tokenizer and card, where the service packs it into model.tar.gz."""
    last = ctx.data["epoch"]
    epoch = report.kept(_epochs(ctx, last), ctx.config.keep)
    if epoch != last:
        ctx.log.info("an earlier epoch's adapter is kept", epoch=epoch, last=last, by=ctx.config.keep)
    source, target = student.prefix(epoch), "distillation/model"
    names = ("adapter_model.safetensors", "adapter_config.json", "training.json")
    tokenizer = [n.removeprefix(f"{source}/") for n in ctx.names(f"{source}/tokenizer/")]
    for name in (*names, *tokenizer):
        ctx.put(f"{target}/{name.removeprefix('tokenizer/')}", ctx.open(f"{source}/{name}"))
    lineage = {n: ctx.files[f"{target}/{n}"].sha256 for n in names}
    base, epochs = student.training(ctx).model, _epochs(ctx, epoch)  # up to the one that is kept
    ctx.put(f"{target}/README.md", report.card(base, ctx.run_name, epochs, ctx.data["reason"], lineage))
    if ctx.data["mode"] == "sagemaker":
        _copy(ctx, target, jobs.layout().model)
        _copy(ctx, student.BASE, jobs.layout().model / "base")


@PHASE.state("SaveMetrics")
def save_metrics(ctx: Context) -> None:
    """All epochs, and how it ended: converged and by which rule, or at max epochs."""
    epochs = _epochs(ctx, ctx.data["epoch"])
    report_to.tell(ctx, epochs)
    last = epochs[-1]
    ctx.data["result"] = {
        "outcome": ctx.data["outcome"],
        "reason": ctx.data["reason"],
        "epochs": len(epochs),
        "average": ctx.data["average"],
        "examples": ctx.data["examples"],
        "adapter": "distillation/model/adapter_model.safetensors",
    }
    ctx.put("distillation/metrics.json", _json({"result": ctx.data["result"], "epochs": epochs}))
    ctx.put("distillation/report.md", report.table(epochs))
    ctx.put("distillation/report.svg", ctx.open(f"{student.prefix(last['epoch'])}/report.svg"))
    if ctx.data["mode"] == "sagemaker":
        for name in ("metrics.json", "report.md", "report.svg"):
            shutil.copyfile(ctx.open(f"distillation/{name}"), jobs.layout().output_data / name)
            shutil.copyfile(ctx.open(f"distillation/{name}"), jobs.layout().model / name)


def _copy(ctx: Context, prefix: str, directory: Path) -> None:
    for name in ctx.names(f"{prefix}/"):
        target = directory / name.removeprefix(f"{prefix}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ctx.open(name), target)


def _session(ctx: Context) -> Any:
    from phases.student import session

    return session.of(ctx, student.job(ctx))


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
