"""One kind of function that the offline teacher knows how to write."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import Template

UNITS = {"nanoseconds": "ns", "microseconds": "us", "milliseconds": "ms"}
"""The units that a prompt may name, and the suffix that its constant then bears."""

_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class Shape:
    """A kind of C function: what it does in words, and its text with holes.

    `does` is an imperative phrase with the holes {n} (a number) and {unit} (one of UNITS). `code` is a
    `string.Template` with the holes $name, $n and $unit; filled in, it compiles by itself after
    <stdbool.h>, <stddef.h> and <stdint.h>. `numbers` is (first, last, step) of the values of {n} for
    which the code is right: a number beyond them is brought back to the nearer end.
    """

    kind: str
    does: str
    code: str
    numbers: tuple[int, int, int] = (0, 0, 1)

    @property
    def words(self) -> frozenset[str]:
        """The words that ask for this shape: those of its phrase and of its kind, in lower case."""
        return frozenset(words(self.does.replace("{n}", "").replace("{unit}", "") + " " + self.kind))

    def write(self, name: str, number: int | None = None, unit: str = "nanoseconds") -> str:
        """The C text of a function `name`; without a number, the first of `numbers`."""
        first, last, _ = self.numbers
        n = first if number is None else min(max(number, first), last)
        return Template(self.code).substitute(name=name, n=n, unit=UNITS[unit]).strip() + "\n"


def words(text: str) -> list[str]:
    """The words of a text in lower case, identifiers taken apart, plurals brought to the singular."""
    return [_singular(word) for word in _WORD.findall(text.lower())]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
