"""What the two modal scanners share: tokens, ordered rules, and searches that stay linear in the text."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

from fsm.mermaid.error import MermaidError
from fsm.mermaid.javascript import LINE_ENDS, SPACES, S
from fsm.mermaid.source import Prepared


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


class LastBefore:
    """JavaScript's `[^stop]*X`: the end of the last match of X with no stop character before it, or -1.

    All matches are found once; a question costs a binary search. By default the stops are the ends of lines,
    which makes it `.*X`.
    """

    def __init__(
        self, text: str, expression: str, *, stops: str = f"[{LINE_ENDS}]", ignore_case: bool = False
    ) -> None:
        flags = re.ASCII | (re.IGNORECASE if ignore_case else 0)
        self._spans = [found.span() for found in _compile(expression, flags).finditer(text)]
        self._starts = [start for start, _ in self._spans]
        self._stop = Ahead(text, stops)
        self._size = len(text)

    def __call__(self, at: int) -> int:
        if not self._spans or at > self._starts[-1]:
            return -1
        stop = self._stop.next(at)
        before = bisect_left(self._starts, stop[0] if stop else self._size)
        if before == 0 or self._starts[before - 1] < at:
            return -1
        return self._spans[before - 1][1]


def rest_of_line(text: str, expression: str, *, ignore_case: bool = False) -> Match:
    """JavaScript's `.*X[^\\n]*`: the rest of a line that holds X."""
    last = LastBefore(text, expression, ignore_case=ignore_case)
    line_feed = Ahead(text, r"\n")

    def match(at: int) -> int:
        end = last(at)
        if end < 0:
            return -1
        stop = line_feed.next(end)
        return stop[0] if stop else len(text)

    return match


# An action gets the match and returns the token's (kind, text), or None when nothing is handed on.
Action = Callable[[str], tuple[str, str] | None]
Rules = dict[str, list[tuple[Match, Action]]]


class Scanner:
    """A modal scanner: the mode on top of the stack has ordered rules, and the first that matches wins.

    Iterating gives tokens and ends after one `END`; it raises MermaidError where no rule matches. ``steps``
    counts rules tried and characters consumed: the measure of the tests for linear cost.
    """

    expected: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, prepared: Prepared) -> None:
        self.text = prepared.text.text
        self.steps = 0
        self._prepared = prepared
        self._modes = ["INITIAL"]
        self._at = 0
        self._rules = self._make_rules()

    def _make_rules(self) -> Rules:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Token]:
        size = len(self.text)
        at_end = False
        while not at_end:
            at_end = self._at == size  # Mermaid tries its rules once more at the end of the text
            start = self._at
            made = self._next()
            if made is not None:
                yield Token(made[0], made[1], start, self._at)
        yield Token(END, "", size, size)

    def _next(self) -> tuple[str, str] | None:
        start = self._at
        for match, action in self._rules[self._modes[-1]]:
            self.steps += 1
            end = match(start)
            if end >= 0:
                self._at = end
                self.steps += end - start
                return action(self.text[start:end])
        if start == len(self.text):
            return END, ""
        raise self._stuck(start)

    def _stuck(self, at: int) -> MermaidError:
        """What to say where no rule matches."""
        expected = self.expected.get(self._modes[-1], ("a statement",))
        return self._prepared.error(at, f"unexpected {_shown(self.text, at)}", *expected)

    def _to(self, *modes: str, pop: bool) -> None:
        if pop and len(self._modes) > 1:
            self._modes.pop()
        self._modes += modes

    def _token(self, kind: str, *modes: str, pop: bool = False) -> Action:
        """Hand on a token, and leave or enter modes."""

        def act(text: str) -> tuple[str, str]:
            self._to(*modes, pop=pop)
            return kind, text

        return act

    def _skip(self, *modes: str, pop: bool = False) -> Action:
        """Hand on nothing, and leave or enter modes."""

        def act(text: str) -> None:
            self._to(*modes, pop=pop)

        return act

    def _match_end(self, at: int) -> int:
        return at if at == len(self.text) else -1


def _shown(text: str, at: int) -> str:
    """The word at a position, for a message."""
    end = at
    while end < len(text) and end < at + 30 and text[end] not in SPACES:
        end += 1
    return repr(text[at:end]) if end > at else "white space"
