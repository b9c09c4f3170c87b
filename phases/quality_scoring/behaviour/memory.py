"""Values in a module's memory: written before a call, looked at after it.

The arguments, and all that they point to, lie in one stretch of memory, each thing alone: between them is a margin, and
what is written into a margin was written outside of what the function was given.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from phases.quality_scoring.behaviour.inputs import Value
from phases.quality_scoring.behaviour.signature import Array, Bits, Number, Pointer, Shape, Structure

MARGIN = 48  # bytes
_WHOLE = {1: "B", 2: "H", 4: "I", 8: "Q"}  # by size; what is of another (__int128) goes one by one
_REAL = {4: "<f", 8: "<d"}  # of another size (long double) every one is zero
_DEEPEST = 4
_LONGEST = 256  # characters of a string that is the module's own


@dataclass(frozen=True, slots=True)
class Thing:
    """Something in the stretch: what a parameter (or a member of it) points to, by its path from there."""

    path: str
    at: int
    shape: Shape
    count: int
    size: int

    @property
    def end(self) -> int:
        return self.at + self.count * self.size


@dataclass
class Stretch:
    """The image of one call's memory: `content` is what lies at `base`."""

    base: int
    fill: int
    content: bytearray = field(default_factory=bytearray)
    things: list[Thing] = field(default_factory=list)
    taken: list[tuple[int, int]] = field(default_factory=list)

    def room(self, size: int, *, given: bool = True) -> int:
        """Take so many bytes; where they begin in the content, aligned.

        What is given holds zeros where no value is made for it (other members of a union): its caller wrote all of it.
        """
        self.content += bytes([self.fill]) * MARGIN
        at = len(self.content)
        self.content += bytes(size) if given else bytes([self.fill]) * size
        self.content += bytes([self.fill]) * (-size % 16)
        self.taken.append((at, at + size))
        return at

    def end(self) -> None:
        """Nothing more comes: the last thing has its margin too."""
        self.content += bytes([self.fill]) * MARGIN

    def write(self, at: int, shape: Shape, value: Value, path: str) -> None:
        """Put a value of the shape there, and what it points to somewhere behind."""
        match shape:
            case Number():
                self.content[at : at + shape.size] = _packed(shape, value)
            case Bits():
                whole = int.from_bytes(self.content[at : at + shape.size], "little") & ~shape.mask
                whole |= value << shape.lowest & shape.mask
                self.content[at : at + shape.size] = whole.to_bytes(shape.size, "little")
            case Structure():
                for name, offset, inner in shape.fields:
                    if name in value:
                        self.write(at + offset, inner, value[name], f"{path}.{name}")
            case Array():
                self._elements(at, shape.of, shape.size, value, path)
            case Pointer():
                address = 0
                if value is not None and shape.to is not None:
                    begins = self.room(shape.size * len(value))
                    self.things.append(Thing(path, begins, shape.to, len(value), shape.size))
                    self._elements(begins, shape.to, shape.size, value, path)
                    address = self.base + begins
                self.content[at : at + 8] = address.to_bytes(8, "little")

    def _elements(self, at: int, shape: Shape, size: int, values: Sequence[Value], path: str) -> None:
        if isinstance(shape, Number) and not shape.real and shape.size == size in _WHOLE and values:
            mask = (1 << (8 * size)) - 1
            packed = struct.pack(f"<{len(values)}{_WHOLE[size]}", *(v & mask for v in values))
            self.content[at : at + len(packed)] = packed
            return
        for i, value in enumerate(values):
            self.write(at + i * size, shape, value, f"{path}[{i}]")

    def thing(self, offset: int) -> Thing | None:
        """The thing that is there, or that ends there; they lie in the order in which they were made."""
        at = bisect_right(self.things, offset, key=lambda t: t.at) - 1
        return self.things[at] if at >= 0 and offset <= self.things[at].end else None

    def trespassed(self, after: bytes) -> bool:
        """Whether anything was written between the things."""
        at, blank = 0, self.fill
        for begins, ends in [*self.taken, (len(after), len(after))]:
            if after[at:begins].count(blank) != begins - at:
                return True
            at = ends
        return False


def _packed(shape: Number, value: Any) -> bytes:
    if shape.real and not shape.boolean:
        code = _REAL.get(shape.size)
        return struct.pack(code, value) if code else bytes(shape.size)
    return int(value & ((1 << (8 * shape.size)) - 1)).to_bytes(shape.size, "little")


@dataclass(frozen=True)
class Look:
    """A look at memory: at all of it, or at what lies from `origin` on; and which stretch of it the call was given."""

    memory: memoryview
    stretch: Stretch
    origin: int = 0

    def _bytes(self, at: int, size: int) -> memoryview:
        return self.memory[at - self.origin : at - self.origin + size]

    def value(self, at: int, shape: Shape, depth: int = 0) -> Value:
        """What lies at an address, as a value. A pointer is where it points, by name; what is nowhere is "wild"."""
        if not 0 <= at - self.origin < len(self.memory):
            return "wild"
        match shape:
            case Number():
                return _unpacked(shape, bytes(self._bytes(at, shape.size)))
            case Bits():
                content = bytes(self._bytes(at, shape.size))
                if len(content) < shape.size:
                    return "wild"
                return (int.from_bytes(content, "little") & shape.mask) >> shape.lowest
            case Structure():
                return {name: self.value(at + offset, inner, depth) for name, offset, inner in shape.fields}
            case Array():
                return self.several(at, shape.of, shape.size, shape.count, depth)
            case Pointer():
                return self._pointed(int.from_bytes(self._bytes(at, 8), "little"), shape, depth)

    def several(self, at: int, shape: Shape, size: int, count: int, depth: int = 0) -> Value:
        """So many things of one shape, one behind the other; "wild" where memory ends before they do."""
        begins = at - self.origin
        if not 0 <= begins <= begins + size * count <= len(self.memory):
            return "wild"
        if isinstance(shape, Number) and not shape.real and shape.size == size in _WHOLE:
            code = _WHOLE[size].lower() if shape.signed else _WHOLE[size]
            return list(struct.unpack_from(f"<{count}{code}", self.memory, begins))
        return [self.value(at + i * size, shape, depth) for i in range(count)]

    def where(self, address: int) -> str | None:
        """Where an address points: to a thing, by its path, or somewhere."""
        if address == 0:
            return None
        offset = address - self.stretch.base
        if thing := self.stretch.thing(offset):
            return f"&{thing.path}" + (f" + {offset - thing.at}" if offset > thing.at else "")
        return "&"

    def _pointed(self, address: int, shape: Pointer, depth: int) -> Value:
        if (named := self.where(address)) != "&":
            return named
        if not 0 <= address - self.origin < len(self.memory):
            return "wild"
        if shape.to is None or depth >= _DEEPEST:
            return "somewhere"
        if shape.text:
            return bytes(self._bytes(address, _LONGEST)).partition(b"\0")[0].decode("latin-1")
        if shape.many and isinstance(shape.to, Number):
            return "somewhere"
        return {"*": self.value(address, shape.to, depth + 1)}


def _unpacked(shape: Number, content: bytes) -> Value:
    if len(content) < shape.size:
        return "wild"
    if shape.real and not shape.boolean:
        code = _REAL.get(shape.size)
        return struct.unpack(code, content)[0] if code else 0.0
    return int.from_bytes(content, "little", signed=bool(shape.signed))
