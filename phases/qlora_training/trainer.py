"""TRL's SFTTrainer, followed by Diagram 5, and made to resume to the same weights.

Imports torch and TRL; import it only in the process that trains.
"""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from phases.errors import CUDAOutOfMemory, NaNLoss
from phases.qlora_training import adapters, checkpoints, processor
from phases.qlora_training.config import QLoRAConfig
from phases.qlora_training.follow import Follow, Followed, Intervals, NotDrawn, Walk

BEST = "best-{step}.safetensors"
FOLLOW = "follow.json"


class StoppedAtCheckpoint(Exception):
    """Training was asked to stop, and has written a complete checkpoint of the step it had reached."""


@dataclass(frozen=True)
class Trained:
    """How a training ended. `resumed_from` is a step, `note` a sentence for the user, empty when there is none."""

    known: Followed
    resumed_from: int | None
    note: str


def arguments(
    config: QLoRAConfig, directory: Path, seed: int, micro_batch: int, accumulation: int
) -> SFTConfig:
    """TrainingArguments for a training whose flow Diagram 5 decides, so that transformers' own flow is off.

    `save_only_model`, `group_by_length` and transformers' JIT checkpoint stay off: each breaks exact resume.
    """
    gpu = torch.cuda.is_available()
    return SFTConfig(
        output_dir=str(directory),
        num_train_epochs=config.epochs,
        max_steps=config.max_steps,
        per_device_train_batch_size=micro_batch,
        per_device_eval_batch_size=micro_batch,
        gradient_accumulation_steps=accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim=config.optimizer,
        gradient_checkpointing=config.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if config.gradient_checkpointing else None,
        completion_only_loss=True,
        max_length=config.max_length if config.packing else None,  # rows too long are dropped before, not cut
        packing=config.packing,
        use_liger_kernel=config.liger,
        bf16=gpu and torch.cuda.is_bf16_supported(),
        fp16=False,
        use_cpu=not gpu,
        seed=seed % 2**32,
        data_seed=seed % 2**32,
        full_determinism=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=gpu,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,  # it would hide what CheckNaN looks for
        report_to="none",
        disable_tqdm=True,
        push_to_hub=False,
    )


class FollowedTrainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer that takes every step in Diagram 5 as well."""

    follow: Follow
    root: Path

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # the constructor casts a quantised model's trainables to bf16, a resume brings them back as fp32: one of
        # the two must not be, or the weights after a resume are others
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss, looked at before anything is made of it. Raises NaNLoss."""
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        self.follow.forward()
        found = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        loss = found[0] if return_outputs else found
        value = float(loss.detach())
        if num_items_in_batch is None:
            value /= self.current_gradient_accumulation_steps
        if not self.follow.loss(value):
            step = self.state.global_step
            last = checkpoints.newest(self.root)
            raise NaNLoss(
                f"The training loss became {value} in step {step + 1}. Training was halted before the weights were "
                f"touched; the last good checkpoint is "
                f"{f'that of step {last.step}' if last else 'the beginning: none had been due yet'}. Lower "
                "learning_rate or max_grad_norm, or look for rows that do not belong in the data."
            )
        return found

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """One micro-batch forward and backward."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.follow.backward()
        return loss

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None in checkpoints: it looks the base up on the hub, and the run writes its own."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """transformers' checkpoint, then what Follow knows, then the sentinel; then older ones go."""
        path = self.root / f"checkpoint-{self.state.global_step}"
        drawn = self.follow.known.steps[-1].then[-1:] == "S"
        checkpoints.begin(path)
        super()._save_checkpoint(model, trial)
        known = self.follow.known
        (path / FOLLOW).write_text(json.dumps(known.to_json(), sort_keys=True))
        checkpoints.seal(path, {"best_step": known.best_step, "processor": processor.kind(), "drawn": drawn})


class Flow(TrainerCallback):  # type: ignore[misc]
    """Decides with Follow what happens after a step, and passes on what did happen."""

    def __init__(
        self,
        trainer: FollowedTrainer,
        kept: int,
        stopping: Callable[[], bool],
        progress: Callable[[int, int, str], None],
    ) -> None:
        self._trainer = trainer
        self._kept = kept
        self._stopping = stopping
        self._progress = progress
        self._due = (False, False, False)
        self._to_log = (
            False  # evaluation and the end of training log too; neither is LogMetrics of the drawing
        )
        self.stopped = False

    @property
    def _follow(self) -> Follow:
        return self._trainer.follow

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.max_steps != self._follow.max_steps:
            raise NotDrawn(
                f"The trainer means to take {state.max_steps} steps; {self._follow.max_steps} were counted."
            )

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._follow.accumulated(full=False)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._follow.accumulated(full=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        log, evaluate, save = self._due = self._follow.stepped()
        self._to_log = log
        control.should_log, control.should_evaluate, control.should_save = log, evaluate, save
        control.should_training_stop = state.global_step >= state.max_steps
        self._progress(state.global_step, state.max_steps, f"loss {self._follow.known.losses[-1]:.3f}")
        if self._stopping() and not control.should_training_stop:
            self.stopped = True
            control.should_save = control.should_training_stop = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._to_log:
            self._to_log = False
            self._follow.logged(self._due[1])

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **kwargs: Any) -> Any:
        verdict = self._follow.evaluated(float(metrics["eval_loss"]), self._due[2])
        if verdict == "best":
            write_best(self._trainer.root, state.global_step, self._trainer.model)
        elif verdict == "stop":
            control.should_training_stop, control.should_save = True, False
            self.stopped = False
        if control.should_save and self._due[2]:
            self._follow.saving()
        return control

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._due[2]:
            self._follow.saved()
        best = self._follow.known.best_step
        checkpoints.prune(self._trainer.root, self._kept, () if best is None else (best,))
        prune_best(self._trainer.root, best)


