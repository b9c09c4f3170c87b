"""What a worker does with a chunk of files: every one through the inside of ProcessFiles, and rows out of it.

A chunk's result depends on the chunk and the settings alone: on no other chunk, and not on who works.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fsm.engine import Phase, Walk
from machines.data_preparation import MACHINE
from phases.data_preparation import near_duplicates
from phases.data_preparation.config import DOMAINS
from phases.data_preparation.examples import Example
from phases.data_preparation.held_out import HeldOut
from phases.data_preparation.planning import Chunk
from phases.data_preparation.processing import Rules, SourceFile

INSIDE = "ProcessFiles"
LEVEL = 1  # of gzip: rows are written once and read twice

ROW = np.dtype(
    [
        ("length", "<u4"),  # bytes of the row's line, its end included
        (
            "messages",
            "<u4",
        ),  # bytes of it up to the end of the messages: with a brace behind them, the row as trained on
        ("md5", "V16"),
        ("prompt", "<u8"),  # a digest of the prompt
        ("prompt_tokens", "<u4"),
        ("tokens", "<u4"),
        ("licence", "<u2"),  # in the table of the batch
        ("domain", "u1"),  # in DOMAINS
        ("held_out", "u1"),
    ]
)
"""What is known of a row without reading it."""


@dataclass(frozen=True)
class Settings:
    """What decides about rows besides the files themselves."""

    rules: Rules
    near: bool = True
    held_out: HeldOut | None = None


@dataclass
class Done:
    """What came out of chunks.

    `rows` are their JSON lines, as gzip members; `index` is a ROW of each; `texts` are the texts that are compared, by
    columns: their row, the number of their 5-grams, and their bands.
    """

    rows: bytes
    index: npt.NDArray[np.void]
    texts: npt.NDArray[np.uint32]
    licences: list[str]
    skipped: list[dict[str, str]]
    counts: Counter[str]
    tally: dict[str, Counter[str]] = field(default_factory=dict)


def work(settings: Settings, chunk: Chunk, contents: list[bytes]) -> Done:
    """All files of a chunk, in their order."""
    walk = Walk(MACHINE.counted_inside(INSIDE), _phase(), prefix=f"{INSIDE}.")
    examples: list[Example] = []
    skipped = []
    tally: Counter[str] = Counter(files=len(chunk.files), bytes=chunk.size)
    for file, content in zip(chunk.files, contents, strict=True):
        item = SourceFile(
            file.member.key,
            chunk.domain,
            content,
            settings.rules,
            skipped=file.unread,
            copy_of=file.copy_of,
        )
        walk.run(item)
        examples += item.examples
        tally.update(item.tally)
        tally["functions"] += len(item.functions)
        tally["files without a function"] += not item.functions and not item.skipped
        if item.skipped:
            skipped.append({"key": item.key, "domain": chunk.domain, "reason": item.skipped})
    name = walk.machine.name
    counts = Counter({f"{name}: {edge}": n for edge, n in walk.counts().items()})
    return _written(settings, examples, Done(b"", *_nothing(), [], skipped, counts, {chunk.domain: tally}))


def _written(settings: Settings, examples: list[Example], done: Done) -> Done:
    lines = []
    index = np.zeros(len(examples), dtype=ROW)
    done.licences = sorted({_licence(example.row()) for example in examples})
    for number, example in enumerate(examples):
        row = example.row()
        line, messages = written(row)
        lines.append(line)
        index[number] = (
            len(line),
            messages,
            bytes.fromhex(row["md5"]),
            near_duplicates.digest(example.prompt),
            0,
            0,
            done.licences.index(_licence(row)),
            DOMAINS.index(example.origin.domain),
            0,
        )
    if settings.held_out is not None and examples:
        said = [f"{example.prompt}\n{example.answer}".encode() for example in examples]
        index["held_out"] = settings.held_out.hits(said)
    done.index = index
    done.rows = gzip.compress(b"".join(lines), LEVEL, mtime=0)
    if settings.near:
        done.texts = compared(examples)
    return done


def compared(examples: list[Example]) -> npt.NDArray[np.uint32]:
    """The texts by which rows are compared, by columns: the code, and of a file cut in two the answer besides."""
    texts = [(number, example.identity) for number, example in enumerate(examples)]
    texts += [(number, example.answer) for number, example in enumerate(examples) if cut(example)]
    found = near_duplicates.shingles([text.encode() for _, text in texts])
    numbers = np.array([number for number, _ in texts], dtype=np.uint32)
    return np.vstack([numbers, found.sizes.astype(np.uint32), near_duplicates.bands(found).T])


def cut(example: Example) -> bool:
    """Whether its answer is a part of its code only."""
    return example.kind == "completion"


def written(row: dict[str, Any]) -> tuple[bytes, int]:
    """A row's JSON line, and how many bytes of it go to the end of its messages; these stand first.

    The characters that other readers take for line ends are escaped.
    """
    messages = f'{{"messages": {_json(row["messages"])}'
    rest = _json({key: value for key, value in row.items() if key != "messages"})
    head = messages.encode()
    return head + f", {rest[1:]}\n".encode(), len(head)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if text.isascii():
        return text
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\u0085", "\\u0085")


def joined(done: list[Done]) -> Done:
    """What came out of several chunks, as if they were one."""
    licences = sorted({licence for one in done for licence in one.licences})
    index = np.concatenate([one.index for one in done])
    texts = np.concatenate([one.texts for one in done], axis=1)
    row = text = 0
    counts: Counter[str] = Counter()
    tally: dict[str, Counter[str]] = {}
    for one in done:
        here = slice(row, row + len(one.index))
        index["licence"][here] = np.array([licences.index(x) for x in one.licences] or [0], dtype="<u2")[
            one.index["licence"]
        ]
        texts[0, text : text + one.texts.shape[1]] += np.uint32(row)
        row, text = row + len(one.index), text + one.texts.shape[1]
        counts.update(one.counts)
        for domain, numbers in one.tally.items():
            tally.setdefault(domain, Counter()).update(numbers)
    skipped = [entry for one in done for entry in one.skipped]
    return Done(b"".join(one.rows for one in done), index, texts, licences, skipped, counts, tally)


def _nothing() -> tuple[npt.NDArray[np.void], npt.NDArray[np.uint32]]:
    return np.zeros(0, dtype=ROW), np.zeros((2 + near_duplicates.BANDS, 0), dtype=np.uint32)


def _licence(row: dict[str, Any]) -> str:
    return str(row.get("licence") or "")


@cache
def _phase() -> Phase:
    from phases.data_preparation.handlers import PHASE  # which works through this module

    return PHASE
