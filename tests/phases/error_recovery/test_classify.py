"""Which state of Diagram 8 an exception enters."""

from __future__ import annotations

import errno

import botocore.exceptions
import pytest

from fsm.errors import TimeLimit
from machines.error_recovery import MACHINE
from phases import errors
from phases.error_recovery.classify import CLASSES, classify
from phases.services import CAUSES, CODES, named


class ClientError(Exception):
    """Of botocore's form."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"An error occurred ({code}) when calling an operation: {message}")
        self.response = {"Error": {"Code": code, "Message": message}}


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (errors.EmptyDataset("x"), "EmptyDataset"),
        (ClientError("AccessDenied"), "AccessDenied"),
        (ClientError("ExpiredToken"), "NoCredentials"),
        (ClientError("ThrottlingException"), "ThrottlingException"),
        (ClientError("ThrottlingException", "Too many tokens per day"), "AccessDenied"),
        (ClientError("ModelStreamErrorException"), "ModelStreamError"),
        (ClientError("ServiceUnavailableException"), "ThrottlingException"),
        (ClientError("InvalidAccessKeyId"), "NoCredentials"),
        (ClientError("RequestTimeTooSkewed"), "NoCredentials"),
        (ClientError("ResourceLimitExceeded"), "ContainerError"),
        (ClientError("NoSuchEntity"), "RoleNotFound"),
        (ClientError("NoSuchBucket"), "EmptyDataset"),
        (ClientError("NoSuchKey"), None),
        (ClientError("Weather"), None),
        (botocore.exceptions.UnauthorizedSSOTokenError(), "NoCredentials"),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="https://x"), "ModelStreamError"),
        (TimeoutError("a compiler's"), None),
        (ConnectionResetError("another library's"), None),
        (OutOfMemoryError("CUDA out of memory"), "CUDAOutOfMemory"),
        (OSError(errno.ENOSPC, "No space left on device"), "DiskSpaceLow"),
        (OSError(errno.ENOENT, "No such file"), None),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "EncodingError"),
        (TimeLimit("x"), "TimeLimit"),
        (ZeroDivisionError(), None),
    ],
)
def test_an_exception_enters_its_state(error: BaseException, state: str | None) -> None:
    assert classify(error) == state


def test_every_state_named_is_drawn_and_every_drawn_entry_has_an_error_of_its_own() -> None:
    entries = {path.rpartition(".")[2] for path in MACHINE.entered_at}
    assert {*CLASSES.values(), *(c.recovery for c in (*CODES.values(), *CAUSES.values()))} <= entries
    own = {c.recovery for c in errors.PipelineError.__subclasses__()}
    assert own | {"TimeLimit"} == entries  # that one is the engine's


def test_a_services_failure_is_said_with_what_to_do_next() -> None:
    error = named(ClientError("NoSuchBucket", "The specified bucket does not exist"), "listing s3://b/p")
    assert isinstance(error, errors.EmptyDataset)
    assert str(error).startswith("listing s3://b/p: An error occurred (NoSuchBucket)")
    assert str(error).endswith("does not exist. Create the bucket, or correct its name.")
    own = ClientError("NoSuchKey")
    assert named(own, "reading s3://b/k") is own
