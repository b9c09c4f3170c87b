"""The functions of a C or C++ source.

Diagram 7 says "C/C++ regex"; a regular expression alone cannot tell a definition from a declaration, and a grammar alone loses
what macros hide from it. So braces say where a body ends (`outline`), and the grammar what a head says (`declarators`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from phases.data_preparation.comments import Doc, above, read_comment
from phases.data_preparation.declarators import Declarator, Language, read_head
from phases.data_preparation.grammar import language
from phases.data_preparation.outline import Definition, Outline
from phases.data_preparation.tokens import blank

_SPACE = re.compile(r"\s+")
_LINE_END = re.compile("\n")
_NAME = re.compile(r"\b([A-Za-z_]\w*)\s*(\()?")
_KEYWORDS = frozenset(
    [
        "if",
        "for",
        "while",
        "switch",
        "return",
        "sizeof",
        "typeof",
        "__typeof__",
        "__typeof",
        "alignof",
        "_Alignof",
        "offsetof",
        "defined",
        "catch",
        "decltype",
        "static_assert",
        "__attribute__",
        "__builtin_expect",
        "likely",
        "unlikely",
        "assert",
        "new",
        "delete",
        "throw",
        "noexcept",
        "operator",
        "int",
        "char",
        "void",
        "bool",
        "float",
        "double",
        "long",
        "short",
        "unsigned",
        "signed",
        "do",
        "else",
        "case",
        "and",
        "or",
        "not",
        "static_cast",
        "const_cast",
        "dynamic_cast",
        "reinterpret_cast",
        "const",
        "static",
        "struct",
        "union",
        "enum",
        "auto",
        "volatile",
        "register",
        "break",
        "continue",
        "goto",
        "default",
        "true",
        "false",
        "NULL",
        "nullptr",
        "this",
        "try",
        "using",
        "template",
        "typename",
        "class",
        "size_t",
        "ssize_t",
        "inline",
        "extern",
    ]
)


@dataclass(frozen=True)
class Function:
    """One function definition.

    `text` is its lines with the comment above it, `signature` its head on one line, `doc` what the comment says. `first` and
    `last` are the lines of `text` in the file, `line` that of its name, all from 1. `callees` is what its body calls and
    `uses` the other names in it, both in the order of their first places, and empty where a comment tells more.
    """

    name: str
    signature: str
    text: str
    doc: Doc = Doc()
    parameters: tuple[str, ...] = ()
    callees: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    first: int = 1
    last: int = 1
    line: int = 1


@dataclass(frozen=True)
class LeftOut:
    """A definition that is no example, and why."""

    name: str
    line: int
    reason: str


@dataclass(frozen=True)
class Found:
    """What a source defines, in its order, and what of it is left out."""

    language: Language
    functions: tuple[Function, ...]
    left_out: tuple[LeftOut, ...]


EMPTY_BODY = "empty body"
NO_END = "its braces do not balance"
NO_NAME = "its head names no function"


def find_functions(key: str, text: str) -> Found:
    """The functions of a file named `key`. Line ends come out as newlines. A function of the two alone."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    outline = Outline(text)
    written_in = language(key, text, outline)
    lines = [found.start() for found in _LINE_END.finditer(text)]
    functions: list[Function] = []
    left_out = [LeftOut("", _line(lines, at), NO_END) for at in outline.endless]
    for definition in outline.definitions:
        found = _function(text, definition, written_in, lines)
        (functions if isinstance(found, Function) else left_out).append(found)  # type: ignore[attr-defined]
    return Found(written_in, tuple(functions), tuple(left_out))


def _function(text: str, at: Definition, written_in: Language, lines: Sequence[int]) -> Function | LeftOut:
    declarator = read_head(at.head, at.scope, written_in)
    if declarator is None:
        return LeftOut("", _line(lines, at.start), NO_NAME)
    line = _line(lines, at.start + declarator.at)
    body = text[at.brace + 1 : at.end - 1]
    if not body.strip() or not blank(body[:4096] if len(body) > 4096 else body).strip():
        return LeftOut(declarator.name, line, EMPTY_BODY)
    comments = above(text, at.first)
    start = comments[0] if comments else at.first
    # whole lines, so that the first is indented like the others
    begin = text.rfind("\n", 0, start) + 1
    if text[begin:start].strip():
        begin = start
    doc = read_comment(text[comments[0] : comments[1]]) if comments else Doc()
    return Function(
        declarator.name,
        _SPACE.sub(" ", at.head).strip(),
        text[begin : at.last],
        doc,
        declarator.parameters,
        *(_names(body, declarator) if not doc.summary else ((), ())),
        _line(lines, begin),
        _line(lines, at.last - 1),
        line,
    )


def _names(body: str, declarator: Declarator) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(what a body calls, what else it names), once each."""
    known = {declarator.name.rpartition("::")[2], *declarator.parameters}
    found: dict[str, str] = {}
    for word, bracket in _NAME.findall(blank(body)):
        if word not in _KEYWORDS and word not in known:
            found.setdefault(word, bracket)
    return tuple(w for w in found if found[w]), tuple(w for w in found if not found[w])


def _line(lines: Sequence[int], at: int) -> int:
    """The number of the line that a place is in, from 1."""
    return bisect_right(lines, at - 1) + 1
