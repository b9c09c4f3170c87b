"""The handlers of Diagram 5.

<out>/adapter_model.safetensors  the weights that training ended with       <out>/adapter_config.json  PEFT's
<out>/tokenizer/...              the tokenizer, pad = eos                   <out>/training.json        the settings
<out>/metrics.json               losses, evaluations, tokens, how it ended
qlora/given/...                  alone: both sets as they were found; qlora/train.jsonl and validation.jsonl: their rows
`out` is `qlora` alone, and the epoch's prefix below distillation.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsm.engine import Context, Phase
from phases.qlora_training import job as jobs
from phases.qlora_training.config import QLoRATrainingConfig
from phases.qlora_training.job import Job

if TYPE_CHECKING:
    from phases.qlora_training.trainer import Trained

PHASE = Phase("qlora_training", config=QLoRATrainingConfig)

_GIVEN = "qlora/given"  # both sets as they were found
_HELD_OUT = 10  # where no validation rows are given, one row in so many is taken out of the training set


# Initialization


@PHASE.state("Initialization.ParseHyperparams")
def parse_hyperparams(ctx: Context) -> None:
    """The configuration, with what the container's hyperparameters say instead."""
    config = jobs.with_hyperparameters(ctx.config, os.environ)
    ctx.data["settings"] = config.model_dump(mode="json")
    ctx.data["seed"] = ctx.seed("training") % 2**32


@PHASE.state("Initialization.LoadDatasets")
def load_datasets(ctx: Context) -> None:
    """Take both sets into the run as they stand, from the channel SM_CHANNEL_TRAIN, the run itself or this machine."""
    config = QLoRATrainingConfig.model_validate(ctx.data["settings"])
    ctx.put(f"{_GIVEN}/train.jsonl", jobs.require(ctx, config.train))
    path = jobs.find(ctx, config.validation, "validation") or jobs.find(ctx, config.validation)
    if path:
        ctx.put(f"{_GIVEN}/validation.jsonl", path)
    ctx.data["given"] = {"train": config.train, "validation": config.validation if path else None}


@PHASE.state("Initialization.ValidateStructure")
def validate_structure(ctx: Context) -> None:
    """Every row has `messages`; where no validation rows are given, some are taken out of the training set."""
    from phases.qlora_training import data

    if ctx.failures and jobs.find(ctx, ctx.data["given"]["train"]):
        load_datasets(ctx)  # what was refused before has been mended outside the run
    names = ctx.data["given"]
    rows = data.read_valid(ctx.open(f"{_GIVEN}/train.jsonl"), names["train"])
    given = ctx.open(f"{_GIVEN}/validation.jsonl") if names["validation"] else None
    held_out = data.read_valid(given, names["validation"], required=False) if given else []
    if not held_out:
        rows, held_out = data.hold_out(rows, _HELD_OUT, ctx.data["seed"], names["train"])
        ctx.log.warning("no validation rows: some were taken out of the training set", rows=len(held_out))
    ctx.put("qlora/train.jsonl", data.lines(rows))
    ctx.put("qlora/validation.jsonl", data.lines(held_out))
    ctx.data["rows"] = {"train": len(rows), "validation": len(held_out)}


@PHASE.state("Initialization.CheckDiskSpace")
def check_disk_space(ctx: Context) -> None:
    from phases.student import preflight

    preflight.disk(jobs.checkpoints(ctx, "qlora"), jobs.of(ctx).config.min_free_gb)


# ModelLoading


@PHASE.state("ModelLoading.CreateQuantConfig")
def create_quant_config(ctx: Context) -> str:
    """Say what the model will be quantised to, and make the tiny student if that is the model."""
    from phases.qlora_training import data
    from phases.student import session

    job = jobs.of(ctx)
    ctx.data["quantization"] = {
        "type": job.config.quantization,
        "double": job.config.double_quantization,
        "compute_dtype": job.config.compute_dtype,
    }
    session.make_base(ctx, job.config, data.read_jsonl(ctx.open(job.train)), "qlora/base")
    return "BitsAndBytes 4-bit nf4"


@PHASE.state("ModelLoading.LoadGranite8B")
def load_granite_8b(ctx: Context) -> None:
    """Look before loading: do settings, model, rows and GPU fit one another."""
    from phases.qlora_training import fitting
    from phases.student import session

    job = jobs.of(ctx)
    fitting.check(ctx, job)
    session.of(ctx, job).reach("load")


