"""Stopping on a signal: between steps at once, inside a step only where it does no harm."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class StopRequested(BaseException):
    """A signal asked the run to stop. Not an Exception: no handler's `except Exception` may swallow it."""


class Stop:
    """Turns SIGINT and SIGTERM into StopRequested in the main thread.

    Inside `deferred` the first signal only sets `requested`; the stop comes when it is left. A second signal stops at
    once.
    """

    def __init__(self) -> None:
        self.requested = False
        self.depth = 0
        self._old: dict[int, Any] = {}

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals while inside; a no-op outside the main thread, where Python allows no handlers."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            for caught, old in self._old.items():
                signal.signal(caught, old)
            self._old.clear()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        again, self.requested = self.requested, True
        if again or self.depth == 0:
            raise StopRequested

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, a first signal only sets `requested`."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
        self.check()

    def check(self) -> None:
        """Raise StopRequested if a stop was asked for and nothing defers it."""
        if self.requested and self.depth == 0:
            raise StopRequested
