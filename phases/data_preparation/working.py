"""What a worker does with a chunk of files: every one through the inside of ProcessFiles, and rows out of it.

A chunk's result depends on the chunk and the settings alone: on no other chunk, and not on who works.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard
from pydantic_core import to_json

from fsm.engine import Phase, Walk
from machines.data_preparation import MACHINE
from phases.data_preparation import near_duplicates
from phases.data_preparation.archive import LEVEL
from phases.data_preparation.config import DOMAINS
from phases.data_preparation.examples import Example
from phases.data_preparation.held_out import HeldOut
from phases.data_preparation.identity import md5s
from phases.data_preparation.lengths import token_counts
from phases.data_preparation.planning import Chunk
from phases.data_preparation.processing import Rules, SourceFile
from phases.data_preparation.tokens import COMMENTS

INSIDE = "ProcessFiles"
OWN = ("name", "md5")
"""What else than its messages a row has for itself; the rest it has in common with those beside it."""
LINE_ENDS = "\u2028\u2029\u0085"
"""What other readers than JSON's take for the end of a line."""

ROW = np.dtype(
    [
        ("length", "<u4"),  # bytes of the row's line, its end included
        (
            "messages",
            "<u4",
        ),  # bytes of it up to the end of the messages: with a brace behind them, the row as trained on
        ("md5", "V16"),
        ("prompt", "<u8"),  # a digest of the prompt
        ("prompt_tokens", "<u4"),  # by the student's tokenizer; 0 where none is configured
        ("tokens", "<u4"),  # of prompt and answer
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

    `rows` are their JSON lines, as Zstandard frames; `index` is a ROW of each; `texts` are the texts that are compared, as
    `compared` has them.
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
    with _no_collections():
        return _work(settings, chunk, contents)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Spare the search for circles in what is made here: there are hardly any, and looking takes a thirtieth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _work(settings: Settings, chunk: Chunk, contents: list[bytes]) -> Done:
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
    digests = md5s([example.identity for example in examples])
    rows = [example.row(md5) for example, md5 in zip(examples, digests, strict=True)]
    lines = [written(row) for row in rows]
    done.rows = zstandard.ZstdCompressor(LEVEL).compress(b"".join(line for line, _ in lines))
    done.licences = sorted({row["licence"] for row in rows})
    done.index = np.zeros(len(rows), dtype=ROW)
    known: dict[str, list[Any]] = {
        "length": [len(line) for line, _ in lines],
        "messages": [messages for _, messages in lines],
        "md5": [bytes.fromhex(md5) for md5 in digests],
        "prompt": [near_duplicates.digest(example.prompt) for example in examples],
        "licence": [done.licences.index(row["licence"]) for row in rows],
        "domain": [DOMAINS.index(row["domain"]) for row in rows],
    }
    if (tokenizer := settings.rules.tokenizer) is not None:
        known["prompt_tokens"] = token_counts(tokenizer, [example.prompt for example in examples])
        answers = token_counts(tokenizer, [example.answer for example in examples])
        known["tokens"] = [sum(both) for both in zip(known["prompt_tokens"], answers, strict=True)]
    for column, values in known.items():
        done.index[column] = np.array(values, dtype=ROW[column])
    if settings.held_out is not None and examples:
        said = [f"{example.prompt}\n{example.answer}".encode() for example in examples]
        done.index["held_out"] = settings.held_out.hits(said)
    if settings.near:
        done.texts = compared(examples)
    return done


def compared(examples: list[Example]) -> npt.NDArray[np.uint32]:
    """The texts by which rows are compared, by columns: the row with the way it was read, how many 5-grams, the bands."""
    texts = [
        (number << 2 | way, text)
        for number, example in enumerate(examples)
        for way, text in readings(example.identity, example.answer if example.kind == "completion" else "")
    ]
    found = near_duplicates.shingles([text.encode() for _, text in texts])
    rows = np.array([row for row, _ in texts], dtype=np.uint32)
    return np.vstack([rows, found.sizes.astype(np.uint32), near_duplicates.bands(found).T])


def readings(code: str, part: str) -> Iterator[tuple[int, str]]:
    """What of a row is compared, each way only where it differs: its code (0), that without comments (1), and of a file that
    was cut in two the part that is the answer (2, 3).

    Copied code under another comment is copied, and so is a comment with another line of code below it.
    """
    for way, text in enumerate((code, part)):
        if text:
            yield 2 * way, text
            bare = COMMENTS.sub(" ", text)
            if bare != text and not bare.isspace():
                yield 2 * way + 1, bare


def written(row: Mapping[str, Any]) -> tuple[bytes, int]:
    """A row's JSON line, and how many bytes of it go to the end of its messages; these stand first.

    The characters that other readers take for line ends are escaped.
    """
    turns = b", ".join(
        [b'{"role": %b, "content": %b}' % (_often(t["role"]), _json(t["content"])) for t in row["messages"]]
    )
    head = b'{"messages": [%b]' % turns
    values = [
        b"%d" % value if isinstance(value, int) else (_json if key in OWN else _often)(value)
        for key, value in row.items()
        if key != "messages"
    ]
    return head + _form(tuple(row)) % tuple(values), len(head)


def _json(value: str) -> bytes:
    """As json.dumps has it without ensure_ascii, in half the time."""
    text = to_json(value)
    if text.isascii():
        return text
    for sign in LINE_ENDS:
        text = text.replace(sign.encode(), b"\\u%04x" % ord(sign))
    return text


_often = lru_cache(256)(_json)
"""The same of what the rows of a file have in common."""


@cache
def _form(keys: tuple[str, ...]) -> bytes:
    """What stands around the values behind the messages."""
    names = [_json(key).replace(b"%", b"%%") for key in keys if key != "messages"]
    return b"".join([b", %b: %%b" % name for name in names]) + b"}\n"


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
        texts[0, text : text + one.texts.shape[1]] += np.uint32(row << 2)
        row, text = row + len(one.index), text + one.texts.shape[1]
        counts.update(one.counts)
        for domain, numbers in one.tally.items():
            tally.setdefault(domain, Counter()).update(numbers)
    skipped = [entry for one in done for entry in one.skipped]
    return Done(b"".join(one.rows for one in done), index, texts, licences, skipped, counts, tally)


def _nothing() -> tuple[npt.NDArray[np.void], npt.NDArray[np.uint32]]:
    return np.zeros(0, dtype=ROW), np.zeros((2 + near_duplicates.BANDS, 0), dtype=np.uint32)


@cache
def _phase() -> Phase:
    from phases.data_preparation.handlers import PHASE  # which works through this module

    return PHASE
