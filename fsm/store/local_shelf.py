"""A shelf in a directory: one append-only file, one fdatasync for the entries that come at once, a lock only around an append.

<store>/<shelf>/entries.jsonl    the entries, as they came       <store>/<shelf>/held.lock    a byte for each key that is held
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fsm.errors import StoreError
from fsm.store import shelf
from fsm.store.access import PRIVATE, make_directory, of_files

LOOK_AGAIN = 0.1  # seconds between two looks at a key that another process holds


@dataclass
class _Waiting:
    """An entry on its way into the file: what is kept under its key when it is there, or why it is not."""

    key: str
    entry: bytes
    line: bytes
    kept: bytes | None = None
    failure: BaseException | None = None


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
        self._arrived: list[_Waiting] = []
        self._arriving = threading.Lock()

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
        """Threads that come while one syncs the file have theirs synced together, by the first of them."""
        mine = _Waiting(key, entry, shelf.written(key, entry) + b"\n")
        with self._arriving:
            self._arrived.append(mine)
        with self._lock:
            if mine.kept is None and mine.failure is None:
                with self._arriving:
                    together, self._arrived = self._arrived, []
                try:
                    self._put(together)
                except BaseException as e:
                    for waiting in together:
                        waiting.failure = e
        if isinstance(mine.failure, OSError):
            raise self._error("cannot be written", mine.failure) from mine.failure
        if mine.failure is not None:
            raise mine.failure
        assert mine.kept is not None
        return mine.kept

    def _put(self, together: list[_Waiting]) -> None:
        with self._opened() as fd:
            self._catch_up(fd)
            new: dict[str, _Waiting] = {}
            for waiting in together:
                if (there := self._entry(fd, waiting.key)) is not None:
                    waiting.kept = there
                elif waiting.key not in new:
                    new[waiting.key] = waiting
            if new:
                self._append(fd, b"".join(waiting.line for waiting in new.values()))
            for waiting in new.values():
                length = len(waiting.line)
                self._where[shelf.half(waiting.key)] = shelf.place(self._read_to, length - 1)
                self._read_to += length
            for waiting in together:
                if waiting.kept is None:
                    waiting.kept = new[waiting.key].entry

    @contextmanager
    def held(self, key: str, stopping: Callable[[], bool]) -> Iterator[bool]:
        """By a lock on one byte of a file, the key's own: it goes with the process, and costs no file of its own."""
        path, fd = self.directory / "held.lock", -1
        try:
            try:
                fd = os.open(path, os.O_RDWR)
            except FileNotFoundError:  # the first one here
                make_directory(self.directory, self.access)
                fd = _made(path, os.O_RDWR)
            while not _locked(fd, key) and not stopping():
                time.sleep(LOOK_AGAIN)
        except OSError as e:
            if fd >= 0:
                os.close(fd)
            raise self._error("cannot be written", e) from e
        try:
            yield True
        finally:
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
        # no more than there is: a buffer that is far too large costs more than the read
        while piece := os.pread(fd, min(1 << 20, found.st_size - position), position):
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


_LOCK = getattr(fcntl, "F_OFD_SETLK", fcntl.F_SETLK)
"""Of an open file, not of a process, so that two threads exclude each other; where a system has no such lock, processes do."""


def _locked(fd: int, key: str) -> bool:
    """Lock the key's own byte of an open file, until that is closed; False while another one does."""
    byte = int(key[:15], 16)
    try:
        fcntl.fcntl(fd, _LOCK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


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
