"""Vendored copies: files with the same bytes in several places, of which the first in key order stays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from phases.data_preparation.archive import content
from phases.data_preparation.planning import File


def marked(
    path: Path, files: Iterable[File], first: dict[bytes, str], sizes: Mapping[int, int]
) -> Iterator[File]:
    """The files of an archive, each copy with the key of the one it is a copy of.

    `first` has the key of the first file by digest, and grows. `sizes` is how many files of each size there are, in all
    archives: of one that is alone with its size there is no copy, and it need not be read.
    """
    with path.open("rb") as archive:
        for file in files:
            if file.unread or not file.member.size or sizes[file.member.size] < 2:
                yield file
                continue
            digest = hashlib.sha256(content(archive, file.member)).digest()
            key = first.setdefault(digest, file.member.key)
            yield file if key == file.member.key else replace(file, copy_of=key)