@PHASE.state("ModelLoading.PrepareForKBit")
def prepare_for_kbit(ctx: Context) -> None:
    from phases.student import session

    session.of(ctx, jobs.of(ctx)).reach("prepare")


@PHASE.state("ModelLoading.ApplyLoRAAdapters")
def apply_lora_adapters(ctx: Context) -> None:
    from phases.student import session

    trained = session.of(ctx, jobs.of(ctx)).reach("adapt").model
    ctx.data["trainable"] = sum(p.numel() for p in trained.parameters() if p.requires_grad)


@PHASE.state("ModelLoading.LoadTokenizer")
def load_tokenizer(ctx: Context) -> str:
    from phases.student import session

    session.of(ctx, jobs.of(ctx)).reach("tokenizer")
    return "pad = eos"


# TrainerSetup


@PHASE.state("TrainerSetup.SetPadToken")
def set_pad_token(ctx: Context) -> None:
    from phases.student import session

    session.of(ctx, jobs.of(ctx)).reach("pad")


@PHASE.state("TrainerSetup.CreateTrainingArgs")
def create_training_args(ctx: Context) -> None:
    """The micro-batch and the accumulation become data: ReduceBatchSize of Diagram 8 changes them there."""
    from phases.qlora_training import fitting

    job = jobs.of(ctx)
    ctx.data["micro_batch"] = job.config.micro_batch
    ctx.data["accumulation"] = job.config.gradient_accumulation_steps
    ctx.data["checkpoints"] = job.out
    if job.config.micro_batch == "auto":
        chosen = fitting.choose(ctx, job)
        ctx.data["micro_batch"], ctx.data["accumulation"] = chosen.micro_batch, chosen.accumulation
        ctx.data["checkpointing"] = chosen.checkpointing
        ctx.log.info("the memory allows", **asdict(chosen))


@PHASE.state("TrainerSetup.CreateCallbacks.NaNDetector")
def nan_detector(ctx: Context) -> None:
    """Say what is looked for: CheckNaN stands in the loss itself, before anything is made of it."""
    ctx.data["halt_on"] = "NaN or Inf loss"


@PHASE.state("TrainerSetup.CreateCallbacks.EarlyStopCallback")
def early_stop_callback(ctx: Context) -> None:
    config = jobs.of(ctx).config
    ctx.data["intervals"] = {
        "log": config.log_steps,
        "evaluate": config.eval_steps,
        "save": config.save_steps,
        "patience": config.patience,
    }


@PHASE.state("TrainerSetup.CreateSFTTrainer")
def create_sft_trainer(ctx: Context) -> None:
    """Put the rows into tokens, and say what does not fit. The trainer itself lives in a process only."""
    from phases.qlora_training import order
    from phases.student import session

    job = jobs.of(ctx)
    own = session.of(ctx, job).reach("pad")
    if job.wordings:
        _word(ctx, job)
    said = {}
    for name in (job.learned, job.validation):
        tokenized = order.tokenized(own, job.config, ctx.open(name), name, pairs=job.beta is not None)
        said[name] = {
            "rows": len(tokenized.examples),
            "tokens": tokenized.tokens,
            "dropped": len(tokenized.dropped),
        }
        if note := tokenized.said(name):
            ctx.log.warning(note)
    ctx.data["data"] = said


def _word(ctx: Context, job: Job) -> None:
    """Write the training rows in several wordings, and say what these cost."""
    from phases.qlora_training import data
    from phases.qlora_training.wordings import WordingsConfig, rows

    own = data.read_jsonl(ctx.open(job.train))
    config = WordingsConfig.model_validate(job.wordings)
    worded = rows(own, config, job.adapter_seed)  # the same in every epoch
    ctx.put(job.learned, data.lines(worded))
    a_step = ctx.data["micro_batch"] * ctx.data["accumulation"]
    ctx.data["wordings"] = {
        "variants": config.variants,
        "rows": [len(own), len(worded)],
        "steps_a_pass": [math.ceil(len(found) / a_step) for found in (own, worded)],
    }
    ctx.log.info("each row in several wordings, in so many more steps a pass", **ctx.data["wordings"])


# TrainingLoop


