"""Waiting for a job."""

from __future__ import annotations

import time
from typing import Any

from phases.sagemaker_job.job import Job


def finished(provider: Any, name: str, seconds: float = 60) -> Job:
    """The job when it is over, by whoever runs it."""
    deadline = time.monotonic() + seconds
    while not (job := provider.describe(name)).over:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job  # type: ignore[no-any-return]
