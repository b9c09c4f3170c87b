"""Who runs the jobs of a run: this machine, or SageMaker."""

from __future__ import annotations

from pathlib import Path

from fsm.faults import Tells, silent
from phases.sagemaker_job.aws import SageMakerProvider
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import Provider
from phases.sagemaker_job.local import LocalProvider


def provider(config: SageMakerJobConfig, work: Path, tells: Tells = silent) -> Provider:
    """The provider that the configuration names; a local one keeps its jobs below `work`.

    `tells` is told of failures of the service that are passed over.
    """
    if config.provider == "local":
        return LocalProvider(work, config)
    return SageMakerProvider(config, tells=tells)
