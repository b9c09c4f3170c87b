"""The rows of a run after ProcessFiles: what is known of each by its number, and their lines when they are wanted.

data/examples.json             the batches, what is in each, and what was found in the sources
data/examples/00000.jsonl.zst  the rows of a batch
data/examples/00000.index      a ROW of each, then the columns of the texts that are compared (working.py)
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property, lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from pydantic_core import from_json

from fsm.engine import Context
from phases.data_preparation import archive, near_duplicates, processes
from phases.data_preparation.near_duplicates import BANDS, SIMILAR, Groups, Hashes, Numbers, Shingled
from phases.data_preparation.processes import Each
from phases.data_preparation.working import ROW, Done, readings

AT_ONCE = 1 << 20
"""Bytes of rows whose 5-grams are made at once."""
ROWS_AT_ONCE = 4096
"""Rows whose numbers are Python's at a time: as such they take five times the memory."""
CACHED = 256
"""Texts whose 5-grams are held in memory."""


def rows_name(batch: int) -> str:
    """The artifact with the rows of a batch."""
    return f"data/examples/{batch:05}.jsonl.zst"


def index_name(batch: int) -> str:
    """The artifact with what is known of them."""
    return f"data/examples/{batch:05}.index"


def index_bytes(done: Done) -> bytes:
    """The index of a batch."""
    return done.index.tobytes() + np.ascontiguousarray(done.texts, dtype="<u4").tobytes()


class Corpus:
    """All rows of a run."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.told: dict[str, Any] = json.loads(ctx.open("data/examples.json").read_text("utf-8"))
        self._batches: list[dict[str, Any]] = self.told["batches"]

    def __len__(self) -> int:
        return sum(batch["rows"] for batch in self._batches)

    def known(self, name: str) -> npt.NDArray[Any]:
        """What the index says of each row by one name of ROW; of `licence`, the number in `licences`.

        Read anew each time: all of it together is ten times what is wanted at once.
        """
        found = np.empty(len(self), dtype=ROW[name])
        at = 0
        for number, batch in enumerate(self._batches):
            with self._ctx.open(index_name(number)).open("rb") as file:
                part = np.fromfile(file, dtype=ROW, count=batch["rows"])[name]
            if name == "licence" and len(part):
                table = np.array([self.licences.index(one) for one in batch["licences"]], dtype="<u2")
                part = table[part]
            found[at : at + len(part)] = part
            at += len(part)
        return found

    @cached_property
    def licences(self) -> list[str]:
        """All licences of rows, sorted."""
        return sorted({name for batch in self._batches for name in batch["licences"]})

    # Their lines

    @cached_property
    def _starts(self) -> Numbers:
        starts = np.zeros(len(self) + 1, dtype=np.int64)
        np.cumsum(self.known("length"), out=starts[1:])
        return starts

    @property
    def size(self) -> int:
        """Bytes of all lines."""
        return int(self._starts[-1])

    def open(self) -> IO[bytes]:
        """All lines, one after the other."""
        return self.unpacked().open("rb")

    def unpacked(self) -> Path:
        """The file of all lines; unpacked once, in the run's scratch."""
        digests = [self._ctx.open(rows_name(number)) for number in range(len(self._batches))]
        whole = f"{near_duplicates.digest(' '.join(path.name for path in digests)):016x}"
        path = self._ctx.workdir("data_preparation") / f"rows-{whole}.jsonl"
        if not path.exists() or path.stat().st_size != self.size:
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                for packed in digests:
                    archive.unpacked(packed, file)
            part.replace(path)
        return path

    def places(self, numbers: Numbers) -> tuple[list[int], list[int]]:
        """Where the lines of rows begin in that file, and how long they are."""
        return self._starts[numbers].tolist(), self.lengths(numbers).tolist()

    def lengths(self, numbers: Numbers) -> Numbers:
        """How many bytes the lines of rows have."""
        return self._starts[numbers + 1] - self._starts[numbers]

    def lines(self, file: IO[bytes], numbers: Numbers) -> Iterator[bytes]:
        """The lines of rows, from the file opened."""
        descriptor = file.fileno()
        for at in range(0, len(numbers), ROWS_AT_ONCE):
            for start, length in zip(*self.places(numbers[at : at + ROWS_AT_ONCE]), strict=True):
                yield os.pread(descriptor, length, start)

    def trained_on(self, numbers: Numbers) -> Iterator[int]:
        """How much of each line the training channel reads: the messages alone, so that every row has the same columns. A brace
        and the line's end belong behind it."""
        until = self.known("messages")
        for at in range(0, len(numbers), ROWS_AT_ONCE):
            yield from until[numbers[at : at + ROWS_AT_ONCE]].tolist()

    # What is alike

    def clusters(self, among: Numbers, workers: int = 1) -> Groups:
        """The rows in groups of those that are near-duplicates, in chains of two: each pair of texts compared exactly.

        So many processes make the 5-grams.
        """
        groups = Groups(len(self))
        is_among = np.zeros(len(self), dtype=bool)
        is_among[among] = True
        read = self._column(0)
        wanted = is_among[read >> 2]
        del is_among
        read, sizes = read[wanted], self._column(1)[wanted]
        seen = np.zeros(0, dtype=np.uint64)
        scratch = self._ctx.workdir("data_preparation")
        with (
            processes.several(workers, self.unpacked()) as each,
            closing(_Texts(self, each, read, sizes, scratch)) as texts,
        ):
            for band in range(BANDS):
                pairs = near_duplicates.candidates(self._column(2 + band)[wanted], sizes)
                of = groups.names()[read[pairs] >> 2]
                # most are the two readings of one row, or of rows that an earlier band has brought together
                pairs = pairs[of[:, 0] != of[:, 1]]
                pairs, seen = near_duplicates.fresh(pairs, seen)
                texts.prepare(np.unique(pairs))
                for one, other in _one_by_one(pairs):
                    row, beside = int(read[one] >> 2), int(read[other] >> 2)
                    if groups.find(row) != groups.find(beside) and texts.alike(one, other):
                        groups.join(row, beside)
        return groups

    def _column(self, number: int) -> npt.NDArray[np.uint32]:
        """One column of the texts of all batches; of the rows in the first one, their numbers in all of them."""
        column = np.empty(sum(batch["texts"] for batch in self._batches), dtype=np.uint32)
        at = first = 0
        for batch, told in enumerate(self._batches):
            part = column[at : at + told["texts"]]
            with self._ctx.open(index_name(batch)).open("rb") as file:
                file.seek(told["rows"] * ROW.itemsize + number * told["texts"] * 4)
                part[:] = np.fromfile(file, dtype="<u4", count=told["texts"])
            if number == 0:
                part += np.uint32(first << 2)
            at, first = at + told["texts"], first + told["rows"]
        return column


