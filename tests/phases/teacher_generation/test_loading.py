"""Reading prompts from rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from phases.errors import EmptyDataset, InvalidStructure
from phases.teacher_generation.loading import read_lines, read_prompts
from phases.turns import turns


def said(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def test_both_forms_of_row_are_read_and_each_prompt_once() -> None:
    text = (
        '{"messages": [{"role": "user", "content": "a"}], "key": 1}\n'
        '{"prompt": "b\\u2028c"}\n\n{"prompt": "a"}\n'
    )
    assert read_lines(text, "x") == {"a": 1, "b\u2028c": 2}


def test_a_training_row_is_asked_for_its_prompt_and_its_answer_is_no_part_of_it() -> None:
    assert read_prompts(json.dumps(said(("user", "a"), ("assistant", "raw"))), "x") == ["a"]
    (asked,) = read_prompts(json.dumps(said(("system", "s"), ("user", "a"), ("assistant", "raw"))), "x")
    assert turns(asked) == said(("system", "s"), ("user", "a"))["messages"]


def test_all_turns_of_a_row_are_the_prompt() -> None:
    row = said(("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"))
    (asked,) = read_prompts(json.dumps(row), "x")
    assert turns(asked) == row["messages"]
    first = said(("user", "a"))
    assert len(read_prompts(f"{json.dumps(row)}\n{json.dumps(first)}", "x")) == 2


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (
            said(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")),
            "last turn is not the user's",
        ),
        (said(("user", "a"), ("system", "s")), "of role system: leave it out"),
        (said(("user", "a"), ("user", "b")), "turn 2 is of role user, where assistant should be"),
        (said(("user", "a"), ("system", "s"), ("user", "b")), "turn 2 is of role system"),
        (said(("assistant", "a"), ("user", "b")), "turn 1 is of role assistant"),
        (said(("system", "s")), "no message of role user"),
        (said(("user", "a"), ("assistant", " "), ("user", "c")), "turn 2, of role assistant, is blank"),
        (said(("system", ""), ("user", "c")), "turn 1, of role system, is blank"),
        (said(("robot", "a"), ("user", "b")), "the role 'robot' is not one of"),
        (said(("user", "a"), ("tool", "b"), ("user", "c")), "tool calls cannot be asked"),
        ({"messages": [{"role": "user", "content": "a", "tool_calls": [{}]}]}, "tool calls cannot be asked"),
        ({"messages": []}, "no message of role user"),
        ({"prompt": "a", **said(("user", "b"))}, "leave one of them out"),
        ({"prompt": "half \ud83d"}, r"half a character in it"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_line(row: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidStructure, match=rf"^1 rows of rows\.jsonl hold no prompt: line 3: .*{why}"):
        read_prompts(f'{{"prompt": "a"}}\n\n{json.dumps(row)}\n', "rows.jsonl")


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
