"""Reading prompts from rows."""

from __future__ import annotations

import pytest

from phases.errors import EmptyDataset, InvalidStructure
from phases.teacher_generation.loading import read_prompts


def test_both_forms_of_row_are_read_and_each_prompt_once() -> None:
    text = (
        '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}], "key": 1}\n'
        '{"prompt": "b\\u2028c"}\n\n{"prompt": "a"}\n'
    )
    assert read_prompts(text, "x") == ["a", "b\u2028c"]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "3",
        "{}",
        '{"prompt": 3}',
        '{"prompt": " "}',
        '{"messages": 3}',
        '{"messages": [3]}',
        '{"messages": [{"role": "assistant", "content": "x"}]}',
        '{"messages": [{"role": "user", "content": ["x"]}]}',
    ],
)
def test_a_row_without_prompt_is_named_by_its_line(line: str) -> None:
    with pytest.raises(InvalidStructure, match=r"^1 rows of x hold no prompt: line 2: "):
        read_prompts('{"prompt": "a"}\n' + line + "\n", "x")


def test_of_many_wrong_rows_the_first_are_shown() -> None:
    with pytest.raises(InvalidStructure, match=r"line 5: .*; and 7 more"):
        read_prompts("{}\n" * 12, "x")


def test_no_rows_are_an_empty_dataset() -> None:
    with pytest.raises(EmptyDataset):
        read_prompts("\n", "x")
