"""One time that a run goes on in this process, and who reads along."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

from fsm.engine import Nobody, Observer, Outcome, Stop
from fsm.journal import Watch, encode
from fsm.store import RunStore

Record = Mapping[str, Any]
W = TypeVar("W", threading.Event, "Waker")


class Drive(Nobody):
    """One time that the run goes on in this process: whom it tells, how it is stopped, how it came to rest.

    begun  set when the run is this process's, or could not become it
    over   set when nothing more comes
    """

    def __init__(self, then: Observer, redact: Callable[[str], str] | None) -> None:
        self.stop = Stop()
        self.begun = threading.Event()
        self.over = threading.Event()
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self._then = then
        self._redact = redact
        self._readers: tuple[Reader[Any], ...] = ()
        self._lock = threading.Lock()

    @contextmanager
    def read_by(self, reader: Reader[Any]) -> Iterator[None]:
        """Inside, a reader is given what is recorded."""
        with self._lock:
            self._readers = (*self._readers, reader)
        try:
            yield
        finally:
            with self._lock:
                self._readers = tuple(r for r in self._readers if r is not reader)

    def told(self, record: Record) -> Record:
        """A record as the journal has it: without a secret's value, and without its snapshot."""
        record = without_snapshot(record)
        return record if self._redact is None else json.loads(self._redact(encode(dict(record)).decode()))

    def finish(self) -> None:
        self.over.set()
        self.begun.set()
        for reader in self._readers:
            reader.wake.set()

    def result(self) -> Outcome:
        """How it came to rest. Raises what has ended it otherwise."""
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome

    # Who looks on

    def opened(self, run: RunStore, records: int) -> None:
        self._then.opened(run, records)
        self.begun.set()

    def record(self, record: Record) -> None:
        for reader in self._readers:
            reader.put(record)
        self._then.record(record)

    def entered(self, at: list[str], machine: str, state: str, visit: int) -> None:
        self._then.entered(at, machine, state, visit)

    def progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None:
        self._then.progress(at, state, done, total, note)

    def watched(self, at: list[str], state: str, watch: Watch) -> None:
        self._then.watched(at, state, watch)


class Reader(Generic[W]):
    """Who reads the records as they come, or hears of the end: by `wake`, an event of threads or one of a loop."""

    def __init__(self, wake: W, only_the_end: bool = False) -> None:
        self.wake: W = wake
        self._only_the_end = only_the_end
        self._new: deque[Record] = deque()

    def put(self, record: Record) -> None:
        """There is one more."""
        if not self._only_the_end:
            self._new.append(record)
            self.wake.set()

    def take(self, start: int) -> Iterator[Record]:
        """What is new, from a number on: what stands before it was read from the journal."""
        while self._new:
            record = self._new.popleft()
            if record["seq"] >= start:
                yield record


class Waker(asyncio.Event):
    """An event of the running loop that any thread may set, whether the loop still runs or not."""

    def __init__(self) -> None:
        super().__init__()
        self._of = asyncio.get_running_loop()

    def set(self) -> None:
        with suppress(RuntimeError):  # the loop is closed, and with it who was to be woken
            self._of.call_soon_threadsafe(super().set)


@contextmanager
def interruptible(drive: Drive) -> Iterator[None]:
    """Around a wait: an interrupt asks the run to stop, waits for that, and goes on."""
    try:
        yield
    except KeyboardInterrupt:
        drive.stop.request()
        drive.over.wait()
        raise
    except asyncio.CancelledError:
        drive.stop.request()  # who cancels is not kept waiting
        raise


def without_snapshot(record: Record) -> Record:
    return {k: v for k, v in record.items() if k != "snapshot"} if "snapshot" in record else record
