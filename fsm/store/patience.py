"""Asking again: a request whose outcome is not known is sent again, the same bytes to the same key, until it is."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from fsm.errors import StoreError
from fsm.store.bucket import Unsure

T = TypeVar("T")
FIRST_PAUSE = 0.05  # seconds; doubled each time, up to
LONGEST_PAUSE = 5.0


class Clock(Protocol):
    """Time as the store sees it; a simulation has its own."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class Patient:
    """Calls something again while it is unsure of its outcome, pausing longer each time (with jitter)."""

    def __init__(self, what: str, patience: float, clock: Clock = time) -> None:
        self.what = what
        self.patience = patience
        self.clock = clock
        self._jitter = random.Random()  # decides only how long to wait

    def __call__(self, ask: Callable[[], T]) -> T:
        """Raises StoreError when patience is at an end: what was asked may have happened, or not."""
        end = self.clock.monotonic() + self.patience
        pause = FIRST_PAUSE
        while True:
            try:
                return ask()
            except Unsure as e:
                wait = pause * self._jitter.uniform(0.5, 1.0)
                if self.clock.monotonic() + wait > end:
                    raise StoreError(
                        f"{self.what} gave no clear answer for {self.patience:g} seconds ({e}). The run stops where it is: give the same "
                        "command again when the store can be reached; nothing that was acknowledged is lost."
                    ) from e
                self.clock.sleep(wait)
                pause = min(2 * pause, LONGEST_PAUSE)
