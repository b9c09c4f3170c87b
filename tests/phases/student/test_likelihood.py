"""How likely a student finds a text is the text's own, whatever is asked beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phases.student.generate import encode
from phases.student.likelihood import likelihoods
from tests.phases.qlora_training.conftest import micro
from tests.phases.qlora_training.micro import C_TEXTS, settings

__all__ = ["micro"]
PROMPTS = [f"Write add_{n}." for n in range(11)]


@pytest.fixture(scope="module")
def student(micro: Path) -> Any:
    from phases.student.session import Session

    return Session(settings(micro), str(micro), 1).use(None)


def found(student: Any, prompts: list[str], texts: list[str], rows: int = 4) -> list[float]:
    asked = encode(student.tokenizer, prompts, 128)
    return list(likelihoods(student.model, student.tokenizer, asked, texts, rows))


def test_it_is_the_mean_log_probability_of_the_answers_tokens_alone(student: Any) -> None:
    import torch

    (value,) = found(student, PROMPTS[:1], C_TEXTS[:1])
    asked = list(encode(student.tokenizer, PROMPTS[:1], 128)[0].ids)
    said = [
        *student.tokenizer(C_TEXTS[0], add_special_tokens=False)["input_ids"],
        student.tokenizer.eos_token_id,
    ]
    with torch.no_grad():
        logits = student.model(input_ids=torch.tensor([asked + said])).logits[0].float().log_softmax(-1)
    by_hand = [logits[len(asked) - 1 + n, token].item() for n, token in enumerate(said)]
    assert value == pytest.approx(sum(by_hand) / len(by_hand), abs=1e-4)


def test_what_else_is_asked_does_not_change_it(student: Any) -> None:
    texts = C_TEXTS[: len(PROMPTS)]
    together = found(student, PROMPTS, texts)
    assert together == [found(student, [p], [t])[0] for p, t in zip(PROMPTS, texts, strict=True)]
    assert all(value < 0 for value in together)
