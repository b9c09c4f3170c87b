"""The tiny student writes the number that it is asked for, one that it has never seen: what its base is made for."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from phases.student import documented, tiny
from phases.student.config import TinyStudentConfig
from phases.teacher_generation.offline.prompts import generate
from phases.teacher_generation.offline.teacher import write_function

RECIPE = TinyStudentConfig(
    heads=2,
    vocabulary=512,
    number_digits=2,
    copying=True,
    documented=0.75,
    base_steps=60,
    base_batch=8,
    base_length=96,
    base_learning_rate=1.5e-3,
    seed=3,
)
TEXTS = list(dict.fromkeys(write_function(prompt.text) for prompt in generate("train", 54, 1)))


def numbers_copied(tokenizer: Any, model: Any) -> float:
    """The share of constants of which each token is the likeliest, below 40 notes with numbers that are new."""
    import torch

    rng = random.Random(99)
    words, right = documented.words(TEXTS), 0
    for _ in range(40):
        note, code = documented.constant(words, rng)
        before = note + code[: code.index("= ") + 2]
        number = re.findall(r"\d+(?=U;)", code)[0]
        asked, whole = tokenizer(before)["input_ids"], tokenizer(before + number)["input_ids"]
        with torch.no_grad():
            said = model(torch.tensor([whole])).logits[0].argmax(-1).tolist()
        right += said[len(asked) - 1 : -1] == whole[len(asked) :]
    return right / 40


@pytest.mark.parametrize("copying", [True, False])
def test_numbers_come_back_after_some_sixty_steps_where_heads_copy_and_not_without(copying: bool) -> None:
    import torch

    torch.set_num_threads(1)
    recipe = RECIPE.model_copy(update={"copying": copying})
    tokenizer = tiny.train_tokenizer(recipe, TEXTS)
    model = tiny.base_step(recipe, tiny.batches(recipe, tokenizer, TEXTS), lambda *_: None)
    found = numbers_copied(tokenizer, model)
    assert found > 0.5 if copying else found < 0.2
