"""Two functions side by side: whether they can be compared, and how far they agree."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from phases.quality_scoring.behaviour.compile import Hints, Program
from phases.quality_scoring.behaviour.inputs import Maker, Value, narrowed
from phases.quality_scoring.behaviour.memory import Stretch
from phases.quality_scoring.behaviour.run import FILLS, Instance, Layout, Outcome
from phases.quality_scoring.behaviour.signature import Array, Bits, Number, Pointer, Shape, Structure
from phases.quality_scoring.config import BehaviourConfig

_TEN_TIMES = 10
_LONGEST = 300  # characters of what is told of an input
_SHARE = 6  # inputs of one result that are never too many
_HOPELESS = 40  # inputs of which the reference bore none
_MOST_THINGS = (
    60_000  # that pointers point to, in all inputs: seconds of work, which lists of lists would make minutes
)
_MANY_CORNERS = 2  # times the inputs, where the arguments have many corners
_TRIES = 3  # inputs made for one that the reference bears


class NotComparable(Exception):
    """Why two functions cannot be compared, in half a sentence."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first input on which two functions differ; `expected` is what the reference gives."""

    input: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a function does, beside what a reference does.

    score     in [0, 10]; None where nothing was compared, and then `reason` says why
    reason    why the score is not 10, or not there
    inputs    that the reference bore, and of them how many agreed
    distinct  results of the reference; where they are few the test is weak, and an agreement says little
    """

    score: float | None
    reason: str
    inputs: int = 0
    agreeing: int = 0
    distinct: int = 0
    weak: bool = False
    first: Difference | None = None
    findings: tuple[tuple[int | None, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON values, in a fixed order."""
        return asdict(self) | {"findings": [list(f) for f in self.findings]}


@dataclass(frozen=True)
class _Matched:
    """The parameters of the reference, each as both can take it, and what the other one calls it."""

    parameters: tuple[tuple[str, Shape], ...]
    theirs: Mapping[str, str]


def compare(answer: Program, reference: Program, config: BehaviourConfig) -> Behaviour:
    """Call both with the same inputs. Raises NotComparable and Unrunnable."""
    theirs, ours = _layout(answer, config), _layout(reference, config)
    matched = match(theirs, ours)
    visible = any(_holds_pointer(shape) for _, shape in matched.parameters)
    kept = ours.globals.keys() & theirs.globals.keys() & reference.signature.touched
    if ours.result is None and not visible and not reference.standing and not kept:
        raise NotComparable("it returns nothing and is given no pointer, so there is nothing to look at")
    hints = Hints(
        _mixed([*reference.hints.numbers, *ours.named], [*answer.hints.numbers, *theirs.named]),
        _mixed(reference.hints.strings, answer.hints.strings),
        reference.hints.members | answer.hints.members,
    )
    maker = Maker(random.Random(f"behaviour {config.seed}"), hints)
    names = {name: name for name, _ in matched.parameters}
    pair = _Pair(
        _Side(answer, theirs, matched.theirs, config.fuel * _TEN_TIMES, config, kept),
        _Side(reference, ours, names, config.fuel, config, kept),
        matched,
        config,
    )
    return pair.judge(maker)


def match(answer: Layout, reference: Layout) -> _Matched:
    """Which parameter of one is which of the other: by name; by place, unless a name that both have stands in another; or by kind
    where only one fits.

    Raises NotComparable.
    """
    mine, others = list(reference.parameters), list(answer.parameters)
    if len(mine) != len(others):
        raise NotComparable(f"it takes {len(others)} parameters, the reference {len(mine)}")
    moved = any(name in others and others.index(name) != place for place, name in enumerate(mine))
    if set(mine) == set(others):
        pairs = {name: name for name in mine}
    elif len(mine) < 2 or (
        not moved
        and all(
            _fits(answer.parameters[b][1], reference.parameters[a][1])
            for a, b in zip(mine, others, strict=True)
        )
    ):
        pairs = dict(zip(mine, others, strict=True))
    else:
        pairs = _by_kind(mine, others, answer, reference)
    shapes = []
    for name in mine:
        shapes.append(
            (name, _meet(reference.parameters[name][1], answer.parameters[pairs[name]][1], f"`{name}`"))
        )
    if (answer.result is None) != (reference.result is None):
        raise NotComparable("one returns a value, the other does not")
    if answer.result is not None and reference.result is not None:
        _meet(reference.result, answer.result, "the result")
    return _Matched(tuple(shapes), pairs)


def _by_kind(mine: Sequence[str], others: Sequence[str], answer: Layout, reference: Layout) -> dict[str, str]:
    pairs = {name: name for name in mine if name in others}
    for name in mine:
        if name not in pairs:
            free = [o for o in others if o not in pairs.values()]
            fitting = [o for o in free if _fits(answer.parameters[o][1], reference.parameters[name][1])]
            if len(fitting) != 1:
                raise NotComparable(f"which of its parameters is `{name}` cannot be told")
            pairs[name] = fitting[0]
    return pairs


