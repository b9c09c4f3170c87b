"""Stand-ins: functions that a reference calls and that are nowhere, written so that its own code can be run.

Real code is cut out of a project. Where the reference declares a function and calls it, and neither it nor the sandbox's
library has it, a stand-in takes its place, the same beside the reference and beside the answer: it gives numbers made from a seed and
from what it is given, writes such numbers where it is given a pointer to one, and its calls are compared like what a
function leaves behind. Those with `...` print, mostly: their calls are not compared.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

from tree_sitter import Node

from phases.quality_scoring.behaviour.declarations import Declarations, function_of, layers, name_of

BEGIN = "sandbox_begin"
NOTES, NOTED = "sandbox_notes", "sandbox_noted"
MOST = 512  # notes of a call
_NAME, _REAL, _POINTER = 1, 3, 4
_SHARED = """
void sandbox_called(unsigned long long, int); void sandbox_taken(int, int, const void *, unsigned long);
void sandbox_gives(int, int, int, void *, unsigned long, void *);
#define SIGNED_(x) _Generic((x), char: 1, signed char: 1, short: 1, int: 1, long: 1, long long: 1, default: 0)
#define BOOL_(x) _Generic((x), _Bool: 1, default: 0)
#define TAKEN_(x) sandbox_taken(__builtin_classify_type(x), SIGNED_(x), &(x), sizeof(x));
#define GIVES_(x, at, room) sandbox_gives(__builtin_classify_type(x), SIGNED_(x), BOOL_(x), at, sizeof(x), room);
"""


def stand_ins(
    declared: Declarations, name: str, there: Collection[str], allowed: Collection[str] | None
) -> dict[str, str]:
    """C definitions by name, of what a call of the function can come to and nothing defines.

    `there` are the names of the library; `allowed`, if given, those that may be stood in for: an answer's are the reference's.
    """
    found = {}
    for called in declared.nearest(name):
        if called in declared.functions or called in there or (allowed is not None and called not in allowed):
            continue
        if called in declared.prototypes and (text := _written(declared, called)):
            found[called] = text
    return found


def text_of(found: Mapping[str, str]) -> str:
    """What stands behind a text that needs them."""
    return _SHARED + "\n".join(found.values()) + "\n" if found else ""


def told(notes: bytes, names: Sequence[str], where: Callable[[int], Any]) -> dict[str, list[list[Any]]]:
    """The calls of a call: of each stand-in what it was given, each different once, in their order.

    `where` says of an address what is there, in words that are the same in both programs.
    """
    known = {crc32(n.encode()): n for n in names}
    calls: dict[str, list[list[Any]]] = {}
    current: list[Any] = []
    all_calls: list[tuple[str, list[Any]]] = []
    for kind, value in struct.iter_unpack("<QQ", notes):
        if kind == _NAME:
            current = []
            all_calls.append((known.get(value, "?"), current))
        elif kind == _REAL:
            current.append(struct.unpack("<d", value.to_bytes(8, "little"))[0])
        elif kind == _POINTER:
            current.append(where(value))
        else:
            current.append(value - (1 << 64) if value >> 63 else value)
    for name, given in all_calls:
        if given not in calls.setdefault(name, []):
            calls[name].append(given)
    return calls


def _written(declared: Declarations, name: str) -> str | None:
    """The stand-in of a function that is declared; None where its declaration is beyond reading."""
    node = declared.prototypes[name]
    outer = next(
        d
        for d in node.children_by_field_name("declarator")
        if (f := function_of(d)) is not None and (n := name_of(f)) is not None and declared.text(n) == name
    )
    function = function_of(outer)
    listed = function.child_by_field_name("parameters") if function is not None else None
    if function is None or listed is None or node.has_error:
        return None
    parameters: list[str] = []
    names: list[str] = []
    fills: list[str] = []
    for parameter in listed.named_children:
        if parameter.type == "comment":
            continue
        if parameter.type == "variadic_parameter":
            parameters.append("...")
            continue
        if parameter.type != "parameter_declaration":
            return None
        if declared.text(parameter).strip() == "void":
            continue
        one = _parameter(declared, parameter, f"given_{len(names)}")
        if one is None:
            return None
        text, own = one
        parameters.append(text)
        names.append(own)
        if _is_filled(declared, parameter):
            fills.append(own)
    source = declared.source
    head = source[node.start_byte : outer.start_byte] + source[outer.start_byte : listed.start_byte]
    tail = source[listed.end_byte : outer.end_byte] if function != outer else b""
    head_text, tail_text = head.decode("utf-8", "replace"), tail.decode("utf-8", "replace")
    printing = "..." in parameters
    lines = [f"sandbox_called({crc32(name.encode())}u, {int(not printing)});"]
    if not printing:
        lines += [f"TAKEN_({n})" for n in names]
    lines += [f"if ({n}) {{ GIVES_(*{n}, (void *){n}, 0) }}" for n in fills]
    kind = node.child_by_field_name("type")
    if not (kind is not None and declared.text(kind) == "void" and function == outer):
        room = "static __attribute__((aligned(16))) unsigned char room_[1024];"
        call = f"{name}({', '.join(names)})"
        lines.append(f"{room} static __typeof__({call}) r_; GIVES_(r_, &r_, room_) return r_;")
    given = ", ".join(parameters) or "void"
    return f"{head_text}({given}){tail_text} {{ {' '.join(lines)} }}"


def _parameter(declared: Declarations, node: Node, instead: str) -> tuple[str, str] | None:
    """(a parameter's text, its name): its own, or one put in where it has none."""
    declarator = node.child_by_field_name("declarator")
    text = declared.text(node)
    if declarator is not None and (name := name_of(declarator)) is not None:
        return text, declared.text(name)
    if declarator is None or all(d.type == "abstract_pointer_declarator" for d in _abstract(declarator)):
        return f"{text} {instead}", instead
    return None


def _abstract(declarator: Node) -> Iterator[Node]:
    node: Node | None = declarator
    while node is not None:
        yield node
        node = node.child_by_field_name("declarator")


def _is_filled(declared: Declarations, node: Node) -> bool:
    """Whether a parameter is a pointer to a number that the function may write."""
    declarator, kind = node.child_by_field_name("declarator"), node.child_by_field_name("type")
    if declarator is None or kind is None or b"const" in declared.source[node.start_byte : node.end_byte]:
        return False
    around = [*layers(declarator)] or [*_abstract(declarator)]
    spelled = declared.text(kind).strip()
    plain = kind.type in ("primitive_type", "sized_type_specifier") or (
        kind.type == "type_identifier" and _is_number(declared, spelled)
    )
    return plain and spelled not in ("void", "char") and len(around) == 1 and "pointer" in around[0].type


def _is_number(declared: Declarations, name: str) -> bool:
    for _ in range(8):
        if name not in declared.typedefs:
            return False
        kind, declarator = declared.typedefs[name]
        if [*layers(declarator)]:
            return False
        if kind.type in ("primitive_type", "sized_type_specifier"):
            return True
        name = declared.text(kind).strip()
    return False
