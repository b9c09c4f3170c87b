"""What the two modal scanners share: tokens, ordered rules, and searches that stay linear in the text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from fsm.mermaid.source import S


class Token(NamedTuple):
    """A token of the edited text: what it is, what it says, and where it stands there."""

    kind: str
    text: str
    start: int
    end: int


END = "end of text"

# A rule returns the end of its match at a position, or -1.
Match = Callable[[int], int]


def pattern(text: str, expression: str, *, ignore_case: bool = False) -> Match:
    """A rule from a regular expression in which `\\s` and `[^\\s...]` mean JavaScript's white space."""
    flags = re.ASCII | (re.IGNORECASE if ignore_case else 0)
    compiled = _compile(expression, flags)

    def match(at: int) -> int:
        found = compiled.match(text, at)
        return -1 if found is None else found.end()

    return match


_CACHE: dict[tuple[str, int], re.Pattern[str]] = {}


def _compile(expression: str, flags: int) -> re.Pattern[str]:
    key = (expression, flags)
    if key not in _CACHE:
        spelled = re.sub(r"\[([^\]]*?)\\s", lambda found: f"[{found.group(1)}{S}", expression)
        _CACHE[key] = re.compile(spelled.replace(r"\s", f"[{S}]"), flags)
    return _CACHE[key]


class Ahead:
    """The next match of an expression at or after a position, for positions that (nearly) only grow.

    A lexer that asks at every token "is there an X further on in this line?" with a plain search reads the
    line once a token, quadratic in the line. Remembering the last answer makes all the questions together
    read the text once.
    """

    def __init__(self, text: str, expression: str, *, ignore_case: bool = False) -> None:
        flags = re.ASCII | (re.IGNORECASE if ignore_case else 0)
        self._pattern = _compile(expression, flags)
        self._text = text
        self._asked = 0
        self._found: tuple[int, int] | None = None
        self._fresh = True

    def next(self, at: int) -> tuple[int, int] | None:
        """(start, end) of the first match that starts at or after `at`; None if there is none."""
        if not self._fresh and at >= self._asked and (self._found is None or at <= self._found[0]):
            return self._found
        found = self._pattern.search(self._text, at)
        self._asked, self._found, self._fresh = at, (found.span() if found else None), False
        return self._found


class LastOnLine:
    """JavaScript's `.*X`: the end of the last match of X on the line of a position, or -1.

    All matches are found once; a question costs two binary searches.
    """

    def __init__(self, text: str, expression: str, *, ignore_case: bool = False) -> None:
        flags = re.ASCII | (re.IGNORECASE if ignore_case else 0)
        self._spans = [found.span() for found in _compile(expression, flags).finditer(text)]
        self._starts = [start for start, _ in self._spans]
        self._line_end = Ahead(text, "[\\n\\r\u2028\u2029]")
        self._size = len(text)

    def __call__(self, at: int) -> int:
        if not self._spans or at > self._starts[-1]:
            return -1
        stop = self._line_end.next(at)
        limit = stop[0] if stop else self._size
        before = _bisect(self._starts, limit)  # matches that start on this line or an earlier one
        if before == 0 or self._starts[before - 1] < at:
            return -1
        return self._spans[before - 1][1]


def _bisect(values: list[int], limit: int) -> int:
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if values[middle] < limit:
            low = middle + 1
        else:
            high = middle
    return low
