"""Pairs of answers to tokens that DPO takes: a prompt, the answer to prefer, the answer to prefer it to.

A row is a JSON object with `prompt` (as `phases.turns` spells it), `chosen` and `rejected`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from phases.errors import EmptyDataset
from phases.qlora_training.data import Bound, Tokenized, in_tokens
from phases.student.turns import require_template
from phases.turns import turns


@dataclass(frozen=True)
class Pair:
    """One pair in tokens."""

    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]

    @property
    def input_ids(self) -> tuple[int, ...]:
        """All that is gone through: both answers, each behind the prompt."""
        return (*self.prompt_ids, *self.chosen_ids, *self.prompt_ids, *self.rejected_ids)


def tokenize(
    rows: Iterable[Mapping[str, Any]],
    tokenizer: Any,
    max_length: int,
    name: str,
    context: int | None = None,
) -> Tokenized[Pair]:
    """Every pair in tokens, as rows of one answer are put into them; pairs with an answer longer than `max_length` or than
    the model's `context` are left out and counted.

    Raises InvalidStructure when the tokenizer has no chat template, EmptyDataset when no pair is short enough.
    """
    require_template(tokenizer)
    bound = Bound(max_length, context)
    kept: list[Pair] = []
    too_long: dict[int, int] = {}
    for number, row in enumerate(rows):
        prompt, chosen = _said(tokenizer, row["prompt"], row["chosen"])
        _, rejected = _said(tokenizer, row["prompt"], row["rejected"])
        length = len(prompt) + max(len(chosen), len(rejected))
        if length > bound.tokens:
            too_long[number] = length
            continue
        kept.append(Pair(tuple(prompt), tuple(chosen), tuple(rejected)))
    if not kept:
        raise EmptyDataset(
            f"{name}: all {len(too_long)} pairs are longer than {bound} tokens, so there is none to prefer by. "
            f"{bound.to_raise_it}, or set distillation.learn to sft."
        )
    return Tokenized(tuple(kept), tuple(too_long), tuple(too_long.values()), bound)


def dataset(tokenized: Tokenized[Pair]) -> Any:
    """The pairs as a `datasets.Dataset` with the columns that DPOTrainer makes of texts."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    return Dataset.from_dict(
        {
            name: [list(getattr(pair, name)) for pair in tokenized.examples]
            for name in ("prompt_ids", "chosen_ids", "rejected_ids")
        }
    )


def _said(tokenizer: Any, prompt: str, answer: str) -> tuple[list[int], list[int]]:
    return in_tokens(tokenizer, turns(prompt), [{"role": "assistant", "content": answer}])
