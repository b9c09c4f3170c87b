"""A shelf in a bucket: an object an entry, put if absent; what is there is learned from one listing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from fsm.faults import Patient
from fsm.store import shelf
from fsm.store.bucket import Bucket, Exists, Missing

MOST_PAGES = 50  # of a listing, a thousand keys each; a longer shelf is asked key by key


class S3Shelf:
    """Entries below a prefix, which ends with a slash. The listing is read once: what other runs put later is met at `put`."""

    def __init__(self, bucket: Bucket, prefix: str, ask: Patient, parallel: int) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.ask = ask
        self.parallel = parallel
        self.damaged = 0
        self._there: set[str] | None = None  # None where it is not known: not listed yet, or too long to
        self._listed = False
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"s3://{self.bucket.name}/{self.prefix}".rstrip("/")

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        with self._lock:
            if not self._listed:
                self._there, self._listed = self._list(), True
            wanted = [k for k in dict.fromkeys(keys) if self._there is None or k in self._there]
        if not wanted:
            return {}
        with ThreadPoolExecutor(min(self.parallel, len(wanted)), "shelf") as pool:
            found = dict(zip(wanted, pool.map(self._get, wanted), strict=True))
        return {key: entry for key, entry in found.items() if entry is not None}

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
            if self._there is not None:
                self._there.add(key)
        return entry

    @contextmanager
    def held(self, key: str, stopping: Callable[[], bool]) -> Iterator[bool]:
        """A bucket cannot tell who else is at it."""
        yield False

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

    def _list(self) -> set[str] | None:
        there: set[str] = set()
        after = ""
        for _ in range(MOST_PAGES):
            page = self.ask(lambda after=after: self.bucket.list(self.prefix, after=after))  # type: ignore[misc]
            there.update(key.removeprefix(self.prefix) for key, _ in page.keys)
            if not page.more or not page.keys:
                return there
            after = page.keys[-1][0]
        return None
