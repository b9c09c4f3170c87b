"""What a process has seen of its asking so far, for whoever looks on. Nothing of it is recorded."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from phases.teacher_generation.asking import Result
from phases.teacher_generation.ledger import Entry

LATELY = 200  # calls that the rate is told by


@dataclass
class Tally:
    """Counts of prompts that are done, and of calls that were made; threads may share it."""

    done: int = 0
    failed: int = 0
    turned_away: int = 0
    from_ledger: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    clock: Callable[[], float] = time.monotonic
    _ends: deque[float] = field(default_factory=lambda: deque(maxlen=LATELY))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, result: Result) -> None:
        """A prompt is done."""
        with self._lock:
            self.done += 1
            self.turned_away += result.turned_away
            self.failed += not result.answered and not result.turned_away

    def reused(self, entry: Entry) -> None:
        """An answer was found."""
        with self._lock:
            self.from_ledger += 1

    def asked(self, entry: Entry | None) -> None:
        """A call was made, and this came of it."""
        with self._lock:
            self._ends.append(self.clock())
            if entry is not None and entry.paid is not None:
                self.input_tokens += entry.paid.input
                self.output_tokens += entry.paid.output

    @property
    def rate(self) -> float:
        """Calls a second, lately; 0 where that cannot be told."""
        with self._lock:
            ends = list(self._ends)
        return (len(ends) - 1) / (ends[-1] - ends[0]) if len(ends) > 1 and ends[-1] > ends[0] else 0.0

    def note(self, left: int, spent: Decimal, limit: Decimal | None, window: str) -> str:
        """One line; `left` prompts are still to be done."""
        said = []
        for number, what in (
            (self.from_ledger, "from the ledger"),
            (self.failed, "failed"),
            (self.turned_away, "turned away"),
        ):
            if number:
                said.append(f"{number} {what}")
        if self.input_tokens or self.output_tokens:
            said.append(f"{self.input_tokens:,} tokens in, {self.output_tokens:,} out")
        if spent or limit is not None:
            said.append(f"${spent:.2f}" + (f" of ${limit:.2f}" if limit is not None else ""))
        if rate := self.rate:
            said.append(f"{rate:.1f} calls/s")
            said.append(window)
            if left > 0:
                said.append(f"{lasting(left / rate)} left")
        return ", ".join(part for part in said if part)


def lasting(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
