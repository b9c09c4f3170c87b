"""Who is about to put what into a shelf of a bucket: a log of claims, one object for many keys, that all runs read alike.

<prefix><number>    {"owner": ..., "id": ..., "keys": [...], "free": [...]}

Records are numbered from 0 without gaps and put if absent: whoever puts one has read all before it, so of two runs that claim
a key at the same time both know who was first. A key is its claimer's until he frees it or his lease is over, by the clock
of the bucket; whoever needs it for longer claims it again in time. Nothing is ever deleted: running needs no right to.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fsm.faults import Patient
from fsm.store import shelf
from fsm.store.bucket import Bucket, Exists, Got, Missing

LEASE = 1800.0  # seconds after which who claimed a key is taken for dead


@dataclass(frozen=True)
class _Record:
    """`written` is by the bucket's clock, None where it was not asked; `seen` by ours, as if read the moment it was written."""

    owner: str
    id: str
    keys: tuple[bytes, ...]
    free: tuple[bytes, ...]
    written: float | None
    seen: float

    @classmethod
    def read(cls, got: Got) -> _Record:
        """A record as it was put; what is none claims nothing."""
        try:
            said = json.loads(got.body)
            keys, free = (tuple(bytes.fromhex(key) for key in said[name]) for name in ("keys", "free"))
            owner, own = str(said["owner"]), str(said["id"])
        except (ValueError, KeyError, TypeError):
            owner, own, keys, free = "", "", (), ()
        return cls(owner, own, keys, free, got.modified, time.monotonic() - got.age)


@dataclass(frozen=True)
class _Holder:
    """Who claimed a key by which record."""

    owner: str
    number: int
    written: float | None
    seen: float


class Claims:
    """The log, as one process of the run `owner` follows it. What a killed process of that run had claimed is its next one's."""

    def __init__(self, bucket: Bucket, prefix: str, ask: Patient, parallel: int, owner: str) -> None:
        self.bucket, self.prefix, self.ask, self.parallel, self.owner = bucket, prefix, ask, parallel, owner
        self._id = secrets.token_hex(8)  # of this process, in the records that it puts
        self._puts = 0
        self._next: int | None = None  # the number of the first record that was not read
        self._holders: dict[bytes, _Holder] = {}
        self._others: set[bytes] = set()  # what somebody else has claimed, or an earlier process of this run
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def claim(self, keys: Iterable[str]) -> tuple[set[str], set[str]]:
        """(those of the keys that are ours now, those that somebody else had claimed and may have put since)."""
        wanted = {shelf.half(key): key for key in keys}
        with self._lock:
            self._follow()
            while possible := [half for half in wanted if self._may_have(half)]:
                if self._put(possible, ()):
                    break
                self._follow()
            ours = {wanted[half] for half in possible if self._holds(self.owner, half)}
            return ours, {key for half, key in wanted.items() if half in self._others}

    def free(self, keys: Iterable[str]) -> None:
        """Somebody else may have them."""
        with self._lock:
            halves = [half for half in map(shelf.half, keys) if self._holds(self.owner, half)]
            while halves and not self._put((), halves):
                self._follow()

    def forget(self, key: str) -> None:
        """It has its entry, so that nobody needs to know who claimed it."""
        self._holders.pop(shelf.half(key), None)  # without the lock, which is held while the bucket is asked

    def _may_have(self, half: bytes) -> bool:
        holder = self._holders.get(half)
        return holder is None or holder.owner == self.owner or time.monotonic() - holder.seen > LEASE

    # The log

    def _put(self, keys: Iterable[bytes], free: Iterable[bytes]) -> bool:
        """Put the next record; False where another one is there by now."""
        assert self._next is not None
        number, own = self._next, f"{self._id}-{self._puts}"
        self._puts += 1
        said = {
            "owner": self.owner,
            "id": own,
            "keys": [key.hex() for key in keys],
            "free": [key.hex() for key in free],
        }
        body = json.dumps(said).encode()
        began = time.monotonic()
        try:
            self.ask(lambda: self.bucket.put(self._name(number), body, absent=True))
            there = _Record(self.owner, own, tuple(keys), tuple(free), None, began)
        except Exists:
            found = self._get(number)
            if found is None or found.id != own:  # a put that was sent twice finds its own
                return False
            there = found
        self._fold(number, there)
        self._next = number + 1
        return True

    def _follow(self) -> None:
        """Read what was put since."""
        if self._next is None:
            self._next = self._first()
        while (record := self._get(self._next)) is not None:
            self._fold(self._next, record)
            self._next += 1

    def _first(self) -> int:
        """The number after the last one that there is now, with all before it read whose lease can still matter: what is over
        now was put before the shelf was listed, or never will be."""
        last, after = -1, ""
        while True:
            page = self.ask(lambda after=after: self.bucket.list(self.prefix, after=after))  # type: ignore[misc]
            for key, _ in page.keys:
                after, named = key, key.removeprefix(self.prefix)
                last = int(named) if named.isdecimal() else last
            if not page.more or not page.keys:
                break
        since = time.monotonic() - self._began
        found: list[tuple[int, _Record]] = []
        with ThreadPoolExecutor(self.parallel, "claims") as pool:
            for end in range(last, -1, -self.parallel):
                numbers = range(end, max(end - self.parallel, -1), -1)
                some = [(n, r) for n, r in zip(numbers, pool.map(self._get, numbers), strict=True) if r]
                found += some
                if some and time.monotonic() - some[-1][1].seen > LEASE + since:
                    break
        for number, record in reversed(found):
            self._fold(number, record)
        return last + 1

    def _get(self, number: int) -> _Record | None:
        try:
            return _Record.read(self.ask(lambda: self.bucket.get(self._name(number))))
        except Missing:
            return None

    def _fold(self, number: int, record: _Record) -> None:
        for half in record.free:
            if self._holds(record.owner, half):
                del self._holders[half]
        if not record.id.startswith(self._id):
            self._others.update(record.keys)
        for half in record.keys:
            if (
                half not in self._holders
                or self._holds(record.owner, half)
                or self._is_over(half, number, record)
            ):
                self._holders[half] = _Holder(record.owner, number, record.written, record.seen)

    def _holds(self, owner: str, half: bytes) -> bool:
        return (holder := self._holders.get(half)) is not None and holder.owner == owner

    def _is_over(self, half: bytes, number: int, record: _Record) -> bool:
        """Whether the lease of who holds a key was over when a record was written: nobody's clock but the bucket's counts."""
        holder = self._holders[half]
        then, now = (
            of.written if of.written is not None else self._written(at)
            for of, at in ((holder, holder.number), (record, number))
        )
        return now - then > LEASE

    def _written(self, number: int) -> float:
        found = self._get(number)
        return found.written or 0.0 if found is not None else 0.0

    def _name(self, number: int) -> str:
        return f"{self.prefix}{number:09d}"
