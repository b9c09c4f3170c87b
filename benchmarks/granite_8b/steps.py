"""A training step: the project's trainer beside bare TRL, following by Diagram 5, flash attention and packing."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.granite_8b.base import Base, loaded, shape_of
from benchmarks.granite_8b.device import installed, peak, synchronize
from benchmarks.granite_8b.sizes import SEED, Sizes, arithmetic
from fsm.engine import Walk
from machines.qlora_training import MACHINE
from phases.qlora_training import data
from phases.qlora_training.follow import Follow, Intervals
from phases.student import preflight
from phases.student.session import Session

PASSES: dict[str, dict[str, Any]] = {
    "by tokens": {"micro_batch_of": "tokens"},
    "by tokens, packed": {"micro_batch_of": "tokens", "packing": True},
    "by tokens, kept": {"micro_batch_of": "tokens", "gradient_checkpointing": False},
}
"""Micro-batches by tokens: with what else is as drawn, without padding, and with activations kept instead of computed again."""


def step(sizes: Sizes, base: Base, work: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    """Bare TRL, bare TRL with an fp32 adapter, and the followed trainer, in turns on one model; then flash attention."""
    ceiling = found["machine"]["flops_ceiling"]
    said: dict[str, Any] = {
        "settings": base.config(sizes).model_dump(mode="json", exclude={"model", "tiny_student"})
    }
    with loaded(base.config(sizes)) as (own, load):
        said["load"] = load
        said["sdpa"] = variants(sizes, base, own, work, ("bare", "bare fp32", "followed", *PASSES), ceiling)
    if installed("flash-attn") and found["machine"]["memory_bytes"]:
        with loaded(base.config(sizes, attention="flash_attention_2")) as (own, _):
            said["flash_attention_2"] = variants(sizes, base, own, work, ("bare", "followed"), ceiling)
            packed = base.config(sizes, attention="flash_attention_2", packing=True)
            own.config = packed.model_copy(update={"model": own.config.model})
            said["flash_attention_2, packed"] = variants(
                sizes, base, own, work, ("bare", "followed"), ceiling
            )
    else:
        said["flash_attention_2"] = "not measured: flash-attn is not installed, or there is no GPU"
    means = said["sdpa"]
    seconds = means["followed"]["step_seconds"]
    said["followed / bare"] = seconds / means["bare"]["step_seconds"]
    said["followed / bare fp32"] = seconds / means["bare fp32"]["step_seconds"]
    said["by tokens / bare, tokens a second"] = {
        name: means[name]["tokens_per_second"] / means["bare"]["tokens_per_second"] for name in PASSES
    }
    said["walk_seconds"] = walking(sizes.accumulation)
    said["walk / step"] = said["walk_seconds"] / seconds
    need = preflight.need(shape_of(base), base.config(sizes)).total
    reserved = means["followed"]["peak"]["reserved"]
    said["preflight_bytes"] = need
    said["preflight / peak"] = need / reserved if reserved else None
    return said


def variants(
    sizes: Sizes, base: Base, own: Session, work: Path, names: Sequence[str], ceiling: float
) -> dict[str, Any]:
    """Each of `names` trained in turns; of each the median step, and what comes of it."""
    taken: dict[str, list[Clock]] = {name: [] for name in names}
    most: dict[str, dict[str, int | None]] = {}
    for number in range(sizes.rounds):
        for name in names:
            with peak() as most[name]:
                taken[name].append(once(name, own, base, work / "steps" / f"{name} {number}"))
    return {name: steps_said(sizes, clocks, ceiling) | {"peak": most[name]} for name, clocks in taken.items()}


def once(name: str, own: Session, base: Base, directory: Path) -> Clock:
    """One training of warm and timed steps, by TRL alone or as the phase has it."""
    from trl import SFTTrainer

    from phases.qlora_training import trainer as trainers

    config = own.config
    shutil.rmtree(directory, ignore_errors=True)
    rows = data.dataset(data.tokenize(data.read_jsonl(base.train), own.tokenizer, config.max_length, "train"))
    sizes = (preflight.rows_at_once(config), config.gradient_accumulation_steps)
    if name in PASSES:
        config = config.model_copy(update=PASSES[name])
        sizes = wider(*sizes)
    if name == "followed" or name in PASSES:
        made = trainers.create(config, own.model, own.tokenizer, rows, rows, directory, SEED, *sizes)
        with clocked(made) as clock:
            walk = Walk(MACHINE.counted_inside("TrainingLoop"))
            trainers.train(made, config, walk, lambda: False, lambda done, total, note: None)
        return clock
    bare = SFTTrainer(
        model=own.model,
        args=trainers.arguments(config, directory, SEED, *sizes),
        train_dataset=rows,
        processing_class=own.tokenizer,
    )
    if name == "bare fp32":
        for parameter in bare.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    with clocked(bare) as clock:
        bare.train()
    return clock


def wider(micro_batch: int, accumulation: int) -> tuple[int, int]:
    """Four times the rows in a pass, the same rows in a step."""
    return (4 * micro_batch, accumulation // 4) if accumulation % 4 == 0 else (micro_batch, accumulation)


class Clock:
    """Seconds and tokens of every step: `tokens` without padding, `places` with it, `learned` where loss is taken."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.seen: list[list[tuple[Any, Any, Any, Any]]] = []
        self._started = 0.0

    def begin(self) -> None:
        synchronize()
        self.seen.append([])
        self._started = time.perf_counter()

    def end(self) -> None:
        synchronize()
        self.seconds.append(time.perf_counter() - self._started)

    def saw(self, inputs: Mapping[str, Any]) -> None:
        """One micro-batch; sums stay on the device until they are asked for, so that nothing waits for them."""
        ids, mask, labels = inputs["input_ids"], inputs.get("attention_mask"), inputs.get("labels")
        if mask is not None and mask.dim() == 2:
            own, squares = mask.sum(), mask.sum(1).pow(2).sum()
        else:  # packed: rows end to end, each beginning at position 0
            starts = (inputs["position_ids"].flatten() == 0).nonzero().flatten()
            ends = starts.new_tensor([*starts[1:].tolist(), ids.numel()])
            own, squares = ids.numel(), (ends - starts).pow(2).sum()
        self.seen[-1].append((own, squares, ids.numel(), 0 if labels is None else (labels != -100).sum()))

    def totals(self, first: int) -> tuple[int, int, int, int]:
        """Sums over the steps from `first` on: tokens, sum of squared lengths, places, learned."""
        columns = zip(*(one for each in self.seen[first:] for one in each), strict=True)
        own, squares, places, learned = (sum(int(v) for v in column) for column in columns)
        return own, squares, places, learned


