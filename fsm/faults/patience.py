"""Asking again while a failure is passing: bounded by the time without an answer, not by a number of attempts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from fsm.errors import FsmError, Unanswered
from fsm.faults.meaning import fault
from fsm.faults.table import Kind

T = TypeVar("T")
Tells = Callable[[Exception, float], None]
"""Is told of a failure that is passed over, and of the seconds until the next attempt."""
FIRST_PAUSE = 0.05  # seconds; doubled each time, up to
LONGEST_PAUSE = 30.0
PATIENCE = 1800.0
"""Seconds without an answer for which a service that a run depends on is asked again, where nothing else is configured."""


class Clock(Protocol):
    """Time as it passes here, whatever the clock on the wall is set to; a simulation has its own."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


def silent(error: Exception, seconds: float) -> None:
    """Tells nobody."""


def passing(error: Exception) -> bool:
    """Whether the same request may be answered later, by the table."""
    return fault(error).kind is Kind.PASSING


class Patient:
    """Calls something again while it fails in passing, pausing longer each time (with jitter). Threads may share it.

    what      who is asked, as a message names it
    patience  seconds from the first failure of a call, within which it must succeed
    longest   seconds of the longest pause
    passing   tells a failure that may pass; every other is raised as it is
    gives_up  what is raised when patience is at an end
    tells     is told of each failure that is passed over
    """

    def __init__(
        self,
        what: str,
        patience: float = PATIENCE,
        clock: Clock = time,
        *,
        longest: float = LONGEST_PAUSE,
        passing: Callable[[Exception], bool] = passing,
        gives_up: type[FsmError] = Unanswered,
        tells: Tells = silent,
    ) -> None:
        self.what = what
        self.patience = patience
        self.clock = clock
        self.longest = longest
        self.passing = passing
        self.gives_up = gives_up
        self.tells = tells
        self._jitter = random.Random()  # decides only how long to wait

    def __call__(self, ask: Callable[[], T]) -> T:
        """What `ask` returns. Raises `gives_up` when patience is at an end: what was asked may have happened, or not."""
        end = None
        pause = FIRST_PAUSE
        while True:
            try:
                return ask()
            except Exception as e:
                if not self.passing(e):
                    raise
                now = self.clock.monotonic()
                if end is None:
                    end = now + self.patience  # from here on: a first attempt may itself have taken long
                wait = pause * self._jitter.uniform(0.5, 1.0)
                if now + wait > end:
                    raise self.gives_up(
                        f"{self.what} gave no clear answer for {self.patience:g} seconds ({e}). The run stops where it is: give the same "
                        f"command again when {self.what} can be reached; nothing that was acknowledged is lost."
                    ) from e
                self.tells(e, wait)
                self.clock.sleep(wait)
                pause = min(2 * pause, self.longest)
