"""A shelf in a directory: one append-only file, one fdatasync for the entries that come together, a lock only around an append.

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
from dataclasses import dataclass, field
from pathlib import Path

from fsm.errors import StoreError
from fsm.store import shelf
from fsm.store.access import PRIVATE, make_directory, of_files

LOOK_AGAIN = 0.1  # seconds between two looks at a key that another process holds
TOGETHER = (
    0.004  # seconds from one sync to the next, where others who hold a key may come by then: they share it
)


@dataclass
class _Waiting:
    """An entry on its way into the file: what is kept under its key when it is there, or why it is not."""

    key: str
    entry: bytes
    line: bytes
    kept: bytes | None = None
    failure: BaseException | None = None


@dataclass(eq=False)
class _Claim:
    """An open file with a lock for each of several keys, which is closed when none of them is held any more."""

    fd: int
    left: set[str] = field(default_factory=set)


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
        self._syncing = threading.Lock()
        self._synced = 0.0
        self._claims: dict[str, _Claim] = {}  # of keys that are claimed, and that nobody has come for
        self._claiming = threading.Lock()
        self._inside = 0  # keys that are held

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
        """Threads that come while one syncs the file, or soon after, have theirs synced together, by the first of them."""
        mine = _Waiting(key, entry, shelf.written(key, entry) + b"\n")
        with self._arriving:
            self._arrived.append(mine)
        with self._syncing:
            if mine.kept is None and mine.failure is None:
                self._await_others()
                with self._arriving:
                    together, self._arrived = self._arrived, []
                try:
                    with self._lock:
                        self._put(together)
                except BaseException as e:
                    for waiting in together:
                        waiting.failure = e
                self._synced = time.monotonic()
        if isinstance(mine.failure, OSError):
            raise self._error("cannot be written", mine.failure) from mine.failure
        if mine.failure is not None:
            raise mine.failure
        assert mine.kept is not None
        return mine.kept

    def _await_others(self) -> None:
        """Under a storm of entries a sync a few milliseconds later is one for many; where nobody else can come, it is now."""
        pause = self._synced + TOGETHER - time.monotonic()
        if pause > 0 and len(self._arrived) < self._inside:
            time.sleep(pause)

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

    def claim(self, keys: Iterable[str]) -> set[str]:
        """By locks on bytes of one file, each key's own: they go with the process, and cost no file of their own."""
        wanted, held = [], set()
        with self._claiming:
            for key in keys:
                if key in self._claims:
                    held.add(key)
                else:
                    wanted.append(key)
        if not wanted:
            return held
        claim = _Claim(self._opened_locks())
        try:
            claim.left.update(key for key in wanted if _locked(claim.fd, key))
        except OSError as e:
            os.close(claim.fd)
            raise self._error("cannot be written", e) from e
        if not claim.left:
            os.close(claim.fd)
        held |= claim.left
        with self._claiming:
            self._claims.update(dict.fromkeys(claim.left, claim))
        return held

    def let_go(self, keys: Iterable[str]) -> None:
        for key in keys:
            with self._claiming:
                claim = self._claims.pop(key, None)
            if claim is not None:
                self._leave(claim, key)

    @contextmanager
    def held(self, key: str, stopping: Callable[[], bool]) -> Iterator[bool]:
        with self._claiming:
            claim = self._claims.pop(key, None)
        claimed = claim is not None
        if claim is None:
            claim = self._waited_for(key, stopping)
        with self._claiming:
            self._inside += 1
        try:
            yield not claimed
        finally:
            with self._claiming:
                self._inside -= 1
            self._leave(claim, key)

    def _waited_for(self, key: str, stopping: Callable[[], bool]) -> _Claim:
        """A claim of the key, as soon as nobody else holds it; one of nothing where there is an entry by then, or a stop."""
        claim = _Claim(self._opened_locks(), {key})
        try:
            while not _locked(claim.fd, key) and not stopping() and not self.has([key]):
                time.sleep(LOOK_AGAIN)
        except OSError as e:
            os.close(claim.fd)
            raise self._error("cannot be written", e) from e
        except BaseException:
            os.close(claim.fd)
            raise
        return claim

    def _leave(self, claim: _Claim, key: str) -> None:
        """The key is not held any more. The lock of one that has its entry may stay as long as others need the file: whoever
        waits sees the entry."""
        with self._claiming:
            claim.left.discard(key)
            if not claim.left:
                os.close(claim.fd)
            elif shelf.half(key) not in self._where:
                _unlocked(claim.fd, key)

    def _opened_locks(self) -> int:
        path = self.directory / "held.lock"
        try:
            try:
                return os.open(path, os.O_RDWR)
            except FileNotFoundError:  # the first one here
                make_directory(self.directory, self.access)
                return _made(path, os.O_RDWR)
        except OSError as e:
            raise self._error("cannot be written", e) from e

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
    try:
        _lock(fd, key, fcntl.F_WRLCK)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _unlocked(fd: int, key: str) -> None:
    _lock(fd, key, fcntl.F_UNLCK)


def _lock(fd: int, key: str, kind: int) -> None:
    byte = int(key[:15], 16)
    fcntl.fcntl(fd, _LOCK, struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0))


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