@contextmanager
def clocked(trainer: Any) -> Iterator[Clock]:
    """Have a trainer's steps timed."""
    from transformers import TrainerCallback

    clock = Clock()

    class Steps(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            clock.begin()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            clock.end()

    trainer.add_callback(Steps())
    loss = trainer.compute_loss

    def heard(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if model.training:
            clock.saw(inputs)
        return loss(model, inputs, *args, **kwargs)

    trainer.compute_loss = heard
    try:
        yield clock
    finally:
        del trainer.compute_loss


def steps_said(sizes: Sizes, clocks: Sequence[Clock], ceiling: float) -> dict[str, Any]:
    """The median step, tokens/s, and the share of the ceiling that the model's own arithmetic makes up."""
    taken = [s for clock in clocks for s in clock.seconds[sizes.warm :]]
    sums = [sum(column) for column in zip(*(clock.totals(sizes.warm) for clock in clocks), strict=True)]
    own, squares, places, learned = sums
    flops = arithmetic(sizes, own, squares, learned)
    return {
        "step_seconds": statistics.median(taken),
        "steps_seconds": [round(s, 4) for s in taken],
        "tokens": own,
        "tokens_per_second": own / sum(taken),
        "padding": 1 - own / places,
        "model_flops_per_second": flops / sum(taken),
        "model_flops_utilisation": flops / sum(taken) / ceiling,
    }


def walking(accumulation: int, steps: int = 200) -> float:
    """Seconds that following takes for one optimizer step, with no training beside it: median of steps."""

    follow = Follow(Walk(MACHINE.counted_inside("TrainingLoop")), Intervals(), max_steps=steps + 1)
    taken: list[float] = []
    for _ in range(steps):
        started = time.perf_counter()
        for i in range(accumulation):
            follow.forward()
            follow.loss(1.0)
            follow.backward()
            follow.accumulated(i + 1 == accumulation)
        log, evaluate, save = follow.stepped()
        if log:
            follow.logged(evaluate)
        if evaluate:
            follow.evaluated(1.0 / (1 + len(taken)), save)
        if save:
            follow.saving()
            follow.saved()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)
