"""What the head of a function says: its name, its parameters, and on which place the name stands.

The grammar reads each head by itself, with an empty body: an error in one says nothing about another, and what surrounds a
definition (a class that a macro begins, a namespace in an `#if`) cannot confuse it. The plain ones, nine of ten, a regular
expression reads as well, in a quarter of the time.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Literal, NamedTuple

from phases.data_preparation.heads import Kind, closing, plain_name
from phases.data_preparation.outline import Scope

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

Language = Literal["C", "C++"]

_WORD = r"[A-Za-z_]\w*"
_NAMES = frozenset(
    {"identifier", "field_identifier", "qualified_identifier", "destructor_name", "operator_name"}
    | {"operator_cast", "template_function", "type_identifier"}
)
# what the grammars do not know before a declaration, or need not
_IN_FRONT = re.compile(r'\b(?:extern\s*"[^"]*"|friend\b|(?:__extension__|_Noreturn)\b)')
_TRY = re.compile(r"\btry(?=\s*(?::|$))")
_TEMPLATE = re.compile(r"\s*template\s*<")
_ATTRIBUTE = re.compile(r"\b__attribute(?:__)?\s*\(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\s*\)")
# P2CONST(type, a, b) name, __printf(1, 2) void f(...): a macro's arguments, before what it is said of
_MACRO = re.compile(
    rf"\b(?:[A-Z_][A-Z0-9_]+|__[a-z]\w*)\s*(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))"
    rf"(?=[\s*&]*(?!(?:const|volatile|noexcept|override|final|try|throw|requires)\b|__)(?:{_WORD}|\.\.\.))"
)
_CALL = re.compile(
    rf"\s*(?:(?:static|extern|inline|__inline__|__always_inline)\s+)*({_WORD})\s*\((.*)\)\s*$", re.DOTALL
)
_TEST = re.compile(r"[A-Z][A-Z0-9_]*$")
_SYSTEM_CALL = re.compile(r"(COMPAT_)?SYSCALL_DEFINE\d$")
_FIRST_CALL = re.compile(rf"(~?{_WORD}(?:\s*(?:<[^<>]*>)?\s*::\s*~?{_WORD})*)\s*\(")
_NO_NAME = re.compile(
    r"(?:__\w+|[A-Z][A-Z0-9_]+|decltype|alignas|noexcept|throw|requires|explicit|if|while|for|switch)$"
)
# words, a name, and in its brackets parameters without brackets: what needs no grammar. Nothing in it backtracks.
_PLAIN = re.compile(
    r"\s*+(?:(?!operator\b)[A-Za-z_]\w*+[\s*]++(?!\())++(?P<name>[A-Za-z_]\w*+)\s*+\((?P<parameters>[\w\s*,\[\]]*+)\)\s*+$"
)
_PLAIN_PARAMETER = re.compile(
    r"(?:^|,)\s*+(?:(?:const|volatile|struct|union|enum|register)\s++)*+(?:[A-Za-z_]\w*+[\s*]++(?![,\[]|$))++"
    r"(?P<name>[A-Za-z_]\w*+)\s*+(?:\[[^\]]*+\]\s*+)*+(?=,|$)"
)
_NO_PARAMETER = frozenset(
    {"bool", "char", "const", "double", "enum", "float", "int", "long", "register", "restrict"}
    | {"short", "signed", "struct", "union", "unsigned", "void", "volatile"}
)
_FRIEND = re.compile(r"(?:\s*template\s*<.*>)?[\s\w]*\bfriend\b", re.DOTALL)
_SPACE = re.compile(r"\s+")


class Declarator(NamedTuple):
    """`name` is qualified by what it stands in, `at` is where it stands in the head, `parameters` are their names."""

    name: str
    at: int
    parameters: tuple[str, ...]


def read_head(head: str, scope: Scope, language: Language) -> Declarator | None:
    """The declarator of a function's head (comments blanked), or None where it is none's."""
    return read_plain(head, scope) or read_by_grammar(head, scope, language)


def read_plain(head: str, scope: Scope) -> Declarator | None:
    """The declarator of a plain head; None where it is not that plain. Other than the grammar it is not misled by a macro that
    it does not know: in `int __maybe_unused irq` the name is `irq`."""
    found = _PLAIN.match(head)
    if found is None or _TEST.match(found["name"]):
        return None
    said = found["parameters"]
    names: list[str] = []
    if said and said != "void" and not said.isspace():
        names = _PLAIN_PARAMETER.findall(said)
        if len(names) != said.count(",") + 1 or not _NO_PARAMETER.isdisjoint(names):
            return None  # some have no name
    name = _qualified(found["name"], head, scope) if scope else found["name"]
    return Declarator(name, found.start("name"), tuple(names))


def read_by_grammar(head: str, scope: Scope, language: Language) -> Declarator | None:
    """The declarator of any head; None where neither the grammar nor its brackets say one."""
    text = _prepared(head)
    tree = parser(language).parse(text.encode("ascii", "replace") + b"{}").root_node
    node = tree.named_child(tree.named_child_count - 1) if tree.named_child_count else None
    while node is not None and node.type == "template_declaration":
        node = node.named_child(node.named_child_count - 1)
    declarator = None
    if node is not None and node.type == "function_definition":
        declarator = _declarator(node.child_by_field_name("declarator"))
    if declarator is None:
        return _by_its_brackets(head, text, scope)
    name, parameters = declarator
    start = name.start_byte
    own = head[start : name.end_byte]
    if _TEST.match(own) and (first := _first_call(text[:start])):  # void f(int a) REQUIRES(lock)
        return Declarator(_qualified(first[1], head, scope), first.start(1), ())
    if name.type == "operator_cast" or "operator" in own:
        own = _operator(head, start)
    elif _is_macro(node, own, scope) and (macro := _macro(head, start, own)):
        return Declarator(macro, start, ())
    return Declarator(_qualified(own, head, scope), start, _parameters(parameters, head))


def _is_macro(node: Node | None, own: str, scope: Scope) -> bool:
    """Whether a name without a type before it is no constructor's."""
    typed = node is None or node.child_by_field_name("type") is not None
    return not typed and "::" not in own and "~" not in own and own not in (name for _, name in scope)


