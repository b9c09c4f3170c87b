"""Stopping on a signal, or because another thread asks: between steps at once, inside a step only where it does no harm."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Wake = Callable[[], None]


class StopRequested(BaseException):
    """A signal, or another thread, asked the run to stop. Not an Exception: no handler's `except Exception` may swallow it."""


class Stop:
    """Turns SIGINT, SIGTERM and SIGHUP into StopRequested in the main thread; `request` is the same from any thread.

    Inside `deferred` the first signal only sets `requested`; the stop comes when it is left. A second signal stops at
    once, but not a hang-up: of one terminal that is closed both the kernel and the shell tell. Where hang-ups are
    ignored (nohup) they stay so. Inside `waking`, where a coroutine is waited for, the first signal wakes that instead.
    """

    def __init__(self) -> None:
        self.requested = False
        self.cancelled = False  # it was asked for from outside, and is for good
        self.depth = 0
        self._hung_up = False
        self._old: dict[int, Any] = {}
        self.deaf: set[str] = (
            set()
        )  # places of coroutines that were asked to stop, and have awaited nothing since
        self._asleep: set[Wake] = set()  # coroutines that await something, in any thread
        self._here = threading.local()  # of them, who is the innermost at work in this thread: `innermost`

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals while inside; a no-op outside the main thread, where Python allows no handlers."""
        if threading.current_thread() is threading.main_thread():
            caught = [signal.SIGINT, signal.SIGTERM]
            if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
                caught.append(signal.SIGHUP)
            for number in caught:
                self._old[number] = signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            if self._hung_up:  # the second one must not end what is left to do
                self._old[signal.SIGHUP] = signal.SIG_IGN
            for restored, old in self._old.items():
                signal.signal(restored, old)
            self._old.clear()

    def cancel(self) -> None:
        """From any thread: the run is to be over. Heard as a stop is, and later by a handler that defers it."""
        if self.cancelled:
            return
        self.cancelled = True
        if self._old and not self.requested:
            os.kill(os.getpid(), signal.SIGTERM)  # wakes the main thread, which a flag does not
        else:
            self.request()

    def obeyed(self) -> None:
        """The stop was heard: what is left to do is not stopped by it."""
        self.requested = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        again = self.requested
        self.request()
        if number == signal.SIGHUP:
            self._hung_up = True
            if again:
                return
        if again or (self.depth == 0 and getattr(self._here, "innermost", None) is None):
            raise StopRequested

    def request(self) -> None:
        """Ask for a stop, from any thread: it comes at the next record, or where a coroutine awaits something."""
        self.requested = True
        for wake in tuple(self._asleep):
            wake()

    @contextmanager
    def waking(self, wake: Wake | None) -> Iterator[None]:
        """Inside, a stop calls `wake`, in whichever thread asks for it, and a first signal does nothing else.

        None for a step below a coroutine that awaits nothing itself: a signal raises in it again.
        """
        before = getattr(self._here, "innermost", None)
        self._here.innermost = wake
        if wake is not None:
            self._asleep.add(wake)
            if self.requested:  # since it was looked at last
                wake()
        try:
            yield
        finally:
            self._here.innermost = before
            if wake is not None:
                self._asleep.discard(wake)

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