def _fits(one: Shape, other: Shape) -> bool:
    try:
        _meet(other, one, "")
    except NotComparable:
        return False
    return True


def _meet(mine: Shape, other: Shape, what: str) -> Shape:
    """The shape whose values both can hold. Raises NotComparable."""
    if isinstance(mine, Number) and isinstance(other, Number):
        if (mine.real and not mine.boolean) != (other.real and not other.boolean):
            raise NotComparable(f"{what} is a whole number in one and not in the other")
        return mine if mine.real and not mine.boolean else narrowed(mine, other)
    if isinstance(mine, Bits) and isinstance(other, Bits):
        return mine if mine.most <= other.most else other
    if isinstance(mine, Structure) and isinstance(other, Structure):
        if {name for name, _, _ in mine.fields} != {name for name, _, _ in other.fields}:
            raise NotComparable(f"{what} is a structure of other members")
        theirs = {name: shape for name, _, shape in other.fields}
        return Structure(tuple((n, at, _meet(s, theirs[n], what)) for n, at, s in mine.fields))
    if isinstance(mine, Array) and isinstance(other, Array):
        return Array(min(mine.count, other.count), mine.size, _meet(mine.of, other.of, what))
    if isinstance(mine, Pointer) and isinstance(other, Pointer):
        if mine.to is None or other.to is None:
            return Pointer(None, 0)
        if isinstance(mine.to, Number) and isinstance(other.to, Number) and mine.to.size != other.to.size:
            raise NotComparable(f"{what} points to numbers of another size")
        many = mine.many or other.many
        return Pointer(_meet(mine.to, other.to, what), max(mine.size, other.size), mine.text, many)
    raise NotComparable(f"{what} is of another kind")


def _holds_pointer(shape: Shape) -> bool:
    return isinstance(shape, Pointer) or (
        isinstance(shape, Structure) and any(_holds_pointer(s) for _, _, s in shape.fields)
    )


def _mixed(one: Sequence[Any], other: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys([*one, *other]))


def _layout(program: Program, config: BehaviourConfig) -> Layout:
    return Instance(program, FILLS[0], config.memory_mb).layout()


def identity(program: Program, config: BehaviourConfig) -> tuple[_Side, tuple[tuple[str, Shape], ...]]:
    """A program to call by itself, and its parameters. Raises Unrunnable."""
    layout = _layout(program, config)
    side = _Side(
        program, layout, {name: name for name in layout.parameters}, config.fuel * _TEN_TIMES, config
    )
    return side, tuple((name, shape) for name, (_, shape) in layout.parameters.items())


def call_of(name: str, values: Mapping[str, Value]) -> str:
    """A call as a person reads it."""
    return _short(f"{name}({', '.join(f'{n} = {_told(v)}' for n, v in values.items())})")


_Written = dict[tuple[int, int, str], Stretch]
"""One call's memory, by what it depends on: mostly the two functions are given the same."""


class _Side:
    """One of two functions, as it is called: once with each fill, and begun anew when something went wrong."""

    def __init__(
        self,
        program: Program,
        layout: Layout,
        names: Mapping[str, str],
        fuel: int,
        config: BehaviourConfig,
        kept: Collection[str] = (),
    ) -> None:
        self.program, self.names, self.fuel, self.config = program, names, fuel, config
        self.instances: list[Instance] = []
        self.labels = {theirs: ours for ours, theirs in names.items()}
        self.layout = replace(layout, globals={n: of for n, of in layout.globals.items() if n in kept})
        parameters = [(self.labels[n], at, shape) for n, (at, shape) in self.layout.parameters.items()]
        self.key = repr((parameters, self.layout.size, self.layout.result_size))

    def anew(self) -> None:
        """Begin again: nothing is kept of the calls before. What keeps nothing itself need not be made again for that."""
        if self.program.signature.state:
            self.instances = []
        for instance in self.instances:
            instance.rewind()

    def call(self, values: Mapping[str, Value], seed: int, written: _Written) -> Outcome:
        """What comes of it, whatever lies in the memory that nobody wrote. `seed` is another one for each call."""
        if not self.instances:
            self.instances = [Instance(self.program, fill, self.config.memory_mb) for fill in FILLS]
        first, second = (self._call(i, values, seed, written) for i in self.instances)
        if not (first.failure or second.failure) and not _same(first, second, 0.0, self.layout.result):
            first = Outcome(
                failure="it reads what nobody wrote: its result depends on what memory held before"
            )
        elif second.failure and not first.failure:
            first = second
        if first.failure:
            self.instances = []
        return first

    def _call(self, instance: Instance, values: Mapping[str, Value], seed: int, written: _Written) -> Outcome:
        key = (instance.base, instance.fill, self.key)
        if key not in written:
            given = {self.names[name]: value for name, value in values.items()}
            written[key] = instance.stretch(self.layout, given, self.labels)
        return instance.call(self.layout, written[key], self.fuel, seed)


