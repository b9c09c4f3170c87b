"""The same good function scores the same however a model wraps it, and no wrapping makes what is no answer one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from phases.quality_scoring import QualityScoringConfig, Score, score
from phases.quality_scoring.config import SyntaxConfig
from phases.quality_scoring.extract import code, is_marked
from phases.quality_scoring.markdown import blocks
from tests.phases.quality_scoring.wrappings import (
    DRAFT,
    FUNCTION,
    GOOD,
    PAGE,
    POOR,
    PROMPT,
    TYPES,
    WRAPPED,
    fenced,
    led,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "scoring.md"
HEURISTIC = QualityScoringConfig(syntax=SyntaxConfig(use="heuristic"))


def without_lines(result: Score) -> dict[str, object]:
    values = result.as_dict()
    values["reasons"] = [(r["rule"], r["points"], r["note"]) for r in values["reasons"]]
    return values


@pytest.mark.parametrize("name", WRAPPED)
def test_the_same_code_scores_the_same_in_every_wrapping(name: str) -> None:
    assert without_lines(score(WRAPPED[name], PROMPT)) == without_lines(score(GOOD, PROMPT))


def test_the_page_shows_the_wrappings_and_their_scores() -> None:
    rows = re.findall(r"^\| ([^|]+?) \| (\d+\.\d\d) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert [name for name, _ in rows] == list(PAGE)
    assert len(rows) >= 15
    for name, shown in rows:
        assert float(shown) == pytest.approx(score(PAGE[name], PROMPT).overall, abs=0.0051), name


@pytest.mark.parametrize(
    "text",
    [
        f"<think>\n{fenced()}",
        f"<think>\n{fenced()}</think>\nI can't.\n",
        f"<scratchpad>\n{fenced()}</scratchpad>",
        f"<reasoning>\n{GOOD}</reasoning>\nNo code.",
        f"Here is my thought process:\n{fenced()}",
        f"<|channel|>analysis<|message|>{fenced()}",
        f"```python\n{GOOD}```\n",
        f"> **Note:** nothing.\n\n<thinking>{fenced()}</thinking>",
    ],
)
def test_a_draft_and_another_language_are_no_answer(text: str) -> None:
    assert score(text, PROMPT).syntax == 0


def test_a_fault_in_the_code_is_found_in_every_wrapping_of_it() -> None:
    broken = GOOD.replace("late = now_ns", "late = = now_ns")
    bare = score(broken, PROMPT)
    assert bare.syntax < 9
    for text in (
        fenced(code=broken),
        f"Here it is:\n\n{broken}\nIt works.\n",
        f"<think>{DRAFT}</think>\n{broken}",
    ):
        assert score(text, PROMPT).overall == bare.overall


def test_what_may_be_code_is_not_taken_for_words() -> None:
    text = "int left = 1\n\nvoid f(void)\n{\n    g();\n}\n\nint right = ;\n"
    assert code(text) == text


def test_a_line_of_the_code_keeps_the_number_it_has_in_the_text() -> None:
    text = f"Words.\n\n{fenced(code=TYPES)}\nMore.\n\n{led(fenced(code=FUNCTION), '> ')}"
    found = code(text).split("\n")
    for n, line in enumerate(text.split("\n")):
        if "uint64_t" in line:
            assert found[n] == line.removeprefix("> ")


def test_a_block_that_stands_there_twice_is_a_repetition_and_no_version() -> None:
    assert score(fenced() * 2, PROMPT).overall < score(fenced(), PROMPT).overall


def test_the_program_that_is_asked_for_keeps_its_main() -> None:
    text = fenced() + "Test it:\n```c\nint main(void)\n{\n    return gate_note(0, 0, 3);\n}\n```\n"
    assert "main" in code(text, "Write a C program with `gate_note`.")
    assert "main" not in code(text, PROMPT)


def test_the_first_of_two_versions_counts_where_none_is_said_to_be_better() -> None:
    assert score(fenced(code=POOR) + "Or:\n" + fenced(), PROMPT).overall < 7


def test_code_alone_is_not_searched_for_marks() -> None:
    assert not is_marked(GOOD)
    assert not is_marked('int a[] = { 1 << 3 };\nconst char *b[] = { "x", "y" };\nint c = 1 < 2 && &c > 0;\n')
    assert code(GOOD) == GOOD


SIGNS = [
    "`",
    "```",
    "~~~",
    "\n",
    " ",
    "    ",
    "<think>",
    "</think>",
    "<code>",
    "</code>",
    "{",
    "}",
    '"',
    "\\n",
    ":",
    "&lt;",
]
SIGNS += [
    "@@ -1 +1 @@\n",
    "+",
    "-",
    "> ",
    "1. ",
    "int f(void)",
    ";",
    "\0",
    "\ud800",
    "c",
    "\r",
    "/*",
    "*/",
    "'",
    "[",
    "\\",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(SIGNS), max_size=40).map("".join) | st.text(max_size=60))
def test_any_text_has_a_score(text: str) -> None:
    assert 0 <= score(text, PROMPT, HEURISTIC).overall <= 10


LINES = st.sampled_from(["int a;", "", "    b();", "* c", "> d", "- e", "`f`", "~~", "# g", "1. h"])


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["```", "````", "~~~", "~~~~~"]),
            st.sampled_from(["c", "C99", ""]),
            st.lists(LINES, max_size=5),
            st.sampled_from(["", "> ", "   "]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_well_formed_fences_are_read_as_a_parser_of_commonmark_reads_them(
    drawn: list[tuple[str, str, list[str], str]],
) -> None:
    written = [
        "\n".join(lead + line for line in [mark + info, *lines, mark]) for mark, info, lines, lead in drawn
    ]
    text = "\n\nwords\n\n".join(written)
    theirs = [t for t in MarkdownIt("commonmark").parse(text) if t.type == "fence"]
    ours = blocks(text)
    assert [b.code for b in ours] == [t.content.removesuffix("\n") for t in theirs]
    assert [b.first for b in ours] == [t.map[0] + 1 for t in theirs if t.map]
