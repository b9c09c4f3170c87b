"""Rows of messages to tokens that a trainer takes: loss on the completion only, nothing cut off unseen.

A row of a data set is a JSON object with `messages`: alternating turns of which the last is the assistant's.
All before it is the prompt, the last turn the completion. TRL has no training template for Granite, so
`assistant_only_loss` raises there; a mask made from prompt and completion needs no template of its own.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from fsm.text import unspelt
from phases.errors import EmptyDataset, InvalidStructure
from phases.reading import read_rows
from phases.student.turns import ids, rendered, require_template

Row = Mapping[str, Any]
ROLES = frozenset({"system", "user", "assistant", "tool"})


@dataclass(frozen=True)
class Example:
    """One row in tokens. `input_ids` and `completion_mask` are equally long; the mask is 1 where loss is taken."""

    input_ids: tuple[int, ...]
    completion_mask: tuple[int, ...]


@dataclass(frozen=True)
class Bound:
    """How long a row may be, in tokens: as configured, and no longer than what the model can look back over."""

    max_length: int
    context: int | None = None

    @property
    def tokens(self) -> int:
        """The smaller of the two."""
        return min(self.max_length, self.context or self.max_length)

    @property
    def to_raise_it(self) -> str:
        """What to do about rows that are longer."""
        return "Raise max_length" if self.tokens == self.max_length else "Take a model with a longer context"

    def __str__(self) -> str:
        if self.tokens == self.max_length:
            return f"max_length {self.max_length}"
        return f"the model's context of {self.context}"


class InTokens(Protocol):
    """What a data set consists of: a row, or a pair of answers."""

    @property
    def input_ids(self) -> tuple[int, ...]:
        """All tokens of it."""


E = TypeVar("E", bound=InTokens)


@dataclass(frozen=True)
class Tokenized(Generic[E]):
    """A data set in tokens, and what was left out: `dropped` are the places (from 0) of rows longer than `bound`, and
    `too_long` their lengths.
    """

    examples: tuple[E, ...]
    dropped: tuple[int, ...]
    too_long: tuple[int, ...]
    bound: Bound

    @property
    def tokens(self) -> int:
        """All tokens of all rows."""
        return sum(len(e.input_ids) for e in self.examples)

    def said(self, name: str) -> str:
        """What a user is told about rows left out; empty when there are none."""
        if not self.dropped:
            return ""
        total = len(self.examples) + len(self.dropped)
        return (
            f"{name}: {len(self.dropped)} of {total} rows are longer than {self.bound} tokens and were dropped whole (a "
            f"row cut off would teach the student to stop in the middle). {self.bound.to_raise_it} to keep them."
        )

    def require(self, share: float, name: str) -> None:
        """Raises InvalidStructure where more than `share` of the rows is too long, with the length that would do."""
        total = len(self.examples) + len(self.dropped)
        if len(self.dropped) <= share * total:
            return
        enough = sorted(self.too_long, reverse=True)[int(share * total)]
        raise InvalidStructure(
            f"{name}: {len(self.dropped)} of {total} rows ({len(self.dropped) / total:.0%}) are longer than {self.bound} tokens and would "
            f"be dropped, and max_dropped_share allows {share:.0%}. {self.bound.to_raise_it}: {enough} tokens would be enough, "
            f"{max(self.too_long)} would keep all; or prepare shorter rows."
        )


def read_jsonl(path: Path) -> list[Any]:
    """The rows of a JSON-lines file that this program wrote: what a student said is in it as it was said, U+0000 too."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line.strip()]


def read_valid(path: Path, name: str, *, required: bool = True) -> list[Any]:
    """The rows of a JSON-lines file from outside, as `validate` wants them; no row at all only where they are not `required`.

    What is wrong is named by its line in the file.
    """
    found = list(read_rows(path, name, _WANTED))
    if not found and not required:
        return []
    validate([row for _, row in found], name, [number for number, _ in found])
    return [row for _, row in found]


_WANTED = (
    "Each line must be one object with `messages`, a list of objects with `role` and `content` that ends with the "
    "assistant's turn; correct it or prepare the data again."
)


