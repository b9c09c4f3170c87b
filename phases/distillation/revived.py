"""The student of a stored run, put together again on this machine: base, adapter, tokenizer."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from phases.distillation import student
from phases.distillation.stored import NotDistilled, Stored
from phases.errors import InvalidStructure
from phases.student.config import TINY, QLoRAConfig
from phases.student.generate import SamplingConfig
from phases.student.session import BASE_FILES, Session
from phases.turns import words

FINAL = "distillation/model"


def training(found: Stored) -> QLoRAConfig:
    """How the student was trained."""
    section = found.section("qlora_training").model_dump(mode="json", include=set(QLoRAConfig.model_fields))
    return QLoRAConfig.model_validate(section)


def trained_on(found: Stored, base: str) -> QLoRAConfig:
    """The same, with the base model where it is now: an id, or a directory, which has no revisions."""
    at = {"model": base} | ({"revision": None} if Path(base).is_dir() else {})
    return training(found).model_copy(update=at)


def sampling(found: Stored) -> SamplingConfig:
    """How the student answered in the newest epoch; ReduceBatchSize of Diagram 8 may have halved its batch."""
    config: SamplingConfig = found.section("distillation").sampling
    in_training = found.data.get("micro_batch") if "generated" in found.data else None
    return config.model_copy(update={"batch": in_training}) if in_training else config


def adapter(found: Stored) -> tuple[str, int]:
    """(prefix of the final adapter's artifacts, its epoch); of the newest finished epoch while the run goes on."""
    epoch = found.require_epoch()
    return (FINAL if found.has(f"{FINAL}/adapter_model.safetensors") else student.prefix(epoch)), epoch


@contextmanager
def base(found: Stored, named: str | None = None) -> Iterator[str]:
    """The base model: an id on the hub, or a directory, which for the tiny student is there inside the `with` only.

    `named` is where it is on this machine, if not where the run had it. Raises InvalidStructure where it is not there,
    NotDistilled where the run's artifacts lack the tiny student.
    """
    model = training(found).model
    if named is not None or model != TINY:
        yield _present(found, named or model)
        return
    with tempfile.TemporaryDirectory(prefix="fsm-base-") as directory:
        for name in BASE_FILES:
            if found.has(f"{student.BASE}/{name}"):
                shutil.copyfile(found.open(f"{student.BASE}/{name}"), Path(directory) / name)
        if not (Path(directory) / "model.safetensors").is_file():
            raise NotDistilled(
                f"Run {found.name} trained the tiny student, and its artifacts do not hold it. Restore the run from a "
                "copy, or name a directory that has the base with --base."
            )
        yield directory


@contextmanager
def student_of(found: Stored, named: str | None = None) -> Iterator[Session]:
    """The student as it answered in its newest finished epoch: base quantised as in training, adapter on it.

    Raises what `base` raises, and the errors of loading a model; CUDAOutOfMemory before loading what does not fit.
    """
    from phases.student import model, preflight

    prefix, _ = adapter(found)
    with base(found, named) as directory:
        config = trained_on(found, directory)
        if named or training(found).model != TINY:
            preflight.gpu(model.shape(config), config)
        made = Session(config, directory, student.derived(found.seed, "adapter"))
        yield made.use(found.open(f"{prefix}/adapter_model.safetensors"))


def trained_elsewhere(found: Stored) -> str | None:
    """What to say where this machine or its libraries are not those that the run answered with; None where they are."""
    from phases.student import processor

    prefix, _ = adapter(found)
    if not (other := processor.elsewhere(found.json(f"{prefix}/training.json"))):
        return None
    return f"The run was made {other}: answers need not be equal to the bit."


def draws(found: Stored) -> int:
    """The seed of the run's answers."""
    return student.derived(found.seed, "sampling")


def _present(found: Stored, model: str) -> str:
    path = Path(model).expanduser()
    elsewhere = path.is_absolute() or model.startswith((".", "~"))
    if elsewhere and not path.is_dir():
        raise InvalidStructure(
            f"The student of run {found.name} is an adapter of {model}, and that directory is not on this machine. Put "
            "the base model there, or say where it is with --base."
        )
    return str(path) if elsewhere else model


def scores(found: Stored, answered: list[Any]) -> list[Any]:
    """Diagram 6 for every answer, by the run's settings."""
    from phases.quality_scoring import score_many

    return score_many([(o.text, words(o.prompt)) for o in answered], found.section("quality_scoring"))
