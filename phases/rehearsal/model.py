"""The model behind a rehearsed service: who answers, what is counted, how much is let through, and what it costs."""

from __future__ import annotations

import hashlib
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from phases.rehearsal.wire import Reply
from phases.teacher_generation.offline.teacher import write_function

MILLION = 1_000_000


@dataclass(frozen=True)
class Asked:
    """One request for an answer.

    prompt   the last text of the user
    attempt  how often the same body was asked before, from 0
    """

    operation: str
    model: str
    prompt: str
    attempt: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Said:
    """What the model says, and is paid for, whatever becomes of it on the way.

    after   seconds that it takes
    cut     bytes of the reply that come through (see Reply)
    broken  the error that comes in the middle of a stream, by its name
    """

    text: str
    stop: str = "end_turn"
    after: float = 0.0
    cut: int | None = None
    broken: str = ""


Answerer = Callable[[Asked], "str | Said | Reply"]
"""Who answers: a text, more exactly what is said, or a reply in its stead (an error, garbage), for which nothing is paid."""


def offline(asked: Asked) -> str:
    """The offline teacher: C code by templates, the same for the same prompt."""
    return write_function(asked.prompt)


def tokens(text: str) -> int:
    """A count of tokens that is near enough to a real one: four bytes each."""
    return (len(text.encode("utf-8", "surrogatepass")) + 3) // 4


def cut_at(answer: Said, most: int) -> tuple[str, str]:
    """What of an answer fits in so many tokens, and why it stops."""
    if tokens(answer.text) <= most:
        return answer.text, answer.stop
    return answer.text.encode()[: 4 * most].decode("utf-8", "ignore"), "max_tokens"


@dataclass(frozen=True)
class Lognormal:
    """Seconds that an answer takes: lognormal by median and ratio of p99 to it, drawn by prompt and attempt."""

    median: float
    p99: float = 10.0
    seed: int = 0

    def __call__(self, asked: Asked) -> float:
        name = f"{self.seed}:{asked.attempt}:{asked.prompt}"
        draw = random.Random(hashlib.sha256(name.encode()).digest())
        return self.median * draw.lognormvariate(0.0, math.log(self.p99) / 2.3263478740408408)


@dataclass
class Quota:
    """What a service lets through in a minute, as Bedrock counts it: one bucket for requests and one for tokens, refilled evenly.

    A call takes its input tokens and max_tokens at its start; at its end that is settled by what was used, an
    output token counting `burndown` times. (https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html)
    """

    requests: float = math.inf
    tokens: float = math.inf
    burndown: float = 1.0
    minute: float = 60.0
    """The seconds of a minute: fewer in a test."""
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _left: list[float] = field(default_factory=list)
    _at: float = 0.0

    def take(self, tokens: int) -> str:
        """Let one call with so many tokens in, or say what there is too much of."""
        with self._lock:
            self._refill()
            if self._left[0] < 1:
                return "requests"
            if self._left[1] < tokens:
                return "tokens"
            self._left[0] -= 1
            self._left[1] -= tokens
            return ""

    def settle(self, reserved: int, used: float) -> None:
        """Give back what was reserved for a call and not used, or take what it used beyond."""
        with self._lock:
            self._refill()
            self._left[1] = min(self.tokens, self._left[1] + reserved - used)

    def _refill(self) -> None:
        now = self.clock()
        most = [self.requests, self.tokens]
        if not self._left:
            self._left = most
        else:
            gone = (now - self._at) / self.minute
            self._left = [
                min(m, left + m * gone) if m < math.inf else m
                for m, left in zip(most, self._left, strict=True)
            ]
        self._at = now


@dataclass
class Bill:
    """What was asked, and what is to be paid for it."""

    calls: int = 0
    throttled: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    """That answers took, added up."""
    dollars: Decimal = Decimal(0)
    paid: Counter[str] = field(default_factory=Counter)
    """How often each prompt's answer was paid for, by the SHA-256 of the prompt."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def pay(
        self, prompt: str, input_tokens: int, output_tokens: int, dollars: Decimal, seconds: float
    ) -> None:
        with self.lock:
            self.input_tokens += input_tokens
            self.output_tokens += output_tokens
            self.seconds += seconds
            self.dollars += dollars
            self.paid[hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()] += 1

    def to_json(self) -> dict[str, Any]:
        """As the path /-/bill of a service says it."""
        with self.lock:
            return {
                "calls": self.calls,
                "throttled": self.throttled,
                "refused": self.refused,
                "answers": self.paid.total(),
                "twice": sum(times - 1 for times in self.paid.values()),
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "seconds": self.seconds,
                "dollars": str(self.dollars),
                "paid": dict(sorted(self.paid.items())),
            }


@dataclass(frozen=True)
class Spoken:
    """An answer as it is sent, cut where the call's tokens end; `seconds` is how long it took."""

    answer: Said
    text: str
    stop: str
    seconds: float


class Speaking:
    """What a service does between taking a call down and sending its answer: quota, answer, time."""

    quota: Quota
    bill: Bill
    answer: Answerer
    latency: Callable[[Asked], float]

    def spoken(
        self, asked: Asked, entered: int, most: int, throttled: Callable[[str], Reply]
    ) -> Spoken | Reply:
        """The answer to a call of `entered` tokens that may write `most`, or the error that is sent in its place.

        `throttled` makes that of a call that the quota turns away, by the word for what there are too many of.
        """
        with self.bill.lock:
            self.bill.calls += 1
        if much := self.quota.take(entered + most):
            with self.bill.lock:
                self.bill.throttled += 1
            return throttled(much)
        answer = self.answer(asked)
        if isinstance(answer, Reply):
            with self.bill.lock:
                self.bill.refused += 1
            self.quota.settle(entered + most, 0)
            return answer
        answer = Said(answer) if isinstance(answer, str) else answer
        seconds = answer.after + self.latency(asked)
        time.sleep(seconds)
        return Spoken(answer, *cut_at(answer, most), seconds)
