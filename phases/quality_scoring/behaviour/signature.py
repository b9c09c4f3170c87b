"""What a function takes and gives, read from its text: the shape of each parameter, down to the numbers in it.

A shape says how a thing is built (a number, a structure, an array, a pointer); what only a compiler knows (sizes,
offsets, the values of enumerators) it names by its place in a table of C expressions, which the compiler fills in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from tree_sitter import Node

from phases.quality_scoring.behaviour.declarations import (
    Declarations,
    flexible,
    function_of,
    inside,
    layers,
    name_of,
)

_DEEPEST = 3  # pointers behind pointers; what is behind those is null
_MOST_NUMBERS = 1500  # in the table; where structures have more, less of what they point to is made
_MOST_NAMED = 60


class NotCallable(Exception):
    """Why no input can be made for a function, in half a sentence."""


@dataclass(frozen=True, slots=True)
class Number:
    """A scalar: its size in bytes; whether it is signed, a float, a bool, one of C's `char`; its enumerators' values."""

    size: int
    signed: int
    real: int
    boolean: int
    values: tuple[int, ...] = ()
    character: bool = False


@dataclass(frozen=True, slots=True)
class Bits:
    """A bit-field in a structure of `size` bytes: where an object lies in which its bits alone are set, and then what they are.

    No constant of C says where a bit-field is.
    """

    size: int
    at: int
    mask: int = 0

    @property
    def lowest(self) -> int:
        """How many bits of the structure are below it."""
        return (self.mask & -self.mask).bit_length() - 1

    @property
    def most(self) -> int:
        """The greatest value that it holds; its sign is one of its bits."""
        return self.mask >> self.lowest if self.mask else 0


@dataclass(frozen=True, slots=True)
class Structure:
    """A struct, or the first member of a union: (name, offset, shape) of what can be filled in and looked at."""

    fields: tuple[tuple[str, int, Shape], ...]


@dataclass(frozen=True, slots=True)
class Array:
    """`count` elements of `size` bytes."""

    count: int
    size: int
    of: Shape


@dataclass(frozen=True, slots=True)
class Pointer:
    """What it points to; None where that is left null (a function, what is not declared, what is too deep).

    many  the function reads it by index, so there are several
    """

    to: Shape | None
    size: int
    text: bool = False
    many: bool = False


Shape = Number | Bits | Structure | Array | Pointer
"""All numbers in a shape are places in the table of its signature."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: its name, its declaration as the member of a structure, its shape, where it is in there."""

    name: str
    member: str
    shape: Shape
    offset: int


@dataclass(slots=True)
class Signature:
    """A function as it is called. `table` holds C expressions that are constants once it is compiled.

    arguments, result_of  what the C text of the caller names; see `compile`
    state                 whether the text keeps anything from one call to the next
    named                 the enumerators that the function names, and those it calls: places in the table
    globals               the variables outside of functions: (name, address, shape); those that hold numbers
    objects               C declarations that the table needs
    touched               the identifiers in them
    """

    name: str
    parameters: tuple[Parameter, ...] = ()
    result: Shape | None = None
    result_size: int = 0
    void: bool = False
    size: int = 0
    table: list[str] = field(default_factory=list)
    state: bool = False
    named: tuple[int, ...] = ()
    globals: tuple[tuple[str, int, Shape], ...] = ()
    objects: list[str] = field(default_factory=list)
    touched: frozenset[str] = frozenset()


def resolved(shape: Shape, table: Sequence[int], read: Callable[[int, int], bytes]) -> Shape:
    """The shape with the numbers that the compiler filled in. `read` is what lies in the module's memory: (from, to)."""
    match shape:
        case Number():
            values = tuple(table[i] for i in shape.values)
            return Number(
                table[shape.size],
                table[shape.signed],
                table[shape.real],
                table[shape.boolean],
                values,
                shape.character,
            )
        case Bits():
            size, at = table[shape.size], table[shape.at]
            return Bits(size, at, int.from_bytes(read(at, at + size), "little"))
        case Structure():
            return Structure(
                tuple((name, table[at], resolved(inner, table, read)) for name, at, inner in shape.fields)
            )
        case Array():
            return Array(table[shape.count], table[shape.size], resolved(shape.of, table, read))
        case Pointer():
            to = None if shape.to is None else resolved(shape.to, table, read)
            return Pointer(to, 0 if to is None else table[shape.size], shape.text, shape.many)


