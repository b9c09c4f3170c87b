"""How many tokens a text has for the student: by its own tokenizer, without its model and without torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from phases.errors import NotProvided


def token_counts(tokenizer: str, texts: Sequence[str]) -> list[int]:
    """The tokens of each text, without what a chat template adds.

    Raises:
        NotProvided: there is no tokenizer of that name.
    """
    return [len(found) for found in _tokenizer(tokenizer).encode_batch_fast(texts, add_special_tokens=False)]


@cache
def _tokenizer(name: str) -> Any:
    from tokenizers import Tokenizer

    path = Path(name)
    try:
        if path.exists():
            return Tokenizer.from_file(str(path / "tokenizer.json" if path.is_dir() else path))
        return Tokenizer.from_pretrained(name)
    except Exception as error:  # tokenizers raises plain Exception
        raise NotProvided(
            f"No tokenizer at {name}: {error}. data_preparation.tokenizer is a directory with a tokenizer.json, that file, or a "
            "model's id on the Hub; without it no example is measured."
        ) from None
