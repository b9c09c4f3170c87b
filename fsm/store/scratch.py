"""What a run keeps on this machine, beside the store: checkpoints, caches, downloads. It belongs to that one run.

    work/<run>-<digest>/.fsm-scratch.json    whose it is: {"store", "run", "generation", "header"}
    work/<run>-<digest>/...                  what its phases keep there

The digest is that of the store's place, the run's name and its generation, so runs of one name in two stores, begun in
one directory, do not meet. Whoever drives the run holds a shared lock on the marker while it uses the directory, and so
does a process that works in it on the run's behalf; it is removed under an exclusive one, and only where the marker
names the run.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from fsm.errors import RunBusy, StoreError
from fsm.store.access import make_directory, of_files
from fsm.store.base import RunStore

MARKER = ".fsm-scratch.json"
PART = f"{MARKER}.part"
DIGITS = 10  # of the digest in a directory's name
DEPTH = 3  # how far below the scratch a process that holds it may work


class Scratch:
    """The scratch of one generation of a run below `base`. Nothing is made before it is asked for."""

    def __init__(self, base: Path, run: RunStore, generation: int = 0) -> None:
        self.base = base
        self.run = run
        self.generation = generation
        self._held = -1
        self._claiming = threading.Lock()

    @cached_property
    def path(self) -> Path:
        whose = json.dumps([self.run.place, self.run.name, self.generation])
        return self.base / f"{self.run.name}-{hashlib.sha256(whose.encode()).hexdigest()[:DIGITS]}"

    @property
    def marker(self) -> Path:
        return self.path / MARKER

    def directory(self, name: str) -> Path:
        """A directory in it, made and held. To be called by the run's writer alone.

        Raises StoreError where something else stands in its place, RunBusy where a former run's is still worked in.
        """
        try:
            with self._claiming:  # branches that go at once ask at once
                if self._held < 0 or not self.marker.exists():
                    self.release()
                    self._claim()
            path = self.path / name
            path.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise StoreError(
                f"The scratch of run {self.run.name} cannot be written: {e.filename or self.path}: {e.strerror}. See to it, or choose "
                "another place with `work:` in the configuration, and give the same command again."
            ) from e
        return path

    def release(self) -> None:
        """Let it go; what is in it stays."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def __del__(self) -> None:
        self.release()

    # Whose it is

    @cached_property
    def _header(self) -> str:
        return hashlib.sha256(self.run.read_header() or b"").hexdigest()

    def _whose(self) -> dict[str, Any]:
        return {"store": self.run.place, "run": self.run.name, "generation": self.generation}

    def _read(self) -> dict[str, Any] | None:
        """The marker as it stands, in a directory that is one and not a link to one; None otherwise."""
        if not _is_directory(self.path):
            return None
        try:
            fd = os.open(self.marker, os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(fd, "rb") as f:
                said = json.loads(f.read())
        except (OSError, ValueError):
            return None
        return said if isinstance(said, dict) else None

    @property
    def there(self) -> bool:
        """Whether it is there, and the run's."""
        said = self._read()
        return said is not None and said | self._whose() == said

    @property
    def stale(self) -> bool:
        """Whether it is of a run that stood in this run's place before, and is gone from the store."""
        return self.there and (self._read() or {}).get("header") != self._header

    def _claim(self) -> None:
        """Make it or find it, and hold it. Raises StoreError, RunBusy, OSError."""
        if self.stale:
            self.remove()
        while self._held < 0:
            if not self.there:
                self._make()
            self._hold()

    def _make(self) -> None:
        mode = self.run.access
        make_directory(self.base, mode)
        make_directory(self.path, mode)
        if not _is_directory(self.path):
            raise StoreError(
                f"The scratch of run {self.run.name} would be {self.path}, and that is a link or a file. It is not followed: remove "
                "it, or choose another place with `work:` in the configuration, and give the same command again."
            )
        # a kill may have come between the directory and its marker: then there is nothing in it yet
        if found := sorted({p.name for p in self.path.iterdir()} - {PART}):
            if self.there:  # made at this moment, by another writer of the run
                return
            whose = f"its marker says {json.dumps(said)}" if (said := self._read()) else "it has no marker"
            raise StoreError(
                f"The scratch of run {self.run.name} would be {self.path}, which is not this run's: {whose}, and it holds {found[0]}. "
                "Move it away, or choose another place with `work:` in the configuration, and give the same command again."
            )
        content = json.dumps({**self._whose(), "header": self._header}, indent=1).encode()
        part = self.path / PART
        part.unlink(missing_ok=True)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as f:
            f.write(content + b"\n")
            os.fchmod(f.fileno(), of_files(mode))
        part.replace(self.marker)

    def _hold(self) -> None:
        fd = _locked(self.marker)
        if fd is None:  # removed at this moment, by one who held it
            return
        self._held = fd

    # What it takes, and its end

    def size(self) -> int:
        """Bytes of what is in it; 0 where it is not there or not the run's."""
        return _size(self.path) if self.there else 0

    def workers(self) -> list[int]:
        """The processes that hold it at this moment, this one not counted; empty where the system does not tell."""
        try:
            marker = self.marker.stat()
            told = Path("/proc/locks").read_text().splitlines()  # Linux
        except OSError:
            return []
        where = f"{os.major(marker.st_dev):02x}:{os.minor(marker.st_dev):02x}:{marker.st_ino}"
        held = {int(words[4]) for line in told if (words := line.split())[1] == "FLOCK" and words[5] == where}
        return sorted(held - {os.getpid()})

    def remove(self) -> int:
        """Remove it, if it is there and the run's; the bytes that were in it.

        Under an exclusive lock on the marker, which goes last, so what a kill leaves can still be told and removed.
        Raises RunBusy where a process works in it, StoreError.
        """
        self.release()
        if not self.there:
            return 0
        size = _size(self.path)
        try:
            fd = os.open(self.marker, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                with suppress_unlockable():
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for child in sorted(self.path.iterdir()):
                    if child != self.marker:
                        shutil.rmtree(child) if _is_directory(child) else child.unlink()
                self.marker.unlink()
                self.path.rmdir()
            finally:
                os.close(fd)
        except BlockingIOError:
            raise RunBusy(
                f"The scratch {self.path} of run {self.run.name} is in use: a process of that run still works in it. Stop that first."
            ) from None
        except OSError as e:
            raise StoreError(
                f"The scratch {self.path} of run {self.run.name} cannot be removed: {e.filename or ''}: {e.strerror}. Remove it by hand."
            ) from e
        return size

    def former(self) -> Iterator[Scratch]:
        """Those of the generations before, each by its own name."""
        for generation in range(self.generation):
            yield Scratch(self.base, self.run, generation)

    def sweep(self) -> list[Path]:
        """Remove what dead runs of this store and name left; what a process still works in stays, and is returned.

        To be called by the run's writer alone.
        """
        busy = []
        for left in (*self.former(), *([self] if self.stale else [])):
            try:
                left.remove()
            except RunBusy:
                busy.append(left.path)
        return busy


@contextmanager
def held(inside: Path) -> Iterator[None]:
    """Hold the scratch that a path lies in while a process other than the run's writer works there."""
    fds = [fd for above in (inside, *inside.parents[:DEPTH]) if (fd := _locked(above / MARKER)) is not None]
    try:
        yield
    finally:
        for fd in fds:
            os.close(fd)


def _locked(marker: Path) -> int | None:
    """A descriptor that holds a shared lock on the marker; None where there is none, or it was removed meanwhile."""
    try:
        fd = os.open(marker, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with suppress_unlockable():
        fcntl.flock(fd, fcntl.LOCK_SH)  # waits for one who removes it, which has an end
    with suppress(OSError):
        if os.path.samestat(os.fstat(fd), os.lstat(marker)):
            return fd
    os.close(fd)
    return None


@contextmanager
def suppress_unlockable() -> Iterator[None]:
    """A file system without locks: the lock of the run, or its claim, must do."""
    try:
        yield
    except BlockingIOError:
        raise
    except OSError:
        pass


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _size(directory: Path) -> int:
    """Bytes of the files below it, one with several names counted once; what vanishes meanwhile counts nothing."""
    total, seen = 0, set()
    for above, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):
                found = os.lstat(os.path.join(above, name))  # noqa: PTH118
                if (found.st_dev, found.st_ino) not in seen:
                    seen.add((found.st_dev, found.st_ino))
                    total += found.st_size
    return total
