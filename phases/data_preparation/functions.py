"""The functions of a C or C++ source, by its syntax tree.

Diagram 7 says "C/C++ regex"; a regular expression cannot tell a definition from a declaration, a macro or
a comment, so code is read as code here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

Language = Literal["C", "C++"]

# what may stand around a definition without being a function itself
_AROUND = frozenset(
    {
        "translation_unit",
        "preproc_if",
        "preproc_ifdef",
        "preproc_else",
        "preproc_elif",
        "linkage_specification",
    }
    | {
        "declaration_list",
        "namespace_definition",
        "template_declaration",
        "class_specifier",
        "struct_specifier",
    }
    | {"field_declaration_list", "ERROR"}
)
_CPP_SUFFIXES = (".cc", ".cpp", ".cxx", ".hpp", ".hh")
_SPACE = re.compile(r"\s+")
_CLOSING = re.compile(r"\*/\s*$")
_OPENING = re.compile(r"^\s*(?:/\*[*!]*|//[/!]*<?|\*)", re.MULTILINE)
_BRIEF = re.compile(r"^\s*[@\\]brief\b", re.MULTILINE)
_COMMAND = re.compile(
    r"^\s*[@\\](?:file|param|return|returns|retval|note|see|ingroup|pre|post)\b", re.MULTILINE
)
_SENTENCE = re.compile(r"(.+?[.!?])(?:\s|$)", re.DOTALL)


@dataclass(frozen=True)
class Function:
    """One function definition: its name, its head on one line, its text with the comment above it, and
    the first sentence of that comment (empty where there is none)."""

    name: str
    signature: str
    text: str
    summary: str


def language(key: str) -> Language:
    """The language of a file, by the suffix of its name; a plain .h is read as C."""
    return "C++" if key.lower().endswith(_CPP_SUFFIXES) else "C"


def extract_functions(text: str, written_in: Language = "C") -> list[Function]:
    """All functions that a source defines, in its order; those that do not parse are left out.

    Line ends come out as newlines.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    source = text.encode()
    root = _parser(written_in == "C++").parse(source).root_node
    return [_function(node, source) for node in _definitions(root) if not node.has_error]


@cache
def _parser(cpp: bool) -> Parser:
    import tree_sitter

    grammar = import_module("tree_sitter_cpp" if cpp else "tree_sitter_c")
    return tree_sitter.Parser(tree_sitter.Language(grammar.language()))


def _definitions(root: Node) -> Iterator[Node]:
    todo = [root]  # a stack of our own: sources nest deeper than Python recurses
    while todo:
        node = todo.pop()
        if node.type == "function_definition":
            if node.child_by_field_name("body") is not None:
                yield node
        elif node.type in _AROUND:
            todo.extend(reversed(node.named_children))


def _function(node: Node, source: bytes) -> Function:
    body = node.child_by_field_name("body")
    assert body is not None  # by _definitions
    first = node.parent if node.parent is not None and node.parent.type == "template_declaration" else node
    comments = _comments_above(first)
    start = comments[0] if comments else first
    text = source[start.start_byte : node.end_byte].decode()
    comment = source[comments[0].start_byte : comments[-1].end_byte].decode() if comments else ""
    head = source[first.start_byte : body.start_byte].decode()
    return Function(_name(node), _SPACE.sub(" ", head).strip(), text, summary(comment))


def _name(node: Node) -> str:
    at: Node | None = node.child_by_field_name("declarator")
    name = b""
    while at is not None:  # pointer, function and parenthesised declarators around the name itself
        name = at.text or name
        below = at.child_by_field_name("declarator")
        if below is None and at.type in ("parenthesized_declarator", "reference_declarator"):
            below = at.named_children[0] if at.named_children else None
        at = below
    return name.decode()


def _comments_above(node: Node) -> list[Node]:
    """The comment that belongs to a definition: on lines of its own, without an empty line in between."""
    found: list[Node] = []
    below = node
    while (above := below.prev_sibling) is not None and above.type == "comment":
        trailing = (
            above.prev_sibling is not None and above.prev_sibling.end_point.row == above.start_point.row
        )
        if trailing or below.start_point.row - above.end_point.row > 1:
            break
        found.insert(0, above)
        below = above
        if (above.text or b"").startswith(b"/*"):
            break  # a block is whole; the one above it is about something else
    return found


def summary(comment: str) -> str:
    """The first sentence of a comment, after its @brief where it has one, on one line."""
    plain = _OPENING.sub("", _CLOSING.sub("", comment))
    brief = _BRIEF.search(plain)
    plain = plain[brief.end() :] if brief else plain
    command = _COMMAND.search(plain)
    plain = (plain[: command.start()] if command else plain).strip()
    plain = _SPACE.sub(" ", plain.split("\n\n")[0]).strip()
    sentence = _SENTENCE.match(plain)
    return sentence.group(1) if sentence else plain
