"""TRL's SFTTrainer, followed by Diagram 5, and made to resume to the same weights.

A stop that is asked for is heard after every forward pass, of an evaluation too, for on a small GPU a step can take
longer than the 120 s that SageMaker gives between SIGTERM and SIGKILL, and an evaluation many times that. What is
kept is the last whole step: the passes after it have changed no weight, so its checkpoint can still be written, with
the random generators put back to where they stood. What was broken off is done again after the resume.

Imports torch and TRL; import it only in the process that trains.
"""

from __future__ import annotations

import gc
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy
import torch
from transformers import PrinterCallback, Trainer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from phases.errors import CUDAOutOfMemory, InvalidStructure, NaNLoss
from phases.qlora_training import checkpoints, dealing, passes
from phases.qlora_training.follow import Follow, Followed, Intervals, NotDrawn, Walk
from phases.qlora_training.generators import Generators
from phases.qlora_training.together import Agreed, Alone
from phases.student import adapters, processor
from phases.student.config import QLoRAConfig

BEST = "best-{step}.safetensors"
FOLLOW = "follow.json"


class StoppedAtCheckpoint(Agreed):
    """Training was asked to stop, and there is a complete checkpoint of the last step that it finished."""


class _AllTaken(Exception):
    """Resumed after the last step: there is nothing left to train, and transformers would take one step more."""


@dataclass(frozen=True)
class Trained:
    """How a training ended. `resumed_from` is a step, `note` a sentence for the user, empty when there is none."""

    known: Followed
    resumed_from: int | None
    note: str


def arguments(
    config: QLoRAConfig, directory: Path, seed: int, micro_batch: int, accumulation: int
) -> SFTConfig:
    """TrainingArguments for a training on rows."""
    by_tokens = config.micro_batch_of == "tokens"
    # by tokens, a batch is all rows of a step, which training_step splits into passes
    sizes = (micro_batch * accumulation, 1) if by_tokens else (micro_batch, accumulation)
    made = SFTConfig(
        **common_arguments(config, directory, seed, *sizes) | {"per_device_eval_batch_size": micro_batch},
        completion_only_loss=True,
        # rows too long are dropped before, not cut
        max_length=config.max_length if config.packing and not by_tokens else None,
        packing=config.packing and not by_tokens,
        use_liger_kernel=config.liger,
    )
    return dealing.one_device(made)


def common_arguments(
    config: QLoRAConfig, directory: Path, seed: int, micro_batch: int, accumulation: int
) -> dict[str, Any]:
    """Arguments of any training whose flow Diagram 5 decides, so that transformers' own flow is off.

    `save_only_model`, `group_by_length` and transformers' JIT checkpoint stay off: each breaks exact resume.
    """
    gpu = torch.cuda.is_available()
    return {
        "output_dir": str(directory),
        "num_train_epochs": config.epochs,
        "max_steps": config.max_steps,
        "per_device_train_batch_size": micro_batch,
        "per_device_eval_batch_size": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.schedule,
        "warmup_steps": config.warmup_steps,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "optim": config.optimizer,
        "gradient_checkpointing": config.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if config.gradient_checkpointing else None,
        "bf16": gpu and torch.cuda.is_bf16_supported(),
        "fp16": False,
        "use_cpu": not gpu,
        "seed": seed % 2**32,
        "data_seed": seed % 2**32,
        "full_determinism": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": gpu,
        "eval_strategy": "no",
        "save_strategy": "no",
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,  # it would hide what CheckNaN looks for
        "report_to": "none",
        "disable_tqdm": True,
        "push_to_hub": False,
        "ddp_find_unused_parameters": False,
        "ddp_broadcast_buffers": False,
    }


