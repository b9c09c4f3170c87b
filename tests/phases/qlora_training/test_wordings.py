"""The wordings of a training row: what of a prompt may change, and what never does."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.qlora_training.wordings import WordingsConfig, rows, wordings
from phases.teacher_generation.offline.prompts import generate
from phases.teacher_generation.offline.teacher import write_function
from phases.turns import before_answer

EIGHT = WordingsConfig(variants=8)
WORDS = [
    "write",
    "the",
    "function",
    "that",
    "sets",
    "a",
    "gate",
    "and",
    "checks",
    "its",
    "window",
    "unless",
    "it",
    "is",
    "not",
    "open",
    "at",
    "most",
]
ATOMS = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(
        [
            "`gate_open`",
            "`uint32_t x(int a, int b)`",
            "unsigned long wait(int us, bool now)",
            '"gate shut"',
            "twenty five bits",
            "y",
            "gcl_entry",
            "TSN",
            "802.1Qbv",
            "x->y",
            "memcpy()",
        ]
    ),
    st.builds("{} {}".format, st.integers(0, 99999), st.sampled_from(["ns", "kbit/s", "percent", "bytes"])),
)
SENTENCES = st.builds(
    lambda atoms, marks: "".join(a + m for a, m in zip(atoms, marks, strict=False)) + ".",
    st.lists(ATOMS, min_size=1, max_size=14),
    st.lists(st.sampled_from([" ", " ", " ", ", ", ": ", " to ", " for ", " in "]), min_size=14, max_size=14),
)
CODE = st.sampled_from(
    [
        "```c\nint f(int x) {\n    return x + 7;\n```",
        "    a = b;",
        "#include <stdint.h>",
        "int g(void)",
        "uint8_t y = 3;",
        "| a | b |",
    ]
)
TEXTS = st.lists(
    st.one_of(SENTENCES, CODE, st.just(""), SENTENCES.map("- {}".format)), min_size=1, max_size=6
).map("\n".join)

NAMED = re.compile(
    r"`[^`\n]*`|unsigned long wait\(int us, bool now\)|\"gate shut\"|twenty five bits|\by\b|\d+(?: (?:ns|kbit/s|percent|bytes))?|gcl_entry|TSN|Qbv|x->y|memcpy\(\)|\bnot\b|\bmost\b|unless"
)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def row(prompt: str, answer: str = "int f(void);") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}


def said(prompt: str, config: WordingsConfig = EIGHT, seed: int = 1) -> list[str]:
    return [before_answer(r) for r in wordings(row(prompt), config, seed)]


@given(TEXTS, st.integers(0, 5))
def test_names_numbers_units_and_code_are_in_every_wording(text: str, seed: int) -> None:
    for wording in said(text, seed=seed):
        assert Counter(NAMED.findall(wording)) == Counter(NAMED.findall(text))
        assert FENCED.findall(wording) == FENCED.findall(text)
        for before, after in zip(text.split("\n"), wording.split("\n"), strict=True):
            if before.startswith(("```", "    ", "#", "int g", "uint8_t", "|")) or not before.strip():
                assert before == after
            assert not before.startswith("- ") or after.startswith("- ")
            # nothing comes in: a wording says less, never more
            assert not Counter(after.split()) - Counter(before.split())


@given(TEXTS)
def test_wording_0_is_the_prompt_itself_and_none_is_empty_or_there_twice(text: str) -> None:
    found = said(text)
    assert found[0] == text
    assert len(set(found)) == len(found) <= 8
    assert all(wording.strip() for wording in found) or not text.strip()


@given(st.lists(TEXTS, min_size=1, max_size=4, unique=True), st.integers(0, 3))
def test_a_rows_wordings_are_its_own_whatever_else_is_in_the_set(texts: list[str], seed: int) -> None:
    together = rows([row(text) for text in texts], EIGHT, seed)
    assert together == [w for text in texts for w in wordings(row(text), EIGHT, seed)]
    assert rows([row(text) for text in reversed(texts)], EIGHT, seed) == [
        w for text in reversed(texts) for w in wordings(row(text), EIGHT, seed)
    ]


@pytest.mark.parametrize("drop", [0.0, 0.2, 0.9])
def test_so_many_plain_words_are_left_out(drop: float) -> None:
    text = "please write a function that adds both values and gives their sum back"  # 13 plain words
    for wording in said(text, WordingsConfig(variants=4, drop=drop))[1:]:
        assert len(wording.split()) == 13 - int(drop * 13)


def test_each_says_which_it_is_and_the_first_is_left_as_it_was() -> None:
    given_row = row("Write `f` in C, to add two values.") | {"correction_of_epoch": 3}
    first, *others = wordings(given_row, EIGHT, 1)
    assert first == given_row
    assert [o["wording"]["number"] for o in others] == list(range(1, 8))
    assert len({o["wording"]["of"] for o in others}) == 1
    assert all(
        o["correction_of_epoch"] == 3 and o["messages"][-1] == given_row["messages"][-1] for o in others
    )


def test_of_several_turns_the_question_alone_is_worded() -> None:
    turns = [
        {"role": "system", "content": "You write C, and nothing else, for a small device."},
        {"role": "user", "content": "Write a function to add two numbers, please."},
        {"role": "assistant", "content": "int add(int a, int b);"},
        {"role": "user", "content": "Now write one to subtract them, for the same values."},
        {"role": "assistant", "content": "int sub(int a, int b);"},
    ]
    for worded in wordings({"messages": turns}, EIGHT, 1):
        assert [*worded["messages"][:3], worded["messages"][4]] == [*turns[:3], turns[4]]
    fixed = [*turns[:3], {"role": "assistant", "content": "and so on"}]
    assert wordings({"messages": fixed}, EIGHT, 1) == [{"messages": fixed}]


def test_a_range_stays_a_range_and_a_long_prompt_keeps_its_sentences_whole() -> None:
    for wording in said(
        "Map the levels from 3 to 7 for the port, then 5, 6 or 9 in the table.",
        WordingsConfig(variants=8, drop=0),
    ):
        assert "from 3 to 7" in wording
        assert "5, 6 or 9" in wording
    long = "Read the frame from the port. Check its length for the class. Write it to the queue in order."
    for wording in said(long, WordingsConfig(variants=6, drop=0)):
        assert all(sentence in wording for sentence in long.replace(". ", ".|").split("|"))


@pytest.mark.parametrize(
    "kept",
    ["twenty-five frames per minute", "two bytes", "from three to seven", "int add(int a, int b)", '"gate is open"', "a two-step clock"],
)  # fmt: skip
def test_what_people_write_of_names_numbers_and_units_is_kept_together(kept: str) -> None:
    text = f"please write a function that gives the stations {kept} back to whoever wants them"
    for wording in said(text, WordingsConfig(variants=8, drop=0.9)):
        assert kept.removeprefix("a ") in wording


def test_the_offline_teacher_answers_every_wording_of_a_prompt_alike_where_no_word_is_left_out() -> None:
    for prompt in generate("train", 108, 3):
        for wording in said(prompt.text, WordingsConfig(variants=8, drop=0)):
            assert write_function(wording) == write_function(prompt.text)
