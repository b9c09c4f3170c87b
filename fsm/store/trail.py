"""Reading a run on, as one that only looks does: what is new, at a cost that does not depend on what is old.

Nothing is written and nothing locked. In a directory a look reads on from where the last one ended. In a bucket every
look is a request, so a trail keeps its own time: it may be asked as often as its caller likes, asks the bucket for the
next record and for live.json as often as the run is worth it, and never for a list of the records.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from fsm.faults import Patient
from fsm.store.base import RunStore
from fsm.store.bucket import Missing, Unsure
from fsm.store.local import LocalRun
from fsm.store.s3 import S3Run

MOST = 2000  # records in one look, so that who reads a long run can show how far it is
BUSY = 30.0  # seconds since its newest record that a run in a bucket counts as busy
BEAT = 5.0  # seconds between two looks at live.json while a run is busy, and at a run that is not there
IDLE_BEAT = 6.0  # the same while it is idle
NEXT = 1.5  # seconds between two questions for the next record while a run is busy
SELDOM = 60.0  # the same while it is idle, and between two questions whether the run was begun anew


class Silent(Exception):
    """The store gave no clear answer this time; the same look again may."""


@dataclass(frozen=True)
class Look:
    """What a look found. `which` tells the run from another that is begun under its name; None where there is none.

    `new` are lines of the journal, or records that live.json brought, which lack their snapshots. `live` is live.json with
    its `age` in seconds; None where it was not looked at, or is not there. `more` says that the look stopped before the end.
    """

    which: object | None
    header: bytes | None = None
    new: tuple[bytes | dict[str, Any], ...] = ()
    live: dict[str, Any] | None = None
    more: bool = False


class Trail(Protocol):
    """One run, read on. `share`: among how many runs that one looks at the requests of a minute are shared."""

    share: int

    def look(self, seen: int, *, ended: bool = False) -> Look:
        """What there is after the first `seen` records; `ended`: of a run that has. Raises Silent, StoreError, JournalDamaged."""
        ...


def trail(run: RunStore, clock: Callable[[], float] = time.monotonic) -> Trail:
    """The trail of a run."""
    if isinstance(run, S3Run):
        return S3Trail(run, clock)
    if isinstance(run, LocalRun):
        return LocalTrail(run)
    raise TypeError(f"no trail leads through {type(run).__name__}")


class LocalTrail:
    """Through a directory."""

    def __init__(self, run: LocalRun) -> None:
        self.share = 1
        self._run = run
        self._which: object | None = None
        self._header: bytes | None = None
        self._last: object | None = None  # what the files were before they were read to the end

    def look(self, seen: int, *, ended: bool = False) -> Look:
        which = self._there()
        if which != self._which:
            self._which, self._header = which, self._run.read_header() if which else None
        if which is None:
            return Look(None)
        files = (seen, which, *map(_told_by, (self._run.journal, self._run.directory / "live.json")))
        if files == self._last:
            return Look(which, self._header)
        live = self._run.read_live()  # before the records, which then are no older
        new = tuple(islice(self._run.records(seen), MOST))
        if self._there() != which:  # begun anew meanwhile: of which run these are is not known
            return Look(which, self._header, more=True)
        self._last = (seen + len(new), *files[1:]) if len(new) < MOST else None
        return Look(which, self._header, new, live, len(new) == MOST)

    def _there(self) -> object | None:
        try:
            found = (self._run.directory / "run.json").stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return self._run.read_header()  # says what is wrong
        return found.st_dev, found.st_ino, found.st_mtime_ns


def _told_by(path: Path) -> object | None:
    """What changes when a file does; None where it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


@dataclass
class _Clocks:
    """When each question was asked last."""

    asked: dict[str, float] = field(default_factory=dict)

    def due(self, question: str, every: float, now: float) -> bool:
        """Whether to ask now; it then counts as asked."""
        if now - self.asked.get(question, float("-inf")) < every:
            return False
        self.asked[question] = now
        return True


class S3Trail:
    """Through a bucket.

    A minute of a run at which nothing happens costs ten looks at live.json, one for the next record and one for the
    tombstone that a run begun anew leaves; of a busy one twelve, forty and one. A runner that is faster than that puts its
    newest records into live.json: they come with it. Those that live.json names and does not bring are asked for by number,
    several at once, which is how a run is read at first.
    """

    def __init__(self, run: S3Run, clock: Callable[[], float] = time.monotonic) -> None:
        self.share = 1
        self._of = run
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._run = S3Run(self._of.store, self._of.name)
        self._run.ask = Patient(
            self._of.store.url, passing=lambda e: False
        )  # the next look is the next attempt
        self._clocks = _Clocks()
        self._header: bytes | None = None
        self._news = self._clock()
        self._written = 0  # records that live.json has told of
        self._first = True
        self._behind = True  # the last look stopped before the end

    def look(self, seen: int, *, ended: bool = False) -> Look:
        try:
            return self._look(seen, ended)
        except Unsure as e:
            raise Silent(f"{self._of.store.url} gave no clear answer ({e})") from e

    def _look(self, seen: int, ended: bool) -> Look:
        now = self._clock()
        if self._header is None:
            if not self._due("header", BEAT, now):
                return Look(None)
            self._header = self._run.read_header()
            if self._header is None:
                return Look(None)
        elif self._due("retired", SELDOM, now) and self._retired():
            self._begin()
            return Look(None)
        which = self._run.generation
        if ended:
            return Look(which, self._header)
        busy = now - self._news < BUSY
        live: dict[str, Any] | None = None
        brought: dict[int, dict[str, Any]] = {}
        if self._due("live", BEAT if busy else IDLE_BEAT, now) and (live := self._run.read_live()):
            brought = _brought(live)
            if isinstance(live.get("seq"), int):
                self._written = max(self._written, live["seq"] + 1)
        new = self._told(seen, brought) if live or self._behind else []
        self._behind = len(new) >= MOST
        if not self._behind and seen + len(new) >= self._written:
            new += self._asked(seen + len(new), busy, now)
        if new:
            self._news = now
        return Look(which, self._header, tuple(new), live, self._behind)

    def _told(self, seen: int, brought: Mapping[int, dict[str, Any]]) -> list[bytes | dict[str, Any]]:
        """The records that live.json told of."""
        new: list[bytes | dict[str, Any]] = []
        while (at := seen + len(new)) < self._written and len(new) < MOST:
            if at in brought:
                new.append(brought[at])
                continue
            until = min([self._written, at + self._batch, *(n for n in brought if n > at)])
            found = self._run.several(range(at, until))
            new += found
            if len(found) < until - at:  # one is missing
                break
        return new

    def _asked(self, number: int, busy: bool, now: float) -> list[bytes]:
        """The record of that number, if it is there; at first all from it on, for live.json may be old, or gone."""
        if self._first:
            found = self._run.several(range(number, number + self._batch))
            self._first = self._behind = len(found) == self._batch
            return found
        if self._due("next", NEXT if busy else SELDOM, now):
            return self._run.several(range(number, number + 1))
        return []

    @property
    def _batch(self) -> int:
        return 2 * self._run.store.options.parallel

    def _retired(self) -> bool:
        try:
            self._run.bucket.get(self._run.tombstone)
        except Missing:
            return False
        return True

    def _due(self, question: str, every: float, now: float) -> bool:
        return self._clocks.due(question, every * self.share, now)


def _brought(live: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The records that live.json brings, by number; taken out of it."""
    tail = live.pop("tail", None)
    if not isinstance(tail, list):
        return {}
    return {r["seq"]: r for r in tail if isinstance(r, dict) and isinstance(r.get("seq"), int)}
