"""Runs in a bucket: a record is one object, written if absent; nothing needs to be deleted, ever.

    s3://bucket/prefix/probe.json
    s3://bucket/prefix/runs/<run>/run.json, live.json, journal/<12 digits>.json, artifacts/<sha256>, requests/<name>.json
    s3://bucket/prefix/runs/<run>~/<6 digits>.json     tombstones: generation n of the name was retired

Whose record stands at a number is decided by the bucket alone. A put that is answered 412 is read back: the same bytes
are this writer's own, acknowledged late; others mean that it was replaced. A name that is begun anew gets new keys
(`runs/<run>~2/`), for on the old ones a replaced writer's put, still on its way, could land in the new journal.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from fsm.errors import ConfigError, JournalDamaged, PastNeeded, Retired, RunBusy, StoreError
from fsm.faults import Clock, Patient
from fsm.store.access import PRIVATE
from fsm.store.artifacts import ArtifactMissing, Artifacts
from fsm.store.base import RETIRED, Artifact, Taken, freed, run_name
from fsm.store.bucket import Boto, Bucket, Exists, Missing, S3Options, Unsure
from fsm.store.past import shared
from fsm.store.probe import probe
from fsm.store.s3_shelf import S3Shelf
from fsm.store.shelf import shelf_name

ALIVE = 60.0  # seconds since its last heartbeat that a runner counts as alive
LISTED = 1000  # keys in a page of a listing, S3's most
MOST = 10**12 - 1  # the highest number that the keys have digits for
READ_AT_ONCE = 2  # batches of `parallel` records, read back from the end towards the newest snapshot
LONGEST_PAUSE = 5.0  # seconds between two attempts
FIRST_PATIENCE = 20.0  # seconds for the first contact: whoever mistypes an endpoint learns of it soon


def machine() -> str:
    """What tells this machine (and, in a container, its own processes) from another of the same name."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return "/".join(parts)


class S3Store:
    """All runs below `s3://bucket/prefix`. `options` are those of S3Options."""

    def __init__(
        self, url: str, *, bucket: Bucket | None = None, clock: Clock | None = None, **options: Any
    ) -> None:
        name, _, prefix = url.removeprefix("s3://").partition("/")
        if not name:
            raise ConfigError(f"{url!r} names no bucket. Give s3://bucket or s3://bucket/prefix.")
        self.options = S3Options.read(options)
        self.bucket: Bucket = bucket or Boto(name, self.options)
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._clock = clock or time
        self.ask = self._patient(self.options.patience)
        self._first = self._patient(min(FIRST_PATIENCE, self.options.patience))
        self._probed = False

    def _patient(self, patience: float) -> Patient:
        return Patient(
            f"s3://{self.bucket.name}",
            patience,
            self._clock,
            longest=LONGEST_PAUSE,
            passing=lambda error: isinstance(error, Unsure),  # the bucket has told it apart
            gives_up=StoreError,
        )

    @property
    def url(self) -> str:
        return f"s3://{self.bucket.name}/{self.prefix}".rstrip("/")

    def probe(self) -> None:
        """Ask the bucket, once, whether it keeps what a journal stands on. Raises StoreError."""
        if not self._probed:
            endpoint = self.options.endpoint_url
            where = f"{self.url} at {endpoint}" if endpoint else self.url
            probe(self.bucket, f"{self.prefix}probe.json", where, self._first)
            self._probed = True

    def runs(self) -> list[str]:
        base = f"{self.prefix}runs/"
        there = {p.removeprefix(base).rstrip("/") for p in self._folders(base)}
        return sorted(
            name
            for name in there
            if "~" not in name and (f"{name}~" not in there or self.run(name).folder in there)
        )

    def run(self, name: str) -> S3Run:
        return S3Run(self, run_name(name))

    def shelf(self, name: str, owner: str = "") -> S3Shelf:
        prefix = f"{self.prefix}{shelf_name(name)}/"
        return S3Shelf(self.bucket, prefix, self.ask, self.options.parallel, owner)

    def retire(self, name: str) -> str:
        """Give the run's name free: its objects stay as they are, and the next run of that name gets keys of its own.

        Raises RunBusy while a runner is alive on it.
        """
        run = self.run(name)
        if run.read_header() is None:
            return ""
        run.refuse_alive()
        with suppress(Exists):
            self.ask(lambda: self.bucket.put(run.tombstone, b"{}\n", absent=True))
        return run.url

    def remove(self, name: str) -> int:
        """Retention: retire the run, then delete all of it but its header; says how many objects went.

        The tombstone comes first, so that no record put from then on can be of a run that lives. Needs the right to
        delete, which running does not. Raises RunBusy while a runner is alive on it, PastNeeded where a fork shares its past.
        """
        run = self.run(name)
        prefix = run.prefix
        if forks := self.forks(name):
            raise PastNeeded(
                f"Run {name} is the past of {', '.join(forks)}, which read their artifacts from it. Remove those first."
            )
        if not self.retire(name):
            return 0
        gone, after = 0, ""
        while True:
            page = self.ask(lambda after=after: self.bucket.list(prefix, after=after))  # type: ignore[misc]
            keys = tuple(k for k, _ in page.keys if k != f"{prefix}run.json")
            if keys:
                self.ask(lambda keys=keys: self.bucket.delete(keys))  # type: ignore[misc]
                gone += len(keys)
            if not page.more:
                return gone
            after = page.keys[-1][0]

    def forks(self, name: str) -> list[str]:
        """The runs that share the past of this one, those that were retired among them; one request for each run there is."""
        header, base = self.run(name).read_header(), f"{self.prefix}runs/"
        found = []
        for folder in self._folders(base):
            if not folder.endswith("~/"):
                with suppress(Missing):
                    its = self.ask(lambda folder=folder: self.bucket.get(f"{folder}run.json")).body  # type: ignore[misc]
                    if (past := shared(its)) and past.is_of(header):
                        found.append(folder.removeprefix(base).rstrip("/"))
        return sorted(found)

    def _folders(self, base: str) -> Iterator[str]:
        after = ""
        while True:
            page = self.ask(lambda after=after: self.bucket.list(base, after=after, folders=True))  # type: ignore[misc]
            yield from page.prefixes
            if not page.more or not page.prefixes:
                return
            after = page.prefixes[-1] + "\x7f"  # past all that lies in that folder


