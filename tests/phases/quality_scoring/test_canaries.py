"""Texts that try to look good score below honest code for the same prompt, with a compiler and without."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest

from phases.quality_scoring import QualityScoringConfig, Score, score
from phases.quality_scoring.config import SyntaxConfig

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "scoring.md"
PROMPT = "Write a C function that programs a TSN gate control list (IEEE 802.1Qbv)."
ASTRAY = "another_question"
"""The honest function again, given to a prompt that names another: what a student does that knows its answers by heart."""
NAMED = f"{PROMPT} Name it `gcl_program`."
CANARIES = [*sorted(p.stem for p in (HERE / "canaries").glob("*.c") if p.stem != "honest"), ASTRAY]


def scored(name: str, use: Literal["gcc", "heuristic"]) -> Score:
    file, prompt = ("honest", NAMED) if name == ASTRAY else (name, PROMPT)
    text = (HERE / "canaries" / f"{file}.c").read_text("utf-8")
    return score(text, prompt, QualityScoringConfig(syntax=SyntaxConfig(use=use)))


def test_the_canaries_are_all_there() -> None:
    assert CANARIES == [
        "comments_only",
        "empty_function",
        "keywords_in_comments",
        "repeated",
        "repeated_renamed",
        "single_letters",
        ASTRAY,
    ]


@pytest.mark.parametrize("use", ["gcc", "heuristic"])
@pytest.mark.parametrize("canary", CANARIES)
def test_a_canary_scores_below_honest_code(canary: str, use: Literal["gcc", "heuristic"]) -> None:
    assert scored(canary, use).overall < scored("honest", use).overall


def test_honest_code_is_acceptable() -> None:
    assert not scored("honest", "gcc").needs_correction


@pytest.mark.parametrize("canary", ["comments_only", "empty_function", ASTRAY])
def test_what_is_no_answer_needs_correction(canary: str) -> None:
    assert scored(canary, "gcc").needs_correction


def test_the_page_shows_the_scores_of_today() -> None:
    row = re.compile(r"^\| `(\w+)` \|[^|]*\|" + r" ([\d.]+) \|" * 6 + "$", re.MULTILINE)
    page = {name: tuple(map(float, rest)) for name, *rest in row.findall(PAGE.read_text("utf-8"))}
    assert set(page) == {"honest", *CANARIES}
    for name, numbers in page.items():
        s, h = scored(name, "gcc"), scored(name, "heuristic")
        today = (s.syntax, s.protocol, s.safety, s.style, s.overall, h.overall)
        assert numbers == tuple(round(x + 1e-9, 2) for x in today), name
