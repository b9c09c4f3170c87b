"""One training as all its ranks must know it, rank 0 by its run, the others by what rank 0 sends them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fsm.engine import Context
from phases.errors import InvalidStructure
from phases.qlora_training import checkpoints, data, dealing, trainer
from phases.qlora_training import job as jobs
from phases.qlora_training import pairs as pairs_of
from phases.qlora_training.job import Job
from phases.qlora_training.together import Alone, Group, ranks
from phases.student import model, session
from phases.student.config import QLoRAConfig
from phases.student.session import Session


@dataclass(frozen=True)
class Order:
    """What is trained, from where, and how many rows at a time.

    base           the model's id or directory
    adapter        the weights to begin with; None for the fresh ones of `adapter_seed`
    names          of both sets, as a user knows them
    root           the directory of the checkpoints; the ranks that do not lead have the newest one there, to begin from
    accumulation   forward passes to an optimizer step, of all ranks together
    checkpointing  whether activations are computed again instead of kept; as `micro_batch: auto` has chosen, where it does
    beta           None for a training on rows; of a training on pairs, DPO's: by one process alone
    """

    config: QLoRAConfig
    base: str
    adapter: Path | None
    train: Path
    validation: Path
    names: tuple[str, str]
    root: Path
    seed: int
    adapter_seed: int
    micro_batch: int
    accumulation: int
    checkpointing: bool
    beta: float | None = None

    @classmethod
    def of(cls, ctx: Context, job: Job) -> Order:
        """Of the run's own training, as its state TrainingLoop begins."""
        return cls(
            job.config,
            session.base_directory(ctx, job),
            ctx.open(job.adapter) if job.adapter else None,
            ctx.open(job.learned),
            ctx.open(job.validation),
            (job.learned, job.validation),
            jobs.own_checkpoints(ctx, job),
            job.seed,
            job.adapter_seed,
            ctx.data["micro_batch"],
            ctx.data["accumulation"],
            ctx.data.get("checkpointing", job.config.gradient_checkpointing),
            job.beta,
        )

    @contextmanager
    def called(self, own_base: bool) -> Iterator[Alone]:
        """Whoever trains it: this process alone, or it and the other ranks of its launch, which are called and told.

        `own_base`: the run has made the base itself, so that it is nowhere else. Raises what the training by any rank raises.
        """
        launched = ranks()
        if launched is None:
            yield Alone()
            return
        if self.beta is not None:
            raise InvalidStructure(
                "distillation.learn is sft+dpo, and preferences are learned from by one process only: take one host with one GPU, or set "
                "distillation.learn to sft."
            )
        with launched.called() as group:
            self._give(group, own_base)
            yield group

    def _give(self, group: Group, own_base: bool) -> None:
        base = Path(self.base)
        sent = {"train.jsonl": self.train, "validation.jsonl": self.validation}
        if self.adapter:
            sent["adapter.safetensors"] = self.adapter
        if last := checkpoints.newest(self.root):
            beside = [self.root / name for name in sorted(checkpoints.beside(self.root))]
            parts = [p for p in (*sorted(last.path.rglob("*")), *beside) if p.is_file()]
            sent |= {f"checkpoints/{p.relative_to(self.root)}": p for p in parts}
        files = {f"{_TRAINING}/{name}": path for name, path in sent.items()}
        if own_base:
            files |= {f"{_BASES}/{base.name}/{p.name}": p for p in sorted(base.iterdir())}
        group.give(
            {
                "config": self.config.model_dump(mode="json", include=set(QLoRAConfig.model_fields)),
                "base": None if own_base else self.base,
                "base_name": base.name,
                "adapter": self.adapter is not None,
                "names": self.names,
                "seed": self.seed,
                "adapter_seed": self.adapter_seed,
                "micro_batch": self.micro_batch,
                "accumulation": self.accumulation,
                "checkpointing": self.checkpointing,
            },
            files,
        )

    @classmethod
    def taken(cls, group: Group, scratch: Path) -> Order:
        """The one that rank 0 gives; what it sends along lies below `scratch`, in place of what was there of the last one."""
        place = scratch / _TRAINING
        shutil.rmtree(place, ignore_errors=True)
        (place / "checkpoints").mkdir(parents=True)
        said = group.take(scratch)
        return cls(
            QLoRAConfig.model_validate(said["config"]),
            said["base"] or str(scratch / _BASES / said["base_name"]),
            place / "adapter.safetensors" if said["adapter"] else None,
            place / "train.jsonl",
            place / "validation.jsonl",
            said["names"],
            place / "checkpoints",
            said["seed"],
            said["adapter_seed"],
            said["micro_batch"],
            said["accumulation"],
            said["checkpointing"],
        )

    def begin(self, together: Alone) -> trainer.WalkingTrainer:
        """A trainer over the session's model, its adapter as the training begins with it. Raises what dealing.share raises."""
        accumulation = dealing.share(self.accumulation, together.rank.world)
        if together.rank.world > 1 and self.config.micro_batch_of == "tokens":
            raise InvalidStructure(
                "micro_batch_of is tokens, and several ranks are dealt rows, so that a step has the same ones as on one. Set it to rows, or "
                "take one host with one GPU."
            )
        own = session.held(self.config, self.base, self.adapter_seed).use(self.adapter)
        dataset: Any = data.dataset if self.beta is None else pairs_of.dataset
        sets = [
            dataset(tokenized(own, self.config, path, name, pairs=self.beta is not None))
            for path, name in self._sets
        ]
        own.touched()
        make: Any = partial(trainer.create, together=together)
        if self.beta is not None:
            make = partial(_preferring().create, beta=self.beta)
        made: trainer.WalkingTrainer = make(
            self.config.model_copy(update={"gradient_checkpointing": self.checkpointing}),
            own.model,
            own.tokenizer,
            sets[0],
            sets[1],
            self.root,
            self.seed,
            self.micro_batch,
            accumulation,
        )
        return made

    @property
    def _sets(self) -> Any:
        return zip((self.train, self.validation), self.names, strict=True)


_TRAINING, _BASES = "training", "bases"


def _preferring() -> Any:
    """TRL's trainer of preferences, which wants more of its surroundings than that of rows. Raises InvalidStructure."""
    try:
        from phases.qlora_training import preferring
    except (ImportError, RuntimeError) as e:
        raise InvalidStructure(
            f"distillation.learn is sft+dpo, and the TRL that is installed cannot bring its DPOTrainer ({str(e).splitlines()[-1]}): take "
            "TRL 1.0 or newer, or set distillation.learn to sft."
        ) from e
    return preferring


def tokenized(
    own: Session, config: QLoRAConfig, path: Path, name: str, *, pairs: bool = False
) -> data.Tokenized[Any]:
    """The rows of a set, or its pairs, in tokens of the session's tokenizer."""
    tokenize: Any = pairs_of.tokenize if pairs else data.tokenize
    rows = data.read_jsonl(path)
    found: data.Tokenized[Any] = tokenize(
        rows, own.tokenizer, config.max_length, name, model.context(own.model.config)
    )
    return found