class _Pair:
    def __init__(self, answer: _Side, reference: _Side, matched: _Matched, config: BehaviourConfig) -> None:
        self.answer, self.reference, self.matched, self.config = answer, reference, matched, config
        self.state = answer.program.signature.state or reference.program.signature.state
        self.name = reference.program.signature.name

    def judge(self, maker: Maker) -> Behaviour:
        """Go through the inputs until all are done, or the answer fails where the reference does not."""
        inputs = agreeing = 0
        results: set[str] = set()
        borne_not = ""
        first: Difference | None = None
        for seed, values, written, expected in self._borne(maker):
            if expected.failure:
                borne_not = borne_not or expected.failure
                continue
            inputs += 1
            results.add(expected.key)
            got = self.answer.call(values, seed, written)
            if got.failure:
                first = self._difference(values, expected, got)
                return self._result(inputs, agreeing, results, first, got.failure)
            if _same(expected, got, self.config.tolerance, self.reference.layout.result):
                agreeing += 1
            elif first is None:
                first = self._difference(values, expected, got)
        if inputs < min(self.config.least, self.config.inputs):
            raise NotComparable(f"the reference bears only {inputs} of the inputs: {borne_not}")
        return self._result(inputs, agreeing, results, first)

    def _borne(self, maker: Maker) -> Iterator[tuple[int, dict[str, Value], _Written, Outcome]]:
        """(seed, inputs, those in memory, what the reference makes of them); those it does not bear too, up to a number of tries.

        None of its results takes up more than its share, or what returns it always would be nearly right.
        """
        parameters = self.matched.parameters
        asked, done, endless, things = self.config.inputs, 0, 0, 0
        asked = min(asked * _MANY_CORNERS, max(asked, maker.cornered(parameters) * 2))
        seen: Counter[str] = Counter()
        for n in range(asked * _TRIES):
            if (
                done >= asked
                or endless > asked // 8
                or (n >= _HOPELESS and not done)
                or things > _MOST_THINGS
            ):
                return
            if n % self.config.calls == 0 or (self.state and not self.reference.instances):
                self.reference.anew()
                self.answer.anew()
            values = maker.call(parameters)
            written: _Written = {}
            expected = self.reference.call(values, n, written)
            if expected.failure and self.state:
                self.answer.anew()
            endless += expected.endless
            things += sum(len(stretch.things) for stretch in written.values())
            if not expected.failure:
                result = expected.key
                if not (self.state or maker.corner) and seen[result] >= max(
                    asked // max(2, len(seen)), _SHARE
                ):
                    continue
                seen[result] += 1
                done += 1
            yield n, values, written, expected

    def _difference(self, values: Mapping[str, Value], expected: Outcome, got: Outcome) -> Difference:
        return Difference(call_of(self.name, values), _short(_said(expected)), _short(_said(got, expected)))

    def _result(
        self, inputs: int, agreeing: int, results: set[str], first: Difference | None, failure: str = ""
    ) -> Behaviour:
        weak = len(results) < self.config.enough
        if failure:
            return Behaviour(self.config.trap, failure, inputs, agreeing, len(results), weak, first)
        score = _mapped(agreeing / inputs, self.config.levels)
        reason = "" if agreeing == inputs else f"it differs on {inputs - agreeing} of {inputs} inputs"
        if weak and not reason:
            reason = f"a weak test: the reference gave {len(results)} distinct results"
        return Behaviour(score, reason, inputs, agreeing, len(results), weak, first)


def _mapped(share: float, levels: Sequence[tuple[float, float]]) -> float:
    for (x, y), (x2, y2) in pairwise(levels):
        if share <= x2:
            return round(y + (y2 - y) * (share - x) / (x2 - x), 4) if x2 > x else y2
    return levels[-1][1]


def _same(one: Outcome, other: Outcome, tolerance: float, result: Shape | None) -> bool:
    if isinstance(result, Number) and result.boolean:
        same = bool(one.result) == bool(other.result)
    else:
        same = _alike(one.result, other.result, tolerance)
    return same and _alike(one.left, other.left, tolerance) and _alike(one.calls, other.calls, tolerance)


def _alike(one: Value, other: Value, tolerance: float) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance) or one == other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_alike(v, other[k], tolerance) for k, v in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return one == other or (
            len(one) == len(other) and all(map(_alike, one, other, [tolerance] * len(one)))
        )
    return bool(one == other)


def _said(outcome: Outcome, beside: Outcome | None = None) -> str:
    if outcome.failure:
        return outcome.failure
    parts = [] if outcome.result is None and outcome.left else [_told(outcome.result)]
    left, others = outcome.left or {}, (beside.left if beside else None) or {}
    parts += [f"{path} = {_told(value)}" for path, value in left.items()]
    parts += [f"{path} as it was" for path in others if path not in left]
    parts += [
        f"{name}({', '.join(map(_told, given))})" for name, all_ in outcome.calls.items() for given in all_
    ]
    return "; ".join(parts)


def _told(value: Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        if len(value) == 1:
            return "{" + _told(value[0]) + "}"
        shown = ", ".join(map(_told, value[:16]))
        return "{" + shown + (f", ... {len(value)} in all" if len(value) > 16 else "") + "}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f".{k} = {_told(v)}" for k, v in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