def lines(rows: Iterable[Any]) -> str:
    """The rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def hold_out(
    rows: Sequence[Any], one_in: int, seed: int, name: str = "the training set"
) -> tuple[list[Any], list[Any]]:
    """(the rest, at least one row taken out), the rows' order kept; which rows is the seed's to say.

    Raises EmptyDataset where that would take the only row.
    """
    if len(rows) < 2:
        raise EmptyDataset(
            f"{name} holds {len(rows)} row, and there is no validation set: one row is needed to train on and another to "
            "compute eval_loss on. Add rows, or name a validation set."
        )
    taken = set(random.Random(seed).sample(range(len(rows)), max(1, len(rows) // one_in)))
    return [r for i, r in enumerate(rows) if i not in taken], [r for i, r in enumerate(rows) if i in taken]


def validate(rows: Sequence[Any], name: str, lines: Sequence[int] = ()) -> None:
    """ValidateStructure of Diagram 5: every row has `messages`, the last of them the assistant's.

    `lines` are the rows' line numbers, where they are of a file. Raises EmptyDataset when there is no row,
    InvalidStructure for the first row that does not fit.
    """
    if not rows:
        raise EmptyDataset(
            f"{name} holds no rows, so there is nothing to train on. Check that data preparation found sources and "
            "that the training channel points at its output."
        )
    for place, row in enumerate(rows):
        fault = _fault(row)
        if fault:
            number = lines[place] if lines else place + 1
            raise InvalidStructure(
                f"{name}, {'line' if lines else 'row'} {number} {fault}. {_WANTED}", item=f"{name}:{number}"
            )


def _fault(row: Any) -> str:
    if not isinstance(row, Mapping):
        return "is not an object"
    if "messages" not in row:
        return "has no `messages`"
    messages = row["messages"]
    if not isinstance(messages, list) or len(messages) < 2:
        return "has `messages` that are not a list of at least two turns"
    for message in messages:
        if not isinstance(message, Mapping) or not isinstance(message.get("content"), str):
            return "has a turn without text in `content`"
        if why := unspelt(message["content"]):
            return f"has a turn with {why}"
        if message.get("role") not in ROLES:
            return f"has a turn with the role {message.get('role')!r}"
    if messages[-1]["role"] != "assistant":
        return f"ends with the turn of {messages[-1]['role']!r}"
    return ""


def prompt_and_completion(row: Row) -> dict[str, list[dict[str, str]]]:
    """The row in TRL's prompt/completion form."""
    messages = [{"role": m["role"], "content": m["content"]} for m in row["messages"]]
    return {"prompt": messages[:-1], "completion": messages[-1:]}


def tokenize(
    rows: Iterable[Row], tokenizer: Any, max_length: int, name: str, context: int | None = None
) -> Tokenized[Example]:
    """Every row in tokens, with the completion's mask; rows longer than `max_length` or than the model's `context` are
    left out and counted.

    Raises InvalidStructure when the tokenizer has no chat template, EmptyDataset when no row is short enough.
    """
    require_template(tokenizer)
    bound = Bound(max_length, context)
    kept: list[Example] = []
    dropped: list[int] = []
    too_long: list[int] = []
    for number, row in enumerate(rows):
        parts = prompt_and_completion(row)
        prompt, completion = in_tokens(tokenizer, parts["prompt"], parts["completion"])
        if len(prompt) + len(completion) > bound.tokens:
            dropped.append(number)
            too_long.append(len(prompt) + len(completion))
            continue
        kept.append(Example((*prompt, *completion), (0,) * len(prompt) + (1,) * len(completion)))
    if not kept:
        raise EmptyDataset(
            f"{name}: all {len(dropped)} rows are longer than {bound} tokens, so none is left to train on. "
            f"{bound.to_raise_it}, or prepare shorter rows."
        )
    return Tokenized(tuple(kept), tuple(dropped), tuple(too_long), bound)


def dataset(tokenized: Tokenized[Example]) -> Any:
    """The examples as a `datasets.Dataset` that SFTTrainer takes as already processed."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    return Dataset.from_dict(
        {
            "input_ids": [list(e.input_ids) for e in tokenized.examples],
            "completion_mask": [list(e.completion_mask) for e in tokenized.examples],
        }
    )


def in_tokens(tokenizer: Any, prompt: list[Any], completion: list[Any]) -> tuple[list[int], list[int]]:
    """(the prompt as `prompt_ids` gives it, what is to be learned after it: the answer, and to end there).

    The template puts the whole row into one text, and a token may reach over the border between its two parts where
    no special token stands there ("Answer:" and a line break before an answer that begins with one). The student is
    never asked in such a token, so the answer is put into tokens by itself there.
    """
    before = rendered(tokenizer, prompt, add_generation_prompt=True)
    text = rendered(tokenizer, prompt + completion, add_generation_prompt=False)
    asked, whole = ids(tokenizer, before), ids(tokenizer, text)
    if whole[: len(asked)] == asked:
        return asked, _ended(tokenizer, whole[len(asked) :])
    border = _common_prefix(before, text)
    if border < len(before):  # the template writes more before an answer it asks for than before one it has
        asked = ids(tokenizer, text[:border])
    return asked, _ended(tokenizer, ids(tokenizer, text[border:]))


def _ended(tokenizer: Any, completion: list[int]) -> list[int]:
    """The completion up to the end of text that ends it, which is added where the template writes none.

    Granite's template writes a line break behind the end of text, which nothing ever asks for; that of the Granite
    code models writes no end at all, and a student trained so would never stop.
    """
    end = tokenizer.eos_token_id
    if end is None:
        return completion
    last = len(completion) - 1 - completion[::-1].index(end) if end in completion else None
    if last is None or tokenizer.decode(completion[last + 1 :]).strip():
        return [*completion, end]
    return completion[: last + 1]


def _common_prefix(one: str, other: str) -> int:
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))
