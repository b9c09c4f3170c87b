"""What is done at a time: files in key order, in chunks that one worker takes, and these in batches that are kept whole.

Where one ends depends on sizes alone, so that a run that goes on plans what it had planned, with any number of workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from phases.data_preparation.archive import Member, content

CHUNK = 1 << 18
"""Bytes of source in a chunk, and the file that exceeds it."""
BATCH = 8 << 20
"""Bytes of source in a batch, and the chunk that exceeds it: what a kill repeats."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a source: where its content stands in the archive, or why it is in none; and of which other it is a copy."""

    member: Member
    unread: str = ""
    copy_of: str = ""


@dataclass(frozen=True)
class Chunk:
    """Files of one source, whose archive is at `path`."""

    domain: str
    path: Path
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes of source."""
        return sum(file.member.size for file in self.files)

    def contents(self) -> list[bytes]:
        """What stands in the files; nothing for those that are in no archive."""
        with self.path.open("rb") as archive:
            return [b"" if file.unread else content(archive, file.member) for file in self.files]


def chunks(domain: str, path: Path, files: Iterable[File]) -> Iterator[Chunk]:
    """The files of one source in chunks."""
    held: list[File] = []
    size = 0
    for file in files:
        held.append(file)
        size += file.member.size
        if size >= CHUNK:
            yield Chunk(domain, path, tuple(held))
            held, size = [], 0
    if held:
        yield Chunk(domain, path, tuple(held))


def batches(of: Iterable[Chunk]) -> Iterator[tuple[Chunk, ...]]:
    """Chunks in batches."""
    held: list[Chunk] = []
    for chunk in of:
        held.append(chunk)
        if sum(chunk.size for chunk in held) >= BATCH:
            yield tuple(held)
            held = []
    if held:
        yield tuple(held)
