"""Domain prompts from a seed, in three splits that share no prompt, no word order and no number.

`train` goes to the teacher, `eval` is the drawn evaluation set of Diagram 4, and `held_out` is the frozen set beside it.
The splits ask for the same kinds of function: whoever has learned to answer can answer a wording never seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from phases.teacher_generation.offline.shapes import SHAPES, UNITS, Shape

Split = Literal["train", "eval", "held_out"]


@dataclass(frozen=True)
class Prompt:
    """One prompt: its text, its domain ("TSN", "AVB", "CARLA"), and the kind of function it asks for."""

    text: str
    domain: str
    kind: str
    split: Split


_ORDERS: dict[Split, Sequence[str]] = {
    "train": (
        "Write a C function `{name}` for {domain} to {does}.",
        "Implement `{name}` in C for {domain}: {does}.",
        "{domain}: write the C function `{name}` to {does}.",
        "In C, write `{name}` to {does} ({domain}).",
        "Write `{name}`, a C function that can {does}. It is for {domain}.",
        "A {domain} device has to {does}. Implement `{name}` in C.",
        "The aim is to {does}. Name the C function `{name}` ({domain}).",
        "For {domain}, `{name}` has to {does}. Implement it in C.",
    ),
    "eval": (
        "Please write C code to {does}: `{name}`, for {domain}.",
        "Give me the {domain} function `{name}` in C. It should {does}.",
        "Our {domain} firmware lacks `{name}`, which is to {does}. Write it in C.",
        "How would you {does} in {domain}? Answer with the C function `{name}`.",
    ),
    "held_out": (
        "To {does}, a {domain} node needs the C function `{name}`.",
        "`{name}` shall {does}. Give its C code for {domain}.",
        "We want to {does} in {domain}. Write `{name}` in C.",
        "C code, please: `{name}` for {domain}, to {does}.",
    ),
}
# of every five numbers of a shape, three are for training and one for each of the other splits
_RESIDUES: dict[Split, Sequence[int]] = {"train": (0, 1, 2), "eval": (3,), "held_out": (4,)}


def generate(
    split: Split, count: int, seed: int, domains: Sequence[str] = ("TSN", "AVB"), skew: float = 0.0
) -> tuple[Prompt, ...]:
    """`count` different prompts of a split, the domains in turn, the kinds of each domain evenly.

    With a `skew` the kinds come as Zipf's law has it: that of rank r as often as 1 / r**skew, the ranks the seed's, and the
    same in every split. A kind of which there are too few prompts leaves its place to the others.

    The same arguments always give the same prompts, and a smaller count gives the first of a larger one's.

    Raises:
        ValueError: a domain is not known, or the split cannot be worded in so many ways.
    """
    unknown = [domain for domain in domains if domain not in SHAPES]
    if unknown or not domains:
        raise ValueError(f"prompts are asked for domains {list(domains)}; there are {list(SHAPES)}")
    rng = random.Random(f"{seed} {split}")
    kinds = {
        domain: _by_rank(SHAPES[domain], skew, seed, rng) if skew else _in_turn(SHAPES[domain], rng)
        for domain in domains
    }
    found: dict[str, Prompt] = {}
    fruitless = 0
    while len(found) < count:
        domain = domains[len(found) % len(domains)]
        prompt = _word(next(kinds[domain]), domain, split, rng)
        fruitless = fruitless + 1 if prompt.text in found else 0
        if fruitless > 10_000:
            raise ValueError(f"{count} prompts asked for; the {split} split gives about {len(found)}")
        found.setdefault(prompt.text, prompt)
    return tuple(found.values())


def _in_turn(shapes: Sequence[Shape], rng: random.Random) -> Iterator[Shape]:
    """All shapes in a new order each round: a small set too has every kind before it has one twice."""
    while True:
        yield from rng.sample(shapes, len(shapes))


def _by_rank(shapes: Sequence[Shape], skew: float, seed: int, rng: random.Random) -> Iterator[Shape]:
    """Shapes drawn one by one, those of low rank most often."""
    ranked = random.Random(f"{seed} ranks").sample(shapes, len(shapes))
    weights = [1 / rank**skew for rank in range(1, len(ranked) + 1)]
    while True:
        yield from rng.choices(ranked, weights)


def _word(shape: Shape, domain: str, split: Split, rng: random.Random) -> Prompt:
    values = range(shape.numbers[0], shape.numbers[1] + 1, shape.numbers[2])
    own = [value for place, value in enumerate(values) if place % 5 in _RESIDUES[split]] or [values[0]]
    does = shape.does.format(n=rng.choice(own), unit=rng.choice(sorted(UNITS)))
    text = rng.choice(_ORDERS[split]).format(name=shape.kind, domain=domain, does=does)
    return Prompt(text, domain, shape.kind, split)
