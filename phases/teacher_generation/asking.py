"""The way of one prompt through Diagram 3's ProcessFuture: its calls, their retries, the answer, and what became of it.

Teacher generation and distillation both ask through here; window.py sends many prompts at once.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from fsm.errors import FsmError
from fsm.faults import Fault, Kind
from fsm.text import spelt
from phases.errors import AccessDenied, ModelStreamError, NoCredentials, ThrottlingException
from phases.teacher_generation.checking import TURNED_AWAY
from phases.teacher_generation.config import AskingConfig
from phases.teacher_generation.ledger import Entry, Paid, Refusal
from phases.teacher_generation.policy import judged, read_timed_out, retry_after, stopping
from phases.teacher_generation.prices import usage
from phases.teacher_generation.teacher import (
    Answer,
    NoText,
    Response,
    Teacher,
    is_response,
    parse_response,
)

LONGEST_WAIT = (
    900.0  # seconds that a service may ask one call to wait for; who asks for more is asked another time
)
TIMEOUTS_RETRIED = 1  # of reads that we gave up: each of them may be paid for
KEPT_TEXT = 100_000  # characters of an answer that was turned away, for people to look at


class Stopping(Exception):
    """A stop was asked for before a call was sent."""


@dataclass(frozen=True)
class Result:
    """What became of one prompt: an answer, or the reason why there is none, its cause in a word, and whose it is.

    `kind` is passing (asked again when the run goes on), item (the prompt's own), or unknown (taken for its own). An answer
    that was turned away has a reason, and its text to be looked at. `entries` name those of the ledger it was made of.
    `dollars` is a decimal: what was paid for those entries, by whichever run; empty where no price is known.
    """

    prompt: str
    teacher: str
    text: str = ""
    reason: str = ""
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cause: str = ""
    kind: str = ""
    dollars: str = ""
    entries: tuple[str, ...] = ()

    @property
    def answered(self) -> bool:
        return not self.reason

    @property
    def passing(self) -> bool:
        return self.kind == Kind.PASSING.name.lower()

    @property
    def turned_away(self) -> bool:
        """Whether there is an answer, and it is nothing to learn from."""
        return not self.answered and self.cause in TURNED_AWAY

    def row(self) -> dict[str, Any]:
        """The result as a JSON object, without what it has nothing to say of."""
        row = asdict(self) | {"entries": list(self.entries)}
        return {k: v for k, v in row.items() if v or k not in ("cause", "kind", "dollars", "entries")}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Result:
        """The result that `row` was made of."""
        return cls(**row | {"entries": tuple(row.get("entries", ()))})


def full_jitter(bound: float) -> float:
    """Any pause up to the drawn one, so that workers that were turned away together do not come back together. It
    decides only how long to wait. (Brooker, Exponential Backoff and Jitter, 2015.)"""
    return _JITTER.uniform(0.0, bound)


_JITTER = random.Random()


def unchecked(text: str, prompt: str) -> float:
    """Every text is as good as another."""
    return 0.0


def unrelated(texts: Sequence[str], prompt: str) -> list[float]:
    """No text is like another."""
    return [0.0] * len(texts)


@dataclass
class Call:
    """One prompt on its way through ProcessFuture. Its methods are the states; what they return are labels.

    With an entry of the ledger it goes the way that led to that answer, without a call or a pause.

    send  tries once: the response, and what was paid for it        keep   enters it in the ledger
    check scores an answer, or raises NoText where it is nothing to learn from
    """

    prompt: str
    teacher: Teacher
    asking: AskingConfig
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[float], float] = full_jitter
    entered: Entry | None = None
    send: Callable[[Call], tuple[Response, Paid | None]] | None = None
    keep: Callable[[Entry], Entry] = lambda entry: entry
    check: Callable[[str, str], float] = unchecked
    name: str | None = None
    question: Mapping[str, Any] | None = None
    attempt: int = 0
    response: Response | None = None
    answer: Answer | None = None
    score: float = 0.0
    reason: str = ""
    fault: Fault | None = None
    _tries: list[str] = field(default_factory=list)
    _failed_by: Counter[str] = field(default_factory=Counter)
    _timeouts: int = 0
    _failing: str = ""
    _asked_to_wait: float = 0.0

    def invoke(self) -> str:
        """Try once. What is everybody's is raised: NoCredentials, AccessDenied, AttemptsSpent; BudgetReached before it is sent."""
        if self.entered is not None:
            return self._as_entered(self.entered)
        paid = None
        try:
            if self.send is None:
                response = self.teacher.invoke(self.prompt)
            else:
                response, paid = self.send(self)
        except (FsmError, Stopping):
            raise
        except Exception as error:  # of whatever library
            return self._failed(error)
        if is_response(response):
            self.entered = self.keep(
                Entry(response, tries=tuple(self._tries), paid=paid, question=self.question)
            )
            response = self.entered.response or response
        self.response = response
        return "200 OK"

    def _as_entered(self, entry: Entry) -> str:
        if self.attempt < len(entry.tries):
            return entry.tries[self.attempt]
        if entry.refusal:
            said, self.reason = entry.refusal, entry.refusal.message
            self.fault = Fault(Kind.ITEM, said.code, said.cause, "", said.message)
            return "Other error"
        self.response = entry.response
        return "200 OK"

    def _failed(self, error: Exception) -> str:
        found = self.fault = judged(error)
        if found.kind is Kind.EVERYBODY:
            if isinstance(error, NoCredentials | AccessDenied):
                raise error
            raise stopping(found, self.teacher.name) from error
        if found.kind is Kind.PASSING:
            return self._passing(error, found)
        self.reason = spelt(f"{type(error).__name__}: {error}")
        if found.kind is Kind.ITEM:
            refusal = Refusal(found.code, found.cause, self.reason)
            self.entered = self.keep(Entry(refusal=refusal, tries=tuple(self._tries), question=self.question))
        return "Other error"

    def _passing(self, error: Exception, found: Fault) -> str:
        throttled = found.cause == "throttling" or isinstance(error, ThrottlingException)
        self._failing = (ThrottlingException if throttled else ModelStreamError).recovery
        self.reason = f"{self._failing} after {self.attempt} retries: {error}"
        self._asked_to_wait = retry_after(error)
        if self._asked_to_wait > LONGEST_WAIT:
            self.reason += f" (it asks to wait {self._asked_to_wait:.0f} seconds)"
            return "MaxRetries exceeded"
        if read_timed_out(error):
            self._timeouts += 1
            if self._timeouts > TIMEOUTS_RETRIED:
                self.reason += (
                    " (a read that takes too long is tried again once: each time it may be paid for)"
                )
                return "MaxRetries exceeded"
        # throttling and errors are counted apart: a quota that is used up says nothing of the service's health
        return (
            self._failing
            if self._failed_by[self._failing] < self.asking.max_retries
            else "MaxRetries exceeded"
        )

    def back_off(self) -> None:
        """Sleep up to base * 2^attempt seconds, and as long as the service asks for; not where it was slept already."""
        if self.entered is None:
            pause = self.jitter(self.asking.backoff_base_s * 2 ** self._failed_by[self._failing])
            self.sleep(max(pause, self._asked_to_wait))
            self._tries.append(self._failing)
            self._failed_by[self._failing] += 1
        self.attempt += 1

    def parse(self) -> str:
        """Read the text of the response, and check that it is something to learn from."""
        assert self.response is not None  # by `invoke`
        try:
            self.answer = parse_response(self.response)
            self.score = self.check(self.answer.text, self.prompt)
        except NoText as error:
            turned_away = error.cause in TURNED_AWAY
            if turned_away and self.answer is None:
                self.answer = Answer(said_in(self.response))
            self.reason = f"turned away: {error}" if turned_away else f"no text: {error}"
            kind = Kind.ITEM if is_response(self.response) else Kind.UNKNOWN
            self.fault = Fault(kind, error.cause, error.cause, "", str(error))
            return "No text in response"
        return "Text extracted"

    def succeed(self) -> None:
        """Forget the failures on the way."""
        self.reason, self.fault = "", None

    def fail(self) -> None:
        """Keep no text of a call that failed, but of what was turned away, which people may want to see."""
        if self.fault is None or self.fault.cause not in TURNED_AWAY:
            self.answer = None

    @property
    def result(self) -> Result:
        text = self.answer.text if self.answer else ""
        read, written, *cached = (usage(self.response) if self.response else None) or (0, 0, 0, 0)
        paid = self.entered.paid if self.entered else None
        return Result(
            self.prompt,
            self.teacher.name,
            text if not self.reason else text[:KEPT_TEXT],
            self.reason,
            self.attempt,
            read + sum(cached),
            written,
            self.fault.cause if self.fault else "",
            self.fault.kind.name.lower() if self.fault else "",
            paid.usd if paid else "",
            (self.name,) if self.name and self.entered else (),
        )


def said_in(response: Response) -> str:
    """The text of a response that is none to learn from, as far as there is one."""
    try:
        return spelt(
            "".join(part["text"] for part in response["output"]["message"]["content"] if "text" in part)
        )
    except (KeyError, TypeError):
        return ""


def best(calls: list[Call], agreement: Callable[[Sequence[str], str], Sequence[float]] = unrelated) -> Result:
    """The result of several calls for one prompt; all are paid for.

    It is the answer that most `agreement` is with, of equals the one with the best score, of those the first.
    """
    answered = [call for call in calls if not call.reason]
    agreed = agreement([call.result.text for call in answered], calls[0].prompt)
    order = sorted(zip(agreed, answered, strict=True), key=lambda of: (-of[0], -of[1].score))
    chosen = order[0][1] if order else calls[0]
    found = chosen.result
    if len(calls) == 1:
        return found
    results = [call.result for call in calls]
    dollars = sum((Decimal(r.dollars) for r in results if r.dollars), Decimal(0))
    return Result(
        **vars(found)
        | {
            "retries": sum(r.retries for r in results),
            "input_tokens": sum(r.input_tokens for r in results),
            "output_tokens": sum(r.output_tokens for r in results),
            "dollars": str(dollars) if dollars else "",
            "entries": tuple(name for r in results for name in r.entries),
        }
    )
