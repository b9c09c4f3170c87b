"""Which state of Diagram 8 an exception enters.

The phases' own errors name their state. What a service's failure means is the table of faults' to say. Other
libraries' errors are told by their class, without importing the library: what was never imported cannot have raised.
"""

from __future__ import annotations

import errno

from fsm.faults import fault
from phases.services import entered

CLASSES = {"OutOfMemoryError": "CUDAOutOfMemory", "TimeLimit": "TimeLimit"}
"""Exception classes of torch and of the engine, by name."""

SERVICES = ("botocore", "boto3", "s3transfer")
"""Whose exceptions are those of AWS. A connection of another library's that breaks off is not the teacher's."""


def classify(error: BaseException) -> str | None:
    """The entry state of Diagram 8 that an exception enters; None where it fits no class."""
    named = getattr(error, "recovery", None)
    if isinstance(named, str):
        return named
    if _of_a_service(error):
        own = entered(fault(error))
        return own.recovery if own else None
    for cls in type(error).__mro__:
        if cls.__name__ in CLASSES:
            return CLASSES[cls.__name__]
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "DiskSpaceLow"
    if isinstance(error, UnicodeDecodeError):
        return "EncodingError"
    return None


def _of_a_service(error: BaseException) -> bool:
    if isinstance(getattr(error, "response", None), dict):
        return True
    return any(cls.__module__.partition(".")[0] in SERVICES for cls in type(error).__mro__)
