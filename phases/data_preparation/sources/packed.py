"""A tar or zip archive on this machine: read as it is, and nothing of it is unpacked by its own names."""

from __future__ import annotations

import errno
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from phases.data_preparation.sources.base import LeftOut, Listing, Object, Unreadable, unfit
from phases.errors import InvalidStructure

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
ZIP = ".zip"
ENDINGS = (*TARS, ZIP)
_SPOILT = (
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
)


@dataclass(frozen=True)
class Packed:
    """An archive. Keys are its members' names; a folder is looked for at its top, and then below its only top folder."""

    path: Path

    @property
    def url(self) -> str:
        return str(self.path)

    def list(self, folder: str) -> Listing:
        files, left_out = [], []
        for name, (size, reason) in self._members.items():
            key = self._key(name, folder)
            if key is None:
                continue
            if reason := reason or unfit(name):
                left_out.append(LeftOut(key, reason))
            else:
                files.append(Object(key, size))
        return Listing(tuple(sorted(files)), tuple(sorted(left_out)), bool(files or left_out))

    def folders(self) -> Sequence[str]:
        tops = {name.partition("/")[0] for name in self._members if "/" in name}
        if tops == {self._top}:
            tops |= {f"{self._top}/{name.split('/')[1]}" for name in self._members if name.count("/") > 1}
        return sorted(tops)

    def beside(self) -> Sequence[Object]:
        start = f"{self._top}/" if self._top else ""
        found = [
            Object(name.removeprefix(start), size)
            for name, (size, reason) in self._members.items()
            if name.startswith(start) and "/" not in name[len(start) :] and not (reason or unfit(name))
        ]
        return sorted(found)

    def read(self, key: str, listed: Object | None = None) -> bytes:
        [(_, content)] = self.contents([listed or Object(key, self._size(key))])
        if isinstance(content, Unreadable):
            raise content
        return content

    def contents(self, files: Iterable[Object]) -> Iterator[tuple[Object, bytes | Unreadable]]:
        wanted = list(files)
        with self._whole():
            yield from self._zipped(wanted) if self._is_zip else self._tarred(wanted)

    @property
    def _is_zip(self) -> bool:
        return self.path.name.lower().endswith(ZIP)

    @cached_property
    def _members(self) -> dict[str, tuple[int, str]]:
        """By name, the size and why it is not read; the last of several of one name, as unpacking leaves it."""
        with self._whole():
            if self._is_zip:
                with zipfile.ZipFile(self.path) as held:
                    return {i.filename: _of_zip(i) for i in held.infolist() if not i.is_dir()}
            found = {}
            with tarfile.open(self.path) as tar:
                for member in _each(tar):
                    if not member.isdir():
                        found[_plain(member.name)] = (
                            member.size,
                            "" if member.isreg() else "it is no plain file of the archive",
                        )
            return found

    @cached_property
    def _top(self) -> str:
        tops = {name.partition("/")[0] for name in self._members if not unfit(name)}
        return tops.pop() if len(tops) == 1 else ""

    def _key(self, name: str, folder: str) -> str | None:
        if name.startswith(f"{folder}/"):
            return name
        inside = name.removeprefix(f"{self._top}/") if self._top and self._top != folder else name
        return inside if inside.startswith(f"{folder}/") else None

    def _name(self, key: str) -> str:
        return key if key in self._members else f"{self._top}/{key}"

    def _size(self, key: str) -> int:
        return self._members[self._name(key)][0]

    def _zipped(self, wanted: Sequence[Object]) -> Iterator[tuple[Object, bytes | Unreadable]]:
        with zipfile.ZipFile(self.path) as held:
            for file in wanted:
                with held.open(self._name(file.key)) as member:
                    yield file, _checked(member.read(file.size + 1), file)

    def _tarred(self, wanted: Sequence[Object]) -> Iterator[tuple[Object, bytes | Unreadable]]:
        """A compressed tar can only be read from its beginning, so what is wanted is set aside as it comes by."""
        names = {self._name(file.key): file for file in wanted}
        at: dict[str, tuple[int, int]] = {}
        with tempfile.TemporaryFile() as aside:
            with tarfile.open(self.path) as tar:
                for member in _each(tar):
                    name = _plain(member.name)
                    if name in names and member.isreg() and (held := tar.extractfile(member)):
                        at[names[name].key] = (aside.tell(), _copied(held, aside))
            for file in wanted:
                start, size = at.get(file.key, (0, -1))
                aside.seek(start)
                yield file, _checked(aside.read(max(size, 0)), file)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Raises InvalidStructure where the archive cannot be read to its end."""
        try:
            yield
        except _SPOILT as error:
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise InvalidStructure(
                f"data_preparation.source {self.path} cannot be read as {' or '.join((TARS[1], ZIP))}, as its name says: {error}. Bring a "
                "whole one, and give the same command again."
            ) from error


def _plain(name: str) -> str:
    """The name of a member of a tar that was made of `.`, as one of `*` has it."""
    while name.startswith("./"):
        name = name[2:]
    return name


def _each(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        tar.members = []  # type: ignore[attr-defined]  # which would keep them all
        yield member


def _of_zip(info: zipfile.ZipInfo) -> tuple[int, str]:
    kind = (info.external_attr >> 16) & 0o170000
    if kind not in (0, 0o100000):
        return info.file_size, "it is no plain file of the archive"
    return info.file_size, "it is encrypted" if info.flag_bits & 1 else ""


def _checked(content: bytes, file: Object) -> bytes | Unreadable:
    if len(content) == file.size:
        return content
    return Unreadable(f"the archive lists it with {file.size} bytes, and holds {len(content)}")


def _copied(source: IO[bytes], target: IO[bytes]) -> int:
    """Copy in pieces; returns how many bytes there were."""
    size = 0
    while piece := source.read(1 << 20):
        size += target.write(piece)
    return size
