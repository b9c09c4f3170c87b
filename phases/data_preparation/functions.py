"""The functions of a C or C++ source.

Diagram 7 says "C/C++ regex"; a regular expression alone cannot tell a definition from a declaration, and a grammar alone loses
what macros hide from it. So braces say where a body ends (`outline`), and the grammar what a head says (`declarators`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from phases.data_preparation.comments import NOTHING_SAID, Doc, above, read_comment, says_more
from phases.data_preparation.declarators import Declarator, Language, read_head
from phases.data_preparation.grammar import language
from phases.data_preparation.outline import Definition, Outline
from phases.data_preparation.tokens import COMMENT, PLAIN_CHARACTER, PLAIN_STRING, blank

_BEGINNING = 1200  # characters: enough for the names that a prompt has room for
_NAME = re.compile(
    rf"[^A-Za-z_0-9\"'/]*+(?:([A-Za-z_]\w*+(?: ?\()?)|[0-9]\w*+|{COMMENT}|{PLAIN_STRING}|{PLAIN_CHARACTER}|.|\Z)",
    re.DOTALL,
)
"""A name, with the bracket of a call behind it, and what stands before it; or no name, for what hides names: a number too."""
_QUOTED = re.compile(r"""(["']) *\1""")
"""What a head has instead of a literal: the quotes, and blanks between them."""
# fmt: off
_KEYWORDS = frozenset({
    "NULL", "_Alignof", "__attribute__", "__builtin_expect", "__typeof", "__typeof__", "alignof", "and", "assert",
    "auto", "bool", "break", "case", "catch", "char", "class", "const", "const_cast", "continue", "decltype",
    "default", "defined", "delete", "do", "double", "dynamic_cast", "else", "enum", "extern", "false", "float",
    "for", "goto", "if", "inline", "int", "likely", "long", "new", "noexcept", "not", "nullptr", "offsetof",
    "operator", "or", "register", "reinterpret_cast", "return", "short", "signed", "size_t", "sizeof", "ssize_t",
    "static", "static_assert", "static_cast", "struct", "switch", "template", "this", "throw", "true", "try",
    "typename", "typeof", "union", "unlikely", "unsigned", "using", "void", "volatile", "while",
})
# fmt: on


class Function(NamedTuple):
    """One function definition.

    `text` is its lines with the comment above it, `signature` its head on one line, `doc` what the comment says, `told` whether that is
    more than the name does. `first` and
    `last` are the lines of `text` in the file, `line` that of its name, all from 1. `callees` is what its body calls and
    `uses` the other names in it, both in the order of their first places, and empty where a comment tells more.
    """

    name: str
    signature: str
    text: str
    doc: Doc = NOTHING_SAID
    told: bool = False
    parameters: tuple[str, ...] = ()
    callees: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    first: int = 1
    last: int = 1
    line: int = 1


class LeftOut(NamedTuple):
    """A definition that is no example, and why."""

    name: str
    line: int
    reason: str


class Found(NamedTuple):
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
    functions: list[Function] = []
    left_out = [LeftOut("", text.count("\n", 0, at) + 1, NO_END) for at in outline.endless]
    counted, line = 0, 1
    for definition in outline.definitions:
        line += text.count("\n", counted, definition.start)
        counted = definition.start
        found = _function(text, definition, written_in, line)
        if isinstance(found, Function):
            functions.append(found)
        else:
            left_out.append(found)
    return Found(written_in, tuple(functions), tuple(left_out))


def _function(text: str, at: Definition, written_in: Language, line: int) -> Function | LeftOut:
    """The function of a definition whose head begins in a line."""
    declarator = read_head(at.head, at.scope, written_in)
    if declarator is None:
        return LeftOut("", line, NO_NAME)
    named = line + text.count("\n", at.start, at.start + declarator.at)
    name, signature = declarator.name, at.head
    if '"' in signature or "'" in signature:
        name, signature = _with_literals(text, at, declarator)
    body = text[at.brace + 1 : at.end - 1]
    code = body.lstrip()
    if not code or (code[0] in "/#" and not blank(body).strip()):
        return LeftOut(name, named, EMPTY_BODY)
    comment = above(text, at.first)
    begin = comment[0] if comment else at.first
    indent = text.rfind("\n", 0, begin) + 1
    if text[indent:begin].isspace():
        begin = indent  # whole lines, so that the first is indented like the others
    doc = read_comment(text[comment[0] : comment[1]]) if comment else NOTHING_SAID
    told = says_more(doc.summary, name)
    calls, uses = ((), ()) if told else _names(body, declarator)
    return Function(
        name,
        " ".join(signature.split()),
        text[begin : at.last],
        doc,
        told,
        declarator.parameters,
        calls,
        uses,
        line - text.count("\n", begin, at.start),
        line + text.count("\n", at.start, at.last),
        named,
    )


def _with_literals(text: str, at: Definition, declarator: Declarator) -> tuple[str, str]:
    """(the name, the head) with the literals that are blanked in both: TEST_CASE("a gate opens"), int f(char c = 'x')."""
    head = _QUOTED.sub(lambda found: text[at.start + found.start() : at.start + found.end()], at.head)
    literals = (head[found.start() : found.end()] for found in _QUOTED.finditer(at.head, declarator.at))
    return _QUOTED.sub(lambda found: next(literals, found[0]), declarator.name), head


def _names(body: str, declarator: Declarator) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(what a body calls, or what else it names if it calls nothing), once each: those of its beginning."""
    if len(body) > _BEGINNING:
        body = body[: body.rfind("\n", 0, _BEGINNING)]
        if body.rfind("/*") > body.rfind("*/"):
            body = body[: body.rfind("/*")]
    said = dict.fromkeys(_NAME.findall(body))
    said.pop("", None)
    own = (declarator.name.rpartition("::")[2], *declarator.parameters)
    calls = dict.fromkeys([token.rstrip(" (") for token in said if token[-1] == "("])
    called = tuple([word for word in calls if word not in _KEYWORDS and word not in own])
    if called:
        return called, ()
    return (), tuple([word for word in said if word[-1] != "(" and word not in _KEYWORDS and word not in own])
