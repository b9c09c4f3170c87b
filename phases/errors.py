"""The errors that the phases raise: one class for each entry state of Diagram 8, and one more.

A class names its state in `recovery`; what that state decides (again, skip, stop) is the business of
the error_recovery machine, not of whoever raises. A message is one paragraph for the user: what
happened, where, what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class PipelineError(Exception):
    """An error that Diagram 8 has a path for.

    `recovery` is the entry state of Diagram 8. `item` names the one item of a batch that failed (a file's
    key, a prompt's digest); it is None where the whole state failed.
    """

    recovery: ClassVar[str]

    def __init__(self, message: str, *, item: str | None = None) -> None:
        super().__init__(message)
        self.item = item


# AWSErrors


class NoCredentials(PipelineError):
    """No AWS credentials, or ones that are expired or refused."""

    recovery = "NoCredentials"


class AccessDenied(PipelineError):
    """AWS knows the caller and does not let it at the bucket, key or model, or not any more: its account, its quota."""

    recovery = "AccessDenied"


class BudgetReached(AccessDenied):
    """The next call could cost more than the configuration lets the run pay."""


class RoleNotFound(PipelineError):
    """The IAM role that a job is to run as does not exist."""

    recovery = "RoleNotFound"


# BedrockErrors


class ThrottlingException(PipelineError):
    """The teacher turns calls away for their rate; the same call may succeed later."""

    recovery = "ThrottlingException"


class ModelStreamError(PipelineError):
    """The teacher broke off while answering; the same call may succeed later."""

    recovery = "ModelStreamError"


class AttemptsSpent(ThrottlingException):
    """The teacher answers nobody now, in all the attempts that Diagram 3 allows: another one is for another day."""


# TrainingErrors


class NaNLoss(PipelineError):
    """The training loss is NaN or infinite."""

    recovery = "NaNLoss"


class CUDAOutOfMemory(PipelineError):
    """A training or generation step does not fit the GPU's memory."""

    recovery = "CUDAOutOfMemory"


class DiskSpaceLow(PipelineError):
    """Less free disk than a checkpoint or the set-up needs."""

    recovery = "DiskSpaceLow"


# DataErrors


class EncodingError(PipelineError):
    """A file's bytes are not text in any encoding that is tried."""

    recovery = "EncodingError"


class EmptyDataset(PipelineError):
    """Nothing to train on, or to be judged by: no objects in any source, or nothing left of them."""

    recovery = "EmptyDataset"


class InvalidStructure(PipelineError):
    """What is read is not what its reader needs: a row without `messages`, half a model, another model's adapter."""

    recovery = "InvalidStructure"


# SageMakerErrors


class SpotInterruption(PipelineError):
    """The rented machine is taken back."""

    recovery = "SpotInterruption"


class MaxRuntimeExceeded(PipelineError):
    """A job ran up against the time it was given."""

    recovery = "MaxRuntimeExceeded"


class ContainerError(PipelineError):
    """A job's container did not start, or ended for a reason of its own."""

    recovery = "ContainerError"


class NotRented(ContainerError):
    """There is no such job any more, or no machine for it: stopped by hand, deleted, no capacity of any type."""


class NotProvided(ContainerError):
    """The place that a state runs in lacks what its configuration asks for: a device, a library, a way to the hub."""