class WalkingTrainer(Trainer):  # type: ignore[misc]
    """One of TRL's trainers that takes every step in Diagram 5 as well: to be named before it among the bases."""

    follow: Follow
    root: Path
    kept: int
    stopping: Callable[[], bool]
    written: int  # the step of the newest checkpoint; 0 before there is one
    after_step: Generators  # as they stood when the last step was finished
    budget: int = 0  # tokens in a pass; 0 where passes go by rows
    packed: bool = False
    lean: bool = False

    def __init__(self, *args: Any, together: Alone, **kwargs: Any) -> None:
        self.together = together
        super().__init__(*args, **kwargs)
        if together.rank.world > 1:
            for name in ("train_dataset", "eval_dataset"):
                setattr(self, name, dealing.Filled(getattr(self, name)))
        self.losses: list[Any] = []  # of the passes of this step
        # the constructor casts a quantised model's trainables to bf16, a resume brings them back as fp32: one of
        # the two must not be, or the weights after a resume are others
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss, kept to be looked at before the weights change; nothing waits for it here."""
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if self.lean and model is self.model and num_items_in_batch is not None and not return_outputs:
            loss = found = passes.loss(model, inputs, num_items_in_batch)
        else:
            found = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            loss = found[0] if return_outputs else found
        share = loss.detach()
        self.losses.append(
            share / self.current_gradient_accumulation_steps if num_items_in_batch is None else share
        )
        return found

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """One micro-batch forward and backward; by tokens, all of the step's."""
        if not self.budget:
            return super().training_step(model, inputs, num_items_in_batch)
        items = num_items_in_batch
        if items is None:
            items = (inputs["labels"][:, 1:] != passes.IGNORED).sum().clamp(min=1)
        if self.lean:  # what TRL's own loss would count, for the log
            self._total_train_tokens += int(inputs["attention_mask"].sum())
            self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
        parts = passes.split(inputs, self.budget, self.packed)
        total = 0.0
        for number, part in enumerate(parts):
            if number:
                self.heed_stop()
            last = number + 1 == len(parts)
            with nullcontext() if last else self.accelerator.no_sync(model):
                total = total + super().training_step(model, part, items)
        return total

    def look(self) -> None:
        """CheckNaN for every pass of the step, before the weights change: one wait for the GPU. Raises NaNLoss."""
        values = [self.together.total(value) for value in torch.stack(self.losses).tolist()]
        self.losses.clear()
        for number, value in enumerate(values):
            self.follow.forward()
            if not self.follow.loss(value):
                self._halt(value)
            self.follow.backward()
            self.follow.accumulated(full=number + 1 == len(values))

    def _halt(self, value: float) -> None:
        step = self.state.global_step
        last = checkpoints.newest(self.root)
        raise NaNLoss(
            f"The training loss became {value} in step {step + 1}. Training was halted before the weights were "
            f"touched; the last good checkpoint is "
            f"{f'that of step {last.step}' if last else 'the beginning: none had been due yet'}. Lower "
            "learning_rate or max_grad_norm, or look for rows that do not belong in the data."
        )

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The evaluation's metrics. Leaves the random generators as they were, so that it may be done again.

        Going through the validation rows draws a number from torch's generator.
        """
        self.heed_stop()
        before = Generators.now()
        try:
            metrics: dict[str, float] = super().evaluate(*args, **kwargs)
            return metrics
        finally:
            before.restore()

    def heed_stop(self) -> None:
        """Where a stop was asked for, see that there is a checkpoint of the last whole step, and end.

        Raises StoppedAtCheckpoint.
        """
        if not self.together.any(self.stopping()):
            return
        step = self.state.global_step
        if step != self.written:
            self.after_step.restore()
            self._save_checkpoint(self.model, None)
        raise StoppedAtCheckpoint(f"stopped after step {step}")

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None in checkpoints: it looks the base up on the hub, and the run writes its own."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """transformers' checkpoint, then what Follow knows, then the sentinel; then older ones go."""
        step = self.state.global_step
        path = self.root / f"checkpoint-{step}"
        if not self.together.rank.leads:
            super()._save_checkpoint(model, trial)  # its part in what is gathered
            self.written = step
            return
        checkpoints.begin(path)
        super()._save_checkpoint(model, trial)
        (path / FOLLOW).write_text(json.dumps(self.follow.known.to_json(), sort_keys=True))
        best = self.follow.best_step
        beside = () if best is None else (BEST.format(step=best),)
        ranks = {"ranks": self.together.rank.world} if self.together.rank.world > 1 else {}
        checkpoints.seal(path, {"best_step": best, **processor.here(), **ranks}, beside)
        self.written = step
        checkpoints.prune(self.root, self.kept, () if best is None else (best,))
        prune_best(self.root)

    def _save_rng_state(self, output_dir: str) -> None:
        """Those of all ranks, for the others have no directory that lasts."""
        if self.together.rank.world == 1:
            super()._save_rng_state(output_dir)
            return
        with TemporaryDirectory() as own:
            super()._save_rng_state(own)
            (path,) = Path(own).iterdir()
            for number, state in enumerate(self.together.gathered(path.read_bytes())):
                (Path(output_dir) / f"rng_state_{number}.pth").write_bytes(state)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.together.rank.world == 1:
            return super()._get_train_sampler(train_dataset)
        return dealing.Dealt(self.train_dataset, self._whole, self.args.data_seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        if self.together.rank.world == 1:
            return super()._get_eval_sampler(eval_dataset)
        return dealing.Dealt(eval_dataset, self._whole)

    @property
    def _whole(self) -> int:
        """The rows of a micro-batch on every rank."""
        size: int = self.args.train_batch_size
        return size * self.together.rank.world


class FollowedTrainer(WalkingTrainer, SFTTrainer):  # type: ignore[misc]
    """SFTTrainer that takes every step in Diagram 5 as well."""


Tell = Callable[..., None]
"""A logger's method: an event, and words by name."""


def _nobody(event: str, **words: object) -> None:
    """Tells nobody."""


class Flow(TrainerCallback):  # type: ignore[misc]
    """Decides with Follow what happens after a step, and passes on what did happen."""

    def __init__(
        self, trainer: WalkingTrainer, progress: Callable[[int, int, str], None], tell: Tell
    ) -> None:
        self._trainer = trainer
        self._progress = progress
        self._tell = tell
        self._counted: tuple[float, float] | None = (
            None  # when tokens were last counted, and how many there were
        )
        self._to_log = (
            False  # evaluation and the end of training log too; neither is LogMetrics of the drawing
        )

    @property
    def _follow(self) -> Follow:
        return self._trainer.follow

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Weights and optimizer are as the checkpoint has them; what was broken off after its step comes first."""
        if state.max_steps != self._follow.max_steps:
            raise NotDrawn(
                f"The trainer means to take {state.max_steps} steps; {self._follow.max_steps} were counted."
            )
        if number := self._trainer.together.rank.number:
            torch.manual_seed(
                args.seed + number
            )  # or all ranks would drop out the same; a checkpoint has them all
        if self._follow.evaluating:
            self._trainer.evaluate()
        if control.should_training_stop or state.global_step >= state.max_steps:
            raise _AllTaken

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.heed_stop()

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.heed_stop()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.look()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self._trainer.after_step = Generators.now()
        log, evaluate, save = self._follow.stepped()
        self._to_log = log
        control.should_log, control.should_evaluate, control.should_save = log, evaluate, save
        self._progress(state.global_step, state.max_steps, f"loss {self._follow.last_loss:.3f}")
        if state.global_step >= state.max_steps:
            control.should_training_stop = True
            # no step begins after the last one, to hear of a stop in: what it came to must not be lost
            control.should_save = save or self._trainer.together.any(self._trainer.stopping())
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if self._to_log:
            self._to_log = False
            self._follow.logged(self._follow.due[1])
            said = {"step": state.global_step, "loss": round(self._follow.last_loss, 6)}
            self._tell("training", **said, **self._rate((logs or {}).get("num_tokens")))

    def _rate(self, tokens: float | None) -> dict[str, float]:
        """Tokens a second since the last count; nothing before the second one."""
        if tokens is None:
            return {}
        now = (time.monotonic(), float(tokens))
        before, self._counted = self._counted, now
        if before is None or now[0] <= before[0]:
            return {}
        return {"tokens_per_second": round((now[1] - before[1]) / (now[0] - before[0]), 1)}

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.heed_stop()

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **kwargs: Any) -> Any:
        _, _, save = self._follow.due
        verdict = self._follow.evaluated(float(metrics["eval_loss"]), save)
        if verdict == "best" and self._trainer.together.rank.leads:
            write_best(self._trainer.root, state.global_step, self._trainer.model)
        elif verdict == "stop":
            control.should_training_stop, control.should_save = True, False
            return control
        if save:
            self._follow.saving()
            if self._trainer.written == state.global_step:
                # written when the evaluation was broken off. Not written again: until that were done there would be
                # none of this step, and one that is resumed from evaluates again and comes to the same
                self._follow.saved()
        return control

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._follow.due[2]:
            self._follow.saved()


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
    together: Alone | None = None,
) -> FollowedTrainer:
    """CreateSFTTrainer: a trainer over the present adapter of `model`. `train` and `validation` as data.dataset gives,
    `accumulation` the forward passes of each rank.
    """
    release()
    if not config.gradient_checkpointing and model.is_gradient_checkpointing:
        model.gradient_checkpointing_disable()  # a trainer turns it on, and none turns it off
    trainer = FollowedTrainer(
        model=model,
        args=arguments(config, directory, seed, micro_batch, accumulation),
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        together=together or Alone(),
    )
    if config.micro_batch_of == "tokens":
        trainer.budget, trainer.packed = micro_batch * config.max_length, config.packing
        trainer.lean = passes.lean(model)
    trainer.remove_callback(PrinterCallback)  # the run says what there is to say
    trainer.root = directory
    return trainer


def release() -> None:
    """Free the trainer before this one: cycles hold it, and it holds gradients and the optimizer's state on the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def train(
    trainer: WalkingTrainer,
    config: QLoRAConfig,
    walk: Walk,
    stopping: Callable[[], bool],
    progress: Callable[[int, int, str], None],
    tell: Tell = _nobody,
) -> Trained:
    """Train to the end, or on from the newest complete checkpoint; the model then holds the weights to keep.

    `tell` is told, at every logging step, of the step, its loss, and tokens a second.

    Raises NaNLoss, NotDrawn, and StoppedAtCheckpoint where a stop was asked for.
    """
    last = checkpoints.newest(trainer.root)
    trainer.written = last.step if last else 0
    trainer.kept = config.checkpoints_kept
    trainer.stopping = stopping
    known = _followed(last) if last else None
    intervals = Intervals(config.log_steps, config.eval_steps, config.save_steps, config.patience)
    trainer.follow = Follow(walk, intervals, known, max_steps=_max_steps(trainer))
    trainer.add_callback(Flow(trainer, progress, tell))
    _read_either_numpy()
    with suppress(_AllTaken):
        trainer.train(resume_from_checkpoint=str(last.path) if last else None)
    trainer.follow.done()
    after = trainer.follow.known
    if config.keep == "best" and after.best_step is not None and trainer.together.rank.leads:
        adapters.load(trainer.model, trainer.root / BEST.format(step=after.best_step))
    return Trained(after, last.step if last else None, _inexact(last, trainer.together.rank.world))


