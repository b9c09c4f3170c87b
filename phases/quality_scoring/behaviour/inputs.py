"""Inputs made from a signature: seeded, and of the kinds on which functions differ.

A value is a number, a dict (a structure), or a list (an array, or what a pointer points to); None is a null pointer.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from phases.quality_scoring.behaviour.compile import Hints
from phases.quality_scoring.behaviour.signature import Array, Bits, Number, Pointer, Shape, Structure

Value = Any
Named = Sequence[tuple[str, Shape]]
"""Parameters, or the members of a structure."""
Path = tuple[str | int, ...]
"""Where something is within the arguments: names of parameters and members, places in arrays and behind pointers."""

_LENGTH = re.compile(
    r"(?:^|_)(?:n|num|len|length|size|sz|count|cnt|cap|capacity|entries|bytes|samples|elements|items)(?:_|$|\d)",
    re.IGNORECASE,
)
_SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 33, 64)
_LARGE = (16, 33, 64)  # at a corner of another argument, so that it comes to matter
_SINGLE = 64  # elements behind a pointer that comes without a length
_MOST_BYTES = 16_384  # of one buffer
_REPEATS = 4096  # numbers of a large array; then they come again
_NULL = 0.04  # of the pointers
_ROOMY, _ROOM = (
    0.2,
    4,
)  # of the calls the buffers are so many times as long: what is counted may be larger than their elements
_ZERO = 0.25  # of the numbers in structures, for many of them say whether something is so
_AGAIN = 0.15  # of the structures, where there is another of the kind
_MOST_KEPT = 8  # of one kind in a call
_ROUNDS = 3  # times that each argument is at each of its corners, the second with another one
_MOST_BYTES_A_CALL = 1 << 15  # in all that is pointed to
_FEW_MORE = 8  # pointers behind one
_FEW = 3  # structures behind a pointer in a structure
_MOST_WORDS = 24  # corners that are numbers of the text, shared by the parameters
_MOST_LEAVES = 16  # numbers within structures that have corners of their own
_DEEPEST = 4  # structures in structures in which they are looked for
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-.,:/"


def low(number: Number) -> int:
    """The least value of a whole number."""
    return -(1 << (8 * number.size - 1)) if number.signed else 0


def high(number: Number) -> int:
    """The greatest value of a whole number."""
    return 1 if number.boolean else (1 << (8 * number.size - number.signed)) - 1


@dataclass
class Maker:
    """Makes the values of one call after the other. `null` is the share of pointers that point to nothing."""

    rng: random.Random
    hints: Hints
    null: float = _NULL
    calls: int = 0
    corner: bool = False
    corners: list[tuple[Path, Value]] = field(default_factory=list)
    kinds: dict[int, int] = field(default_factory=dict)
    pool: dict[int, list[Value]] = field(default_factory=dict)

    def call(self, parameters: Named) -> dict[str, Value]:
        """The arguments of one call: as they come, or one thing in them at a corner (`corner`), until each has been at its own.

        A number that a structure holds has corners where the code names it.
        """
        self.seen: list[int] = []
        self.left = _MOST_BYTES_A_CALL
        self.pool.clear()
        if not self.calls:
            self.cornered(parameters)
        at_corner = self.calls // 2
        self.corner = bool(self.calls % 2 and at_corner < len(self.corners) * _ROUNDS)
        values = self._together(parameters, 0)
        if self.corner:
            path, value = self.corners[at_corner % len(self.corners)]
            if (
                at_corner // len(self.corners) == 1
            ):  # one may matter only where another thing is as it should be
                _put(values, *self.rng.choice(self.corners))
            _put(values, path, value)
        self.calls += 1
        return values

    def cornered(self, parameters: Named) -> int:
        """How many corners the arguments have; before the first call."""
        if not self.corners:
            self.corners = list(self._corners(parameters))
            self.rng.shuffle(self.corners)
        return len(self.corners)

    def _corners(self, parameters: Named) -> Iterator[tuple[Path, Value]]:
        lengths = paired(parameters)
        words: list[tuple[Path, Value]] = []
        for name, shape in parameters:
            if isinstance(shape, Pointer) and self.null:
                yield (name,), None
            elif isinstance(shape, Number):
                yield from (((name,), value) for value in self._edges(shape, name in lengths))
                if name not in lengths and not shape.real:
                    words += [((name,), n) for n in self.hints.numbers[:_MOST_WORDS] if n <= high(shape)]
        yield from self.rng.sample(words, min(len(words), _MOST_WORDS))
        leaves = list(_leaves(parameters, (), self.hints.members, 0))
        for path, number in self.rng.sample(leaves, min(len(leaves), _MOST_LEAVES)):
            yield from ((path, value) for value in self._edges(number, False))

    def _edges(self, shape: Number, is_length: bool) -> Iterator[int]:
        """Nothing, one, the greatest, the least, and one that the code names or one beside it."""
        if shape.real and not shape.boolean:
            return
        yield 0
        if is_length:
            return
        yield 1
        yield high(shape)
        if shape.signed:
            yield low(shape)
        near = [n for n in self.hints.numbers if n <= high(shape)]
        if near and not shape.boolean:
            yield _within(self.rng.choice(near) + self.rng.choice((-1, 0, 0, 1)), shape)

    def _together(self, members: Named, depth: int) -> dict[str, Value]:
        """Values of what stands side by side: a buffer and its length fit."""
        made: dict[str, Value] = {}
        alike: list[tuple[Shape, Value]] = []
        lengths = paired(members)
        sizes: dict[str, int] = {}
        for buffers_of, buffers in lengths.items():
            shape = dict(members)[buffers_of]
            assert isinstance(shape, Number)
            sizes[buffers_of] = self._size(shape, [dict(members)[b] for b in buffers])
        roomy = self.rng.random() < _ROOMY
        owner = {buffer: length for length, buffers in lengths.items() for buffer in buffers}
        for name, shape in members:
            if name in sizes:
                made[name] = sizes[name]
            elif name in owner and isinstance(shape, Pointer):
                room = sizes[owner[name]] * (_ROOM if roomy else 1)
                made[name] = self._like(shape, alike) or self._pointer(shape, depth, room)
            elif depth and isinstance(shape, Number) and self.rng.random() < _ZERO:
                made[name] = 0.0 if shape.real and not shape.boolean else 0
            else:
                made[name] = self._like(shape, alike) or self.value(shape, depth)
            if isinstance(shape, (Pointer, Array, Structure)) and made[name]:
                alike.append((shape, made[name]))
        return made

    def _like(self, shape: Shape, alike: Sequence[tuple[Shape, Value]]) -> Value:
        """The same again as something of the same shape beside it, or all but one number of it; None mostly."""
        if isinstance(shape, Number) or self.rng.random() > 0.25:
            return None
        same = [v for s, v in alike if s == shape]
        if not same:
            return None
        value = deepcopy(self.rng.choice(same))
        if isinstance(value, list) and value and isinstance(value[0], int) and self.rng.random() < 0.5:
            at = self.rng.randrange(len(value))
            of = shape.to if isinstance(shape, Pointer) else shape.of if isinstance(shape, Array) else None
            if isinstance(of, Number):
                value[at] = _within(value[at] + self.rng.choice((-1, 1)), of)
        return value

    def _size(self, length: Number, buffers: Sequence[Shape]) -> int:
        arrays = [b.count for b in buffers if isinstance(b, Array)]
        most = min([high(length), *(_most(b) for b in buffers)])
        if arrays:
            odd = self.rng.random()
            if odd < 0.08:
                return min(high(length), min(arrays) + 1)
            return self.rng.choice((0, 1, min(2, most), min(3, most), most, self.rng.randint(0, most)))
        near = [n for n in self.hints.numbers if n <= min(most, 256)]
        if near and not self.corner and self.rng.random() < 0.3:
            return max(0, min(most, self.rng.choice(near) + self.rng.choice((-1, 0, 1))))
        return min(most, self.rng.choice(_LARGE if self.corner else _SIZES))

    def value(self, shape: Shape, depth: int = 0) -> Value:
        """A value of the shape."""
        match shape:
            case Number():
                return self._real() if shape.real and not shape.boolean else self._whole(shape)
            case Bits():
                return self._bits(shape)
            case Structure():
                return self._structure(shape, depth)
            case Array():
                return (
                    self._text(shape.count)
                    if _is_text(shape.of)
                    else self._several(shape.of, shape.count, depth)
                )
            case Pointer():
                several = _FEW_MORE if isinstance(shape.to, Pointer) else _SINGLE
                return self._pointer(shape, depth, several if shape.many else 1)

    def _structure(self, shape: Structure, depth: int) -> Value:
        """One like another of its kind somewhere in the call, now and then: keys, addresses and names are looked for."""
        kind = self.kinds.setdefault(id(shape), hash(shape))
        others = self.pool.setdefault(kind, [])
        if others and self.rng.random() < _AGAIN:
            return deepcopy(self.rng.choice(others))
        made = self._together([(name, inner) for name, _, inner in shape.fields], depth)
        if len(others) < _MOST_KEPT:
            others.append(made)
        return made

    def _pointer(self, shape: Pointer, depth: int, count: int) -> list[Value] | None:
        if shape.to is None or (self.rng.random() < self.null * (4 if depth else 1)):
            return None
        if shape.text:
            return self._text(count)
        most = _FEW if depth and not isinstance(shape.to, Number) else _most(shape)
        count = min(count, most, max(1, self.left // max(1, shape.size)))
        if depth and shape.size * count > self.left:
            return None
        self.left -= shape.size * count
        return self._several(shape.to, count, depth + 1)

    def _several(self, shape: Shape, count: int, depth: int) -> list[Value]:
        if isinstance(shape, Number) and count > _REPEATS:
            return (self._several(shape, _REPEATS, depth) * -(-count // _REPEATS))[:count]
        if isinstance(shape, Number) and not shape.real and count > 1:
            return self._buffer(shape, count)
        if count > 8 and not isinstance(shape, Number):  # large things are like each other after the first
            some = [self.value(shape, depth) for _ in range(8)]
            return [some[i % 8] for i in range(count)]
        return [self.value(shape, depth) for _ in range(count)]

    def _buffer(self, shape: Number, count: int) -> list[int]:
        """Whole numbers as they come in buffers: small ones, any, the same one, rising; numbers of the text among them."""
        rng, most = self.rng, high(shape)
        kind = rng.random()
        if kind < 0.1:
            made = [rng.choice((0, 1, most, low(shape)))] * count
        elif kind < 0.2:
            start = rng.randrange(0, 100)
            made = [min(most, start + i * rng.choice((1, 1, 2))) for i in range(count)]
        elif kind < 0.6:
            made = [rng.randint(max(-20, low(shape)), min(most, 255)) for _ in range(count)]
        else:
            made = [self._whole(shape) for _ in range(count)]
        numbers = self.hints.numbers
        for _ in range(rng.randrange(0, 3) if numbers else 0):
            at, number = rng.randrange(count), rng.choice(numbers)
            if number <= most:
                made[at] = number
            elif shape.size == 1 and number <= 0xFFFF and at + 1 < count:  # in the order of the wire
                made[at], made[at + 1] = number >> 8, number & 0xFF
        return [_within(v, shape) for v in made]

    def _text(self, room: int) -> list[int]:
        rng = self.rng
        if room <= 0:
            return []
        if self.hints.strings and rng.random() < 0.4:
            text = rng.choice(self.hints.strings)
        elif rng.random() < 0.2:
            text = str(rng.choice((0, 1, -1, 42, 255, 65536, *self.hints.numbers)))
        else:
            text = "".join(rng.choices(_LETTERS, k=rng.choice((0, 1, 2, 3, 5, 8, 15, 16, 31))))
        content = list(text.encode("ascii", "replace")[: room - 1])
        return content + [0] * (room - len(content))

    def _whole(self, shape: Number) -> int:
        rng = self.rng
        if shape.boolean:
            return rng.randrange(2)
        if shape.values and rng.random() < 0.92:
            return _within(rng.choice(shape.values), shape)
        kind, least, most = rng.random(), low(shape), high(shape)
        if kind < 0.30:
            value = rng.randint(max(least, -4), 16)
        elif kind < 0.55 and self.hints.numbers:
            value = rng.choice(self.hints.numbers) * rng.choice((1, 1, 1, 1, -1, 2)) + rng.choice(
                (-1, 0, 0, 1)
            )
        elif kind < 0.70 and self.seen:
            value = rng.choice(self.seen) + rng.choice((-1, 0, 0, 1, 7))
        elif kind < 0.82:
            power = 1 << rng.randrange(8 * shape.size)
            value = rng.choice((least, most, most - 1, 0, power, power - 1))
        else:
            value = rng.getrandbits(rng.randint(1, 8 * shape.size - shape.signed)) * (
                rng.choice((1, -1)) if shape.signed else 1
            )
        value = _within(value, shape)
        self.seen.append(value)
        return value

    def _bits(self, shape: Bits) -> int:
        near = [n for n in self.hints.numbers if n <= shape.most]
        if near and self.rng.random() < 0.4:
            return min(shape.most, max(0, self.rng.choice(near) + self.rng.choice((-1, 0, 0, 1))))
        return self.rng.choice((0, 1 & shape.most, shape.most, *(self.rng.randint(0, shape.most),) * 3))

    def _real(self) -> float:
        rng, kind = self.rng, self.rng.random()
        if kind < 0.25:
            return float(rng.randint(-5, 10))
        if kind < 0.45 and self.hints.numbers:
            return rng.choice(self.hints.numbers) * rng.choice((1.0, 0.5, -1.0, 1.01, 0.99))
        if kind < 0.9:
            return round(rng.uniform(-10, 10), 3)
        return rng.choice((0.0, -0.0, 1e-9, 1e6, -1e6, 360.0))


def paired(members: Named) -> Mapping[str, list[str]]:
    """Lengths, by name, each with the buffers it is the length of: those before it, else the one behind."""
    found: dict[str, list[str]] = {}
    open_ones: list[tuple[str, Shape]] = []
    for at, (name, shape) in enumerate(members):
        if _is_buffer(shape):
            open_ones.append((name, shape))
        elif (
            isinstance(shape, Number)
            and not (shape.real or shape.boolean or shape.values)
            and _LENGTH.search(name)
        ):
            if open_ones:
                nearest = open_ones[-1][0]
                many = [n for n, s in open_ones if n == nearest or not isinstance(s, Pointer) or s.many]
                found[name] = [n for n in many if type(dict(members)[n]) is type(dict(members)[nearest])]
                open_ones = []
            elif (
                at + 1 < len(members)
                and _is_buffer(members[at + 1][1])
                and not any(_LENGTH.search(later) for later, s in members[at + 2 :] if isinstance(s, Number))
            ):
                found[name] = [members[at + 1][0]]
    return found


def _leaves(
    members: Named, before: Path, named: Collection[str], depth: int
) -> Iterator[tuple[Path, Number]]:
    """The whole numbers in structures, of arrays the first, whose names the code uses."""
    for name, shape in members:
        path: Path = (*before, name)
        while isinstance(shape, (Pointer, Array)) and shape is not None:
            inner = shape.to if isinstance(shape, Pointer) else shape.of
            if inner is None:
                break
            shape, path = inner, (*path, 0)
        if isinstance(shape, Structure) and depth < _DEEPEST and (not before or name in named):
            yield from _leaves([(n, inner) for n, _, inner in shape.fields], path, named, depth + 1)
        elif isinstance(shape, Number) and before and name in named and not shape.real:
            yield path, shape


def _put(values: dict[str, Value], path: Path, value: Value) -> None:
    """Set what is there, if there is something on the way to it."""
    into: Any = values
    for step in path[:-1]:
        into = into.get(step) if isinstance(into, dict) else into[step] if into and len(into) > step else None  # type: ignore[operator]
        if not into:
            return
    if isinstance(into, dict) or len(into) > path[-1]:  # type: ignore[operator]
        into[path[-1]] = value


def narrowed(one: Number, other: Number) -> Number:
    """A number whose values both can hold."""
    smaller = one if high(one) <= high(other) else other
    if smaller.signed and not (one.signed and other.signed):
        smaller = replace(
            smaller, signed=0
        )  # half of its range is left out, which costs less than a wrong one
    return replace(smaller, values=one.values or other.values)


def _is_buffer(shape: Shape) -> bool:
    return isinstance(shape, Array) or (isinstance(shape, Pointer) and shape.to is not None)


def _is_text(shape: Shape) -> bool:
    return isinstance(shape, Number) and shape.character


def _most(shape: Shape) -> int:
    if isinstance(shape, Array):
        return shape.count
    return max(1, _MOST_BYTES // max(1, shape.size)) if isinstance(shape, Pointer) else 1


def _within(value: int, shape: Number) -> int:
    """The value if the shape can hold it, else what is left of it in so many bits."""
    least, most = low(shape), high(shape)
    if least <= value <= most:
        return value
    value &= (1 << (8 * shape.size - shape.signed)) - 1
    return min(value, most)
