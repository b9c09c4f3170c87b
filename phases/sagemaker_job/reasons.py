"""FailureReason, and which error of Diagram 8 it is: what a job that failed is to whoever launched it.

The service begins its reasons with a word of its own: `AlgorithmError` for what the container left in output/failure,
`ClientError` for what the request is to blame for, `CapacityError`, `InternalServerError`. Source: "Troubleshoot training
jobs", and the reasons that DescribeTrainingJob's documentation gives.
"""

from __future__ import annotations

import re

from phases import errors
from phases.errors import PipelineError

STOPPED = "stopped"
"""What stands for a reason where the job was stopped, which the service gives none for."""

_CAPACITY = re.compile(r"CapacityError|[Ii]nsufficient ?[Cc]apacity|Unable to provision requested")
_REASONS: tuple[tuple[re.Pattern[str], type[PipelineError]], ...] = tuple(
    (re.compile(pattern), error)
    for pattern, error in (
        (r"MaxRuntimeExceeded|MaxWaitTimeExceeded", errors.MaxRuntimeExceeded),
        (_CAPACITY.pattern, errors.SpotInterruption),
        (r"InternalServerError|[Ii]nternal [Ss]ervice|Please try again", errors.SpotInterruption),
        (r"CUDA out of memory|OutOfMemoryError|CUDAOutOfMemory", errors.CUDAOutOfMemory),
        (r"No space left on device|disk (space|is full)|DiskSpaceLow", errors.DiskSpaceLow),
        (r"(assume|Could not access) .*[Rr]ole", errors.RoleNotFound),
        (r"AccessDenied|403 Forbidden|not authorized to perform", errors.AccessDenied),
    )
)
"""The first that fits. A machine that was taken back, or failed the service, is rented again, from the last checkpoint."""


def no_capacity(reason: str) -> bool:
    """Whether a job failed for want of machines."""
    return _CAPACITY.search(reason) is not None


def failed(job: str, reason: str, spare: bool = True) -> PipelineError:
    """The error to raise for a job that failed or was stopped.

    `spare`: whether there is an instance type left that was not tried; without one, want of capacity stops the run.
    """
    said = reason or "the service gave no reason"
    text = f"Training job {job}: {said.rstrip('.')}."
    if said == STOPPED:
        return errors.NotRented(
            f"Training job {job} was stopped by hand; its checkpoints are kept. The next attempt goes on from them"
        )
    if no_capacity(said) and not spare:
        return errors.NotRented(
            f"{text} No instance of any type in sagemaker_job.instance_type can be had now: name further ones, another "
            "region, or spot: false; or try again later"
        )
    return next(
        (error(text) for pattern, error in _REASONS if pattern.search(said)), errors.ContainerError(text)
    )