@contextmanager
def memory_explained(micro_batch: int) -> Iterator[None]:
    """Turns the GPU's out-of-memory into CUDAOutOfMemory of Diagram 8, the cache emptied for the next attempt."""
    try:
        yield
    except torch.OutOfMemoryError as e:
        torch.cuda.empty_cache()
        raise CUDAOutOfMemory(
            f"A training step with {micro_batch} rows in the micro-batch does not fit the GPU: {str(e).splitlines()[0]} "
            "It is tried again with half as many rows and twice the accumulation; lower max_length or micro_batch to "
            "begin there."
        ) from e


def create(
    config: QLoRAConfig,
    model: Any,
    tokenizer: Any,
    train: Any,
    validation: Any,
    directory: Path,
    seed: int,
    micro_batch: int,
    accumulation: int,
) -> FollowedTrainer:
    """CreateSFTTrainer: a trainer over the present adapter of `model`. `train` and `validation` as data.dataset gives."""
    _release()
    trainer = FollowedTrainer(
        model=model,
        args=arguments(config, directory, seed, micro_batch, accumulation),
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
    )
    trainer.remove_callback(PrinterCallback)  # the run says what there is to say
    trainer.root = directory
    return trainer


def _release() -> None:
    """Free the trainer before this one: cycles hold it, and it holds gradients and the optimizer's state on the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def train(
    trainer: FollowedTrainer,
    config: QLoRAConfig,
    walk: Walk,
    stopping: Callable[[], bool],
    progress: Callable[[int, int, str], None],
) -> Trained:
    """Train to the end, or on from the newest complete checkpoint; the model then holds the weights to keep.

    Raises NaNLoss, StoppedAtCheckpoint after a stop was asked for and a checkpoint written, and NotDrawn.
    """
    last = checkpoints.newest(trainer.root)
    known = Followed.from_json(json.loads((last.path / FOLLOW).read_text())) if last else None
    intervals = Intervals(config.log_steps, config.eval_steps, config.save_steps, config.patience)
    trainer.follow = Follow(walk, intervals, known, max_steps=_max_steps(trainer))
    flow = Flow(trainer, config.checkpoints_kept, stopping, progress)
    trainer.add_callback(flow)
    trainer.train(resume_from_checkpoint=str(last.path) if last else None)
    if flow.stopped:
        raise StoppedAtCheckpoint(f"stopped after step {trainer.state.global_step}")
    trainer.follow.done()
    after = trainer.follow.known
    if config.keep == "best" and after.best_step is not None:
        adapters.load(trainer.model, trainer.root / BEST.format(step=after.best_step))
    return Trained(after, last.step if last else None, _inexact(last))


def write_best(root: Path, step: int, model: Any) -> None:
    """UpdateBest: the adapter as it is now, beside the checkpoints, under the step's number."""
    part = root / f".{BEST.format(step=step)}"
    part.write_bytes(adapters.weights(model))
    part.rename(root / BEST.format(step=step))


def prune_best(root: Path, best: int | None) -> None:
    """Remove the weights that were best once. Called after a checkpoint is complete that names `best`."""
    for path in sorted(root.glob(BEST.format(step="*"))):
        if best is None or path.name != BEST.format(step=best):
            path.unlink()


def _max_steps(trainer: FollowedTrainer) -> int:
    """The optimizer steps of the whole training, as transformers will count them."""
    if trainer.args.max_steps > 0:
        return int(trainer.args.max_steps)
    passes: int = len(trainer.get_train_dataloader())
    steps = max(math.ceil(passes / trainer.args.gradient_accumulation_steps), 1)
    epochs: float = trainer.args.num_train_epochs
    total: int = math.ceil(epochs * steps)
    return total


def _inexact(last: checkpoints.Checkpoint | None) -> str:
    if last is None or last.said["processor"] == processor.kind():
        return ""
    return (
        f"Training went on from step {last.step}, whose checkpoint was written on another kind of processor "
        f"({last.said['processor']}; here {processor.kind()}): the weights are as good, but no longer equal to the "
        "bit to those of an uninterrupted run."
    )
