"""A student that can answer, in place of a micro one that can't: right, under another name, or no C at all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest

from phases.quality_scoring.asked import named
from phases.student.generate import Output
from phases.teacher_generation.offline.teacher import write_function


def says(prompt: str, seed: int) -> str:
    """Three answers in five are right; which are, is the seed's and the prompt's to say."""
    right = write_function(prompt)
    chance = hashlib.sha256(f"{seed} {prompt}".encode()).digest()[0] % 5
    if chance == 3:
        for name in named(prompt):
            right = right.replace(name, f"{name}_{seed}")
    return right.replace(";", "", 2) if chance == 4 else right


def answer(
    model: Any, tokenizer: Any, encoded: Sequence[Any], batch: Any, config: Any, seed: int
) -> list[Output]:
    """What `phases.student.generate.answer` gives, by `says`."""
    return [
        Output(one.prompt, text, len(text), False, one.cut)
        for one in (encoded[place] for place in batch.places)
        for text in [says(one.prompt, seed)]
    ]


def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every student of distillation answer so."""
    monkeypatch.setattr("phases.distillation.student.answer", answer)
