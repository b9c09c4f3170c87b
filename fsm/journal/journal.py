"""The journal of a run: numbered records, each naming its writer, its epoch and the record before it.

A record is one line of JSON:

    {"seq", "epoch", "writer", "id", "prev", "time", "kind", ...body}

`prev` is the SHA-256 of the line before; the first record's is that of run.json, so that a journal cannot pass for
another run's, nor a header be changed unnoticed (64 zeros in runs of earlier versions). `epoch` grows with each claim; a record of a lower
epoch after a claim of a higher one cannot be. What is appended is what the runner decided; what is read is text from
outside, and is held against `Record`.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from pydantic_core import to_json

from fsm.errors import JournalDamaged, NewerFormat, NoSuchRun, RunBusy, RunReplaced, StoreError
from fsm.journal.fold import Fold
from fsm.store import RunStore, Taken

FORMAT = 1
GENESIS = "0" * 64
CLAIM_TRIES = 1000  # against a writer that appends all the while
FRAME = (  # what differs between two equal runs; a traceback tells where the program lies on a machine
    "seq",
    "epoch",
    "writer",
    "id",
    "prev",
    "time",
    "took",
    "spent",
    "traceback",
)


def digest(line: bytes) -> str:
    """How a record names the one before it."""
    return hashlib.sha256(line).hexdigest()


def encode(record: dict[str, Any]) -> bytes:
    """A record as its line. Its values are JSON's already; pydantic writes them five times faster than `json`."""
    return to_json(record)


@cache
def _schema() -> ModuleType:
    """What records are held against: built when the first one is read, and not by commands that read none."""
    from fsm.journal import record

    return record


def decode(line: bytes, where: str, ordered: bool = True) -> dict[str, Any]:
    """A line as a record, held against the schema; for who is not going to write it again its keys need not be `ordered` as
    in the line. Raises JournalDamaged or NewerFormat.
    """
    return _schema().read(line, where, ordered)  # type: ignore[no-any-return]


def checked(value: Any, where: str) -> dict[str, Any]:
    """A value, if it is a record. Raises JournalDamaged."""
    return _schema().validated(value, where)  # type: ignore[no-any-return]


def header_of(content: bytes, run: RunStore) -> dict[str, Any]:
    """What a run's run.json says. Raises NewerFormat, JournalDamaged."""
    try:
        header = json.loads(content)
        version = int(header["format"])
    except (ValueError, KeyError, TypeError) as e:
        raise JournalDamaged(
            f"{run.url}/run.json is not the header of a run ({e!r}). Restore it from a copy, or start anew with --fresh."
        ) from e
    if version > FORMAT:
        raise NewerFormat(
            f"Run {run.name} at {run.url} was written in format {version}; this version reads up to {FORMAT}. "
            "Use the version that wrote it, or a newer one; nothing was changed."
        )
    return header  # type: ignore[no-any-return]


def foreign(
    name: str, url: str, header: Mapping[str, Any], header_digest: str, prev: str | None
) -> str | None:
    """What shows that a run is not the one it stands as (`Journal.foreign`); `prev` is what its first record names."""
    named = header.get("name")
    if isinstance(named, str) and named != name:
        return (
            f"Run {name} at {url} is run {named} under another name: its run.json says so. It can be read, and "
            f"not gone on with: give it the name {named} back, or begin a run of this name with --fresh."
        )
    if prev in (None, GENESIS, header_digest):
        return None
    return (
        f"Run {name} at {url} was begun with another run.json: its first record names {prev[:12]}, and the one "
        f"there is {header_digest[:12]} by SHA-256. It can be read, and not gone on with: put run.json back as it was, or start "
        "anew with --fresh."
    )


def essence(record: dict[str, Any]) -> dict[str, Any]:
    """The record without what differs between two runs that did the same: times, writers, chain, tracebacks."""
    said = {k: v for k, v in record.items() if k not in FRAME}
    if "spent" in (said.get("snapshot") or ()):
        said["snapshot"] = {k: v for k, v in said["snapshot"].items() if k not in FRAME}
    return said