def signature(declared: Declarations, name: str, arguments: str, result: str, own: str) -> Signature:
    """How the function of that name is called.

    `arguments` and `result` are C expressions of the structures that a call's arguments and its result lie in; `own` begins the
    names of `objects`.
    Raises NotCallable.
    """
    every, used = None, _words(declared, name, "field_identifier")
    for depth, members in ((_DEEPEST, every), (_DEEPEST, used), (2, used), (1, used)):
        try:
            return _signature(declared, name, arguments, result, depth, members, own)
        except _TooMuch:
            continue
    raise NotCallable("its parameters hold thousands of members")


def _signature(
    declared: Declarations,
    name: str,
    arguments: str,
    result: str,
    deepest: int,
    members: Collection[str] | None,
    prefix: str,
) -> Signature:
    definition = declared.functions[name]
    outer = definition.child_by_field_name("declarator")
    specifier = definition.child_by_field_name("type")
    assert outer is not None
    function = function_of(outer)
    if function is None or specifier is None:
        raise NotCallable("it is declared in a way that cannot be read")
    found = Signature(name)
    shapes = _Shapes(declared, definition, found, deepest, members, prefix)
    parameters = []
    listed = function.child_by_field_name("parameters")
    for node in listed.named_children if listed is not None else ():
        if node.type != "parameter_declaration":
            continue
        kind, declarator = node.child_by_field_name("type"), node.child_by_field_name("declarator")
        named = name_of(declarator) if declarator is not None else None
        if kind is None or named is None or declarator is None:
            if declarator is None and declared.text(node).strip() == "void":
                continue
            raise NotCallable("one of its parameters has no name")
        own = declared.text(named)
        lvalue = f"({arguments}).{own}"
        shape = shapes.of(kind, declarator, lvalue, parameter=own)
        if isinstance(shape, Pointer) and shape.to is None:
            raise NotCallable(f"nothing can be made for `{own}`: {shapes.why}")
        offset = shapes.number(f"__builtin_offsetof(__typeof__({arguments}), {own})")
        parameters.append(Parameter(own, _member(declared, node, named), shape, offset))
    found.parameters = tuple(parameters)
    found.void = declared.text(specifier).strip() == "void" and outer == function
    if not found.void:
        found.result = shapes.of(specifier, outer, result, result=function)
        found.result_size = shapes.number(f"sizeof({result})")
    if parameters:
        found.size = shapes.number(f"sizeof({arguments})")
    if len(found.table) > _MOST_NUMBERS:
        raise _TooMuch
    words = _words(declared, name)
    found.named = tuple(
        shapes.number(w) for w in [w for w in words if w in declared.enumerators][:_MOST_NAMED]
    )
    found.state = declared.state or "errno" in words
    found.globals = tuple(shapes.variables(sorted(declared.variables, key=lambda v: v not in words)))
    found.touched = frozenset(words)
    return found


def _words(declared: Declarations, name: str, kind: str = "identifier") -> Mapping[str, None]:
    """The identifiers, or those of members, in the function and in those that it comes to, the nearest first."""
    return {
        declared.text(node): None
        for near in declared.nearest(name)
        if near in declared.functions
        for node in inside(declared.functions[near])
        if node.type == kind
    }


