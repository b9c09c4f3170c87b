"""The files of one source as one artifact: a tar whose bytes depend on nothing but keys and contents."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path


def pack(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write (key, content) pairs to an uncompressed tar, in the order given, without dates or owners."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for key, content in files:
            info = tarfile.TarInfo(key)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def unpack(path: Path) -> Iterator[tuple[str, bytes]]:
    """The (key, content) pairs of such a tar, in their order. Nothing is written to disk."""
    with tarfile.open(path, "r:") as tar:
        for info in tar:
            member = tar.extractfile(info)
            if member is not None:
                yield info.name, member.read()
