"""The language of a file: by its suffix, and where that leaves it open, by the grammar that reads more of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import re2

from phases.data_preparation.declarators import Language, parser
from phases.data_preparation.heads import Kind
from phases.data_preparation.outline import Definition, Outline
from phases.data_preparation.tokens import HIDDEN, blank

if TYPE_CHECKING:
    from tree_sitter import Node

_CPP = (".cc", ".cpp", ".cxx", ".c++", ".hpp", ".hh", ".hxx", ".h++")
_CPP_ONLY = re2.compile(
    rb"::|\b(?:class|namespace|template|typename|virtual|operator|constexpr|noexcept|public|private|protected)\b"
)


def language(key: str, text: str, outline: Outline) -> Language:
    """The language of a file named `key`; of a header that says neither, the one whose grammar has fewer error bytes.

    What is not compiled does not count, and the bodies of functions do only where all else is read alike by both. A header with
    nothing that C++ alone has is C, and so is one that both grammars read alike.
    """
    name = key.lower()
    if name.endswith(_CPP) or key.endswith(".C"):
        return "C++"
    if name.endswith(".c"):
        return "C"
    shows = any(_is_cpp(definition) for definition in outline.definitions)
    if not shows and not _says_cpp(text):  # costs next to nothing
        return "C"
    code = whole = blank(text)
    if not shows and not _says_cpp(code):
        return "C"
    for definition in reversed(outline.definitions):
        inside = slice(definition.brace + 1, definition.end - 1)
        code = code[: inside.start] + HIDDEN * len(code[inside]) + code[inside.stop :]
    for part in (code, whole):
        of_c, of_cpp = error_bytes(part, "C"), error_bytes(part, "C++")
        if of_c != of_cpp:
            return "C++" if of_cpp < of_c else "C"
    return "C"


def _is_cpp(definition: Definition) -> bool:
    """Whether a definition is one that C cannot have: a method, or one with a reference or a type behind it in its head."""
    head = definition.head
    return "&" in head or "->" in head or any(kind is Kind.CLASS for kind, _ in definition.scope)


def _says_cpp(text: str) -> bool:
    return _CPP_ONLY.search(text.encode("ascii", "replace")) is not None


def error_bytes(code: str, written_in: Language) -> int:
    """How many bytes of code a grammar could not read, and one for each token that it misses."""
    todo: list[Node] = [parser(written_in).parse(code.encode()).root_node]
    found = 0
    while todo:  # a stack of our own: sources nest deeper than Python recurses
        node = todo.pop()
        if node.is_error or node.is_missing:
            found += max(1, node.end_byte - node.start_byte)
        elif node.has_error:
            todo.extend(node.children)
    return found
