"""Whose failure it is: the prompt's own, a passing one, or everybody's, which stops the run.

What a single error means is the table's to say (`fsm.faults`). What it leaves open, calls decide together: a failure
that repeats, with no answer in between, is everybody's.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from fsm.faults import Fault, Kind, fault
from phases.errors import (
    AccessDenied,
    AttemptsSpent,
    ModelStreamError,
    NoCredentials,
    PipelineError,
    ThrottlingException,
)
from phases.services import entered

KEPT = "What was answered is kept, and is not paid for again."
_OF_ONE_CALL = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b")
"""A request's id, which some messages carry: two of them are no two reasons."""


def judged(error: BaseException) -> Fault:
    """What an error of a teacher means: by the service's own words where it was raised from them."""
    if not isinstance(error, PipelineError):
        return fault(error)
    if error.__cause__ and (said := fault(error.__cause__)).kind is not Kind.UNKNOWN:
        return said
    kind, cause = {
        ThrottlingException.recovery: (Kind.PASSING, "throttling"),
        ModelStreamError.recovery: (Kind.PASSING, "network"),
        NoCredentials.recovery: (Kind.EVERYBODY, "credentials"),
        AccessDenied.recovery: (Kind.EVERYBODY, "access"),
    }.get(error.recovery, (Kind.UNKNOWN, "unknown"))
    return Fault(kind, type(error).__name__, cause, "", str(error))


def named(error: Exception, said: Callable[[Fault, type[PipelineError]], str]) -> Exception:
    """A failure of a call as the error of the entry state of Diagram 8 that it belongs to, in the words that `said` has for
    it; itself where there is none. A teacher has no bucket: whatever is everybody's, and not the caller's own, is its access."""
    found = fault(error)
    own = entered(found)
    if own is None:
        return error
    if found.kind is Kind.EVERYBODY and own is not NoCredentials:
        own = AccessDenied
    return own(said(found, own))


def stopping(found: Fault, teacher: str, why: str = "") -> PipelineError:
    """The error that stops a run, by the entry state of Diagram 8 that fits: one paragraph."""
    cls: type[PipelineError] = AccessDenied
    if found.kind is Kind.PASSING:
        cls = AttemptsSpent
    elif entered(found) is NoCredentials:
        cls = NoCredentials
    why = why or "what is refused is refused to every prompt alike, so no other is asked"
    said = " ".join(
        [f"{teacher} gives no answers ({found.cause}): {found.message.rstrip('.')}.", found.advice]
    )
    return cls(f"{said.strip()} {why[0].upper()}{why[1:]}. {KEPT}")


class Everybodys:
    """Over the calls of one run, from any thread: whether a failure repeats, with no answer since, as often as there are
    workers (twice at least: one call repeats nothing)."""

    def __init__(self, workers: int) -> None:
        self.most = max(2, workers)
        self._lock = threading.Lock()
        self._since: Counter[tuple[str, str]] = Counter()

    def answered(self) -> None:
        """The teacher has answered somebody just now."""
        with self._lock:
            self._since.clear()

    def failed(self, found: Fault, teacher: str, halt: Callable[[], None]) -> None:
        """A call has failed for good, for a reason that may be everybody's. Raises the error that stops the run.

        `halt` sees to it that no other call begins: at once, before the next one that ends can look.
        """
        passing = found.kind is Kind.PASSING  # and was tried again: what matters is that nobody came through
        key = ("", "") if passing else (found.code, _OF_ONE_CALL.sub("", found.message))
        with self._lock:
            self._since[key] += 1
            times = self._since[key]
            if times >= self.most:
                self._since.clear()  # a resume begins to count anew
                halt()
        if times >= self.most:
            raise stopping(found, teacher, f"{times} prompts failed like that, with no answer in between")


def retry_after(error: BaseException) -> float:
    """The seconds that the service asks to wait for; 0 where it does not say."""
    for e in (error, error.__cause__):
        response = getattr(e, "response", None)  # botocore's is a dict, openai's an object
        meta = response.get("ResponseMetadata") if isinstance(response, dict) else None
        headers = meta.get("HTTPHeaders") if isinstance(meta, dict) else getattr(response, "headers", None)
        said = str(headers.get("retry-after", "")) if isinstance(headers, Mapping) else ""
        if not said:
            continue
        try:
            return max(0.0, float(said))
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
        except (ValueError, OverflowError):
            pass
    return 0.0


_GAVE_UP = frozenset({"ReadTimeoutError", "ReadTimeout", "APITimeoutError"})
_NEVER_SENT = frozenset(
    {
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ConnectTimeout",
        "ConnectError",
        "NewConnectionError",
        "NameResolutionError",
        "ConnectionRefusedError",
        "ProxyConnectionError",
        "SSLError",
        "PoolTimeout",
    }
)
"""Classes by name, for what was never imported cannot have raised: botocore's, urllib3's, httpx's, openai's, Python's own."""


def read_timed_out(error: BaseException) -> bool:
    """Whether it was we who gave up waiting for an answer: the service may go on with it, and bill it."""
    names = _names(error)
    return bool(names & _GAVE_UP) and not names & _NEVER_SENT


def maybe_paid(error: BaseException, found: Fault) -> bool:
    """Whether a call that failed may have been answered, and be on the bill: it was sent, and no answer says that it failed."""
    if any(getattr(e, "response", None) is not None for e in _chain(error)):
        return False  # the service's own word
    names = _names(error)
    if names & _NEVER_SENT:
        return False
    return found.cause == "network" or read_timed_out(error) or "ResponseParserError" in names


def _names(error: BaseException) -> frozenset[str]:
    return frozenset(cls.__name__ for e in _chain(error) for cls in type(e).__mro__)


def _chain(error: BaseException) -> list[BaseException]:
    """An error and what it was raised from."""
    found: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in found:
        found.append(at)
        at = at.__cause__ or at.__context__
    return found
