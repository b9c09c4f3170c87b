"""What one run of Diagram 5 is to do: its settings, and the names of what it reads and writes.

Alone, the machine takes them from its configuration, the container's hyperparameters and the run's artifacts; below
distillation, from the inputs it is called with. Either way they are computed anew in every state, from durable things
only, for any state may be the one in which another process goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fsm.engine import Context
from phases.errors import EmptyDataset, InvalidStructure
from phases.qlora_training.config import QLoRATrainingConfig
from phases.sagemaker_job.environment import Layout
from phases.student.config import QLoRAConfig


@dataclass(frozen=True)
class Job:
    """One training.

    train, validation  names of JSONL artifacts
    adapter            name of the artifact that holds the weights to begin with; None for a fresh adapter
    base               prefix of the artifacts that hold the base model; None where `config.model` is loaded as it is
    out                prefix of the artifacts written
    seed               of the adapter's first weights and of the order of the rows
    beta               None for a training on rows; else preferences are learned from pairs, and it is DPO's: how dear it is to
                       leave the student that it begins with
    wordings           in how many wordings each row is learned from, as WordingsConfig has it; None for its own alone
    """

    config: QLoRAConfig
    train: str
    validation: str
    adapter: str | None
    base: str | None
    out: str
    seed: int
    adapter_seed: int
    beta: float | None = None
    wordings: Mapping[str, Any] | None = None

    @property
    def learned(self) -> str:
        """The name of the artifact whose rows are learned from: `train`, or its rows in several wordings."""
        return f"{self.out}/wordings.jsonl" if self.wordings else self.train

    def inputs(self) -> dict[str, Any]:
        """As JSON values, for `ctx.run("qlora_training", inputs=...)`."""
        return {**self.__dict__, "config": self.config.model_dump(mode="json")}


def of(ctx: Context) -> Job:
    """The job of the frame that `ctx` stands in."""
    if ctx.inputs:
        given = dict(ctx.inputs)
        return Job(**{**given, "config": QLoRAConfig.model_validate(given["config"])})
    config = QLoRATrainingConfig.model_validate(
        ctx.data.get("settings") or ctx.config.model_dump(mode="json")
    )
    seed = 42 if "seed" not in ctx.data else int(ctx.data["seed"])
    has_base = ctx.has("qlora/base/config.json")
    return Job(
        config,
        "qlora/train.jsonl",
        "qlora/validation.jsonl",
        None,
        "qlora/base" if has_base else None,
        "qlora",
        seed,
        seed,
    )


def with_hyperparameters(config: QLoRATrainingConfig, environment: Mapping[str, str]) -> QLoRATrainingConfig:
    """The configuration with what the job's hyperparameters (SM_HPS) say of its fields; other words are not ours.

    Raises InvalidStructure for a value that does not fit its field.
    """
    words = json.loads(environment.get("SM_HPS") or "{}")
    own = {name: value for name, value in words.items() if name in QLoRATrainingConfig.model_fields}
    try:
        return QLoRATrainingConfig.model_validate(
            config.model_dump(mode="json") | {k: _value(v) for k, v in own.items()}
        )
    except ValidationError as e:
        first = e.errors()[0]
        raise InvalidStructure(
            f"The job's hyperparameter {'.'.join(map(str, first['loc'])) or 'set'} does not fit: {first['msg']}. "
            "Correct it and start the job again."
        ) from e


def in_container(environment: Mapping[str, str]) -> bool:
    """Whether this process is a SageMaker job's (DetectEnvironment of Diagram 4)."""
    return bool(environment.get("SM_TRAINING_ENV"))


def layout() -> Layout:
    """The container's directories; a local job has the same below another root."""
    return Layout(Path(os.environ.get("FSM_OPT_ML", "/opt/ml")))


def checkpoints(ctx: Context, name: str) -> Path:
    """Where the checkpoints of `name` lie: synced to S3 by the service in a container, below the run elsewhere."""
    if in_container(os.environ):
        path = layout().checkpoints / name
        path.mkdir(parents=True, exist_ok=True)
        return path
    return ctx.workdir(f"checkpoints/{name}")


def own_checkpoints(ctx: Context, job: Job) -> Path:
    """Where the job's checkpoints lie, once it is known whose they are; the first to come writes down what it is.

    Raises InvalidStructure where they are another training's, whose weights and schedule would be gone on with: a
    container's directory comes from a bucket, and a bucket's prefix can be given twice.
    """
    root = checkpoints(ctx, job.out)
    record = root / _WHOSE
    sets = {name: ctx.open(name).name for name in filter(None, (job.learned, job.validation, job.adapter))}
    now = {**job.config.model_dump(mode="json", exclude=_FREE), "seed": job.seed}
    now |= {"adapter_seed": job.adapter_seed, **sets, **({} if job.beta is None else {"beta": job.beta})}
    try:
        then = json.loads(record.read_text("utf-8"))
    except (OSError, ValueError):
        part = record.with_suffix(".part")
        part.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", "utf-8")
        part.replace(record)
        return root
    other = sorted(key for key in then.keys() & now.keys() if then[key] != now[key])
    if other or then.keys() - now.keys() - set(QLoRAConfig.model_fields):
        said = "; ".join(f"{key}: {then[key]} then, {now[key]} now" for key in other[:3]) or "other rows"
        raise InvalidStructure(
            f"The checkpoints at {root} are of another training ({said}). Give this one a directory of its own, or empty "
            "that one."
        )
    return root


_WHOSE = "training.json"
_FREE = {"offline", "min_free_gb", "checkpoints_kept", "max_dropped_share"}
"""Settings that change nothing in what is trained."""


def find(ctx: Context, name: str, channel: str = "train") -> Path | None:
    """A data file: of the container's channel, of this run, or of this machine, in that order; None where it is not."""
    directory = os.environ.get(f"SM_CHANNEL_{channel.upper()}")
    if directory and (path := Path(directory) / Path(name).name).is_file():
        return path
    if ctx.has(name):
        return ctx.open(name)
    path = Path(name)
    return path if path.is_file() else None


def require(ctx: Context, name: str, channel: str = "train", purpose: str = "to train on") -> Path:
    """Like `find`. Raises EmptyDataset where there is no such file."""
    path = find(ctx, name, channel)
    if path is None:
        where = os.environ.get(f"SM_CHANNEL_{channel.upper()}")
        raise EmptyDataset(
            f"There is no {Path(name).name} {purpose}: neither in the channel {where or f'(SM_CHANNEL_{channel.upper()} is not set)'}, "
            f"nor has this run made {name}, nor is that a file on this machine. Run data_preparation first, or name "
            "the file in the configuration."
        )
    return path


def _value(word: Any) -> Any:
    """Hyperparameters come as strings, numbers and lists as JSON in them."""
    if not isinstance(word, str):
        return word
    try:
        return json.loads(word)
    except ValueError:
        return word