def _one_by_one(pairs: Numbers) -> Iterator[tuple[int, int]]:
    for at in range(0, len(pairs), ROWS_AT_ONCE):
        yield from pairs[at : at + ROWS_AT_ONCE].tolist()


class _Texts:
    """The 5-grams of texts that are to be compared, made when they first are, and kept in a file without a name."""

    def __init__(
        self,
        corpus: Corpus,
        each: Each[Path],
        read: npt.NDArray[np.uint32],
        sizes: npt.NDArray[np.uint32],
        scratch: Path,
    ) -> None:
        self._corpus = corpus
        self._each = each
        self._read = read  # of each, its row and the way to read it (working.py)
        self._starts = np.full(len(read), -1, dtype=np.int64)
        self._sizes = sizes  # how many 5-grams each has
        self._kept = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115
        self._hashes = lru_cache(CACHED)(self._back)

    def close(self) -> None:
        self._kept.close()

    def prepare(self, numbers: Numbers) -> None:
        """Make ready the texts of those numbers."""
        new = numbers[self._starts[numbers] < 0]
        parts = list(near_duplicates.chunked(new, self._corpus.lengths(self._rows_of(new)), AT_ONCE))
        places = (
            (*self._corpus.places(self._rows_of(part)), (self._read[part] & 3).tolist()) for part in parts
        )
        for part, found in zip(parts, self._each(_shingled, places), strict=True):
            self._starts[part] = self._kept.seek(0, os.SEEK_END) // 8 + found.starts[:-1]
            self._kept.write(found.hashes.tobytes())
        self._kept.flush()

    def _rows_of(self, numbers: Numbers) -> Numbers:
        return (self._read[numbers] >> 2).astype(np.int64)

    def alike(self, one: int, other: int) -> bool:
        """Whether two texts are near-duplicates."""
        return near_duplicates.jaccard(self._hashes(one), self._hashes(other)) >= SIMILAR

    def _back(self, number: int) -> Hashes:
        count, start = int(self._sizes[number]), int(self._starts[number])
        return np.frombuffer(os.pread(self._kept.fileno(), count * 8, start * 8), dtype=np.uint64)


def _shingled(path: Path, places: tuple[list[int], list[int], list[int]]) -> Shingled:
    """The 5-grams of rows of a file: where each begins, how long it is, and the way to read it."""
    with path.open("rb") as file:
        descriptor = file.fileno()
        texts = [
            _text(os.pread(descriptor, length, start), way)
            for start, length, way in zip(*places, strict=True)
        ]
    return near_duplicates.shingles(texts)


def _text(line: bytes, way: int) -> bytes:
    """What is compared of a row, read one way."""
    said = from_json(line)
    part = said["messages"][1]["content"] if said["kind"] == "completion" else ""
    return dict(readings(code(said), part))[way].encode()


def code(row: dict[str, Any]) -> str:
    """The code that a row teaches: its answer, and of a file that was cut in two the head before it, which the prompt shows."""
    prompt, answer = (turn["content"] for turn in row["messages"])
    if row["kind"] == "completion":
        return str(prompt.split("```", 1)[1].partition("\n")[2].removesuffix("```") + answer)
    return str(answer.removesuffix("\n"))
