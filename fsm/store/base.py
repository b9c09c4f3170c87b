"""What a store promises the journal. Nothing here knows what a record says.

runs/<run>/run.json              written once
runs/<run>/journal...            numbered from 0 without gaps, appended by one writer
runs/<run>/artifacts/<sha256>    by content
runs/<run>/live.json             advisory
runs/<run>/requests/<name>.json  what others ask of the run: each written once, by whoever is first
<shelf>/...                      entries that belong to the store and not to a run, by key
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fsm.errors import ConfigError

RETIRED = "retired"  # the request that says of a run which is over that its artifacts are freed
RUN_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Artifact:
    """One output, kept by content. `name` is its logical path in the run; `size` in bytes."""

    name: str
    sha256: str
    size: int


class Taken(Exception):
    """A number of the journal already holds another record, `line`."""

    def __init__(self, seq: int, line: bytes) -> None:
        super().__init__(f"record {seq} is taken")
        self.seq = seq
        self.line = line


class Shelf(Protocol):
    """Entries by key that belong to the store, not to a run: each is written once and stays. For any number of threads
    and of runs at once.

    A key is a SHA-256 in hex, an entry a JSON text on one line. `damaged` counts the entries that were found altered:
    they are as good as not there, and may be put anew.
    """

    damaged: int

    @property
    def url(self) -> str: ...

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The entries of those keys that are there and whole. Raises StoreError."""
        ...

    def has(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that have an entry, which may turn out to be altered when it is read. Raises StoreError."""
        ...

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """(key, entry) of all that are whole, each once, one at a time in memory. Raises StoreError."""
        ...

    def pack(self) -> None:
        """Put what was put or read one by one together, where reading it in bulk later saves requests. Raises StoreError."""
        ...

    def put(self, key: str, entry: bytes) -> bytes:
        """Keep an entry; durable on return. Where the key has one already it stays: returned is the one that is kept.

        Raises StoreError.
        """
        ...

    def claim(self, keys: Iterable[str]) -> set[str]:
        """Have keys for oneself, many at the cost of one: those of them that nobody else has. They are ours until each was
        `held` once, or let go; a process that dies lets go. Who needs them for long claims them again now and then: that
        costs nothing where it need not. Entries that others have put in the meantime are there to be read afterwards.

        Who comes for keys in the order in which they were claimed, and claims more only when he has come for all, waits for
        nobody who waits for him: of two, one claimed first what the other one is waiting for.

        Raises StoreError.
        """
        ...

    def let_go(self, keys: Iterable[str]) -> None:
        """Of what was claimed, leave this to others. Raises StoreError."""
        ...

    def held(self, key: str, stopping: Callable[[], bool]) -> AbstractContextManager[bool]:
        """Hold a key that was claimed; of any other, wait until nobody else has it, or it has an entry, or `stopping()`.

        Gives whether it is worth reading the key once more now. Where no entry came of it, the next one gets in.
        """
        ...


class RunStore(Protocol):
    """One run."""

    name: str

    @property
    def url(self) -> str:
        """Where the run is, as a person would look for it."""
        ...

    @property
    def place(self) -> str:
        """The store as it is told from every other one, however it is written: for what is kept beside it by run."""
        ...

    @property
    def access(self) -> int:
        """The mode of directories that hold what is this run's."""
        ...

    @property
    def past(self) -> RunStore | None:
        """The run that this one, a fork, shares its past with; None of any other run, and where that one is gone.

        Artifacts that the fork does not hold itself are read from there.
        """
        ...

    def read_header(self) -> bytes | None: ...

    def write_header(self, content: bytes) -> None:
        """Write run.json if it is absent. Raises Taken where another one is there."""
        ...

    def acquire(self, takeover: bool = False) -> int | None:
        """Be ready to append. Raises RunBusy where the store can tell that another runner is at it.

        Returns the number of the next record where nobody else can append from now on; None where that cannot be known.
        A store that locks is then the writer's alone. In one that cannot, the claim that the journal appends next is what
        makes the writer, and `takeover` says to claim the run though another runner seems alive.
        """
        ...

    def release(self) -> None: ...

    def append(self, seq: int, line: bytes) -> None:
        """Add a record; it is durable on return. Raises Taken where another writer's record has that number.

        After a StoreError it is not known whether the record is there: whoever opens the run next reads it, or not.
        """
        ...

    def write(self, seq: int, line: bytes) -> None:
        """Add a record as `append` does, durable once `sync` has returned for it: several threads then wait for the disk
        together. The writes themselves come one after the other."""
        ...

    def sync(self, seq: int) -> None:
        """Wait until record `seq` and all before it are durable. From any thread. Raises StoreError."""
        ...

    def check(self, seq: int) -> None:
        """Raises Taken where a record has that number by now. Where a lock is held nobody else can have written it."""
        ...

    def first(self) -> bytes | None:
        """Record 0, which the journal begins with; None where there is none."""
        ...

    def tail(self, stop: Callable[[bytes], bool]) -> list[bytes]:
        """The newest records back to the newest one for which `stop` holds, or to the first; oldest first."""
        ...

    def records(self, start: int = 0) -> Iterator[bytes]:
        """The records from a number on. Raises JournalDamaged at a gap."""
        ...

    def numbered(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """What there is from a number on, gaps or not, each under the number it is kept at."""
        ...

    def read_live(self) -> dict[str, Any] | None:
        """live.json, and under `age` the seconds since it was written, by the store's own clock."""
        ...

    def write_live(self, live: dict[str, Any]) -> None:
        """Advisory: fails silently, and writes nothing once this writer knows that it was replaced."""
        ...

    def read_request(self, name: str) -> bytes | None:
        """A request; None where there is none of that name. Raises StoreError."""
        ...

    def put_request(self, name: str, content: bytes) -> bytes:
        """Write a request if there is none of that name; durable on return. Returned is the one that stands.

        Raises StoreError.
        """
        ...

    def has_request(self, name: str) -> bool:
        """Whether there is a request of that name, asked once: a store that does not answer is taken for one without it."""
        ...

    def put_artifact(self, name: str, content: bytes | Path) -> Artifact: ...

    def artifact(self, sha256: str) -> Path:
        """A local, read-only file with that content. Raises StoreError where it is missing or not whole."""
        ...

    def artifact_size(self, sha256: str) -> int | None:
        """Bytes of the artifact as it is kept; None where it is missing."""
        ...

    def artifacts_size(self) -> int:
        """Bytes of all artifacts there are, also of those that no record names any more."""
        ...

    def artifact_bytes(self, sha256: str) -> Iterator[bytes]:
        """The artifact as it is kept, in pieces, not verified. Raises StoreError where it is missing."""
        ...

    def free_artifacts(self, but: Collection[str]) -> tuple[int, int]:
        """Delete the artifacts, except those of the digests `but`: (how many, their bytes). Raises StoreError.

        In a bucket it needs the right to delete, which running does not.
        """
        ...

    def shelf(self, name: str) -> Shelf:
        """A shelf of the store that the run is in."""
        ...


class Store(Protocol):
    """All runs of one directory or prefix."""

    @property
    def url(self) -> str: ...

    def runs(self) -> list[str]:
        """The names of the runs, sorted."""
        ...

    def run(self, name: str) -> RunStore: ...

    def shelf(self, name: str) -> Shelf:
        """Entries of the store's own, beside its runs."""
        ...

    def retire(self, name: str) -> str:
        """Move a run out of the way for a fresh one of the same name; says where it is now."""
        ...


def run_name(name: str) -> str:
    """The name, if it can be one of a run. Raises ConfigError."""
    if not RUN_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a run: up to 63 letters, digits, '.', '_' and '-', beginning and ending with a letter "
            "or a digit. Give another with --run."
        )
    return name


def freed(sha256: str, run: str) -> str:
    """What is said of an artifact that went when its run was retired."""
    return (
        f"Artifact {sha256[:12]} of run {run} was freed when that run was retired (`fsm retire`); its journal is kept. Begin the run "
        "anew with --fresh to have it made again."
    )
