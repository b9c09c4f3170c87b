"""What a prompt names in backquotes, and an answer that has none of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.quality_scoring import score
from phases.quality_scoring.asked import named
from phases.teacher_generation.offline import write_function
from phases.teacher_generation.prompts import generate

GATE = "uint32_t gate_time(uint32_t gate, uint32_t gcl)\n{\n    return gate * gcl;\n}\n"


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("Write `gate_now`.", {"gate_now"}),
        ("Write `static uint8_t gate_now(uint8_t x)` for TSN", {"gate_now"}),
        ("Fill `struct gate_entry` in `gate_now()`", set()),
        ("`uint32_t`, `NULL`, `while` and `x` are words of any code", set()),
        ("Complete this:\n```c\nint `gate_now`(int x)\n```\nfor TSN", set()),
        ("Complete `this`:\n```c\nint `gate_now`", {"this"}),
        ("a function called gate_now, without backquotes", set()),
    ],
)
def test_names_stand_in_backquotes(prompt: str, names: set[str]) -> None:
    assert named(prompt) == names


@given(st.text(alphabet="`abc_ (\n"))
def test_any_text_is_a_prompt(prompt: str) -> None:
    assert all(name.isidentifier() for name in named(prompt))


def test_an_answer_without_any_of_the_names_is_none() -> None:
    found = score(GATE, "Write the C function `gate_offset` for TSN.")
    assert found.syntax == 0
    assert found.protocol == 5.5  # its names are no keywords either
    assert found.needs_correction
    assert any("`gate_offset`" in r.note and r.rule == "SyntaxCheck.Score0" for r in found.reasons)


@pytest.mark.parametrize(
    "prompt",
    [
        "Write the C function `gate_time` for TSN.",
        "Write a C function for TSN.",
        "Write a C function for TSN that multiplies a `uint32_t`.",
        "Write `gate_offset`, or `gate_time`, for TSN.",
    ],
)
def test_one_of_the_names_is_enough_and_none_is_asked_for_where_none_is_given(prompt: str) -> None:
    assert score(GATE, prompt).syntax == 10


def test_a_name_in_a_comment_is_no_answer() -> None:
    assert score(f"/* gate_offset */\n{GATE}", "Write `gate_offset` in C for TSN.").syntax == 0


def test_code_that_uses_what_the_prompt_brings_along_is_an_answer() -> None:
    text = "#include <time.h>\nlong now(void)\n{\n    struct timespec t;\n    clock_gettime(0, &t);\n    return t.tv_sec;\n}\n"
    assert score(text, "Write a C function that asks `clock_gettime()`.").syntax > 0


def test_a_training_answer_scores_low_on_every_other_prompt() -> None:
    learned = generate("train", 54, 3)
    for asked in generate("held_out", 12, 3):
        others = [p for p in learned if p.kind != asked.kind][:6]
        for other in others:
            assert score(write_function(other.text), asked.text).overall < 7.0, (asked.text, other.text)
        assert score(write_function(asked.text), asked.text).overall > 8.0
