"""A directory on this machine, and a git checkout in one."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from phases.data_preparation.sources.base import LeftOut, Listing, Object, Unreadable, unfit
from phases.errors import EmptyDataset


@dataclass(frozen=True)
class LocalSource:
    """A directory on this machine. Nothing outside it is read, whatever links in it lead there."""

    root: Path

    @property
    def url(self) -> str:
        return str(self.root)

    @cached_property
    def _real(self) -> str:
        return os.path.realpath(self.root)

    def list(self, folder: str) -> Listing:
        try:
            if not self.root.joinpath(folder).is_dir():
                return Listing(there=False)
            self._within(folder)
        except Unreadable as error:
            return Listing((), (LeftOut(f"{folder}/", str(error)),))
        except OSError as error:
            return Listing((), (LeftOut(f"{folder}/", f"it cannot be looked into: {error.strerror}"),))
        files: list[Object] = []
        left_out: list[LeftOut] = []
        to_do = [folder]
        while to_do:
            here = to_do.pop()
            try:
                with os.scandir(self.root / here) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except OSError as error:
                left_out.append(LeftOut(f"{here}/", f"a directory that cannot be read: {error.strerror}"))
                continue
            for entry in entries:
                key = f"{here}/{entry.name}"
                try:
                    if entry.is_dir(follow_symlinks=False):
                        to_do.append(key)
                    else:
                        files.append(self._file(key, entry))
                except Unreadable as error:
                    # a link to a directory is told of as one: its name would say that it is no code
                    mark = "/" if os.path.isdir(self.root / key) else ""  # noqa: PTH112 - it raises nothing
                    left_out.append(LeftOut(f"{key}{mark}", str(error)))
        # by key, not by path: a path sorts by its parts, and S3 knows no parts
        return Listing(tuple(sorted(files)), tuple(sorted(left_out)))

    def folders(self) -> Sequence[str]:
        try:
            with os.scandir(self.root) as found:
                return sorted(e.name for e in found if e.is_dir() and not e.name.startswith("."))
        except OSError:
            return []

    def beside(self) -> Sequence[Object]:
        found = []
        with suppress(OSError), os.scandir(self.root) as entries:
            for entry in entries:
                with suppress(Unreadable):
                    found.append(self._file(entry.name, entry))
        return sorted(found)

    def read(self, key: str, listed: Object | None = None) -> bytes:
        self._within(key)
        return self._read(key, listed)

    def contents(self, files: Iterable[Object]) -> Iterator[tuple[Object, bytes | Unreadable]]:
        within = (
            ""  # the directory that was last seen to be: to follow a path takes longer than to read a file
        )
        for file in files:
            directory = file.key.rpartition("/")[0]
            is_link = os.path.islink(self.root / file.key)  # noqa: PTH114 - it raises nothing
            try:
                if is_link or directory != within:
                    self._within(file.key)
                    within = within if is_link else directory
                yield file, self._read(file.key, file)
            except Unreadable as error:
                yield file, error

    def _read(self, key: str, listed: Object | None) -> bytes:
        try:
            # whatever stands there now is not waited for, as a pipe would be
            fd = os.open(self.root / key, os.O_RDONLY | os.O_NONBLOCK)
            with os.fdopen(fd, "rb") as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise Unreadable("it is no plain file any more")
                content = file.read(-1 if listed is None else listed.size + 1)
        except FileNotFoundError:
            raise Unreadable("it is gone") from None
        except OSError as error:
            raise Unreadable(f"it cannot be read: {error.strerror}") from error
        if listed is not None and len(content) != listed.size:
            now = "more" if len(content) > listed.size else len(content)
            raise Unreadable(f"it had {listed.size} bytes when its folder was listed, and has {now} now")
        return content

    def _file(self, key: str, entry: os.DirEntry[str]) -> Object:
        if reason := unfit(key):
            raise Unreadable(reason)
        if entry.is_symlink():
            self._within(key)
        try:
            found = entry.stat()
        except OSError as error:
            raise Unreadable(f"it cannot be looked at: {error.strerror}") from error
        if stat.S_ISDIR(found.st_mode):
            raise Unreadable("a symbolic link to a directory, which is read where it stands, and not again")
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable("it is no plain file")
        return Object(key, found.st_size)

    def _within(self, key: str) -> None:
        """Raises Unreadable where a key leads, by links, out of the root or nowhere."""
        path = self.root / key
        try:
            real = os.path.realpath(path, strict=True)
        except FileNotFoundError:
            gone = "a symbolic link that leads nowhere" if path.is_symlink() else "it is gone"
            raise Unreadable(gone) from None
        except OSError as error:
            raise Unreadable(f"it cannot be followed: {error.strerror}") from error
        if os.path.commonpath((self._real, real)) != self._real:
            raise Unreadable("a symbolic link that leads out of the source")


@dataclass(frozen=True)
class Checkout(LocalSource):
    """The work tree of a git repository: of it, the files that git tracks."""

    def list(self, folder: str) -> Listing:
        listed, tracked = super().list(folder), self._tracked
        told = [left for left in listed.left_out if self._is_told(left.key)]
        here = {file.key for file in listed.files} | {left.key.removesuffix("/") for left in told}
        missing = (key for key in tracked if key.startswith(f"{folder}/") and key not in here)
        told += [LeftOut(key, "git tracks it, and it is not in the work tree") for key in missing]
        return Listing(
            tuple(file for file in listed.files if file.key in tracked),
            tuple(sorted(told)),
            listed.there,
        )

    def beside(self) -> Sequence[Object]:
        return [file for file in super().beside() if file.key in self._tracked]

    def _is_told(self, key: str) -> bool:
        """Whether something that is left out is the repository's: git tracks links, and of directories what is in them."""
        name = key.removesuffix("/")
        return name in self._tracked or (key != name and not (self.root / name).is_symlink())

    @cached_property
    def _tracked(self) -> frozenset[str]:
        # what a repository's own configuration would have git run, it does not run for this
        safe = ("-c", "core.fsmonitor=false", "-c", f"safe.directory={self._real}")
        command = ["git", "-C", self._real, *safe, "ls-files", "-z", "--cached", "--recurse-submodules"]
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except OSError as error:
            raise EmptyDataset(
                f"data_preparation.source {self.url} is a git checkout, of which the tracked files are read, and git cannot be "
                f"run: {error.strerror}. Install git, or name a copy without .git."
            ) from error
        if done.returncode:
            raise EmptyDataset(
                f"data_preparation.source {self.url} is a git checkout, of which the tracked files are read, and git cannot list "
                f"them: {os.fsdecode(done.stderr).strip()}. Mend the repository, or name a copy without .git."
            )
        return frozenset(os.fsdecode(name) for name in done.stdout.split(b"\0") if name)
