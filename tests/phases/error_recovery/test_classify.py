"""Which state of Diagram 8 an exception enters."""

from __future__ import annotations

import errno

import pytest

from machines.error_recovery import MACHINE
from phases import errors
from phases.error_recovery.classify import CLASSES, CODES, classify


class ClientError(Exception):
    """Of botocore's form."""

    def __init__(self, code: str) -> None:
        self.response = {"Error": {"Code": code, "Message": ""}}


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (errors.EmptyDataset("x"), "EmptyDataset"),
        (ClientError("AccessDenied"), "AccessDenied"),
        (ClientError("ExpiredToken"), "NoCredentials"),
        (ClientError("ThrottlingException"), "ThrottlingException"),
        (ClientError("Weather"), None),
        (OutOfMemoryError("CUDA out of memory"), "CUDAOutOfMemory"),
        (OSError(errno.ENOSPC, "No space left on device"), "DiskSpaceLow"),
        (OSError(errno.ENOENT, "No such file"), None),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "EncodingError"),
        (ZeroDivisionError(), None),
    ],
)
def test_an_exception_enters_its_state(error: BaseException, state: str | None) -> None:
    assert classify(error) == state


def test_every_state_named_is_drawn_and_every_drawn_entry_has_an_error_of_its_own() -> None:
    entries = {path.rpartition(".")[2] for path in MACHINE.entered_at}
    assert {*CODES.values(), *CLASSES.values()} <= entries
    own = {c.recovery for c in errors.PipelineError.__subclasses__()}
    assert own == entries
