"""A shelf in a bucket: an object an entry, put if absent; what is there is learned from one listing.

<prefix><key>                  an entry                      <prefix>segments/<sha256>    many of them, one a line
<prefix less its slash>-held/<number>    who is about to put what (claims.py)

An entry is an object of its own, for that is durable at once and the first one stays. Read one by one they cost a request
each, so whoever has put or read many leaves them behind in segments. Nothing is ever deleted: running needs no right to.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import BinaryIO

from fsm.faults import Patient
from fsm.store import claims, shelf
from fsm.store.bucket import MIB, Bucket, Exists, Missing

LISTED = 1000  # keys in a page of a listing, S3's most
MOST_PAGES = 1000  # of a listing; a longer shelf is asked key by key
PACK_FROM = 50  # entries that are worth a segment
SEGMENT = 8 * MIB  # bytes of one, about
LOOK_AGAIN = 1.0  # between two looks at a key that another run holds


class S3Shelf:
    """Entries below a prefix, which ends with a slash. The listing is read once: what other runs put later is met at `put`.

    `owner` names the run that holds keys here: what a killed process of it held, its next one may have at once.
    """

    def __init__(self, bucket: Bucket, prefix: str, ask: Patient, parallel: int, owner: str = "") -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.ask = ask
        self.parallel = parallel
        self.damaged = 0
        self._claims = claims.Claims(
            bucket, f"{prefix.rstrip('/')}-held/", ask, parallel, owner or secrets.token_hex(8)
        )
        self._claimed: set[str] = set()  # that nobody has come for
        self._inside: set[str] = set()  # that are held
        self._renewed = 0.0  # when the oldest claim was made
        self._there: set[bytes] | None = None  # None where it is not known: not listed yet, or too long to
        self._listed = False
        self._packed = _Lines()  # of the segments
        self._loose = _Lines()  # put or read here one by one
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"s3://{self.bucket.name}/{self.prefix}".rstrip("/")

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        wanted = []
        with self._lock:
            self._look()
            for key in dict.fromkeys(keys):
                if (entry := self._packed.get(key)) is not None:
                    found[key] = entry
                elif self._there is None or shelf.half(key) in self._there:
                    wanted.append(key)
        return found | dict(self._gotten(wanted))

    def has(self, keys: Iterable[str]) -> set[str]:
        wanted = list(keys)
        with self._lock:
            self._look()
            there = self._there
        if there is None:
            return set(self.read(wanted))
        return {key for key in wanted if shelf.half(key) in there}

    def entries(self) -> Iterator[tuple[str, bytes]]:
        with self._lock:
            self._look()
            packed = self._packed
        yield from packed.all()
        some: list[str] = []
        for name in (name for names in self._pages() for name in names):
            if shelf.KEY.fullmatch(name) and packed.get(name) is None:
                some.append(name)
            if len(some) == 64 * self.parallel:
                yield from self._gotten(some)
                some = []
        yield from self._gotten(some)

    def pack(self) -> None:
        with self._lock:
            loose, self._loose = self._loose, _Lines()
        if len(loose) >= PACK_FROM:
            for segment in loose.segments():
                name = f"{self.prefix}segments/{hashlib.sha256(segment).hexdigest()}"
                with suppress(Exists):  # the same bytes
                    self.ask(lambda name=name, segment=segment: self.bucket.put(name, segment, absent=True))  # type: ignore[misc]
        loose.close()

    def put(self, key: str, entry: bytes) -> bytes:
        line = shelf.written(key, entry)
        try:
            self.ask(lambda: self.bucket.put(self.prefix + key, line, absent=True))
        except Exists:
            kept = self._get(key)
            if kept is not None:
                entry = kept
            else:  # what is there is no entry
                self.ask(lambda: self.bucket.put(self.prefix + key, line, absent=False))
        with self._lock:
            self._loose.add(key, shelf.written(key, entry))
            if self._there is not None:
                self._there.add(shelf.half(key))
        self._claims.forget(key)
        return entry

    def claim(self, keys: Iterable[str]) -> set[str]:
        """By one object for all of them. What others have put since the listing is learned on the way."""
        wanted = set(keys)
        with self._lock:
            wanted -= self._inside  # of another thread
            due = bool(self._claimed or self._inside) and time.monotonic() - self._renewed > claims.LEASE / 2
            asked = wanted - self._claimed if not due else wanted | self._claimed | self._inside
            if not asked:
                return wanted
            if due or not (self._claimed or self._inside):
                self._renewed = time.monotonic()
        ours, others = self._claims.claim(sorted(asked))
        self._learn(sorted(others))
        with self._lock:
            self._claimed -= asked - ours  # whose lease was over
            self._claimed |= wanted & ours
            return wanted & self._claimed

    def let_go(self, keys: Iterable[str]) -> None:
        with self._lock:
            gone = self._claimed & set(keys)
            self._claimed -= gone
        if without := [key for key in sorted(gone) if not self._here(key)]:
            self._claims.free(without)

    @contextmanager
    def held(self, key: str, stopping: Callable[[], bool]) -> Iterator[bool]:
        """Who died holding is waited for until its lease is over."""
        ours = self._enter(key, stopping)
        try:
            yield self._here(key)
        finally:
            if ours:
                with self._lock:
                    self._inside.discard(key)
                if not self._here(key):  # no answer came of it: whoever waits may ask
                    self._claims.free([key])

    def _enter(self, key: str, stopping: Callable[[], bool]) -> bool:
        """Whether the key is ours from now on; not where it has an entry of somebody else's by now, or a stop came first."""
        while not stopping():
            if key in self.claim([key]):
                with self._lock:
                    if key in self._claimed:
                        self._claimed.discard(key)
                        self._inside.add(key)
                        return True
            elif self._here(key) or self._learn([key]):
                break
            else:
                time.sleep(LOOK_AGAIN)
        return False

    def _here(self, key: str) -> bool:
        with self._lock:
            return self._loose.get(key) is not None

    def _learn(self, keys: list[str]) -> set[str]:
        """Those of the keys that have an entry by now, whatever the listing said."""
        found = {key for key, _ in self._gotten(keys)}
        with self._lock:
            if self._there is not None:
                self._there.update(map(shelf.half, found))
        return found

    def _gotten(self, keys: list[str]) -> Iterator[tuple[str, bytes]]:
        """The entries of those keys that are whole, each with a request of its own, several at once."""
        if not keys:
            return
        with ThreadPoolExecutor(min(self.parallel, len(keys)), "shelf") as pool:
            for key, entry in zip(keys, pool.map(self._get, keys), strict=True):
                if entry is not None:
                    with self._lock:
                        self._loose.add(key, shelf.written(key, entry))
                    yield key, entry

    def _get(self, key: str) -> bytes | None:
        try:
            body = self.ask(lambda: self.bucket.get(self.prefix + key)).body
        except Missing:
            return None
        found = shelf.read(body)
        if found is None or found[0] != key:
            with self._lock:
                self.damaged += 1
            return None
        return found[1]

    def _look(self) -> None:
        """List once what there is, and read the segments."""
        if self._listed:
            return
        self._listed = True
        there: set[bytes] = set()
        segments: list[str] = []
        whole = True
        for page, names in enumerate(self._pages(), 1):
            there.update(shelf.half(name) for name in names if shelf.KEY.fullmatch(name))
            segments += [name for name in names if name.startswith("segments/")]
            if page == MOST_PAGES and len(names) == LISTED:
                whole = False
                break
        self._there = there if whole else None
        if segments:
            with ThreadPoolExecutor(min(self.parallel, len(segments)), "shelf") as pool:
                for body in pool.map(self._segment, segments):
                    self._take_in(body)

    def _segment(self, name: str) -> bytes:
        try:
            return self.ask(lambda: self.bucket.get(self.prefix + name)).body
        except Missing:
            return b""

    def _take_in(self, body: bytes) -> None:
        for line in body.splitlines():
            if found := shelf.read(line):
                self._packed.add(found[0], line)
                if self._there is not None:
                    self._there.add(shelf.half(found[0]))
            else:
                self.damaged += 1  # and read from its own object

    def _pages(self) -> Iterator[list[str]]:
        """What there is below the prefix, a page of the listing at a time."""
        after = ""
        while True:
            page = self.ask(lambda after=after: self.bucket.list(self.prefix, after=after))  # type: ignore[misc]
            yield [key.removeprefix(self.prefix) for key, _ in page.keys]
            if not page.more or not page.keys:
                return
            after = page.keys[-1][0]


