"""Who runs the jobs of a run: this machine, SageMaker, or a launcher of one's own."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from fsm.faults import Tells, silent
from phases.sagemaker_job.aws import SageMakerProvider
from phases.sagemaker_job.command import CommandProvider
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import Provider
from phases.sagemaker_job.local import LocalProvider


def provider(config: SageMakerJobConfig, work: Path, tells: Tells = silent) -> Provider:
    """The provider that the configuration names; a local one keeps its jobs below `work`.

    `tells` is told of failures of the service that are passed over. Who asks again within one run is given the same one,
    which knows when it last looked.
    """
    if config.provider == "local":
        return LocalProvider(work, config)
    if config.provider == "command":
        return CommandProvider(config, tells=tells)
    found = _rented(config.model_dump_json(), str(work.absolute()), _account())
    found.told_by(tells)
    return found


@lru_cache(maxsize=16)
def _rented(config: str, work: str, account: tuple[tuple[str, str], ...]) -> SageMakerProvider:
    return SageMakerProvider(SageMakerJobConfig.model_validate_json(config))


def _account() -> tuple[tuple[str, str], ...]:
    """What decides whom boto3 asks, and as whom."""
    return tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith("AWS_")))
