"""The declarations of a C text: its types, its functions, and how a declarator is taken apart.

A declarator stands inside out: what is nearest the name comes first (`*a[3]` is an array of pointers).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import tree_sitter_c
from tree_sitter import Language, Node, Parser

_C = Language(tree_sitter_c.language())
_AROUND = ("linkage_specification", "declaration_list", "ERROR")  # what holds declarations and is none
_NESTED = 64  # declarators around a name


class Declarations:
    """The types and functions of a translation unit."""

    def __init__(self, text: str) -> None:
        self.source = text.encode("utf-8", "replace")
        self.root = Parser(_C).parse(self.source).root_node
        self.typedefs: dict[str, tuple[Node, Node]] = {}
        self.records: dict[str, Node] = {}
        self.functions: dict[str, Node] = {}
        self.prototypes: dict[str, Node] = {}
        self.enumerators: set[str] = set()
        self.variables: dict[str, tuple[Node, Node]] = {}
        self.state = False
        for node in outermost(self.root):
            self._take(node)

    def text(self, node: Node) -> str:
        """What stands there."""
        return self.source[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def types(self) -> Iterator[tuple[str, frozenset[str]]]:
        """The declarations of types and macros at the top of the text, each with the names that it declares."""
        for node in outermost(self.root):
            if (
                node.type in ("preproc_def", "preproc_function_def")
                and (name := node.child_by_field_name("name")) is not None
            ):
                yield self.text(node), frozenset([self.text(name)])
                continue
            kind = node if node.type.endswith("_specifier") else node.child_by_field_name("type")
            plain = node.type in ("type_definition", "struct_specifier", "union_specifier", "enum_specifier")
            if plain and kind is not None:
                named = [
                    kind.child_by_field_name("name"),
                    *map(name_of, node.children_by_field_name("declarator")),
                ]
                names = {self.text(n) for n in named if n is not None}
                yield (
                    self.text(node) + ("" if node.type == "type_definition" else ";"),
                    frozenset(names | set(self._enumerators(kind))),
                )

    def signatures(self, wanted: Collection[str]) -> Iterator[str]:
        """The declarations of those functions that are declared and not defined, in the order of the text."""
        for name, node in self.prototypes.items():
            if name in wanted and name not in self.functions:
                yield self.text(node)

    def nearest(self, name: str) -> tuple[str, ...]:
        """The functions, defined or declared, that a call of one can come to: itself first, then what it calls, and so on."""
        found = {name: None}
        todo = [name]
        while todo:
            definition = self.functions.get(todo.pop(0))
            for node in inside(definition) if definition is not None else ():
                other = self.text(node) if node.type == "identifier" else name
                if other not in found and (other in self.functions or other in self.prototypes):
                    found[other] = None
                    todo.append(other)
        return tuple(found)

    def type_names(self) -> frozenset[str]:
        """All that `types` declare."""
        return frozenset[str]().union(*(names for _, names in self.types()))

    def _enumerators(self, specifier: Node) -> Iterator[str]:
        body = specifier.child_by_field_name("body") if specifier.type == "enum_specifier" else None
        for e in body.named_children if body is not None else ():
            if e.type == "enumerator" and (name := e.child_by_field_name("name")) is not None:
                yield self.text(name)

    def _take(self, node: Node) -> None:
        specifier = node.child_by_field_name("type")
        if node.type in ("struct_specifier", "union_specifier", "enum_specifier"):
            specifier = node
        if specifier is not None:
            self._record(specifier)
        if node.type == "type_definition" and specifier is not None:
            for declarator in node.children_by_field_name("declarator"):
                if name := name_of(declarator):
                    self.typedefs[self.text(name)] = (specifier, declarator)
        elif node.type == "function_definition":
            defined = node.child_by_field_name("declarator")
            if defined is not None and (name := name_of(defined)):
                self.functions.setdefault(self.text(name), node)
                self.state = self.state or any(self._keeps(d) for d in _static(node))
        elif node.type == "declaration":
            declared = node.children_by_field_name("declarator")
            for declarator in declared:
                if (called := function_of(declarator)) is not None and (name := name_of(called)):
                    self.prototypes.setdefault(self.text(name), node)
                elif (
                    called is None
                    and specifier is not None
                    and self._keeps(node)
                    and (name := name_of(declarator))
                ):
                    self.variables[self.text(name)] = (specifier, _declared(declarator))
            if any(function_of(d) is None for d in declared):
                self.state = self.state or self._keeps(node)

    def _keeps(self, declaration: Node) -> bool:
        words = {
            self.text(c)
            for c in declaration.children
            if c.type in ("type_qualifier", "storage_class_specifier")
        }
        return "const" not in words and "typedef" not in words and "extern" not in words

    def _record(self, specifier: Node) -> None:
        name, body = specifier.child_by_field_name("name"), specifier.child_by_field_name("body")
        if body is None:
            return
        self.enumerators.update(self._enumerators(specifier))
        if name is not None:
            self.records[f"{specifier.type} {self.text(name)}"] = specifier
        for member in body.named_children:
            if (
                member.type == "field_declaration"
                and (inner := member.child_by_field_name("type")) is not None
            ):
                self._record(inner)


def outermost(root: Node) -> Iterator[Node]:
    """The declarations of a text in its order, those within conditionals and blocks of linkage too."""
    todo = list(reversed(root.named_children))
    while todo:
        node = todo.pop()
        if node.type.startswith("preproc_") or node.type in _AROUND:
            todo.extend(reversed(node.named_children))
        if node.type not in _AROUND:
            yield node


def inside(node: Node) -> Iterator[Node]:
    """The node and all nodes in it, in the order of the text."""
    todo = [node]
    while todo:
        one = todo.pop()
        yield one
        todo.extend(reversed(one.named_children))


def _static(definition: Node) -> Iterator[Node]:
    for node in inside(definition):
        if node.type == "declaration" and any(
            c.type == "storage_class_specifier" and c.text == b"static" for c in node.children
        ):
            yield node


def _declared(declarator: Node) -> Node:
    """The declarator of one that has a value."""
    inner = declarator.child_by_field_name("declarator") if declarator.type == "init_declarator" else None
    return inner if inner is not None else declarator


def _inner(declarator: Node) -> Node | None:
    """The declarator within a declarator."""
    found = declarator.child_by_field_name("declarator")
    if found is None and declarator.type in ("parenthesized_declarator", "attributed_declarator"):
        found = next(
            (c for c in declarator.named_children if c.type.endswith(("declarator", "identifier"))), None
        )
    return found


def layers(declarator: Node | None, until: Node | None = None) -> Iterator[Node]:
    """The pointers, arrays and parameter lists around a name, from the outside of the text to the name."""
    node, steps = declarator, 0
    while node is not None and node != until and steps < _NESTED:
        steps += 1
        if node.type.endswith(("pointer_declarator", "array_declarator", "function_declarator")):
            yield node
        node = _inner(node)


def name_of(declarator: Node) -> Node | None:
    """The name that a declarator declares."""
    node: Node | None = declarator
    for _ in range(_NESTED):
        if node is None or node.type in (
            "identifier",
            "field_identifier",
            "type_identifier",
            "primitive_type",
        ):
            return node
        node = _inner(node)
    return None


def function_of(declarator: Node) -> Node | None:
    """The parameter list nearest the name, if what is declared is a function."""
    node: Node | None = declarator
    for _ in range(_NESTED):
        if node is None:
            return None
        if node.type == "function_declarator":
            inner = _inner(node)
            return node if inner is not None and inner.type == "identifier" else None
        node = _inner(node)
    return None


def flexible(declarator: Node) -> bool:
    """Whether an array of no stated size is declared."""
    return any(
        n.type == "array_declarator" and n.child_by_field_name("size") is None for n in layers(declarator)
    )
