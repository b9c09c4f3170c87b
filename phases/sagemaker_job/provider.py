"""Who runs the jobs of a run: this machine, or SageMaker."""

from __future__ import annotations

from pathlib import Path

from phases.sagemaker_job.aws import SageMakerProvider
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import Provider
from phases.sagemaker_job.local import LocalProvider


def provider(config: SageMakerJobConfig, work: Path) -> Provider:
    """The provider that the configuration names; a local one keeps its jobs below `work`."""
    return LocalProvider(work, config) if config.provider == "local" else SageMakerProvider(config)
