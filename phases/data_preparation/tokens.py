"""The tokens of C and C++ that hide others: comments, strings, characters, preprocessor lines.

The regular expressions are such that they run fast: each alternative begins with a character of its own, so that the
text in between is passed over by a search for one of a set; and none of them backtracks.
"""

from __future__ import annotations

import re

COMMENT = r"//[^\n\\]*(?:\\.[^\n\\]*)*|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/"
_RAW = r"""(?:(?<=\bR")|(?<=\b[uUL]R")|(?<=\bu8R"))(?P<raw>[^()\\\s"]{0,16})\((?s:.*?)\)(?P=raw)\""""
_STRING = rf"""\"{_RAW}|\"[^"\\\n]*(?:\\.[^"\\\n]*)*\""""
# 1'000'000 is a number: behind a digit, and with another before the next apostrophe
PLAIN_CHARACTER = r"'[^'\\\n]*(?:\\.[^'\\\n]*)*'"
_CHARACTER = rf"""'(?<=[0-9a-fA-F]')[0-9a-fA-F](?!')|{PLAIN_CHARACTER}"""
PLAIN_STRING = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
_DIRECTIVE = rf"""#[^\n\\/"]*(?:(?:\\.|{COMMENT}|{PLAIN_STRING}|[\\/"])[^\n\\/"]*)*"""
_HIDING = f"{COMMENT}|{_STRING}|{_CHARACTER}|{_DIRECTIVE}"

OUTER = re.compile(rf"{_HIDING}|\{{|\}}|;", re.DOTALL)
"""What matters where definitions stand."""
INNER = re.compile(rf"{_HIDING}|\{{|\}}", re.DOTALL)
"""What matters inside of a body."""


def _plain_block(depth: int) -> str:
    """What is up to the brace that closes a block in which so many are nested, and no directive. Nothing in it backtracks."""
    inner = rf"|\{{{_plain_block(depth - 1)}" if depth else ""
    return rf"""[^{{}}"'/#]*+(?:(?:{COMMENT}|{PLAIN_STRING}|{PLAIN_CHARACTER}|/(?![/*]){inner})[^{{}}"'/#]*+)*+\}}"""


PLAIN_BLOCK = re.compile(_plain_block(5), re.DOTALL)
"""The inside of a block with its closing brace; of 97 in 100, and what it does not match is to be read token by token."""
COMMENTS = re.compile(COMMENT, re.DOTALL)
STRINGS = re.compile(f"{COMMENT}|{_STRING}|{_CHARACTER}", re.DOTALL)
"""Comments and literals: what holds words of people."""
_PASSED = re.compile(
    rf"(?:[^\"'/]++|(?<!R){PLAIN_STRING}|(?<![0-9a-fA-F]){PLAIN_CHARACTER}"
    r"|//[^\n\\]*(?:\\.[^\n\\]*)*(?=\n)|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/|/(?=[^/*]))*+",
    re.DOTALL,
)
"""All up to the first comment or literal that has no end, or whose kind is not plain from its first character."""
WORD = re.compile(r"#[ \t]*(\w*)")
"""The word of a directive."""
UNCOMPILED = re.compile(
    rf"{COMMENT}|{PLAIN_STRING}|^[ \t]*(?P<line>#[ \t]*(?P<word>\w+)(?:[^\n\\]|\\.)*)",
    re.DOTALL | re.MULTILINE,
)
"""What matters in a branch that is not compiled: there, apostrophes need not be in pairs."""
HIDDEN = "\r"
"""What stands for each character that is not code: white space to a grammar, and nothing that a text has (its line ends are
newlines), so that an empty line is still told from a comment that was there."""
_HIDES = re.compile(_HIDING, re.DOTALL)


def around(text: str, place: int, since: int = 0) -> tuple[int, int]:
    """Where the comment or literal begins and ends that a place is in, the place itself where it is in none.

    `since` is an earlier place that is in none, or begins one. By leaps over all that ends before the place: a token at a
    time would take four times as long.
    """
    while since < place:
        passed = _PASSED.match(text, since, place)
        since = passed.end() if passed else since
        if since >= place:
            break
        token = STRINGS.match(text, since)
        if token is not None and token.end() > place:
            return token.span()
        since = token.end() if token else since + 1  # a quote or a slash alone
    return place, place


def blank(text: str) -> str:
    """The text without what hides code, all else at its place: no comments, no directives, nothing between quotes."""
    if "/" in text or '"' in text or "'" in text or "#" in text:
        return _HIDES.sub(_blanked, text)
    return text


def _blanked(found: re.Match[str]) -> str:
    token = found.group()
    if token[0] in "\"'" and len(token) > 1 and token[-1] == token[0]:
        return token[0] + " " * (len(token) - 2) + token[0]
    return HIDDEN * len(token)
