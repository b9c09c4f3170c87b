"""A way out for text that its giver never waits for.

A descriptor may lead to a pipe whose reader sleeps, to a terminal that was halted with Ctrl-S, to a full disk, or
nowhere. A run must not stall or fail for that: it hands its lines to a thread, which writes, waits, and counts what it
could not write.
"""

from __future__ import annotations

import errno
import io
import itertools
import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TextIO

from fsm.speech.visible import ESCAPES

MOST = 10_000  # texts that wait for their reader; what comes when so many do is dropped
PATIENCE = 5.0  # seconds without progress after which the end of a process waits no longer
NOT_READ = "nobody read them in time"

Write = Callable[[str], None]  # raises OSError or ValueError
Note = Callable[[int, str], str]  # (lines, why) -> text that says so


class Outlet:
    """Writes texts in order by a thread of its own.

    `put` neither waits nor raises, in any thread and in a handler of a signal. Of texts that could not be written
    `note` says how many and why, before the next one that can; without a `note`, `owed` tells.
    """

    def __init__(self, write: Write, note: Note | None = None, *, most: int = MOST) -> None:
        self._write = write
        self._note = note
        self._most = most
        # a signal may interrupt `put` anywhere, so it holds no lock: both of these are atomic
        self._numbers = itertools.count(1)
        self._queue: SimpleQueue[tuple[int, str, int] | None] = SimpleQueue()
        self._full = False  # it has been, once
        self._taken = 0  # how many texts, and the highest number of these: what lies between was dropped
        self._highest = 0
        self._told = 0  # of the dropped ones
        self._done = 0  # texts written, or lost in writing
        self._lost: dict[str, int] = {}  # why -> lines, not yet said
        self._abandoned = False  # its descriptor may be another's by now
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._speak, name="outlet", daemon=True)
        self._thread.start()

    def put(self, text: str, lines: int = 1) -> None:
        """Have a text written; `lines` is what it counts for should it be lost."""
        if os.getpid() != self._pid:  # a fork has no thread but its own
            with suppress(OSError, ValueError):
                self._write(text)
            return
        number = next(self._numbers)
        if self._queue.qsize() >= self._most:
            self._full = True
            return
        self._queue.put((number, text, lines))

    @property
    def idle(self) -> bool:
        """Whether nothing is being written or waits to be."""
        return self._queue.empty() and self._done == self._taken

    def owed(self) -> dict[str, int]:
        """Lines that were lost since this was last asked, by why. To be asked of an idle outlet."""
        lost, self._lost = self._lost, {}
        return lost

    def wait(self, patience: float | None = None) -> bool:
        """Wait until it is idle, or until nothing was written for `patience` seconds; returns whether it is."""
        patience = PATIENCE if patience is None else patience
        never = threading.Event()
        step, waited, before = 0.01, 0.0, -1
        while not self.idle and waited < patience:
            never.wait(step)
            waited = waited + step if self._done == before else 0.0
            before = self._done
        return self.idle

    def close(self, patience: float | None = None) -> dict[str, int]:
        """Wait for the rest, but not for ever; returns the lines that were lost and could not be said, by why.

        An interrupt meanwhile ends the waiting.
        """
        patience = PATIENCE if patience is None else patience
        handed = next(self._numbers) - 1
        before = -1
        self._queue.put(None)
        with suppress(KeyboardInterrupt):
            while self._thread.is_alive() and self._done != before:
                before = self._done
                self._thread.join(patience)
        self._abandoned = self._thread.is_alive()
        lost = dict(self._lost)
        if unread := handed - self._taken - self._told + self._abandoned:  # which is at one
            lost[NOT_READ] = lost.get(NOT_READ, 0) + unread
        return lost

    # In the thread

    def _speak(self) -> None:
        while (given := self._queue.get()) is not None and not self._abandoned:
            number, text, lines = given
            self._taken += 1
            self._highest = max(self._highest, number)
            self._say(text, lines)
            self._done += 1
        if self._abandoned:
            return
        self._highest = next(self._numbers) - 2  # `close` took one
        with suppress(OSError, ValueError):
            self._own_up()

    def _say(self, text: str, lines: int) -> None:
        try:
            self._own_up()
            self._write(text)
        except (OSError, ValueError) as e:
            why = (e.strerror if isinstance(e, OSError) else None) or str(e)
            self._lost[why] = self._lost.get(why, 0) + lines

    def _own_up(self) -> None:
        """Say what was lost before. Raises what writing raises; then it is still to be said."""
        if self._full and (dropped := self._highest - self._taken - self._told) > 0:
            self._told += dropped
            self._lost[NOT_READ] = self._lost.get(NOT_READ, 0) + dropped
        if self._note is None:
            return
        for why in list(self._lost):
            self._write(self._note(self._lost[why], why))
            del self._lost[why]


def writer(stream: TextIO, errors: str = ESCAPES) -> Write:
    """What writes to a stream: to its descriptor where it has one of its own, past its buffer.

    A buffer would keep what could not be written and fail with it again, in the interpreter's end at the latest.
    """
    if isinstance(stream, io.TextIOWrapper):
        with suppress(OSError, ValueError):
            return _Descriptor(stream.fileno(), stream.encoding, errors)

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    return write


class _Descriptor:
    """Writes to a descriptor. A line of which only the beginning was written is ended before the next text."""

    def __init__(self, fd: int, encoding: str, errors: str = ESCAPES) -> None:
        self._fd = fd
        self._encoding = encoding
        self._errors = errors
        self._broken = False

    def __call__(self, text: str) -> None:
        data = text.encode(self._encoding, self._errors)
        if self._broken:
            data = b"\n" + data
        written = 0
        try:
            while written < len(data):
                written += self._some(data[written:])
        except OSError:
            if written:
                self._broken = data[written - 1] != ord("\n")
            raise
        self._broken = False

    def _some(self, data: bytes) -> int:
        """Write as much as goes at once, and at least a byte. Raises OSError."""
        while True:
            try:
                done = os.write(self._fd, data)
            except BlockingIOError:  # someone who shares the descriptor made it so
                select.select([], [self._fd], [])
                continue
            if done == 0:  # a device that is full without saying so
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return done


def spoken(stream: TextIO, text: str, patience: float | None = None) -> str | None:
    """Write one text; returns why it could not be written, or None. Waits `patience` seconds for a reader at most."""
    outlet = Outlet(writer(stream))
    outlet.put(text)
    return next(iter(outlet.close(patience)), None)
