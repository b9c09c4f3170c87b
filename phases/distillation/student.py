"""The student of an epoch: which training it is of, and what it answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from fsm.engine import Context
from phases.distillation import answering
from phases.qlora_training.job import Job
from phases.student.config import TINY, QLoRAConfig
from phases.student.generate import Output, SamplingConfig

BASE = "distillation/base"


def training(ctx: Context) -> QLoRAConfig:
    """How the student is trained: the section `qlora_training`."""
    section = ctx.section("qlora_training")
    return QLoRAConfig.model_validate(section.model_dump(mode="json", include=set(QLoRAConfig.model_fields)))


def job(ctx: Context, epoch: int | None = None) -> Job:
    """The training of an epoch, the present one by default: from durable things only."""
    config: QLoRAConfig = training(ctx)
    number = ctx.data.get("epoch", 0) if epoch is None else epoch
    before = ctx.data.get("adapter") if ctx.config.restart == "adapter" else None
    if before is not None:
        rate = config.learning_rate * ctx.config.continued_rate
        config = config.model_copy(update={"learning_rate": rate})
    return Job(
        config=config,
        train=ctx.data.get("learning") or ctx.data.get("dataset", "distillation/train.jsonl"),
        validation="distillation/validation.jsonl",
        adapter=before,
        base=BASE if config.model == TINY else None,
        out=prefix(number),
        seed=seed(ctx, f"epoch {number}"),
        adapter_seed=seed(ctx, "adapter"),
    )


def worded(ctx: Context, job: Job) -> Job:
    """The job on its rows in several wordings, where the configuration wants them.

    The rows that a set is made of, grown by and compared with stay one to an exchange: only what is learned from is worded.
    """
    settings = ctx.config.wordings
    return job if settings.variants == 1 else replace(job, wordings=settings.model_dump())


def prefix(epoch: int) -> str:
    """Where an epoch's artifacts are."""
    return f"distillation/epoch-{epoch}"


def seed(ctx: Context, what: str) -> int:
    """A 32-bit seed of the run, the same in every state."""
    return derived(ctx.run_seed, what)


def derived(run_seed: int, what: str) -> int:
    """The seed for `what` of a run with that seed: what is asked of a finished run's student draws by it too."""
    return int.from_bytes(hashlib.sha256(f"{run_seed}/distillation/{what}".encode()).digest()[:4])


def preference_job(ctx: Context) -> Job:
    """The preference training of the present epoch, on the pairs that the epoch before left."""
    settings = ctx.config.preferences
    sft = job(ctx)
    config = sft.config.model_copy(
        update={"learning_rate": settings.learning_rate, "epochs": settings.epochs, "max_steps": -1}
    )
    return replace(
        sft,
        config=config,
        train=f"{ctx.data['pairs']}/pairs.jsonl",
        validation=f"{ctx.data['pairs']}/pairs_validation.jsonl",
        adapter=ctx.data["adapter"],
        out=f"{prefix(ctx.data['epoch'])}/preferences",
        seed=seed(ctx, f"preferences {ctx.data['epoch']}"),
        beta=settings.beta,
    )


def likelihoods(ctx: Context, outputs: Sequence[Output]) -> list[float]:
    """How likely the student finds what it has said: the mean log-probability of each answer's tokens."""
    from phases.qlora_training.trainer import memory_explained
    from phases.student import likelihood, session
    from phases.student.generate import encode, room

    student = session.of(ctx, job(ctx)).use(ctx.open(ctx.data["adapter"]))
    asked = encode(student.tokenizer, [o.prompt for o in outputs], room(student.model, ctx.config.sampling))
    said = [o.text for o in outputs]
    rows = min(likelihood.ROWS, ctx.data["micro_batch"])  # ReduceBatchSize of Diagram 8 halves it
    with memory_explained(rows):
        return list(likelihood.likelihoods(student.model, student.tokenizer, asked, said, rows))


def generate(
    ctx: Context,
    prompts: Sequence[str],
    epoch: int,
    heard: Callable[[int, Output], None] = lambda *_: None,
    *,
    draw: str = "sampling",
    temperature: float | None = None,
    done: int = 0,
    total: int | None = None,
) -> list[Output]:
    """The student's answers in the prompts' order. One that was had before a kill is not computed again.

    `heard` is told of each, with the place of its prompt, as soon as it is there. `draw` names the draw: with another one the same
    student says something else. `temperature` where it is another than sampling's. `done` of `total` were had before, for who looks on.
    """
    from phases.student.kept import Kept

    # ReduceBatchSize of Diagram 8 halves the batch where it stands in the data
    changed = {"batch": ctx.data["micro_batch"]} | (
        {} if temperature is None else {"temperature": temperature}
    )
    config: SamplingConfig = ctx.config.sampling.model_copy(update=changed)
    drawn = seed(ctx, draw)
    adapter = ctx.open(ctx.data["adapter"]).name
    engine = answering.engine(ctx, job(ctx), config)
    path = ctx.workdir("generated") / f"{_key(adapter, config, drawn, engine.said)}.jsonl"
    found: dict[int, Output] = {}

    def have(place: int, output: Output) -> None:
        found[place] = output
        heard(place, output)
        ctx.progress(done + len(found), len(prompts) if total is None else total, f"epoch {epoch}")

    with Kept(path) as kept:
        for place, prompt in enumerate(prompts):
            if prompt in kept.found:
                have(place, kept.found[prompt])
        left = [place for place in range(len(prompts)) if place not in found]
        if left:
            asked = [prompts[place] for place in left]
            with closing(engine.answers(asked, drawn)) as coming:
                for place, output in coming:
                    kept.add(output)
                    have(left[place], output)
    return [found[place] for place in range(len(prompts))]


def _key(adapter: str, config: SamplingConfig, seed: int, engine: Any) -> str:
    """What answers are a function of, besides their prompts."""
    said: list[Any] = [adapter, config.model_dump(mode="json"), seed, engine]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
