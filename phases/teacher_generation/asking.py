"""Asking a teacher: many prompts, several workers, retries as drawn, every answer in the ledger before it is used.

Diagram 3's ProcessFuture is the way of one `Call`. Teacher generation and distillation both ask through here.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from fsm.engine import Context
from fsm.faults import Fault, Kind
from fsm.store import Shelf
from fsm.text import spelt
from phases.errors import AccessDenied, ModelStreamError, NoCredentials, ThrottlingException
from phases.teacher_generation.config import AskingConfig
from phases.teacher_generation.ledger import SHELF, Entry, Ledger, Refusal
from phases.teacher_generation.policy import Everybodys, judged, retry_after, stopping
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


@dataclass(frozen=True)
class Result:
    """What became of one prompt: an answer, or the reason why there is none, its cause in a word, and whose it is.

    `kind` is passing (asked again when the run goes on), item (the prompt's own), or unknown (taken for its own).
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

    @property
    def answered(self) -> bool:
        return not self.reason

    @property
    def passing(self) -> bool:
        return self.kind == Kind.PASSING.name.lower()

    def row(self) -> dict[str, Any]:
        """The result as a JSON object; of cause and kind an answer has none."""
        row = asdict(self)
        return {k: v for k, v in row.items() if v or k not in ("cause", "kind")}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Result:
        """The result that `row` was made of."""
        return cls(**row)


def full_jitter(bound: float) -> float:
    """Any pause up to the drawn one, so that workers that were turned away together do not come back together. It
    decides only how long to wait. (Brooker, Exponential Backoff and Jitter, 2015.)"""
    return _JITTER.uniform(0.0, bound)


_JITTER = random.Random()


@dataclass
class Call:
    """One prompt on its way through ProcessFuture. Its methods are the states; what they return are labels.

    With an entry of the ledger it goes the way that led to that answer, without a call or a pause.
    """

    prompt: str
    teacher: Teacher
    asking: AskingConfig
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[float], float] = full_jitter
    entered: Entry | None = None
    keep: Callable[[Entry], Entry] = lambda entry: entry
    attempt: int = 0
    response: Response | None = None
    answer: Answer | None = None
    reason: str = ""
    fault: Fault | None = None
    _tries: list[str] = field(default_factory=list)
    _failing: str = ""
    _asked_to_wait: float = 0.0

    def invoke(self) -> str:
        """Try once. What is everybody's is raised: NoCredentials, AccessDenied, AttemptsSpent."""
        if self.entered is not None:
            return self._as_entered(self.entered)
        try:
            response = self.teacher.invoke(self.prompt)
        except Exception as error:  # of whatever library
            return self._failed(error)
        if is_response(response):
            self.entered = self.keep(Entry(response, tries=tuple(self._tries)))
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
            throttled = found.cause == "throttling" or isinstance(error, ThrottlingException)
            self._failing = (ThrottlingException if throttled else ModelStreamError).recovery
            self.reason = f"{self._failing} after {self.attempt} retries: {error}"
            self._asked_to_wait = retry_after(error)
            if self._asked_to_wait > LONGEST_WAIT:
                self.reason += f" (it asks to wait {self._asked_to_wait:.0f} seconds)"
                return "MaxRetries exceeded"
            return self._failing if self.attempt < self.asking.max_retries else "MaxRetries exceeded"
        self.reason = spelt(f"{type(error).__name__}: {error}")
        if found.kind is Kind.ITEM:
            refusal = Refusal(found.code, found.cause, self.reason)
            self.entered = self.keep(Entry(refusal=refusal, tries=tuple(self._tries)))
        return "Other error"

    def back_off(self) -> None:
        """Sleep up to base * 2^attempt seconds, and as long as the service asks for; not where it was slept already."""
        if self.entered is None:
            pause = self.jitter(self.asking.backoff_base_s * 2**self.attempt)
            self.sleep(max(pause, self._asked_to_wait))
            self._tries.append(self._failing)
        self.attempt += 1

    def parse(self) -> str:
        """Read the text of the response."""
        assert self.response is not None  # by `invoke`
        try:
            self.answer = parse_response(self.response)
        except NoText as error:
            self.reason = f"no text: {error}"
            kind = Kind.ITEM if is_response(self.response) else Kind.UNKNOWN
            self.fault = Fault(kind, error.cause, error.cause, "", str(error))
            return "No text in response"
        return "Text extracted"

    def succeed(self) -> None:
        """Forget the failures on the way."""
        self.reason, self.fault = "", None

    def fail(self) -> None:
        """Keep no text of a call that failed."""
        self.answer = None

    @property
    def result(self) -> Result:
        answer = self.answer or Answer("")
        return Result(
            self.prompt,
            self.teacher.name,
            answer.text,
            self.reason,
            self.attempt,
            answer.input_tokens,
            answer.output_tokens,
            self.fault.cause if self.fault else "",
            self.fault.kind.name.lower() if self.fault else "",
        )


@dataclass(eq=False)
class Desk:
    """Where one run asks its teacher: the ledger, and what its calls have shown of the teacher so far."""

    ledger: Ledger
    everybodys: Everybodys
    damaged: int = 0

    def at(self, scope: str) -> Desk:
        """The same, among the answers of a scope alone."""
        return Desk(Ledger(self.ledger.shelf, scope), self.everybodys, self.damaged)


