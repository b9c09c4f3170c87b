"""The moments of a run: points that every attempt comes through, at which a process may be made to die.

A moment is before and after a record is appended, before and after an artifact is put, when a handler begins, when it first
shows progress. It is known by the number of the record that comes next, so that a killed run, which has the same records up to
its kill, dies where it was meant to. Who kills does it in a process of its own (`in_child`), by SIGKILL, so nothing is unwound.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsm.engine import Nobody
from fsm.store import RunStore, Store

ENTERED, PROGRESS, PUTTING, PUT, APPENDING, APPENDED = (
    "entered",
    "progress",
    "putting",
    "put",
    "appending",
    "appended",
)
NEXT = "next"  # a record is there, and the count of moments begins anew


@dataclass(frozen=True)
class Moment:
    """A point of a run: `what` happens for the `nth` time while record `seq` is the next one, in a state of a machine."""

    seq: int
    what: str
    nth: int = 1
    machine: str = ""
    state: str = ""

    def same(self, other: Moment) -> bool:
        """Whether it is the same point, wherever that is."""
        return (self.seq, self.what, self.nth) == (other.seq, other.what, other.nth)

    def __str__(self) -> str:
        said = {
            ENTERED: "when it begins",
            PROGRESS: "at its first progress",
            PUTTING: f"before it puts artifact {self.nth}",
            PUT: f"after it has put artifact {self.nth}",
            APPENDING: f"before record {self.seq}",
            APPENDED: f"after record {self.seq}",
        }
        return f"{self.machine}: {self.state}, {said[self.what]}"


At = Callable[[Moment], None]


class Clockwork(Nobody):
    """Counts the moments of one session, and tells of each; the run's store is to be `Watching` by it."""

    def __init__(self, at: At) -> None:
        self._at = at
        self._seq = 0
        self._times: dict[str, int] = {}
        self._lock = threading.Lock()
        self._here: dict[int, tuple[str, str]] = {}  # by thread: branches may go at once
        self._last: tuple[str, str] | None = None

    @property
    def here(self) -> tuple[str, str] | None:
        """Machine and state in hand in this thread; of a thread that a handler started, those entered last."""
        return self._here.get(threading.get_ident(), self._last)

    def moment(self, what: str, seq: int | None = None) -> None:
        """A point is passed; not passed where it is one to die at."""
        with self._lock:
            if seq is not None and seq != self._seq:
                self._seq, self._times = seq, {}
            nth = self._times[what] = self._times.get(what, 0) + 1
            if what == PROGRESS and nth > 1:
                return
            now = Moment(self._seq, what, nth, *(self.here or ("", "")))
        self._at(now)

    def entered(self, at: list[str], machine: str, state: str, visit: int) -> None:
        self._last = self._here[threading.get_ident()] = machine, state
        self.moment(ENTERED)

    def progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None:
        self.moment(PROGRESS)


class Watched:
    """A run's store whose every write is a moment."""

    def __init__(self, run: RunStore, clockwork: Clockwork) -> None:
        self._run = run
        self._clockwork = clockwork

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def append(self, seq: int, line: bytes) -> None:
        self._put(seq, lambda: self._run.append(seq, line))

    def write(self, seq: int, line: bytes) -> None:
        self._put(seq, lambda: self._run.write(seq, line))

    def _put(self, seq: int, do: Callable[[], None]) -> None:
        self._clockwork.moment(APPENDING, seq)
        do()
        self._clockwork.moment(APPENDED)
        self._clockwork.moment(NEXT, seq + 1)

    def put_artifact(self, name: str, content: bytes | Path) -> Any:
        self._clockwork.moment(PUTTING)
        artifact = self._run.put_artifact(name, content)
        self._clockwork.moment(PUT)
        return artifact


class Watching:
    """A store that watches one of its runs: the run that is driven, whose moments are counted."""

    def __init__(self, store: Store, name: str, clockwork: Clockwork) -> None:
        self._store = store
        self._name = name
        self._clockwork = clockwork

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def run(self, name: str) -> Any:
        run = self._store.run(name)
        return Watched(run, self._clockwork) if name == self._name else run


# Dying


def die() -> None:
    """End this process as a machine does that loses its power."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # until the signal comes


def dying(*moments: Moment) -> At:
    """Dies at the first of these moments."""

    def at(now: Moment) -> None:
        if any(now.same(moment) for moment in moments):
            die()

    return at


def in_child(work: Callable[[], int], log: Path) -> int:
    """Fork, work, and say how it ended: the exit code, or minus the signal; 70 for an exception, which is in the log."""
    return ended(begun(work, log))


def ended(pid: int) -> int:
    """Wait for a child: the exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def begun(work: Callable[[], int], log: Path) -> int:
    """A child that works, and says to a file what it says; its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            with log.open("a") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            code = work()
        except BaseException:
            with suppress(Exception), log.open("a") as file:
                traceback.print_exc(file=file)
        finally:
            os._exit(code)
    return pid