def _prev_of(line: bytes | None) -> str | None:
    """What a record names as the one before it; None where it cannot be read, which is for others to tell."""
    try:
        prev = json.loads(line or b"{}")["prev"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return prev if isinstance(prev, str) else None


class Journal:
    """The records of one run, and the right to add to them.

    `open` makes this process the writer; until then the journal can only be read.
    """

    def __init__(self, store: RunStore, redact: Any = None) -> None:
        self.store = store
        self.writer = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
        self.next = 0
        self.epoch = 0
        self._prev = GENESIS
        self._header: str | None = None  # digest of run.json
        self._over = False
        self._loaded: Fold | None = None
        self._redact = redact

    # Reading

    def header(self) -> dict[str, Any]:
        """run.json. Raises NoSuchRun, NewerFormat, JournalDamaged."""
        content = self.store.read_header()
        self._header = digest(content) if content is not None else None
        if content is None:
            raise NoSuchRun(
                f"There is no run {self.store.name} at {self.store.url}. `fsm runs` lists those there are."
            )
        return header_of(content, self.store)

    def foreign(self) -> str | None:
        """What shows that this is not the run it stands as, as a paragraph; None where nothing does.

        A copy under another name, or a run.json that was changed since. Such a run can be read; it is not gone on with: its
        effects outside and its scratch are named after the run that it was. Raises what `header` does.
        """
        header = self.header()
        return foreign(
            self.store.name, self.store.url, header, self._header or "", _prev_of(self.store.first())
        )

    def _genesis(self) -> str:
        """What the first record names as the one before it."""
        if self._header is None and (content := self.store.read_header()) is not None:
            self._header = digest(content)
        return self._header or GENESIS

    def records(self, start: int = 0) -> Iterator[dict[str, Any]]:
        """The records from a number on, validated, the chain between them checked."""
        expected, prev = start, None
        for line in self.store.records(start):
            record = decode(line, f"{self.store.url}, record {expected}")
            self._fits(record, expected, prev)
            yield record
            expected, prev = expected + 1, digest(line)

    def _fits(self, record: dict[str, Any], expected: int, prev: str | None) -> None:
        if record["seq"] != expected:
            raise JournalDamaged(
                f"{self.store.url}: record {expected} is missing; {record['seq']} stands in its place. Restore the journal from a "
                "copy, or start anew with --fresh."
            )
        if prev is not None and record["prev"] != prev:
            raise JournalDamaged(
                f"{self.store.url}: record {expected} does not follow from the record before it: one of the two was changed. "
                "Restore the journal from a copy, or start anew with --fresh."
            )

    def load(self) -> Fold:
        """The state now, from the newest snapshot on."""
        where = f"{self.store.url}, the newest records"
        read: dict[
            bytes, dict[str, Any]
        ] = {}  # what was read in order to see whether the fold can begin with it

        def carries_snapshot(line: bytes) -> bool:
            if b'"snapshot":{' not in line:
                return False
            try:
                read[line] = decode(line, where, ordered=False)
            except JournalDamaged:  # told of below, when it is its turn
                return False
            return "snapshot" in read[line]

        lines = self.store.tail(carries_snapshot)
        records = []
        prev = None
        for line in lines:
            record = read.pop(line, None) or decode(line, where, ordered=False)
            self._fits(record, record["seq"] if prev is None else self.next, prev)
            self.next, prev = record["seq"] + 1, digest(line)
            self.epoch = max(self.epoch, record["epoch"])
            records.append(record)
        if records and records[0]["seq"] != 0 and "snapshot" not in records[0]:
            raise JournalDamaged(
                f"{self.store.url}: the journal begins at record {records[0]['seq']}. Restore it from a copy, or start anew with --fresh."
            )
        self._prev = prev or self._genesis()
        self._loaded = Fold.of(records)
        return self._loaded

    # Writing

    def open(self, takeover: bool = False) -> Fold:
        """Become the writer: read the state, or go on from what `load` has read, and append a claim with a higher epoch
        than any before.

        A run that has ended is only read: there is nothing left to write, and nothing is claimed.

        Another writer may be appending meanwhile. What it put at the claim's number is read, folded, and the next number
        tried; its next put then finds the claim. A claim that came first wins. Raises RunBusy where a runner is alive
        (unless `takeover`), or where another one claims the run at this moment.
        """
        there = self.store.acquire(takeover)
        try:
            fold = self._claim(there)
        except BaseException:
            self.store.release()
            raise
        if fold.ended:
            self._over = True
            self.store.release()
        return fold

    def _claim(self, there: int | None) -> Fold:
        fold, self._loaded = self._loaded, None  # of use once: from here on it is the runner's
        if fold is None or there not in (None, self.next):
            fold = self.load()
        self.epoch += 1
        claim = {"kind": "claim", "host": socket.gethostname(), "pid": os.getpid()}
        for attempt in range(CLAIM_TRIES):
            if fold.ended:
                return fold
            try:
                self._append(claim)
                return fold
            except Taken as taken:
                fold.apply(self._behind(taken.line))
                if attempt % 2:  # two in a row: it may be far ahead by now
                    for line in self.store.records(self.next):
                        fold.apply(self._behind(line))
        raise RunBusy(
            f"Run {self.store.name} cannot be taken over: its runner writes faster than a claim can be put between two of its "
            "records. Stop it where it runs, or try again."
        )

    def _behind(self, line: bytes) -> dict[str, Any]:
        """A record that another writer put while this one was about to claim the run."""
        record = decode(line, f"{self.store.url}, record {self.next}")
        self._fits(
            record, self.next, self._prev if self.next else None
        )  # one of an earlier version begins otherwise
        if record["epoch"] >= self.epoch:
            raise RunBusy(
                f"Run {self.store.name} was taken at this moment by {record['writer']} at record {record['seq']} (epoch "
                f"{record['epoch']}). Watch it with `fsm status {self.store.name}`."
            )
        self.next, self._prev = self.next + 1, digest(line)
        return record

    def append(self, body: dict[str, Any]) -> dict[str, Any]:
        """Add a record; durable on return. Raises RunReplaced where another writer has taken the run over, StoreError.

        After either this journal takes no more: what follows would rest on a record that may not be there.
        """
        if self._over:
            raise StoreError(
                f"Run {self.store.name}: a record was not acknowledged, so nothing more can be added from here. Give the same "
                "command again: it goes on from what is there."
            )
        self._over = True
        try:
            record = self._append(body)
        except Taken as taken:
            raise self._replaced(taken) from None
        self._over = False
        return record

    def _append(self, body: dict[str, Any]) -> dict[str, Any]:
        record = {
            "seq": self.next,
            "epoch": self.epoch,
            "writer": self.writer,
            "id": f"{self.writer}-{self.next}",
            "prev": self._prev,
            "time": int(time.time() * 1e3) / 1e3,  # `round` takes ten times as long
            **body,
        }
        line = encode(record)
        if self._redact is not None:
            line = self._redact(line.decode()).encode()
        self.store.append(self.next, line)
        self.next += 1
        self._prev = digest(line)
        return record

    def check_claim(self) -> None:
        """Before an effect outside: is this still the writer? Raises RunReplaced.

        A local lock cannot be lost; in a bucket, whoever replaced this writer has put a claim at the next number.
        """
        try:
            self.store.check(self.next)
        except Taken as taken:
            self._over = True
            raise self._replaced(taken) from None

    def _replaced(self, taken: Taken) -> RunReplaced:
        try:
            other = json.loads(taken.line or b"{}")
        except ValueError:
            other = {}
        return RunReplaced(
            f"Run {self.store.name} was taken over by {other.get('writer', 'another runner')} at record {taken.seq} "
            f"(epoch {other.get('epoch', '?')}). This runner has stopped; nothing it did after that was kept."
        )

    def close(self) -> None:
        self.store.release()