class _Shapes:
    """Makes shapes, and the table they point into."""

    def __init__(
        self,
        declared: Declarations,
        definition: Node,
        found: Signature,
        deepest: int,
        members: Collection[str] | None,
        prefix: str,
    ) -> None:
        """`members` are those of structures that values are made for: None for all; the rest of a structure is zero."""
        self.declared, self.deepest, self.why = declared, deepest, ""
        self.table, self.objects, self.prefix = found.table, found.objects, prefix
        self.members = members
        self.indexed = frozenset(_indexed(declared, definition))

    def number(self, expression: str) -> int:
        self.table.append(expression)
        return len(self.table) - 1

    def variables(self, names: Sequence[str]) -> Iterator[tuple[str, int, Shape]]:
        """Variables that hold numbers, and not too many of them: (name, place of the address, shape)."""
        for name in names:
            before, had = len(self.table), len(self.objects)
            kind, declarator = self.declared.variables[name]
            try:
                shape = self.of(kind, declarator, name)
            except (_Nothing, _TooMuch):
                shape = None
            if shape is not None and _plain(shape) and len(self.table) < _MOST_NUMBERS:
                yield name, self.number(f"&{name}"), shape
            else:
                del self.table[before:], self.objects[had:]

    def of(
        self,
        specifier: Node,
        declarator: Node | None,
        lvalue: str,
        depth: int = 0,
        *,
        parameter: str = "",
        member: str = "",
        result: Node | None = None,
    ) -> Shape:
        """The shape of what `specifier declarator` declares. An array that is a parameter is a pointer."""
        around = list(layers(declarator, result))
        if parameter and around and around[-1].type == "array_declarator":
            return self._pointer(specifier, around[:-1], lvalue, depth, parameter)
        return self._layered(specifier, around, lvalue, depth, parameter or member)

    def _layered(self, specifier: Node, around: list[Node], lvalue: str, depth: int, name: str = "") -> Shape:
        """`around` are the declarators around the name, the outermost of the text first: the last is nearest the name."""
        if len(self.table) > _MOST_NUMBERS:
            raise _TooMuch
        if around:
            nearest, rest = around[-1], around[:-1]
            if nearest.type.endswith("pointer_declarator"):
                return self._pointer(specifier, rest, lvalue, depth, name)
            if nearest.type.endswith("array_declarator"):
                count = self.number(f"sizeof({lvalue}) / sizeof({lvalue}[0])")
                size = self.number(f"sizeof({lvalue}[0])")
                return Array(count, size, self._layered(specifier, rest, f"{lvalue}[0]", depth))
            return self._nothing("it is a function")
        return self._plain(specifier, lvalue, depth, name)

    def _plain(self, specifier: Node, lvalue: str, depth: int, name: str) -> Shape:
        spelled = self.declared.text(specifier).strip()
        if specifier.type == "type_identifier" and spelled in self.declared.typedefs:
            kind, declarator = self.declared.typedefs[spelled]
            return self._layered(kind, list(layers(declarator)), lvalue, depth, name)
        if specifier.type in ("struct_specifier", "union_specifier"):
            return self._structure(specifier, lvalue, depth)
        if specifier.type == "enum_specifier":
            return self._scalar(lvalue, self._enumerators(specifier))
        if specifier.type == "type_identifier" and not spelled.startswith("__"):
            return self._nothing(f"`{spelled}` is declared nowhere")
        return self._scalar(lvalue, character=spelled == "char")

    def _scalar(self, lvalue: str, names: tuple[str, ...] = (), *, character: bool = False) -> Number:
        kind = f"__typeof__({lvalue})"
        return Number(
            self.number(f"sizeof({lvalue})"),
            self.number(f"(({kind})-1 < ({kind})1)"),
            self.number(f"(({kind})0.5 != ({kind})0)"),
            self.number(f"(({kind})2 == ({kind})1)"),
            tuple(self.number(name) for name in names[:32]),
            character,
        )

    def _structure(self, specifier: Node, lvalue: str, depth: int) -> Structure:
        full = self._defined(specifier)
        body = full.child_by_field_name("body") if full is not None else None
        if body is None:
            return self._nothing(f"`{self.declared.text(specifier).strip()}` is declared nowhere")
        fields: list[tuple[str, int, Shape]] = []
        wanted = self._wanted(body)
        for member in body.named_children:
            if member.type != "field_declaration":
                continue
            kind = member.child_by_field_name("type")
            if kind is not None and member.child_by_field_name("declarator") is None:
                fields += self._nameless(kind, lvalue, depth)
            for declarator in member.children_by_field_name("declarator"):
                name = name_of(declarator)
                if name is None or kind is None or flexible(declarator):
                    continue
                own = self.declared.text(name)
                if not own or (wanted and own not in wanted):  # a bit-field may have no name
                    continue  # of a union the first that is named, then
                if (behind := declarator.next_named_sibling) is not None and behind.type == "bitfield_clause":
                    fields.append((own, self.number("0"), self._bits(lvalue, own)))
                    if specifier.type == "union_specifier":
                        return Structure(tuple(fields))
                    continue
                shape = self.of(kind, declarator, f"{lvalue}.{own}", depth, member=own)
                fields.append((own, self.number(f"__builtin_offsetof(__typeof__({lvalue}), {own})"), shape))
                if specifier.type == "union_specifier":
                    return Structure(tuple(fields))
        if not fields:
            return self._nothing(
                f"`{self.declared.text(specifier).split('{')[0].strip()}` has no member to fill in"
            )
        return Structure(tuple(fields))

    def _bits(self, lvalue: str, name: str) -> Bits:
        own = f"{self.prefix}{len(self.table)}"
        self.objects.append(f"static const __typeof__({lvalue}) {own} = {{ .{name} = -1 }};")
        return Bits(self.number(f"sizeof({lvalue})"), self.number(f"&{own}"))

    def _nameless(self, specifier: Node, lvalue: str, depth: int) -> Sequence[tuple[str, int, Shape]]:
        """The members of a structure that has no name in another: they count as that one's."""
        if specifier.type not in ("struct_specifier", "union_specifier"):
            return ()
        try:
            return self._structure(specifier, lvalue, depth).fields
        except _Nothing:
            return ()

    def _wanted(self, body: Node) -> frozenset[str]:
        """The members that values are made for; none for all: where the code names none of them it may copy or compare them all."""
        if self.members is None:
            return frozenset()
        declarators = (d for m in body.named_children for d in m.children_by_field_name("declarator"))
        own = {self.declared.text(name) for d in declarators if (name := name_of(d)) is not None}
        return frozenset(own & set(self.members))

    def _defined(self, specifier: Node) -> Node | None:
        if specifier.child_by_field_name("body") is not None:
            return specifier
        name = specifier.child_by_field_name("name")
        return (
            self.declared.records.get(f"{specifier.type} {self.declared.text(name)}")
            if name is not None
            else None
        )

    def _enumerators(self, specifier: Node) -> tuple[str, ...]:
        full = self._defined(specifier)
        body = full.child_by_field_name("body") if full is not None else None
        listed = body.named_children if body is not None else []
        names = (e.child_by_field_name("name") for e in listed if e.type == "enumerator")
        return tuple(self.declared.text(name) for name in names if name is not None)

    def _pointer(self, specifier: Node, rest: list[Node], lvalue: str, depth: int, name: str = "") -> Pointer:
        spelled = self.declared.text(specifier).strip()
        if any(layer.type.endswith("function_declarator") for layer in rest):
            self.why = "it points to a function"
            return Pointer(None, 0)
        if depth >= self.deepest:
            self.why = "it is too many pointers deep"
            return Pointer(None, 0)
        if not rest and spelled == "void":  # bytes
            return Pointer(Number(*self._bytes()), self.number("1"), many=True)
        pointee = f"(*({lvalue}))"
        before, had = len(self.table), len(self.objects)
        try:
            to = self._layered(specifier, rest, pointee, depth + 1)
        except _Nothing:
            del self.table[before:], self.objects[had:]
            return Pointer(None, 0)
        text = isinstance(to, Number) and to.character
        return Pointer(to, self.number(f"sizeof({pointee})"), text, many=text or name in self.indexed)

    def _bytes(self) -> tuple[int, int, int, int]:
        return self.number("1"), self.number("0"), self.number("0"), self.number("0")

    def _nothing(self, why: str) -> NoReturn:
        self.why = why
        raise _Nothing(why)


