"""What a launch would ask for and cost, worked out without asking anybody for anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsm.config import SECRET_NAME, Config
from phases.sagemaker_job import source
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.handlers import environment, ranks
from phases.sagemaker_job.job import JobSpec
from phases.sagemaker_job.prices import HOUR, Cost, costs
from phases.sagemaker_job.request import problems, training_job
from phases.sagemaker_job.staging import Staging

SUFFIX = "00000000"
"""Stands for the digest of run, place and visit, which is known when the run is at it."""


@dataclass(frozen=True)
class Planned:
    """A launch that was not made."""

    request: dict[str, Any]
    problems: tuple[str, ...]
    costs: tuple[Cost, ...]
    hours: float
    spot: bool


def plan(config: Config, settings: SageMakerJobConfig, pricing: Any = None) -> Planned:
    """The request of the job that `config` launches, what the service would refuse of it, and its cost.

    Raises JobRefused where the code cannot be packed.
    """
    machine, run = settings.machine, config.engine.run.name
    files: dict[str, dict[str, Path]] = {"config": {"pipeline.yaml": Path(config.file)}}
    if machine == "distillation":
        files |= {"train": {}, "validation": {}}
    files |= {channel: {} for channel in settings.channels}
    name = f"{machine}-{run}"[:54].rstrip("-") + f"-{SUFFIX}"
    spec = JobSpec(
        name,
        files,
        {"machine": machine, "run": name, "store": config.engine.store, "seed": str(config.engine.run.seed)}
        | ranks(settings),
        shown(settings, config.text),
        source.code(config.text, machine, settings.packages, settings.requirements),
    )
    channels, code = Staging(settings).planned(spec)
    request = training_job(settings, spec, name, channels, code)
    hours = settings.max_runtime_seconds / HOUR
    return Planned(request, tuple(problems(request)), costs(settings, pricing), hours, settings.spot)


def shown(settings: SageMakerJobConfig, text: str) -> dict[str, str]:
    """The variables that go along, those that look like secrets masked."""
    found = environment(settings, text)
    return {name: "**********" if SECRET_NAME.search(name) else value for name, value in found.items()}