@cache
def parser(language: Language) -> Parser:
    """The parser of a language."""
    import tree_sitter

    grammar = import_module("tree_sitter_cpp" if language == "C++" else "tree_sitter_c")
    return tree_sitter.Parser(tree_sitter.Language(grammar.language()))


def _prepared(head: str) -> str:
    """The head as a grammar can read it, all places kept."""
    if not head.isascii():
        head = "".join(c if c.isascii() else "x" for c in head)
    if "__" in head:
        head = _ATTRIBUTE.sub(_spaces, head)
    if "template" in head:
        while found := _TEMPLATE.match(head):
            end = closing(head, found.end())
            head = " " * end + head[end:]
    if "extern" in head or "friend" in head or "_" in head:
        head = _IN_FRONT.sub(_spaces, head)
    if "try" in head:
        head = _TRY.sub(_spaces, head)
    if head.count("(") == 1:
        return head
    return _MACRO.sub(lambda m: m.group()[: m.start(1) - m.start()] + " " * len(m[1]), head)


def _spaces(found: re.Match[str]) -> str:
    return " " * len(found.group())


def _declarator(node: Node | None) -> tuple[Node, Node | None] | None:
    """(the name, the parameter list) inside of a declarator."""
    parameters = None
    while node is not None and node.type not in _NAMES:
        if node.type == "function_declarator":
            parameters = node.child_by_field_name("parameters")
        below = node.child_by_field_name("declarator")
        if below is None and node.type in ("parenthesized_declarator", "reference_declarator"):
            below = next((n for n in node.named_children if n.type != "ERROR"), None)
        node = below
    if (
        node is None
        or node.has_error
        or (parameters is None and node.type not in ("operator_cast", "qualified_identifier"))
    ):
        return None
    return node, parameters


def _parameters(node: Node | None, head: str) -> tuple[str, ...]:
    """The names in a parameter list."""
    if node is None:
        return ()
    names = []
    for parameter in node.named_children:
        at: Node | None = parameter
        while at is not None and at.type not in ("identifier", "field_identifier"):
            below = at.child_by_field_name("declarator")
            if below is None and at.type in ("parenthesized_declarator", "reference_declarator"):
                below = at.named_children[0] if at.named_children else None
            at = below
        if at is not None:
            names.append(head[at.start_byte : at.end_byte])
    return tuple(names)


def _by_its_brackets(head: str, text: str, scope: Scope) -> Declarator | None:
    """What no grammar reads: a macro that stands for a whole head, or a name before the first brackets."""
    if (call := _CALL.match(head)) and (macro := _macro(head, call.start(1), call[1])):
        return Declarator(macro, call.start(1), ())
    if first := _first_call(text):
        return Declarator(_qualified(first[1], head, scope), first.start(1), ())
    return None


def _first_call(text: str) -> re.Match[str] | None:
    """The first name before brackets that can be a function's."""
    return next((found for found in _FIRST_CALL.finditer(text) if not _NO_NAME.match(found[1])), None)


def _macro(head: str, start: int, word: str) -> str | None:
    """The name of a definition whose head is a macro: TEST(Gate, Opens); the system call of SYSCALL_DEFINE1(open, ...)."""
    call = _CALL.match(head, start)
    if call is None or not _TEST.match(word):
        return None
    arguments = [part.strip() for part in call[2].split(",")]
    if system := _SYSTEM_CALL.match(word):
        return f"{'compat_' if system[1] else ''}sys_{arguments[0]}"
    said = ", ".join(arguments)
    return f"{word}({_SPACE.sub(' ', said)})" if len(said) <= 80 and "(" not in said else word


def _operator(head: str, start: int) -> str:
    """The name of an operator, with what qualifies it: `A::operator bool`, `operator()`, `operator new[]`."""
    at = head.index("operator", start) + len("operator")
    behind = head[at:].lstrip()
    end = behind.find("(", 1 if behind.startswith("(") else 0)
    name = _SPACE.sub(" ", behind[:end].strip())
    spaced = name[:1].isalpha() or name[:1] == "_"
    return plain_name(head[start:at]) + (" " if spaced else "") + (name if spaced else name.replace(" ", ""))


def _qualified(own: str, head: str, scope: Scope) -> str:
    """A name with the names of what it stands in; a friend is its class's neighbour, not its member."""
    friend = "friend" in head and _FRIEND.match(head) is not None
    names = [name for kind, name in scope if name and not (friend and kind is Kind.CLASS)]
    name = own if "operator" in own else plain_name(own)
    return "::".join([*names, name.removeprefix("::")])