_desks: WeakKeyDictionary[Shelf, Desk] = WeakKeyDictionary()


def desk(ctx: Context, asking: AskingConfig, scope: str) -> Desk:
    """The desk of this run in this process; where answers are not to be reused, among those of `scope` alone."""
    shelf = ctx.shelf(SHELF)
    found = _desks.setdefault(shelf, Desk(Ledger(shelf), Everybodys(asking.workers)))
    return found if asking.reuse else found.at(scope)


def ask(
    teacher: Teacher,
    prompts: Sequence[str],
    *,
    asking: AskingConfig,
    desk: Desk,
    walk: Callable[[Call], object],
    stopping: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    log: Any = None,
) -> list[Result]:
    """The results for all prompts, in their order. A prompt that stands there twice is asked once.

    `walk` takes each Call through ProcessFuture, in one of `asking.workers` threads. What is in the ledger is walked too,
    and not asked. Once `stopping()` is true no further call begins, pauses end early, and the results are those there are:
    fewer than the prompts, so leave `ctx.deferring_stop()` before you use them.

    Raises:
        NoCredentials, AccessDenied, AttemptsSpent: what fails fails for everybody; calls under way have ended, and what
            was answered is in the ledger.
        StoreError: the ledger cannot be read or written.
    """
    asked = list(dict.fromkeys(prompts))
    over = threading.Event()

    def ending() -> bool:
        return over.is_set() or stopping()

    keys = {prompt: desk.ledger.key(teacher, prompt) for prompt in asked}
    there = desk.ledger.find(key for key in keys.values() if key)
    _tell(log, desk, len(there))
    pool = _Pool(teacher, asking, desk, keys, there, walk, ending, over.set, sleep or _Sleeper(ending).sleep)
    results: dict[str, Result] = {}
    with ThreadPoolExecutor(asking.workers, thread_name_prefix="teacher") as threads:
        futures = [threads.submit(pool.one, prompt) for prompt in asked]
        try:
            _wait(futures, len(asked), progress)
        finally:
            over.set()  # where waiting itself was broken off: no further call begins
            for future in futures:
                future.cancel()
    for future in futures:
        if not future.cancelled() and (result := future.result()) is not None:
            results[result.prompt] = result
    return [results[prompt] for prompt in prompts if prompt in results]


def _tell(log: Any, desk: Desk, found: int) -> None:
    """To the screen alone: a record says the same of an answer wherever it is from."""
    if log is None:
        return
    where = desk.ledger.shelf.url
    if found:
        log.info("answers taken from the ledger", answers=found, ledger=where)
    if (damaged := desk.ledger.shelf.damaged) > desk.damaged:
        log.warning("entries of the ledger are altered, and are asked anew", entries=damaged, ledger=where)
        desk.damaged = damaged


class _Stopped(Exception):
    """A stop was asked for while a call paused."""


@dataclass(frozen=True)
class _Sleeper:
    """Sleeps, but not on when a stop is asked for."""

    stopping: Callable[[], bool]

    def sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.stopping():
                raise _Stopped
            time.sleep(min(left, 0.1))


@dataclass(frozen=True)
class _Pool:
    """What all workers share."""

    teacher: Teacher
    asking: AskingConfig
    desk: Desk
    keys: dict[str, str | None]
    there: dict[str, Entry]
    walk: Callable[[Call], object]
    stopping: Callable[[], bool]
    halt: Callable[[], None]
    sleep: Callable[[float], None]

    def one(self, prompt: str) -> Result | None:
        """The result for one prompt; None where a stop came first."""
        if self.stopping():
            return None
        key = self.keys[prompt]
        try:
            if entry := self.there.get(key or ""):
                return self._walked(prompt, key, entry)
            with self.desk.ledger.held(key, self.stopping) as look_again:
                if self.stopping():
                    return None
                entry = self.desk.ledger.find([key]).get(key) if key and look_again else None
                return self._walked(prompt, key, entry)
        except _Stopped:
            return None
        except BaseException:
            self.halt()  # here, for the thread that waits may wake after this one has begun another call
            raise

    def _walked(self, prompt: str, key: str | None, entry: Entry | None) -> Result:
        def keep(said: Entry) -> Entry:
            return self.desk.ledger.keep(key, said)

        call = Call(prompt, self.teacher, self.asking, self.sleep, entered=entry, keep=keep)
        self.walk(call)
        if entry is None:
            self._learn(call)
        return call.result

    def _learn(self, call: Call) -> None:
        """What a call that was made shows of the teacher: that it answers, or that it fails like others before."""
        if call.fault is None or (call.response is not None and is_response(call.response)):
            self.desk.everybodys.answered()
        elif call.fault.kind is not Kind.ITEM:
            self.desk.everybodys.failed(call.fault, self.teacher.name, self.halt)


def _wait(futures: Iterable[Future[Any]], total: int, progress: Callable[[int, int], None]) -> None:
    """Wait for all, or for the first that raises. In short turns, so that a signal gets through."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=0.2, return_when=FIRST_EXCEPTION)
        progress(total - len(pending), total)
        if any(future.exception() is not None for future in done):
            return