def _plain(shape: Shape) -> bool:
    """Whether it holds no pointer."""
    match shape:
        case Structure():
            return all(_plain(inner) for _, _, inner in shape.fields)
        case Array():
            return _plain(shape.of)
        case _:
            return isinstance(shape, (Number, Bits))


class _TooMuch(Exception):
    """Of more than can be made; with fewer pointers followed it may be less."""


class _Nothing(NotCallable):
    """Of this nothing can be made; behind a pointer it may be left out."""


def _member(declared: Declarations, parameter: Node, name: Node) -> str:
    """A parameter's declaration as a member of a structure: an array that is a parameter is a pointer."""
    source, end = declared.source, parameter.end_byte
    around = name.parent
    if around is not None and around.type == "array_declarator":
        before, behind = source[parameter.start_byte : around.start_byte], source[around.end_byte : end]
        text = before + b"(*" + (name.text or b"") + b")" + behind
    else:
        text = source[parameter.start_byte : end]
    return " ".join(w for w in text.decode("utf-8", "replace").split() if w != "register")


def _indexed(declared: Declarations, definition: Node) -> Iterator[str]:
    """Names that the function reads several things from: by index, or by moving the pointer."""
    for node in inside(definition):
        if node.type == "subscript_expression":
            argument = node.child_by_field_name("argument")
            if argument is not None and argument.type == "field_expression":
                argument = argument.child_by_field_name("field")
            if argument is not None:
                yield declared.text(argument)
        elif node.type in (
            "update_expression",
            "binary_expression",
            "assignment_expression",
            "call_expression",
        ):
            for child in node.named_children:
                inner = child.named_children if child.type == "argument_list" else [child]
                for one in inner:
                    if one.type == "identifier":
                        yield declared.text(one)