def write_best(root: Path, step: int, model: Any) -> None:
    """UpdateBest: the adapter as it is now, beside the checkpoints, under the step's number."""
    part = root / f".{BEST.format(step=step)}"
    part.write_bytes(adapters.weights(model))
    part.rename(root / BEST.format(step=step))


def prune_best(root: Path) -> None:
    """Remove the weights that were best once and that no checkpoint needs. Called after one is complete."""
    needed = checkpoints.beside(root)
    for path in sorted(root.glob(BEST.format(step="*"))):
        if path.name not in needed:
            path.unlink()


def _max_steps(trainer: WalkingTrainer) -> int:
    """The optimizer steps of the whole training, as transformers will count them."""
    if trainer.args.max_steps > 0:
        return int(trainer.args.max_steps)
    passes: int = len(trainer.get_train_dataloader())
    steps = max(math.ceil(passes / trainer.args.gradient_accumulation_steps), 1)
    epochs: float = trainer.args.num_train_epochs
    total: int = math.ceil(epochs * steps)
    return total


def _followed(last: checkpoints.Checkpoint) -> Followed:
    """What was known at a checkpoint. Raises InvalidStructure where another version of this program wrote it."""
    try:
        return Followed.from_json(json.loads((last.path / FOLLOW).read_text()))
    except (ValueError, KeyError, TypeError) as e:
        made = ", ".join(f"{name} {v}" for name, v in sorted(last.said.get("versions", {}).items()))
        raise InvalidStructure(
            f"The checkpoint {last.path} was written by another version of this program ({type(e).__name__}: {e}; with "
            f"{made or 'libraries it does not name'}), and cannot be gone on from. Go on with that version, or empty the "
            "directory to train from the beginning."
        ) from e


def _inexact(last: checkpoints.Checkpoint | None, world: int) -> str:
    if last is None:
        return ""
    then = last.said.get("ranks", 1)
    other = processor.elsewhere(last.said) or (f"by {then} ranks, here are {world}" if then != world else "")
    if not other:
        return ""
    return (
        f"Training went on from step {last.step}, whose checkpoint was written {other}: the weights are as good, but no "
        "longer equal to the bit to those of an uninterrupted run."
    )


def _read_either_numpy() -> None:
    """Let a checkpoint be read that was written beside another numpy, as the training image's is.

    numpy 1 and 2 name the function that rebuilds the array in a random state differently, and transformers allows the
    name of the present numpy only (trainer_pt_utils.safe_globals).
    """
    rebuild = numpy.empty(0).__reduce__()[0]
    torch.serialization.add_safe_globals(
        [(rebuild, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]
    )
