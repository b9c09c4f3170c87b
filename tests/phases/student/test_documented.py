"""What the tiny student's base learns to copy from: C below notes that tell its names and numbers, and heads that look back."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from phases.student import documented, tiny
from phases.student.config import TinyStudentConfig
from phases.teacher_generation.offline.prompts import generate
from phases.teacher_generation.offline.teacher import write_function
from tests.phases.qlora_training.micro import C_TEXTS, RECIPE

ANSWERS = [write_function(prompt.text) for prompt in generate("train", 108, 1)]
WORDS = documented.words(ANSWERS)
COPYING = TinyStudentConfig(
    layers=2, width=96, heads=4, kv_heads=2, vocabulary=320, context=256, copying=True
)


@given(st.sampled_from(ANSWERS), st.integers(0, 1000))
def test_a_note_tells_the_name_and_every_constant_of_the_function_below_it(text: str, seed: int) -> None:
    note, code = documented.noted(text, random.Random(seed))
    assert re.fullmatch(r"/\* .*? \*/\n", note)
    constants = re.findall(r"= (\d{2,})U?;", code)
    assert re.findall(r"\b\d+\b", note) == constants  # each once, and no other number
    assert f"`{re.findall(r'[a-z_0-9]+(?=[(])', code)[0]}`" in note
    for suffix, unit in documented.UNITS.items():
        assert (unit in note) == bool(re.search(rf"_{suffix} = \d", code))
    # but for the constants and their units it is the text
    assert re.sub(r"\d+|(?<=_)(ns|us|ms)\b", "", code) == re.sub(r"\d+|(?<=_)(ns|us|ms)\b", "", text)


def test_numbers_are_new_every_time_and_the_seeds_to_say() -> None:
    again = [[documented.constant(WORDS, random.Random(seed)) for seed in range(40)] for _ in range(2)]
    assert again[0] == again[1]
    numbers = [re.findall(r"\d+(?=U;)", code)[0] for _, code in again[0]]
    assert len(set(numbers)) > 35
    assert {len(number) for number in numbers} == {2, 3, 4, 5}
    assert all(number in note for number, (note, _) in zip(numbers, again[0], strict=True))


def test_only_what_defines_one_function_is_written_a_note_about() -> None:
    two = C_TEXTS[0] + C_TEXTS[1]
    assert documented.functions([*C_TEXTS[:2], two, "int a = 12;\n"]) == C_TEXTS[:2]


def test_a_note_is_read_and_not_learned() -> None:
    recipe = RECIPE.model_copy(update={"documented": 0.75, "base_batch": 4, "number_digits": 2})
    tokenizer = tiny.train_tokenizer(recipe, C_TEXTS)
    ids, labels = next(tiny.batches(recipe, tokenizer, C_TEXTS))
    assert ids.shape == labels.shape == (4, recipe.base_length)
    assert (labels[0] == ids[0]).all()  # a window of the texts
    for row in range(1, 4):
        learned = labels[row] != tiny.IGNORED
        assert (labels[row] == ids[row])[learned].all()
        assert "/*" in tokenizer.decode(ids[row][~learned])
        assert "`" not in tokenizer.decode(ids[row][learned])


def test_a_number_of_two_digits_is_one_token_where_that_is_wanted() -> None:
    tokenizer = tiny.train_tokenizer(RECIPE.model_copy(update={"number_digits": 2}), C_TEXTS)
    assert [tokenizer.decode([i]) for i in tokenizer("137U")["input_ids"]] == ["13", "7", "U"]
    assert len(tokenizer) == len(tiny.train_tokenizer(RECIPE, C_TEXTS)) + 100
    assert tokenizer.decode(tokenizer("uint32_t x = 5012U;")["input_ids"]) == "uint32_t x = 5012U;"


def test_heads_that_copy_copy_tokens_never_seen_before_any_training() -> None:
    import torch

    drawn = torch.randint(20, 320, (8, 40), generator=torch.Generator().manual_seed(3))
    ids = torch.cat([drawn, drawn], 1)
    share = {}
    for copying in (True, False):
        model = tiny.granite(COPYING.model_copy(update={"copying": copying}), 320).eval()
        with torch.no_grad():
            logits = model(ids).logits
        share[copying] = float((logits[:, 41:79].argmax(-1) == ids[:, 42:80]).float().mean())
    assert share[True] > 0.4
    assert share[False] < 0.03


def test_a_recipe_without_room_for_heads_that_copy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="copying takes two layers"):
        TinyStudentConfig.model_validate(COPYING.model_dump() | {"layers": 1})
    with pytest.raises(ValueError, match="None of the texts"):
        tiny.build(RECIPE.model_copy(update={"documented": 1.0}), ["int a = 12;\n" * 60], tmp_path)
