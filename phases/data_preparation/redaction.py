"""What people would not want a model to say: e-mail addresses, the names of authors, keys and tokens.

Looked for in comments and strings, by shapes; docs/data.md lists them, and says what a detector of secrets did here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import re2

from phases.data_preparation.tokens import around

MARKS = {"e-mail": "[e-mail]", "name": "[name]", "key": "[key]"}
"""What stands instead, by the kind that is counted."""

_ADDRESS = re.compile(r"@[A-Za-z0-9][\w-]*(?:\.[\w-]+)*\.[A-Za-z]{2,}\b")
_LOCAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-")
_PART = r"[^\W\d_a-z][\w.'’-]*"
_NAME = rf"{_PART}(?:[ \t]+(?:(?:de|van|von|der|den|di|da|la|le|el|al|bin)[ \t]+)*{_PART}){{0,4}}"
_NAME_BEFORE = re.compile(rf"(?P<it>{_NAME})[ \t]*(?P<sign><)?$")
# fmt: off
_NO_NAMES = frozenset({
    "a", "an", "and", "are", "at", "be", "by", "can", "for", "from", "in", "is", "it", "its", "may", "must", "not", "of", "on",
    "or", "shall", "that", "the", "this", "to", "which", "who", "will", "with",
})
# fmt: on

_CALLED = r"(?:(?:uthor|aintainer)\(s\)|(?:uthors?|uthored by|UTHORS?|ritten by|aintainers?|-by)\b)"
_ASIDE = r"[ \t]*(?:[<(][^<>()\n]*[>)])?[ \t]*"  # an address behind a name, or what the one named did
_BELOW = r"\n[ \t]*(?:\*(?!/)|//|#)?[ \t]*(?:- *)?"
_ALSO = re.compile(rf"{_ASIDE}(?:[,;&]|,?[ \t]*\band\b)[ \t]*(?:{_BELOW})?(?P<it>{_NAME})")
"""Another name, behind one and what separates them."""
_HEADING = re.compile(rf"{_CALLED}[ \t]*:(?=[ \t]*\n)")
_LISTED = re.compile(rf"{_ASIDE}{_BELOW}(?P<it>{_NAME})(?=[ \t]*(?:[,;(<\n]|\*/|\Z))")
"""A name that begins a line below such a heading, or below another such name."""

_SHAPES: dict[str, tuple[tuple[str, ...], re.Pattern[str]]] = {
    "name": (
        ("uthor", "ritten by", "aintainer", "-by:"),
        re.compile(rf"{_CALLED}[ \t]*(?P<sign>[:=(])?[ \t\"]*(?P<it>{_NAME})"),
    ),
    "key": (
        ("akia", "ghp_", "github_pat_", "glpat-", "xox", "aiza", "sk-", "eyj", "hf_"),
        re.compile(
            r"(?<![\w-])(?P<it>AKIA[0-9A-Z]{16}|ghp_[A-Za-z0-9]{36,}|github_pat_\w{60,}|glpat-[\w-]{20,}|xox[abeoprs]-[\w-]{10,}"
            r"|AIza[\w-]{35}|sk-[\w-]{32,}|hf_[A-Za-z0-9]{30,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
        ),
    ),
    "secret": (
        (
            "assword",
            "passwd",
            "secret",
            "api_key",
            "apikey",
            "access_key",
            "access_token",
            "auth_token",
            "api_token",
        ),
        re.compile(
            r"\w+(?:\[\])?\s*[=:]?\s*(?:u8|[LuU])?\"(?P<it>(?=[^\"\n]*\d)(?=[^\"\n]*[A-Za-z])[A-Za-z0-9+/=_.!$@#-]{8,})\""
        ),
    ),
}
"""Words in lower case, of which each match has one, and the shape of a match that begins with that word."""
_OF_WORD = {word.encode(): (kind, shape) for kind, (words, shape) in _SHAPES.items() for word in words}
# All words at once: an automaton passes over a text ten times as fast as that many searches.
_ANY_WORD = re2.compile(b"(?i)" + b"|".join(map(re2.escape, _OF_WORD)))
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<inside>(?:(?!-----END).){1,16384})", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/=]{16,}")


def redact(text: str) -> tuple[str, Counter[str]]:
    """(the text with marks instead of what is found, how many there are of each kind of MARKS). Lines stay as they are."""
    found = [*(_addresses(text) if "@" in text else ()), *_worded(text)]
    if "PRIVATE KEY-----" in text:
        for block in _PEM.finditer(text):
            lines = _BASE64.finditer(text, *block.span("inside"))
            found += [(*line.span(), "key") for line in lines]
    return _replaced(text, sorted(found)) if found else (text, Counter())


def _addresses(text: str) -> Iterator[tuple[int, int, str]]:
    """The places of addresses, and of the names before them."""
    done = 0
    for found in _ADDRESS.finditer(text):
        start = found.start()
        while start > done and text[start - 1] in _LOCAL:
            start -= 1
        if start == found.start():
            continue
        line = max(text.rfind("\n", 0, start) + 1, done, start - 80)
        name = _NAME_BEFORE.search(text, line, start)
        if name and _is_name(name):
            yield *name.span("it"), "name"
        yield start, found.end(), "e-mail"
        done = found.end()


def _worded(text: str) -> Iterator[tuple[int, int, str]]:
    """The places of what a word leads to."""
    # a byte a character, whatever it is, so that places are those of the text
    for word in _ANY_WORD.finditer(text.encode("ascii", "replace")):
        kind, shape = _OF_WORD[word.group().lower()]
        found = shape.match(text, word.start())
        if kind == "name":
            yield from _names(text, word.start(), found)
        elif found:
            yield *found.span("it"), "key"


def _names(text: str, at: int, found: re.Match[str] | None) -> Iterator[tuple[int, int, str]]:
    """The places of the names that a word at a place leads to: behind it, or in the lines below it."""
    heading = _HEADING.match(text, at) if found is None else None
    end = heading.end() if heading else 0
    if found and _is_name(found):
        yield *found.span("it"), "name"
        end = found.end()
    while end and (other := _ALSO.match(text, end) or (_LISTED.match(text, end) if heading else None)):
        if len(other["it"].split()) < 2:  # a month, a firm, the first word of a sentence
            break
        yield *other.span("it"), "name"
        end = other.end()


def _is_name(found: re.Match[str]) -> bool:
    """Whether capitals are a name: no sentence begins so, and where no sign says that it is one, it is of several words."""
    words = found["it"].split()
    said = found["sign"] is not None or found.group().startswith("ritten by")
    return (said or len(words) > 1) and words[0].lower() not in _NO_NAMES


def _replaced(text: str, found: list[tuple[int, int, str]]) -> tuple[str, Counter[str]]:
    """The text with the marks of what was found in comments and strings; of two that overlap, the first."""
    counts: Counter[str] = Counter()
    parts, done = [], 0
    first = until = 0  # of the comment or literal in hand
    for start, end, kind in found:
        if start < done:
            continue
        if start >= until:
            first, until = around(text, start, max(first, until))
        if start < until:
            parts += [text[done:start], MARKS[kind]]
            done = end
            counts[kind] += 1
    return "".join([*parts, text[done:]]), counts
