"""The tiny student: made from C alone, cached by what it is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phases.student import tiny
from tests.phases.qlora_training.micro import C_TEXTS, RECIPE, ROWS


def test_it_is_made_of_answers_and_never_of_prompts() -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": "PROMPT"},
                {"role": "assistant", "content": "```c\nint a;\n```"},
            ]
        },
        {"messages": [{"role": "user", "content": "OTHER"}, {"role": "assistant", "content": "int a;\n"}]},
    ]
    assert tiny.texts(rows) == ["int a;\n"]
    assert not any("Write" in text for text in tiny.texts(ROWS))


def test_the_same_texts_make_the_same_bytes_and_are_not_made_twice(
    micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tiny.build(RECIPE, C_TEXTS, tmp_path)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (made / name).read_bytes() == (micro / name).read_bytes()

    def again(*args: Any) -> None:
        raise AssertionError("made twice")

    monkeypatch.setattr(tiny, "base_step", again)
    assert tiny.build(RECIPE, C_TEXTS, tmp_path) == made
    assert [p.name for p in tmp_path.iterdir()] == [made.name]


def test_other_texts_or_another_recipe_are_another_student() -> None:
    digests = {
        tiny.digest(RECIPE, C_TEXTS),
        tiny.digest(RECIPE, C_TEXTS[1:]),
        tiny.digest(RECIPE, [C_TEXTS[0] + C_TEXTS[1], *C_TEXTS[2:]]),
        tiny.digest(RECIPE.model_copy(update={"seed": 1}), C_TEXTS),
    }
    assert len(digests) == 4


def test_another_kind_of_processor_makes_another_student(monkeypatch: pytest.MonkeyPatch) -> None:
    here = tiny.digest(RECIPE, C_TEXTS)
    monkeypatch.setattr("phases.student.processor.kind", lambda: "x86_64 avx2 fma")
    assert tiny.digest(RECIPE, C_TEXTS) != here


def test_numbers_are_read_digit_by_digit_and_words_are_not() -> None:
    """However often a number was seen: one never seen is read no worse."""
    tokenizer = tiny.train_tokenizer(RECIPE, ["limit = 1500U;\n"] * 50)
    assert tokenizer.tokenize("1500U;")[:4] == ["1", "5", "0", "0"]
    assert tokenizer.tokenize("limit") == ["limit"]


def test_all_text_comes_back(micro: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(micro)
    for text in ("uint8_t a = 0xFFU;\n", "Größe ≥ 3 \t`x`", ""):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_too_little_to_train_on_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fewer than one window"):
        tiny.build(RECIPE, ["int a;"], tmp_path)
