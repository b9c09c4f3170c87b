"""Rows of messages to tokens that a trainer takes: loss on the completion only, nothing cut off unseen.

A row of a data set is a JSON object with `messages`: alternating turns of which the last is the assistant's.
All before it is the prompt, the last turn the completion. TRL has no training template for Granite, so
`assistant_only_loss` raises there; a mask made from prompt and completion needs no template of its own.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phases.errors import EmptyDataset, InvalidStructure

Row = Mapping[str, Any]
ROLES = frozenset({"system", "user", "assistant", "tool"})


@dataclass(frozen=True)
class Example:
    """One row in tokens. `input_ids` and `completion_mask` are equally long; the mask is 1 where loss is taken."""

    input_ids: tuple[int, ...]
    completion_mask: tuple[int, ...]


@dataclass(frozen=True)
class Tokenized:
    """A data set in tokens, and what was left out: `dropped` are the line numbers (from 0) of rows too long."""

    examples: tuple[Example, ...]
    dropped: tuple[int, ...]
    max_length: int

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
            f"{name}: {len(self.dropped)} of {total} rows are longer than max_length {self.max_length} tokens and "
            "were dropped whole (a row cut off would teach the student to stop in the middle). Raise max_length to keep them."
        )


def read_jsonl(path: Path) -> list[Any]:
    """The rows of a JSON-lines file. Raises InvalidStructure for a line that is not JSON, naming it."""
    return list(_rows(path))


def _rows(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except ValueError as e:
                raise InvalidStructure(
                    f"{path.name}, line {number} is not JSON ({e}). Each line must be one object with `messages`; "
                    "correct the line or prepare the data again.",
                    item=f"{path.name}:{number}",
                ) from e


def lines(rows: Iterable[Any]) -> str:
    """The rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def hold_out(rows: Sequence[Any], one_in: int, seed: int) -> tuple[list[Any], list[Any]]:
    """(the rest, at least one row taken out), the rows' order kept; which rows is the seed's to say."""
    taken = set(random.Random(seed).sample(range(len(rows)), max(1, len(rows) // one_in)))
    return [r for i, r in enumerate(rows) if i not in taken], [r for i, r in enumerate(rows) if i in taken]


def validate(rows: Sequence[Any], name: str) -> None:
    """ValidateStructure of Diagram 5: every row has `messages`, the last of them the assistant's.

    Raises EmptyDataset when there is no row, InvalidStructure for the first row that does not fit.
    """
    if not rows:
        raise EmptyDataset(
            f"{name} holds no rows, so there is nothing to train on. Check that data preparation found sources and "
            "that the training channel points at its output."
        )
    for number, row in enumerate(rows, 1):
        fault = _fault(row)
        if fault:
            raise InvalidStructure(
                f"{name}, row {number} {fault}. Each row must be an object with `messages`, a list of objects with "
                "`role` and `content` that ends with the assistant's turn; correct the row or prepare the data again.",
                item=f"{name}:{number}",
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
        if message.get("role") not in ROLES:
            return f"has a turn with the role {message.get('role')!r}"
    if messages[-1]["role"] != "assistant":
        return f"ends with the turn of {messages[-1]['role']!r}"
    return ""


def prompt_and_completion(row: Row) -> dict[str, list[dict[str, str]]]:
    """The row in TRL's prompt/completion form."""
    messages = [{"role": m["role"], "content": m["content"]} for m in row["messages"]]
    return {"prompt": messages[:-1], "completion": messages[-1:]}


def prompt_ids(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """The tokens of a prompt as the student sees it when it is to answer: template, generation prompt and all."""
    return _apply(tokenizer, list(messages), add_generation_prompt=True)


def tokenize(rows: Iterable[Row], tokenizer: Any, max_length: int, name: str) -> Tokenized:
    """Every row in tokens, with the completion's mask; rows longer than `max_length` are left out and counted.

    Raises InvalidStructure when the tokenizer has no chat template, EmptyDataset when no row is short enough.
    """
    require_template(tokenizer)
    kept: list[Example] = []
    dropped: list[int] = []
    for number, row in enumerate(rows):
        parts = prompt_and_completion(row)
        prompt = prompt_ids(tokenizer, parts["prompt"])
        whole = _apply(tokenizer, parts["prompt"] + parts["completion"], add_generation_prompt=False)
        if len(whole) > max_length:
            dropped.append(number)
            continue
        start = _common_prefix(prompt, whole)
        kept.append(Example(tuple(whole), (0,) * start + (1,) * (len(whole) - start)))
    if not kept:
        raise EmptyDataset(
            f"{name}: all {len(dropped)} rows are longer than max_length {max_length} tokens, so none is left to "
            "train on. Raise max_length."
        )
    return Tokenized(tuple(kept), tuple(dropped), max_length)


def require_template(tokenizer: Any) -> None:
    """Raises InvalidStructure when the tokenizer cannot put messages into the model's form."""
    if not getattr(tokenizer, "chat_template", None):
        raise InvalidStructure(
            f"The tokenizer of {tokenizer.name_or_path} has no chat template, so `messages` cannot be put into the "
            "form that the model expects. Take the instruct variant of the model, or save a tokenizer with a "
            "chat_template beside the weights."
        )


def dataset(tokenized: Tokenized) -> Any:
    """The examples as a `datasets.Dataset` that SFTTrainer takes as already processed."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    return Dataset.from_dict(
        {
            "input_ids": [list(e.input_ids) for e in tokenized.examples],
            "completion_mask": [list(e.completion_mask) for e in tokenized.examples],
        }
    )


def _apply(tokenizer: Any, messages: list[Any], *, add_generation_prompt: bool) -> list[int]:
    ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=add_generation_prompt, tokenize=True, return_dict=True
    )["input_ids"]
    return list(ids)


def _common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))
