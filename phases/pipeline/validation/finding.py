"""What a check found: a sentence, what to do about it, and which entry state of Diagram 8 it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from time import monotonic
from typing import Any

from fsm.errors import ConfigError, FsmError
from fsm.faults import Kind, fault
from phases import errors
from phases.errors import PipelineError
from phases.services import entered


class Result(Enum):
    """What a finding comes to. Only the last keeps a run from going on."""

    GOOD = "ok"
    IDLE = "nothing to check"
    UNKNOWN = "not known"  # who asks may not know it, or nobody can say
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """What one question of a check was answered.

    text     what was found, a sentence without its full stop
    do       what to do next, whole sentences
    error    of what failed: the error whose entry state of Diagram 8 it is. None for what is wrong with the
             configuration itself, which a run keeps: mending it is another run
    seconds  that the question took
    """

    result: Result
    text: str
    do: str = ""
    error: type[PipelineError] | None = None
    seconds: float = 0.0

    @property
    def bad(self) -> bool:
        return self.result is Result.FAILED

    def as_json(self) -> dict[str, Any]:
        """For a file or a line of JSON; `read` reads it."""
        return {
            "result": self.result.value,
            "text": self.text,
            "do": self.do,
            "enters": self.error.__name__ if self.error else None,
            "seconds": round(self.seconds, 3),
        }

    @classmethod
    def read(cls, value: dict[str, Any]) -> Finding:
        error = getattr(errors, value["enters"]) if value["enters"] else None
        return cls(Result(value["result"]), value["text"], value["do"], error, value["seconds"])


def good(text: str) -> Finding:
    return Finding(Result.GOOD, text)


def idle(text: str) -> Finding:
    return Finding(Result.IDLE, f"nothing to check: {text}")


def unknown(text: str, do: str = "") -> Finding:
    return Finding(Result.UNKNOWN, text, do)


def warning(text: str, do: str = "") -> Finding:
    return Finding(Result.WARNING, text, do)


def failed(text: str, do: str = "", error: type[PipelineError] | None = None) -> Finding:
    return Finding(Result.FAILED, text, do, error)


def refused(what: str, error: Exception, do: str = "", entry: type[PipelineError] | None = None) -> Finding:
    """What failed because a service, or an error of ours, said so. `do` and `entry` stand in place of the table's.

    What no table knows is AccessDenied's: somebody has to look at what it is that is not answered.
    """
    if isinstance(error, ConfigError):
        return failed(f"{what}: {error.message.rstrip('.')}", do)
    found = fault(error)
    own = (
        entry or (type(error) if isinstance(error, PipelineError) else entered(found)) or errors.AccessDenied
    )
    said = error.message if isinstance(error, FsmError) else found.message
    told = isinstance(error, PipelineError | FsmError)  # ours say themselves what to do
    return failed(f"{what}: {said.rstrip('.')}", do or ("" if told else found.advice), own)


def asked(
    what: str, ask: Callable[[], Finding], do: str = "", entry: type[PipelineError] | None = None
) -> Finding:
    """What `ask` finds; where it raises, that is what was found."""
    try:
        return ask()
    except Exception as e:  # whatever it is, the answer is no, with the reason
        return refused(what, e, do, entry)


def asked_if_allowed(what: str, ask: Callable[[], Finding], without: str) -> Finding:
    """What `ask` finds. Where the caller may not ask it, or nobody answers that question, it is not known.

    `without` says what follows from not knowing.
    """
    try:
        return ask()
    except Exception as e:
        return not_told(what, e, without)


def not_told(what: str, error: Exception, without: str) -> Finding:
    """What a question that was refused comes to: not known, or failed where it says that something is wrong."""
    found = fault(error)
    if found.kind is not Kind.PASSING and found.cause not in ("access", "request", "unknown"):
        return refused(what, error)
    why = "the caller may not ask" if found.cause == "access" else f"nobody says: {found.code}"
    return unknown(f"{what} is not known ({why})", without)


def timed(findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings, each with the seconds it was waited for."""
    began = monotonic()
    for one in findings:
        yield replace(one, seconds=monotonic() - began)
        began = monotonic()
