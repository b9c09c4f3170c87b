"""What a terminal would obey is shown instead, and JSON stays the same JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm.speech import ESCAPES, one_for_one, stripped, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, and Grüße → 道 👩‍🔧", "plain, and Grüße → 道 👩‍🔧"),
        ("\x1b[2J", r"\u001b[2J"),
        ("\x1b]52;c;bWluZQ==\x07", r"\u001b]52;c;bWluZQ==\u0007"),  # writes the clipboard
        ("\x9b31m", r"\u009b31m"),  # the same in one byte of eight bits
        ("done\rfailed", r"done\u000dfailed"),  # one word over the other
        ("abc\b\b\bxyz", r"abc\u0008\u0008\u0008xyz"),
        ("if admin \u202e } else {", r"if admin \u202e } else {"),  # shown in another order
        ("a\u2028b", r"a\u2028b"),
        ("file \udcff", r"file \udcff"),
        ("two\n\tlines", "two\n\tlines"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters(exclude_categories=[])))
def test_json_that_is_made_visible_says_the_same(text: str) -> None:
    line = visible(json.dumps({"said": text}, ensure_ascii=False), keep="")
    assert json.loads(line) == json.loads(json.dumps({"said": text}))
    assert visible(line, keep="") == line
    for encoding in ("ascii", "latin-1", "utf-8"):
        assert (
            json.loads(line.encode(encoding, ESCAPES).decode(encoding)) == {"said": text}
            or max(text, default="") >= "\ud800"
        )


@given(st.text(st.characters(exclude_categories=[])))
def test_one_for_one_keeps_the_length(text: str) -> None:
    assert len(one_for_one(text, "?")) == len(text)
    assert visible(one_for_one(text, "?"), keep="") == one_for_one(text, "?")


@pytest.mark.parametrize(
    "coloured",
    [
        "\x1b[1;31mred\x1b[0m",
        "\x1b]8;;http://x\x1b\\red\x1b]8;;\x1b\\",
        "\x1b]0;title\x07red",
        "\x9b1mred",
        "\x1b(Bred\x1b=",
    ],
)
def test_sequences_are_taken_out_of_what_libraries_print(coloured: str) -> None:
    assert stripped(coloured) == "red"
