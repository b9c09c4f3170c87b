"""Texts that nothing may be trained on: benchmarks, and the prompts by which a student is judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from phases.data_preparation.near_duplicates import SIMILAR, Hashes, Numbers, shingles
from phases.errors import EmptyDataset
from phases.reading import read_rows, read_text

FIELDS = (
    "prompt",
    "completion",
    "response",
    "answer",
    "text",
    "code",
    "content",
    "solution",
    "canonical_solution",
)
"""The fields of a row that hold a text, besides the contents of its `messages`."""
_WANTED = f"Write one object with `messages` or one of {', '.join(FIELDS)} in each line."


def read(files: Iterable[str]) -> list[str]:
    """The texts of held-out files: each row of a .jsonl, any other file as a whole.

    Raises EmptyDataset where there is no such file; EncodingError and InvalidStructure.
    """
    found: dict[str, None] = {}
    for name in files:
        path = Path(name)
        if not path.is_file():
            raise EmptyDataset(
                f"data_preparation.decontaminate names {name!r}, and there is no such file below {Path.cwd()}. Name files whose texts are "
                "to be kept out of training, or none."
            )
        if path.suffix == ".jsonl":
            for _, row in read_rows(path, name, _WANTED):
                found |= dict.fromkeys(_texts(row))
        else:
            found[read_text(path, name, "Write it as UTF-8.")] = None
    return [text for text in found if text.strip()]


def _texts(row: Any) -> list[str]:
    if isinstance(row, str):
        return [row]
    if not isinstance(row, dict):
        return []
    turns = row.get("messages")
    told = (
        [turn.get("content") for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
    )
    return [text for text in (*told, *(row.get(field) for field in FIELDS)) if isinstance(text, str)]


@dataclass(frozen=True)
class HeldOut:
    """Held-out texts by their 5-grams: `hashes` sorted, `owners` the text that each is of, `sizes` how many a text has."""

    hashes: Hashes
    owners: Numbers
    sizes: Numbers

    @classmethod
    def of(cls, texts: Sequence[str]) -> HeldOut:
        """The 5-grams of the texts."""
        found = shingles([text.encode() for text in texts])
        owners = np.repeat(np.arange(len(found)), found.sizes)
        order = np.argsort(found.hashes, kind="stable")
        return cls(found.hashes[order], owners[order], found.sizes)

    def hits(self, texts: Sequence[bytes]) -> npt.NDArray[np.bool_]:
        """Which of the texts hold most of a held-out one: 0.7 of its 5-grams, which a text that similar to it does too."""
        found = shingles(texts)
        first = np.searchsorted(self.hashes, found.hashes, "left")
        count = np.searchsorted(self.hashes, found.hashes, "right") - first
        row = np.repeat(np.repeat(np.arange(len(texts)), found.sizes), count)
        before = np.repeat(np.cumsum(count) - count, count)
        owner = self.owners[np.repeat(first, count) + np.arange(len(before)) - before]
        pairs, shared = np.unique(row * len(self.sizes) + owner, return_counts=True)
        hit = np.zeros(len(texts), dtype=bool)
        hit[pairs[shared >= SIMILAR * self.sizes[pairs % len(self.sizes)]] // len(self.sizes)] = True
        return hit
