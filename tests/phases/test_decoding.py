"""From bytes to text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.decoding import NotText, decode_latin1, decode_utf8

PRINTABLE = st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff"))


@given(PRINTABLE)
def test_utf8_text_comes_back(text: str) -> None:
    assert decode_utf8(text.encode()) == text


def test_a_byte_order_mark_is_no_text() -> None:
    assert decode_utf8(b"\xef\xbb\xbfint x;") == "int x;"


@given(st.text(alphabet=st.characters(min_codepoint=0xA0, max_codepoint=0xFF), min_size=1))
def test_latin1_text_comes_back(text: str) -> None:
    assert decode_latin1(text.encode("latin-1")) == text


@pytest.mark.parametrize("content", [b"a\x00b", b"\x7f", b"\x1bE"])
def test_controls_are_not_text_in_either_encoding(content: bytes) -> None:
    with pytest.raises(NotText):
        decode_utf8(content)
    with pytest.raises(NotText):
        decode_latin1(content)


def test_bytes_that_latin1_keeps_for_controls_are_not_text() -> None:
    with pytest.raises(NotText, match=r"U\+0085"):
        decode_latin1(b"abc\x85")


def test_line_ends_tabs_and_form_feeds_are_text() -> None:
    assert decode_utf8(b"a\tb\r\n\fc\v") == "a\tb\r\n\fc\v"
