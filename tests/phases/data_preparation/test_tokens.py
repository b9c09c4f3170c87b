"""Comments and literals: where a place is in one."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from phases.data_preparation.tokens import STRINGS, around

PIECES = [
    "/*",
    "*/",
    "//",
    "/",
    "*",
    "\n",
    '"',
    "'",
    "\\",
    "a",
    "0",
    "1'000",
    'R"(',
    ')"',
    'R"x(',
    ')x"',
    "u8",
    " ",
    "'",
]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), st.data())
@example('R"(a"b/*c)" d', None)
def test_around_a_place_is_what_all_tokens_from_the_beginning_say(
    text: str, data: st.DataObject | None
) -> None:
    tokens = [token.span() for token in STRINGS.finditer(text)]
    since = 0
    for place in range(len(text)):
        inside = [(start, end) for start, end in tokens if start < place < end]
        expected = inside[0] if inside else (place, place)
        assert around(text, place) == expected
        assert around(text, place, since) == expected
        if data is None or data.draw(st.booleans()):
            since = expected[0]