@PHASE.state("TrainingLoop")
def training_loop(ctx: Context) -> None:
    """Train from the beginning or the last checkpoint to the end, walking the inside as the trainer tells."""
    from phases.qlora_training.trainer import StoppedAtCheckpoint
    from phases.student import session

    job = jobs.of(ctx)
    session.of(ctx, job).reach("pad")  # the model is loaded here: a stop before training ends the run at once
    with ctx.deferring_stop():  # until there is a checkpoint of the step it is at
        try:
            trained = _train(ctx, job)
        except StoppedAtCheckpoint as stop:
            ctx.log.info("training stopped at a checkpoint", reason=str(stop))
            trained = None
        finally:
            own = session.of(ctx, job)
            own.touched()
            if job.beta is not None:
                session.forget()  # DPOTrainer has changed the model for good: its forward, its dropout
    assert trained is not None, "a stop that was asked for ends the state above"
    if trained.note:
        ctx.log.warning(trained.note)
    known = trained.known
    ctx.put(f"{job.out}/adapter_model.safetensors", own.weights())
    ctx.put(f"{job.out}/followed.json", _json(known.to_json()))
    ctx.data["trained"] = {
        "steps": len(known.steps),
        "loss": _mean(known.losses[-job.config.log_steps :]),
        "best_step": known.best_step,
        "eval_loss": known.best_loss if known.best_step is not None else None,
        "ended": known.ended,
    }


def _train(ctx: Context, job: Job) -> Trained:
    """Train, with the other ranks where this process is one of several."""
    from phases.qlora_training import trainer
    from phases.qlora_training.order import Order

    order = Order.of(ctx, job)
    with (
        order.called(own_base=job.base is not None) as together,
        trainer.memory_explained(order.micro_batch),
    ):
        return trainer.train(
            order.begin(together), job.config, ctx.walk(), ctx.stopping, ctx.progress, ctx.log.info
        )


# SaveOutputs


@PHASE.state("SaveOutputs.SaveAdapters")
def save_adapters(ctx: Context) -> None:
    from phases.student import adapters, session

    job = jobs.of(ctx)
    model = session.of(ctx, job).reach("adapt").model
    ctx.put(f"{job.out}/adapter_config.json", adapters.config(model, job.config.model))
    ctx.data["adapter"] = f"{job.out}/adapter_model.safetensors"


@PHASE.state("SaveOutputs.SaveTokenizer")
def save_tokenizer(ctx: Context) -> None:
    from phases.student import session

    job = jobs.of(ctx)
    directory = ctx.workdir(f"tokenizer/{job.out}")
    session.of(ctx, job).reach("pad").tokenizer.save_pretrained(directory)
    for path in sorted(directory.iterdir()):
        ctx.put(f"{job.out}/tokenizer/{path.name}", path)


@PHASE.state("SaveOutputs.SaveConfig")
def save_config(ctx: Context) -> None:
    """What it was trained with, the processor included: bits are equal on one kind only."""
    from phases.student import processor

    job = jobs.of(ctx)
    settings = {
        "training": job.config.model_dump(mode="json"),
        "micro_batch": ctx.data["micro_batch"],
        "accumulation": ctx.data["accumulation"],
        "seed": job.seed,
        "processor": processor.kind(),
        "versions": processor.versions(),
    }
    ctx.put(f"{job.out}/training.json", _json(settings))


@PHASE.state("SaveOutputs.SaveMetricsJSON")
def save_metrics_json(ctx: Context) -> None:
    from phases.qlora_training import checkpoints

    job = jobs.of(ctx)
    known = json.loads(ctx.open(f"{job.out}/followed.json").read_text())
    metrics = {
        **ctx.data["trained"],
        "losses": known["losses"],
        "evaluations": known["evaluations"],
        "data": ctx.data["data"],
    }
    ctx.put(f"{job.out}/metrics.json", _json(metrics))
    checkpoints.prune(jobs.checkpoints(ctx, job.out), 1)  # the weights are an artifact by now
    if not ctx.inputs and jobs.in_container(os.environ):
        _to_model_directory(ctx, job.out, jobs.layout().model)


def _to_model_directory(ctx: Context, out: str, directory: Path) -> None:
    """What the service packs into model.tar.gz: everything of this job but its data."""
    for name in ctx.names(f"{out}/"):
        if name.endswith(".jsonl"):
            continue
        target = directory / name.removeprefix(f"{out}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ctx.open(name), target)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _mean(values: Any) -> float | None:
    return round(sum(values) / len(values), 6) if values else None
