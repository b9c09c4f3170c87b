"""From an exception to what it means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fsm.faults.table import (
    ADVICE,
    CLASSES,
    CODES,
    MESSAGES,
    NETWORK_ERRNOS,
    STATUSES,
    UNVERIFIED,
    Kind,
    Meaning,
)


@dataclass(frozen=True)
class Fault:
    """What a failure means.

    code      the service's error code; the exception's class where no service answered
    cause     one short stable word, a key of the table's advice
    advice    what to do next, a sentence for a person
    message   what was said, on one line
    """

    kind: Kind
    code: str
    cause: str
    advice: str
    message: str


def fault(error: BaseException) -> Fault:
    """What an exception of a service, of botocore or of the network means; UNKNOWN for every other.

    A service's answer (`error.response`, as botocore's ClientError has it, or `error.status_code`, as openai's have it) is
    told by its code and message, then by its status; the rest by its class. What says nothing itself, and was raised from another, means what that one
    means. Nothing is imported for it.
    """
    message = " ".join(str(error).split()) or type(error).__name__
    answer = getattr(error, "response", None)
    said = answer.get("Error") if isinstance(answer, dict) else None
    if isinstance(said, dict) and isinstance(answer, dict):
        code = str(said.get("Code") or "")
        meant = _answered(code, str(said.get("Message") or ""), answer.get("ResponseMetadata"))
        kind, cause = meant or _raised(error)
        return Fault(kind, code or type(error).__name__, cause, ADVICE[cause], message)
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        code = str(getattr(error, "code", None) or "")
        name = code if code in CODES and not code.isdecimal() else type(error).__name__
        kind, cause = _answered(name, message, {"HTTPStatusCode": status}) or _raised(error)
        return Fault(kind, name, cause, ADVICE[cause], message)
    kind, cause = _raised(error)
    if cause == "unknown" and error.__cause__ is not None:
        return replace(fault(error.__cause__), message=message)
    return Fault(kind, type(error).__name__, cause, ADVICE[cause], message)


def _answered(code: str, message: str, metadata: Any) -> Meaning | None:
    plain = " ".join(message.replace("’", "'").lower().split())
    for codes, pattern, meant in MESSAGES:
        if code in codes and pattern.search(plain):
            return meant
    if code in CODES:
        return CODES[code]
    status = metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None
    if not isinstance(status, int):
        return None
    return STATUSES.get(status) or ((Kind.PASSING, "service") if status >= 500 else None)


def _raised(error: BaseException) -> Meaning:
    if any(cls.__name__ in UNVERIFIED for inner in _wrapped(error) for cls in type(inner).__mro__):
        return Kind.EVERYBODY, "certificate"
    for cls in type(error).__mro__:
        if cls.__name__ in CLASSES:
            return CLASSES[cls.__name__]
    if isinstance(error, OSError) and error.errno in NETWORK_ERRNOS:
        return Kind.PASSING, "network"
    return Kind.UNKNOWN, "unknown"


def _wrapped(error: BaseException) -> list[BaseException]:
    """The error and what it wraps: botocore keeps that in `kwargs`, urllib3 in `reason`."""
    found: list[BaseException] = []
    inner: Any = error
    while isinstance(inner, BaseException) and inner not in found:
        found.append(inner)
        kept = getattr(inner, "kwargs", None)
        inner = (kept.get("error") if isinstance(kept, dict) else None) or getattr(inner, "reason", None)
        inner = inner if isinstance(inner, BaseException) else found[-1].__cause__
    return found
