"""Runs in a directory: one append-only file under an exclusive lock, one fdatasync a record, or one for those that wait
together."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from fsm.errors import ConfigError, JournalDamaged, Retired, RunBusy, StoreError
from fsm.store.access import PRIVATE, make_directory, mode_of, of_artifacts, of_files, open_to_group
from fsm.store.base import RETIRED, Artifact, Taken, freed, run_name
from fsm.store.bucket import S3Options
from fsm.store.local_shelf import LocalShelf
from fsm.store.past import shared
from fsm.store.shelf import shelf_name

CHUNK = 1 << 16
_TEMPORARY = re.compile(r"\.(?:run\.json|live\.json|copy|[0-9a-f]{8}|[0-9a-f]{64})\.[a-z0-9_]{8}")
LOCK_TRIES = 5
LOCK_PAUSE = 0.01  # seconds between two of them


def _store_error(what: str, path: Path, e: OSError) -> StoreError:
    do = {
        errno.ENOSPC: "The disk is full: free some space and give the same command again; nothing is lost.",
        errno.EDQUOT: "The disk quota is used up: free some space and give the same command again; nothing is lost.",
        errno.EACCES: "Make it accessible to this user, or choose another place with --store.",
        errno.EPERM: "Make it accessible to this user, or choose another place with --store.",
        errno.EROFS: "The file system is read-only: choose another place with --store.",
        errno.ENOTDIR: "A part of the path is a file: choose another place with --store.",
    }.get(e.errno or 0, "See to it and give the same command again.")
    return StoreError(f"{what} {path}: {os.strerror(e.errno or 0)}. {do}")


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_whole(path: Path, content: bytes, mode: int, *, sync: bool = True) -> None:
    """Write a file so that no one ever sees a part of it, and nobody whom the mode excludes any of it."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as f:
            f.write(content)
            f.flush()
            os.fchmod(f.fileno(), mode)
            if sync:
                os.fsync(f.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if sync:
        _sync_directory(path.parent)


def _holds_a_run(entry: os.DirEntry[str]) -> bool:
    """Whether a directory is that of a run; one that may not be looked into is taken for one, so that its reader is told."""
    try:
        return stat.S_ISREG((Path(entry.path) / "run.json").stat().st_mode)
    except PermissionError:
        return True
    except OSError:
        return False


class LocalStore:
    """All runs below a directory.

    `mode` says who may read the runs that are begun here: `private`, the user alone, or `group`, the members of the
    directory's group too. A run that is there keeps the mode of its directory. Raises ConfigError.
    """

    def __init__(self, root: Path, *, mode: str = "private", **others: Any) -> None:
        self.root = root.expanduser()
        self.access = mode_of(mode)
        # those of a bucket say nothing here, where a configuration for one is run with --store DIRECTORY
        buckets = {f.name for f in fields(S3Options)}
        for key in others.keys() - buckets:
            raise ConfigError(
                f"store_options: a store in a directory has no option {key!r}; it has: mode. Correct the configuration."
            )

    @property
    def url(self) -> str:
        return str(self.root)

    def runs(self) -> list[str]:
        directory = self.root / "runs"
        try:
            with os.scandir(directory) as found:
                return sorted(e.name for e in found if not e.name.startswith(".") and _holds_a_run(e))
        except FileNotFoundError:
            return []
        except OSError as e:
            raise _store_error("The runs cannot be listed:", directory, e) from e

    def run(self, name: str) -> LocalRun:
        return LocalRun(self.root / "runs" / run_name(name), self.access)

    def shelf(self, name: str) -> LocalShelf:
        return LocalShelf(self.root / shelf_name(name), self.access)

    def retire(self, name: str) -> str:
        """Raises RunBusy while a runner is alive on it."""
        run = self.run(name)
        if not run.directory.exists():
            return ""
        run.acquire()
        try:
            number = 1
            while (aside := run.directory.with_name(f".{name}.{number}")).exists():
                number += 1
            run.directory.rename(aside)
        except OSError as e:
            raise _store_error("The former run cannot be moved aside:", run.directory, e) from e
        finally:
            run.release()
        return str(aside)


class LocalRun:
    """One run in a directory of its own. `access` is the mode of that directory, where it is made."""

    def __init__(self, directory: Path, access: int = PRIVATE) -> None:
        self.directory = directory
        self._begun_with = access
        self.name = directory.name
        self.journal = directory / "journal.jsonl"
        self._fd = -1
        self._size = 0
        self._next = 0
        self._written = 0  # bytes, of which `_size` are durable
        self._durable = 0  # records
        self._broken: StoreError | None = None
        self._syncing = threading.Lock()
        self._read = (-1, 0, 0)  # inode, records and bytes that the last reader has read to
        self._whole: set[str] = set()  # artifacts whose content this process has held against their digest
        self._past: LocalRun | None = None

    @property
    def url(self) -> str:
        return str(self.directory)

    @cached_property
    def place(self) -> str:
        return str(self.directory.absolute().parents[1].resolve())

    @property
    def past(self) -> LocalRun | None:
        """Wherever it is now: a run that was begun anew since is only moved aside."""
        if self._past is None and (said := shared(self.read_header())):
            runs = self.directory.parent
            for directory in (runs / said.run, *sorted(runs.glob(f".{said.run}.*"))):
                found = LocalRun(directory)
                if said.is_of(found.read_header()):
                    self._past = found
                    break
        return self._past

    @property
    def access(self) -> int:
        try:
            return self.directory.stat().st_mode & 0o7777
        except OSError:
            return self._begun_with

    # The header

    def read_header(self) -> bytes | None:
        try:
            return (self.directory / "run.json").read_bytes()
        except FileNotFoundError:
            return None
        except OSError as e:
            raise _store_error("The run cannot be read:", self.directory / "run.json", e) from e

    def write_header(self, content: bytes) -> None:
        path = self.directory / "run.json"
        try:
            runs = self.directory.parent
            for directory in (runs.parent, runs, self.directory, self.directory / "artifacts"):
                make_directory(directory, self._begun_with)
            open_to_group(runs, self._begun_with)
            if path.exists():
                raise Taken(-1, path.read_bytes())
            _write_whole(path, content, of_files(self.access))
            _sync_directory(self.directory.parent)
        except OSError as e:
            raise _store_error("The run cannot be written:", self.directory, e) from e

    # The journal

    def acquire(self, takeover: bool = False) -> int:
        """Take the lock and cut off a torn last line, which was never acknowledged.

        Who holds the lock is alive, so it cannot be taken over: it can be stopped.
        """
        try:
            self._fd = os.open(self.journal, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            self._opened_first()
        except OSError as e:
            raise _store_error("The journal cannot be opened for writing:", self.journal, e) from e
        try:
            self._lock()
        except BlockingIOError:
            self._close()
            live = self.read_live() or {}
            known = {"writer", "pid", "host"} <= live.keys()
            who = (
                f"{live['writer']} (process {live['pid']} on {live['host']})" if known else "another process"
            )
            raise RunBusy(
                f"Run {self.name} is being run by {who}. Watch it with `fsm status {self.name}`, stop it there, or give this one "
                "another name with --run."
            ) from None
        except OSError as e:
            self._close()
            raise StoreError(
                f"{self.journal} cannot be locked ({e.strerror}): its file system has no locks, and without one two runners could "
                "write one journal. Choose a local file system with --store."
            ) from e
        try:
            self._size = os.fstat(self._fd).st_size
            self._written, self._durable, self._broken = 0, 0, None
            self._cut_torn_line()
            self._sweep()
            self._next = self._last_number() + 1
            return self._next
        except OSError as e:
            self._close()
            raise _store_error("The journal cannot be read:", self.journal, e) from e
        except JournalDamaged:
            self._close()
            raise

    def _lock(self) -> None:
        """Take the lock. Who looks whether it is held (`busy`) holds it too, for microseconds: so more than once."""
        for left in reversed(range(LOCK_TRIES)):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if not left:
                    raise
                time.sleep(LOCK_PAUSE)

    def _opened_first(self) -> None:
        """Give a journal without a record its mode, which the umask had a say in when it was made just now."""
        found = os.fstat(self._fd)
        if stat.S_ISREG(found.st_mode) and not found.st_size and found.st_uid == os.geteuid():
            os.fchmod(self._fd, of_files(self.access))

    def release(self) -> None:
        self._close()

    def append(self, seq: int, line: bytes) -> None:
        if seq != self._next:
            raise Taken(seq, b"")
        content = line + b"\n"
        try:
            self._write(content)
            os.fdatasync(self._fd)
        except OSError as e:
            self._forget_unacknowledged()
            raise _store_error(f"Record {seq} cannot be written to", self.journal, e) from e
        self._size += len(content)
        self._next += 1

    def _write(self, content: bytes) -> None:
        if os.write(self._fd, content) < len(content):  # the disk filled up in the middle of the line
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, seq: int, line: bytes) -> None:
        if seq != self._next:
            raise Taken(seq, b"")
        content = line + b"\n"
        if self._written < self._size:  # the records before were appended
            self._written, self._durable = self._size, seq
        self._whole_so_far()
        try:
            self._write(content)
        except OSError as e:
            with self._syncing:  # who waits for records before it may still have them
                self._flush()
                self._forget_unacknowledged()
            raise _store_error(f"Record {seq} cannot be written to", self.journal, e) from e
        self._whole_so_far()
        self._written += len(content)
        self._next += 1

    def _whole_so_far(self) -> None:
        """Nothing may follow records that were cut off, not even where both happen at one moment. Raises StoreError."""
        if self._broken is not None:
            with self._syncing:
                self._forget_unacknowledged()
            raise self._broken

    def sync(self, seq: int) -> None:
        """Who comes while another thread waits for the disk waits behind it, and finds its own record durable mostly: one
        fdatasync takes all that were written when it began."""
        with self._syncing:
            if self._durable <= seq:
                self._flush()

    def _flush(self) -> None:
        """Make durable what is written by now. To be called by one thread at a time."""
        if self._broken is not None:
            raise self._broken
        number, size = self._next, self._written
        try:
            os.fdatasync(self._fd)
        except OSError as e:
            self._broken = _store_error(f"Record {number - 1} cannot be written to", self.journal, e)
            self._forget_unacknowledged()
            raise self._broken from e
        self._durable, self._size = number, size

    def check(self, seq: int) -> None:
        """The lock is held: no one else can have written."""

    def first(self) -> bytes | None:
        try:
            with self.journal.open("rb") as f:
                line = f.readline()
        except FileNotFoundError:
            return None
        except OSError as e:
            raise _store_error("The journal cannot be read:", self.journal, e) from e
        return line[:-1] if line.endswith(b"\n") else None

    def tail(self, stop: Callable[[bytes], bool]) -> list[bytes]:
        lines: list[bytes] = []
        for line in self._backwards():
            lines.append(line)
            if stop(line):
                break
        return lines[::-1]

    def records(self, start: int = 0) -> Iterator[bytes]:
        """The records from a number on. Who goes on where the last reader ended, as one that follows the run does, reads
        only what is new."""
        try:
            f = self.journal.open("rb")
        except FileNotFoundError:
            return
        except OSError as e:
            raise _store_error("The journal cannot be read:", self.journal, e) from e
        with f:
            inode = os.fstat(f.fileno()).st_ino
            number, offset = self._where_read(f, inode, start)
            for line in f:
                if not line.endswith(b"\n"):  # torn, or not yet whole
                    break
                number, offset = number + 1, offset + len(line)
                self._read = (inode, number, offset)
                if number > start:
                    yield line[:-1]

    def _where_read(self, f: BinaryIO, inode: int, start: int) -> tuple[int, int]:
        """Go to where the last reader ended, if that is wanted and the file is the one it read; else to its beginning."""
        of, number, offset = self._read
        if offset and (of, number) == (inode, start):
            f.seek(offset - 1)
            if f.read(1) == b"\n":
                return number, offset
        f.seek(0)
        return 0, 0

    def numbered(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """The lines, numbered as they stand in the file."""
        return enumerate(self.records(start), start)

    def _backwards(self) -> Iterator[bytes]:
        """The complete lines, newest first, read in pieces from the end."""
        try:
            with self.journal.open("rb") as f:
                position = f.seek(0, os.SEEK_END)
                rest = b""
                newest = True
                while position > 0:
                    step = min(CHUNK, position)
                    position -= step
                    f.seek(position)
                    lines = (f.read(step) + rest).split(b"\n")
                    if newest:  # what follows the last newline is empty, or torn
                        if len(lines) == 1:
                            continue
                        lines.pop()
                        newest = False
                    rest = lines[0]
                    yield from reversed(lines[1:])
                if rest:
                    yield rest
        except FileNotFoundError:
            return
        except OSError as e:
            raise _store_error("The journal cannot be read:", self.journal, e) from e

    def _last_number(self) -> int:
        for line in self._backwards():
            try:
                return int(json.loads(line)["seq"])
            except (ValueError, KeyError, TypeError, RecursionError) as e:
                raise JournalDamaged(
                    f"{self.journal}: the last line is not a record ({e}). The file was changed by something else than this "
                    "program: restore it from a copy, or start anew with --fresh."
                ) from e
        return -1

    def _cut_torn_line(self) -> None:
        size, end = self._size, self._size
        while end > 0:
            start = max(0, end - CHUNK)
            newline = os.pread(self._fd, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            os.ftruncate(self._fd, end)
            os.fdatasync(self._fd)
            self._size = end

    def _sweep(self) -> None:
        """Remove what writers that were killed left half written, by the names of mkstemp: who holds the lock is the only one."""
        for directory in (self.directory, self.directory / "artifacts"):
            with suppress(FileNotFoundError), os.scandir(directory) as found:
                for entry in found:
                    if _TEMPORARY.fullmatch(entry.name):
                        with suppress(OSError):
                            Path(entry.path).unlink()

    def _forget_unacknowledged(self) -> None:
        with suppress(OSError):  # the next opening cuts the torn line off
            os.ftruncate(self._fd, self._size)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # Who is at it

    def read_live(self) -> dict[str, Any] | None:
        path = self.directory / "live.json"
        try:
            live = json.loads(path.read_bytes())
            age = max(0.0, time.time() - path.stat().st_mtime)
        except (OSError, ValueError):
            return None
        return {**live, "age": age} if isinstance(live, dict) else None

    def write_live(self, live: dict[str, Any]) -> None:
        with suppress(OSError):  # advisory: a full disk is the journal's to report
            content = json.dumps(live).encode()
            _write_whole(self.directory / "live.json", content, of_files(self.access), sync=False)

    def busy(self) -> bool:
        """Whether a runner holds the lock now."""
        try:
            fd = os.open(self.journal, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    # What others ask of it

    def read_request(self, name: str) -> bytes | None:
        path = self._request(name)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as e:
            raise _store_error("A request cannot be read:", path, e) from e

    def put_request(self, name: str, content: bytes) -> bytes:
        path = self._request(name)
        try:
            make_directory(path.parent, self.access)
            fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(fd, "wb") as f:
                    f.write(content)
                    f.flush()
                    os.fchmod(f.fileno(), of_files(self.access))
                    os.fsync(f.fileno())
                path.hardlink_to(temporary)  # where it is there, the first one stays
                _sync_directory(path.parent)
            except FileExistsError:
                return path.read_bytes()
            finally:
                Path(temporary).unlink(missing_ok=True)
        except OSError as e:
            raise _store_error("A request cannot be written to", path, e) from e
        return content

    def has_request(self, name: str) -> bool:
        return self._request(name).exists()

    def _request(self, name: str) -> Path:
        return self.directory / "requests" / f"{name}.json"

    # Artifacts

    def put_artifact(self, name: str, content: bytes | Path) -> Artifact:
        directory = self.directory / "artifacts"
        try:
            if isinstance(content, Path):
                return Artifact(name, *self._copied(content, directory))
            digest, size = hashlib.sha256(content).hexdigest(), len(content)
            target = directory / digest
            if not (target.exists() and target.stat().st_size == size):
                _write_whole(target, content, of_artifacts(self.access))
        except OSError as e:
            raise _store_error(f"Artifact {name} cannot be written to", directory, e) from e
        return Artifact(name, digest, size)

    def _copied(self, source: Path, directory: Path) -> tuple[str, int]:
        """(digest, size) of a file that is copied in: of the bytes that were written, whatever becomes of the file meanwhile."""
        fd, temporary = tempfile.mkstemp(dir=directory, prefix=".copy.")
        digest = hashlib.sha256()
        try:
            with os.fdopen(fd, "wb") as out, source.open("rb") as f:
                while piece := f.read(1 << 20):
                    digest.update(piece)
                    out.write(piece)
                out.flush()
                os.fchmod(out.fileno(), of_artifacts(self.access))
                size = out.tell()
                target = directory / digest.hexdigest()
                if target.exists() and target.stat().st_size == size:
                    return target.name, size
                os.fsync(out.fileno())
            Path(temporary).replace(target)
        finally:
            Path(temporary).unlink(missing_ok=True)
        _sync_directory(directory)
        return target.name, size

    def artifact(self, sha256: str) -> Path:
        path = self.directory / "artifacts" / sha256
        if sha256 in self._whole and path.is_file():
            return path
        mend = "Restore it from a copy, or start anew with --fresh."
        try:
            with path.open("rb") as f:
                whole = hashlib.file_digest(f, "sha256").hexdigest() == sha256
        except FileNotFoundError as e:
            if past := self.past:
                return past.artifact(sha256)
            if self.has_request(RETIRED):
                raise Retired(freed(sha256, self.name)) from e
            raise StoreError(
                f"Artifact {sha256[:12]} of run {self.name} is missing: {path} is gone, though a record names it. {mend}"
            ) from e
        except OSError as e:
            raise _store_error("An artifact cannot be read:", path, e) from e
        if not whole:
            raise StoreError(
                f"Artifact {sha256[:12]} of run {self.name} is not whole: the content of {path} has another digest. {mend}"
            )
        self._whole.add(sha256)
        return path

    def artifact_size(self, sha256: str) -> int | None:
        try:
            return (self.directory / "artifacts" / sha256).stat().st_size
        except FileNotFoundError:
            return past.artifact_size(sha256) if (past := self.past) else None
        except OSError as e:
            raise _store_error("An artifact cannot be read:", self.directory / "artifacts" / sha256, e) from e

    def artifacts_size(self) -> int:
        total = 0
        directory = self.directory / "artifacts"
        try:
            with os.scandir(directory) as found:
                for entry in found:
                    with suppress(FileNotFoundError):  # a temporary one
                        total += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0
        except OSError as e:
            raise _store_error("The artifacts cannot be listed:", directory, e) from e
        return total

    def artifact_bytes(self, sha256: str) -> Iterator[bytes]:
        path = self.directory / "artifacts" / sha256
        try:
            with path.open("rb") as f:
                while piece := f.read(1 << 20):
                    yield piece
        except OSError as e:
            if isinstance(e, FileNotFoundError) and (past := self.past):
                yield from past.artifact_bytes(sha256)
                return
            if isinstance(e, FileNotFoundError) and self.has_request(RETIRED):
                raise Retired(freed(sha256, self.name)) from e
            raise _store_error("An artifact cannot be read:", path, e) from e

    def free_artifacts(self, but: Collection[str]) -> tuple[int, int]:
        directory = self.directory / "artifacts"
        count = size = 0
        try:
            with os.scandir(directory) as found:
                for entry in sorted(found, key=lambda e: e.name):
                    if entry.name not in but:
                        size += entry.stat(follow_symlinks=False).st_size
                        Path(entry.path).unlink()
                        count += 1
        except FileNotFoundError:
            return 0, 0
        except OSError as e:
            raise _store_error("The artifacts cannot be removed:", directory, e) from e
        self._whole.clear()
        return count, size

    # Beside the runs

    def shelf(self, name: str) -> LocalShelf:
        """Of the store whose `runs/<run>` this directory is."""
        return LocalShelf(self.directory.parent.parent / shelf_name(name))
