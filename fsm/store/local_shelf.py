"""A shelf in a directory: one append-only file, one fdatasync an entry, a lock only around an append.

<store>/<shelf>/entries.jsonl    the entries, as they came       <store>/<shelf>/held/<key>    while somebody holds it
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fsm.errors import StoreError
from fsm.store import shelf
from fsm.store.access import PRIVATE, make_directory, of_files

LOOK_AGAIN = 0.1  # seconds between two looks at a key that another process holds


class LocalShelf:
    """Entries in one file, which any number of processes may read and append to."""

    def __init__(self, directory: Path, access: int = PRIVATE) -> None:
        self.directory = directory
        self.access = access  # of the directory, if it is to be made
        self.path = directory / "entries.jsonl"
        self.damaged = 0
        self._where: dict[
            bytes, int
        ] = {}  # half a key: offset and length of its line, in one number; many fit in memory
        self._read_to = 0
        self._inode = -1
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return str(self.path)

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        try:
            with self._lock, self.path.open("rb") as f:
                self._catch_up(f.fileno())
                found = {key: self._entry(f.fileno(), key) for key in keys}
        except FileNotFoundError:
            return {}
        except OSError as e:
            raise self._error("cannot be read", e) from e
        return {key: entry for key, entry in found.items() if entry is not None}

    def has(self, keys: Iterable[str]) -> set[str]:
        try:
            with self._lock, self.path.open("rb") as f:
                self._catch_up(f.fileno())
                return {key for key in keys if shelf.half(key) in self._where}
        except FileNotFoundError:
            return set()
        except OSError as e:
            raise self._error("cannot be read", e) from e

    def entries(self) -> Iterator[tuple[str, bytes]]:
        try:
            with self._lock, self.path.open("rb") as f:
                self._catch_up(f.fileno())
                places = sorted(self._where.values())
            with self.path.open("rb") as f:
                for place in places:
                    if found := shelf.read(_at(f.fileno(), place)):
                        yield found
        except FileNotFoundError:
            return
        except OSError as e:
            raise self._error("cannot be read", e) from e

    def pack(self) -> None:
        """One file is as packed as it gets."""

    def put(self, key: str, entry: bytes) -> bytes:
        line = shelf.written(key, entry) + b"\n"
        try:
            with self._lock, self._opened() as fd:
                self._catch_up(fd)
                kept = self._entry(fd, key)
                if kept is None:
                    self._append(fd, line)
                    self._where[shelf.half(key)] = shelf.place(self._read_to, len(line) - 1)
                    self._read_to += len(line)
        except OSError as e:
            raise self._error("cannot be written", e) from e
        return entry if kept is None else kept

    @contextmanager
    def held(self, key: str, stopping: Callable[[], bool]) -> Iterator[bool]:
        """By a locked file of that name: the lock goes with the process, the file with the lock."""
        path = self.directory / "held" / key
        fd = -1
        try:
            while fd < 0 and not stopping():
                try:
                    fd = _locked(path)
                except FileNotFoundError:  # the first one here
                    make_directory(self.directory, self.access)
                    make_directory(path.parent, self.access)
                    continue
                if fd < 0:
                    time.sleep(LOOK_AGAIN)
        except OSError as e:
            raise self._error("cannot be written", e) from e
        try:
            yield True
        finally:
            if fd >= 0:
                with suppress(OSError):
                    path.unlink()  # before the lock goes: who waits finds that its file is gone, and makes another
                os.close(fd)

    # The file

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The file, locked, and without what a writer that died left of a line."""
        new = False
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            new = True
            make_directory(self.directory, self.access)
            fd = _made(self.path, os.O_RDWR | os.O_APPEND)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if new:
                _sync_directories(self.directory)
            yield fd
        finally:
            os.close(fd)

    def _append(self, fd: int, line: bytes) -> None:
        size = os.fstat(fd).st_size
        if size > self._read_to:  # torn: it was never acknowledged
            os.ftruncate(fd, self._read_to)
            size = self._read_to
        try:
            if os.write(fd, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(fd)
        except OSError:
            with suppress(OSError):
                os.ftruncate(fd, size)
            raise

    def _catch_up(self, fd: int) -> None:
        """Learn what others have appended; a line that is not whole yet is left for the next time."""
        found = os.fstat(fd)
        if (
            found.st_ino != self._inode or found.st_size < self._read_to
        ):  # another file than the one that was read
            self._where.clear()
            self._inode, self._read_to = found.st_ino, 0
        rest = b""
        position = self._read_to
        while piece := os.pread(fd, 1 << 20, position):
            position += len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if entry := shelf.read(line):
                    self._where.setdefault(shelf.half(entry[0]), shelf.place(self._read_to, len(line)))
                else:
                    self.damaged += 1
                self._read_to += len(line) + 1

    def _entry(self, fd: int, key: str) -> bytes | None:
        if (place := self._where.get(shelf.half(key))) is None:
            return None
        found = shelf.read(_at(fd, place))
        if found is None or found[0] != key:  # altered since
            self.damaged += 1
            del self._where[shelf.half(key)]
            return None
        return found[1]

    def _error(self, what: str, e: OSError) -> StoreError:
        return StoreError(
            f"{self.path} {what}: {os.strerror(e.errno or 0)}. See to it and give the same command again; nothing that was kept "
            "is lost."
        )


def _at(fd: int, place: int) -> bytes:
    offset, length = shelf.placed(place)
    return os.pread(fd, length, offset)


def _locked(path: Path) -> int:
    """A descriptor that holds the lock on the file of that name; -1 while another one does."""
    fd = _made(path, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_ino == path.stat().st_ino:
            return fd
    except BlockingIOError:
        pass
    except FileNotFoundError:  # whoever held it has gone, and has taken it away
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return -1


def _made(path: Path, flags: int) -> int:
    """Open a file, made if it is not there, for whom its directory is open."""
    try:
        fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags | os.O_CREAT, 0o600)
    os.fchmod(fd, of_files(path.parent.stat().st_mode))
    return fd


def _sync_directories(path: Path) -> None:
    for directory in (path, path.parent):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