class S3Run:
    """One run in a bucket."""

    def __init__(self, store: S3Store, name: str) -> None:
        self.store = store
        self.name = name
        self.bucket = store.bucket
        self.ask = store.ask
        self._replaced = False
        self._generation = 0
        self._hint = -1  # a record that is said to be there
        self._past: S3Run | None = None

    # Where

    @property
    def generation(self) -> int:
        """How many runs of this name there were before, and this one; told by their tombstones."""
        if not self._generation:  # not a cached_property: until Python 3.12 its lock is that of all runs
            base = f"{self.store.prefix}runs/{self.name}~/"
            self._generation = len(self.ask(lambda: self.bucket.list(base)).keys) + 1
        return self._generation

    @property
    def folder(self) -> str:
        return self.name if self.generation == 1 else f"{self.name}~{self.generation}"

    @property
    def prefix(self) -> str:
        return f"{self.store.prefix}runs/{self.folder}/"

    @property
    def tombstone(self) -> str:
        """The key whose object says that this generation is retired."""
        return f"{self.store.prefix}runs/{self.name}~/{self.generation:06}.json"

    @property
    def url(self) -> str:
        return f"s3://{self.bucket.name}/{self.prefix}".rstrip("/")

    @property
    def place(self) -> str:
        return f"{self.store.url} at {self.store.options.endpoint_url or 'AWS'}"

    @property
    def access(self) -> int:
        return PRIVATE  # of what is kept on this machine; in the bucket its policies decide

    def _record(self, seq: int) -> str:
        return f"{self.prefix}journal/{seq:012}.json"

    @property
    def past(self) -> S3Run | None:
        """Whichever generation of its name it is."""
        if self._past is None and (said := shared(self.read_header())):
            newest = S3Run(self.store, said.run).generation
            for generation in sorted(range(1, newest + 1), key=lambda g: g != said.generation + 1):
                found = S3Run(self.store, said.run)
                found._generation = generation
                if said.is_of(found.read_header()):
                    self._past = found
                    break
        return self._past

    # The header

    def read_header(self) -> bytes | None:
        try:
            return self.ask(lambda: self.bucket.get(f"{self.prefix}run.json")).body
        except Missing:
            return None

    def write_header(self, content: bytes) -> None:
        key = f"{self.prefix}run.json"
        self.store.probe()
        try:
            self.ask(lambda: self.bucket.put(key, content, absent=True))
        except Exists:
            there = self.ask(lambda: self.bucket.get(key)).body
            if there != content:
                raise Taken(-1, there) from None

    # The journal

    def acquire(self, takeover: bool = False) -> None:
        """Ask whether the bucket can hold a journal, and whether a runner is alive on this one.

        There is nothing to hold: what makes a writer is the claim it appends. Raises RunBusy, StoreError.
        """
        self._replaced = False
        self.store.probe()
        if not takeover:
            self.refuse_alive()

    def release(self) -> None:
        """Nothing is held."""

    def refuse_alive(self) -> None:
        """Raises RunBusy where a runner has said in the last minute that it is at work."""
        live = self.read_live()
        if live and isinstance(live.get("seq"), int):
            self._hint = live["seq"]
        if live and self._alive(live):
            raise RunBusy(
                f"Run {self.name} is being run by {live.get('writer')} (process {live.get('pid')} on {live.get('host')}), seen alive "
                f"{live['age']:.0f} seconds ago. Watch it with `fsm status {self.name}`; or, if it is dead or is to be replaced, take "
                "the run over with --takeover: the other one then loses its next record, and ends."
            )

    @staticmethod
    def _alive(live: dict[str, Any]) -> bool:
        if live.get("status") == "ended" or live["age"] > ALIVE:
            return False
        if live.get("machine") != machine():
            return True
        try:
            os.kill(int(live["pid"]), 0)
        except ProcessLookupError:
            return False  # it died here, and a minute need not pass
        except (OSError, ValueError, TypeError, KeyError):
            return True
        return int(live["pid"]) != os.getpid()

    def append(self, seq: int, line: bytes) -> None:
        key = self._record(seq)
        try:
            self.ask(lambda: self.bucket.put(key, line, absent=True))
        except Exists:
            there = self._read(seq)
            if there != line:
                self._replaced = True
                raise Taken(seq, there) from None

    def write(self, seq: int, line: bytes) -> None:
        """A number can be put only when the one before it is there, so there is nothing to wait for together."""
        self.append(seq, line)

    def sync(self, seq: int) -> None:
        """It was durable when it was written."""

    def check(self, seq: int) -> None:
        try:
            there = self.ask(lambda: self.bucket.get(self._record(seq))).body
        except Missing:
            return
        self._replaced = True
        raise Taken(seq, there)

    def first(self) -> bytes | None:
        try:
            return self.ask(lambda: self.bucket.get(self._record(0))).body
        except Missing:
            return None

    def tail(self, stop: Callable[[bytes], bool]) -> list[bytes]:
        lines: list[bytes] = []
        last = self._last()
        batch = READ_AT_ONCE * self.store.options.parallel
        while last >= 0:
            first = max(0, last - batch + 1)
            for line in reversed(list(self._pool.map(self._read, range(first, last + 1)))):
                lines.append(line)
                if stop(line):
                    return lines[::-1]
            last = first - 1
        return lines[::-1]

    def records(self, start: int = 0) -> Iterator[bytes]:
        expected = start
        for number, line in self.numbered(start):
            if number != expected:
                raise JournalDamaged(
                    f"{self.url}: record {expected} is missing; the next one there is {number}. Records are never deleted by this program: "
                    "restore it from a copy, or start anew with --fresh."
                )
            yield line
            expected += 1

    def numbered(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """The records there are, with the numbers they are kept under."""
        after = start - 1
        while True:
            numbers, more = self._listed(after)
            yield from zip(numbers, self._pool.map(self._read, numbers), strict=True)
            if not more:
                return
            after = numbers[-1]

    def _read(self, seq: int) -> bytes:
        try:
            return self.ask(lambda: self.bucket.get(self._record(seq))).body
        except Missing:
            raise JournalDamaged(
                f"{self.url}: record {seq} is missing. Records are never deleted by this program: restore it from a copy, or start "
                "anew with --fresh."
            ) from None

    def several(self, numbers: range) -> list[bytes]:
        """The records of these numbers up to the first that is not there, asked for at once.

        All answers are waited for: none is under way when the next question is asked.
        """
        every = self._pool.map if len(numbers) > 1 else map
        found: list[bytes] = []
        for line in list(every(self._perhaps, numbers)):
            if line is None:
                break
            found.append(line)
        return found

    def _perhaps(self, seq: int) -> bytes | None:
        try:
            return self.ask(lambda: self.bucket.get(self._record(seq))).body
        except Missing:
            return None

    def _listed(self, after: int, limit: int = 0) -> tuple[list[int], bool]:
        """The numbers of the records after one, a page or up to `limit`, and whether there are more."""
        base = f"{self.prefix}journal/"
        start = self._record(after) if after >= 0 else ""
        page = self.ask(lambda: self.bucket.list(base, after=start, limit=limit or LISTED))
        try:
            return [int(key.removeprefix(base).removesuffix(".json")) for key, _ in page.keys], page.more
        except ValueError:
            raise JournalDamaged(
                f"{self.url}/journal holds something that is not a record: {page.keys[-1][0]}. Nothing else may write there: move it "
                "away, and give the same command again."
            ) from None

    def _last(self) -> int:
        """The number of the newest record, -1 where there is none, without listing all of them.

        A page of the listing after a number holds the next thousand. Where that is not all, the end is found by asking,
        in parallel, whether anything lies beyond points ever further out, and then between the two that differ. What
        live.json said last, if it is true, is near the end already.
        """
        numbers, more = self._listed(self._hint - 1) if self._hint > 0 else ([], False)
        if numbers[:1] != [self._hint]:
            numbers, more = self._listed(-1)
        if not more:
            return numbers[-1] if numbers else -1
        low = numbers[-1]
        width = self.store.options.parallel
        points = [min(low + LISTED * 4**i, MOST) for i in range(width)]
        while True:
            beyond = list(self._pool.map(lambda point: bool(self._listed(point, 1)[0]), points))
            low = max([low, *(p for p, more in zip(points, beyond, strict=True) if more)])
            high = min((p for p, more in zip(points, beyond, strict=True) if not more), default=MOST)
            if high - low <= LISTED:
                break
            points = sorted({low + (high - low) * i // (width + 1) for i in range(1, width + 1)})
        while more:
            numbers, more = self._listed(low)
            low = numbers[-1] if numbers else low
        return low

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.store.options.parallel, "s3")

    # Who is at it

    def read_live(self) -> dict[str, Any] | None:
        """live.json, and under `age` the seconds since it was written, by the clock of the store."""
        try:
            got = self.ask(lambda: self.bucket.get(f"{self.prefix}live.json"))
            live = json.loads(got.body)
        except (Missing, ValueError):
            return None
        return {**live, "age": got.age} if isinstance(live, dict) else None

    def write_live(self, live: dict[str, Any]) -> None:
        if self._replaced:  # it is the other's to write now
            return
        content = json.dumps({**live, "machine": machine()}).encode()
        with suppress(StoreError, Unsure, Missing):
            self.bucket.put(f"{self.prefix}live.json", content, absent=False)

    # What others ask of it

    def read_request(self, name: str) -> bytes | None:
        try:
            return self.ask(lambda: self.bucket.get(self._request(name))).body
        except Missing:
            return None

    def put_request(self, name: str, content: bytes) -> bytes:
        try:
            self.ask(lambda: self.bucket.put(self._request(name), content, absent=True))
        except Exists:  # another one's; or this one, whose answer was lost
            return self.ask(lambda: self.bucket.get(self._request(name))).body
        return content

    def has_request(self, name: str) -> bool:
        try:
            return self.bucket.size(self._request(name)) is not None
        except (StoreError, Unsure):
            return False

    def _request(self, name: str) -> str:
        return f"{self.prefix}requests/{name}.json"

    # Artifacts

    @cached_property
    def _artifacts(self) -> Artifacts:
        return Artifacts(
            self.bucket, f"{self.prefix}artifacts/", f"run {self.name}", self.store.options, self.ask
        )

    def put_artifact(self, name: str, content: bytes | Path) -> Artifact:
        return self._artifacts.put(name, content)

    def artifact(self, sha256: str) -> Path:
        try:
            return self._artifacts.open(sha256)
        except ArtifactMissing as e:
            if past := self.past:
                return past.artifact(sha256)
            self._tell_freed(sha256, e)
            raise

    def _tell_freed(self, sha256: str, e: StoreError) -> None:
        """Raise Retired, where that is why an artifact cannot be had."""
        if self._artifacts.size(sha256) is None and self.has_request(RETIRED):
            raise Retired(freed(sha256, self.name)) from e

    def artifact_size(self, sha256: str) -> int | None:
        size = self._artifacts.size(sha256)
        return past.artifact_size(sha256) if size is None and (past := self.past) else size

    def artifacts_size(self) -> int:
        base, after, total = f"{self.prefix}artifacts/", "", 0
        while True:
            page = self.ask(lambda after=after: self.bucket.list(base, after=after))  # type: ignore[misc]
            total += sum(size for _, size in page.keys)
            if not page.more:
                return total
            after = page.keys[-1][0]

    def artifact_bytes(self, sha256: str) -> Iterator[bytes]:
        try:
            yield from self._artifacts.stream(sha256)
        except ArtifactMissing as e:
            if past := self.past:
                yield from past.artifact_bytes(sha256)
                return
            self._tell_freed(sha256, e)
            raise

    def free_artifacts(self, but: Collection[str]) -> tuple[int, int]:
        base, after, count, total = f"{self.prefix}artifacts/", "", 0, 0
        while True:
            page = self.ask(lambda after=after: self.bucket.list(base, after=after))  # type: ignore[misc]
            some = [(key, size) for key, size in page.keys if key.removeprefix(base) not in but]
            if some:
                keys = tuple(key for key, _ in some)
                self.ask(lambda keys=keys: self.bucket.delete(keys))  # type: ignore[misc]
            count, total = count + len(some), total + sum(size for _, size in some)
            if not page.more:
                return count, total
            after = page.keys[-1][0]

    def shelf(self, name: str) -> S3Shelf:
        return self.store.shelf(name, self.folder)
