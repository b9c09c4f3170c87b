"""Who answers for the student in an epoch: this process over the base as it was trained on or whole, or a vLLM server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

from fsm.engine import Context
from phases.qlora_training.job import Job
from phases.student.config import QLoRAConfig
from phases.student.generate import Output, SamplingConfig

Answers = Generator[tuple[int, Output], None, None]


class Engine(Protocol):
    """Answers prompts. `said` is what decides the answers besides weights, seed, prompt and sampling, as JSON."""

    @property
    def said(self) -> Any: ...

    def answers(self, prompts: Sequence[str], seed: int) -> Answers: ...


def needed(ctx: Context) -> None:
    """Raises NotProvided where the engine that is asked for is not here; says where its answers are not reproducible."""
    settings = ctx.config.generate
    if settings.engine == "vllm":
        from phases.student import vllm

        vllm.needed(settings.vllm)
        if not settings.vllm.batch_invariant:
            ctx.log.warning(
                "distillation.generate.vllm.batch_invariant is off: answers depend on who else asks at the time, so "
                "this run's are not those of another one with the same seed"
            )


def engine(ctx: Context, job: Job, sampling: SamplingConfig) -> Engine:
    """The engine of this run's configuration, on this machine.

    Whatever it reads of the run is opened here, so that the journal says the same where all answers are there already.
    """
    from phases.student import preflight, session

    settings = ctx.config.generate
    base = job.config.model_copy(update={"model": session.base_directory(ctx, job)})
    if settings.engine == "vllm":
        return _Vllm(ctx, base, sampling)
    full = settings.weights == "full" or (
        settings.weights == "auto" and preflight.answers_whole(base, sampling)
    )
    return _Whole(ctx, base, sampling) if full else _Trained(ctx, job, sampling)


class _Trained:
    """The session's student, as training left it."""

    said: Any = "transformers"

    def __init__(self, ctx: Context, job: Job, sampling: SamplingConfig) -> None:
        self._ctx, self._job, self._sampling = ctx, job, sampling

    def answers(self, prompts: Sequence[str], seed: int) -> Answers:
        from phases.qlora_training.trainer import memory_explained
        from phases.student import generate, session

        with memory_explained(self._sampling.batch):
            own = session.of(self._ctx, self._job).use(self._ctx.open(self._ctx.data["adapter"]))
            yield from generate.answers(own.model, own.tokenizer, prompts, self._sampling, seed)


class _Whole:
    """The base at full weights with the adapter merged into it; the session's student makes room for it meanwhile.

    Loaded anew for every epoch: an adapter taken out of 16 bit again leaves other bits than there were.
    """

    said: Any = "transformers, full weights"

    def __init__(self, ctx: Context, base: QLoRAConfig, sampling: SamplingConfig) -> None:
        self._base, self._sampling = base, sampling
        self._adapter = ctx.open(ctx.data["adapter"])

    def answers(self, prompts: Sequence[str], seed: int) -> Answers:
        from phases.qlora_training.trainer import memory_explained
        from phases.student import generate, merging, session

        session.forget()
        with memory_explained(self._sampling.batch):
            model, tokenizer = merging.merged(self._base, self._adapter.read_bytes())
            yield from generate.answers(model, tokenizer, prompts, self._sampling, seed)


class _Vllm:
    """A vLLM server, started for the epoch over base and adapter, stopped when all have answered."""

    def __init__(self, ctx: Context, base: QLoRAConfig, sampling: SamplingConfig) -> None:
        self._base, self._sampling, self._settings = base, sampling, ctx.config.generate.vllm
        self._adapter = ctx.open(ctx.data["adapter"])
        self._adapter_config = ctx.open(ctx.data["adapter"].replace("model.safetensors", "config.json"))
        self._work = ctx.workdir("vllm")

    @property
    def said(self) -> Any:
        settings = self._settings
        return ["vllm", list(settings.command), list(settings.arguments), settings.batch_invariant]

    def answers(self, prompts: Sequence[str], seed: int) -> Answers:
        from phases.student import generate, model, session, vllm

        base = self._base
        session.forget()  # the GPU is the server's
        tokenizer, context = model.load_tokenizer(base), model.context(model.shape(base))
        encoded = generate.encode(tokenizer, prompts, generate.room_in(context, self._sampling))
        with vllm.Server(
            self._settings, base.model, self._laid_out(), base.lora_rank, self._work / "server.log"
        ) as server:
            yield from vllm.answers(server, tokenizer, encoded, self._sampling, seed, self._settings)

    def _laid_out(self) -> Path:
        """The epoch's adapter in a directory as PEFT saves one."""
        directory = self._work / self._adapter.name[:16]
        directory.mkdir(exist_ok=True)
        shutil.copyfile(self._adapter, directory / "adapter_model.safetensors")
        said = json.loads(self._adapter_config.read_text()) | {"base_model_name_or_path": self._base.model}
        (directory / "adapter_config.json").write_text(json.dumps(said))
        return directory
