"""One training as all its ranks must know it, rank 0 by its run, the others by what rank 0 sends them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsm.engine import Context
from phases.qlora_training import checkpoints, data, dealing, trainer
from phases.qlora_training import job as jobs
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

    @classmethod
    def of(cls, ctx: Context, job: Job) -> Order:
        """Of the run's own training, as its state TrainingLoop begins."""
        return cls(
            job.config,
            session.base_directory(ctx, job),
            ctx.open(job.adapter) if job.adapter else None,
            ctx.open(job.train),
            ctx.open(job.validation),
            (job.train, job.validation),
            jobs.own_checkpoints(ctx, job),
            job.seed,
            job.adapter_seed,
            ctx.data["micro_batch"],
            ctx.data["accumulation"],
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
        )

    def begin(self, together: Alone) -> trainer.FollowedTrainer:
        """A trainer over the session's model, its adapter as the training begins with it. Raises what dealing.share raises."""
        accumulation = dealing.share(self.accumulation, together.rank.world)
        own = session.held(self.config, self.base, self.adapter_seed).use(self.adapter)
        sets = [data.dataset(tokenized(own, self.config, path, name)) for path, name in self._sets]
        own.touched()
        return trainer.create(
            self.config,
            own.model,
            own.tokenizer,
            sets[0],
            sets[1],
            self.root,
            self.seed,
            self.micro_batch,
            accumulation,
            together,
        )

    @property
    def _sets(self) -> Any:
        return zip((self.train, self.validation), self.names, strict=True)


_TRAINING, _BASES = "training", "bases"


def tokenized(own: Session, config: QLoRAConfig, path: Path, name: str) -> data.Tokenized:
    """The rows of a set in tokens of the session's tokenizer."""
    rows = data.read_jsonl(path)
    return data.tokenize(rows, own.tokenizer, config.max_length, name, model.context(own.model.config))