class _Lines:
    """Lines by key in a file without a name: what is in memory is where they are."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._where: dict[bytes, int] = {}
        self._end = 0

    def __len__(self) -> int:
        return len(self._where)

    def add(self, key: str, line: bytes) -> None:
        """Keep a line; the first of a key stays."""
        if shelf.half(key) in self._where:
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it stays open with the shelf)
        os.pwrite(self._file.fileno(), line + b"\n", self._end)
        self._where[shelf.half(key)] = shelf.place(self._end, len(line))
        self._end += len(line) + 1

    def get(self, key: str) -> bytes | None:
        """The entry of a key."""
        if (place := self._where.get(shelf.half(key))) is None:
            return None
        found = shelf.read(self._line(place))
        return found[1] if found is not None and found[0] == key else None

    def all(self) -> Iterator[tuple[str, bytes]]:
        for place in list(self._where.values()):
            if found := shelf.read(self._line(place)):
                yield found

    def segments(self) -> Iterator[bytes]:
        """All lines in order of their keys, in pieces of a size: the same entries make the same pieces."""
        some: list[bytes] = []
        size = 0
        for _, place in sorted(self._where.items()):
            some.append(self._line(place) + b"\n")
            size += len(some[-1])
            if size >= SEGMENT:
                yield b"".join(some)
                some, size = [], 0
        if some:
            yield b"".join(some)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _line(self, place: int) -> bytes:
        assert self._file is not None
        offset, length = shelf.placed(place)
        return os.pread(self._file.fileno(), length, offset)
