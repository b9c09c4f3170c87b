"""A student that can answer, in place of a micro one that can't: right, under another name, or no C at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
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


def answers(
    model: Any, tokenizer: Any, prompts: Sequence[str], config: Any, seed: int
) -> Iterator[tuple[int, Output]]:
    """What `phases.student.generate.answers` gives, by `says`."""
    for place, prompt in enumerate(prompts):
        text = says(prompt, seed)
        yield place, Output(prompt, text, len(text), False, False)


def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every student of distillation answer so."""
    monkeypatch.setattr("phases.student.generate.answers", answers)
