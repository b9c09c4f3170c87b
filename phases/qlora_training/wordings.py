"""One question in several wordings: a row's prompt with its clauses in another order and words left out.

A small student that meets a prompt in one wording learns the wording; in eight, what is asked. Token dropping and
sentence shuffling are old cures (EDA, arXiv:1901.11196; here nothing is put in, for an inserted word can be a lie).

What a prompt asks for is in its names, numbers, units and code, and none of these is touched:

- lines of code (in fences, indented, or such as only C has), lines of tables, and empty lines stay where and as they are;
- what stands in backquotes or quotes, has a digit, a capital or a sign that words have not, is a name and is kept; so are types of
  C and single letters, and `int f(int a, int b)` is one name with or without backquotes;
- a number, in words too, keeps the word after it (its unit, "5 bytes per second" all of it) and the two before it ("at most 5",
  "older than 3"), side by side;
- words that turn a meaning round ("not", "without", "before") are kept.

Wording 0 is the prompt itself. The others are drawn by the row alone: the same whatever else is in the set.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class WordingsConfig(BaseModel):
    """In how many wordings a training row is learned from; validation rows and the prompts that judge keep their own."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    variants: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Wordings of each row, its own the first: so many times the optimizer steps of a pass.",
    )
    drop: float = Field(
        default=0.2, ge=0, le=0.9, description="The share of its plain words that a wording leaves out."
    )


_ATOM = re.compile(r"""(?:`[^`\n]*`|"[^"\n]*"|(?<!\w)[A-Za-z_]\w*\([^()\n]*\)|[^\s`]|`)+""")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_CODE = re.compile(r"\t| {4}|\s*(?:[#*|}]|//|/\*)|.*[;{}\\]\s*$|[\w\s*]+\([^)]*\)\s*$")
_MARKER = re.compile(r"\s*(?:-|\+|\d+[.)])\s+")
_PLAIN = re.compile(r"[(\"']?[A-Za-z]?[a-z]*(?:['’-][a-z]+)*[.,:;?!)\"']*")
_QUOTED = re.compile(r"""[(']*"[^"\n]+"[.,:;?!)']*""")
_PROTOTYPE = re.compile(r"[*&(]*[A-Za-z_]\w*\([^()\n]*\)")
_SENTENCE_END = re.compile(r"[.?!][)\"']*$")
_CLAUSE_END = re.compile(r"[,;:)]$")
_CLAUSE_BEGIN = frozenset({"to", "for", "in", "which"})
_TURNING = frozenset(
    {
        "no",
        "not",
        "never",
        "none",
        "nor",
        "neither",
        "without",
        "unless",
        "except",
        "only",
        "if",
        "until",
        "before",
        "after",
    }
    | {"than", "least", "most", "more", "less", "fewer", "minus", "plus", "first", "last"}
)
_TYPES = frozenset(
    {"void", "bool", "char", "int", "float", "double", "unsigned", "struct", "enum", "union", "const", "volatile", "static", "inline"}
)  # fmt: skip
_BEFORE_A_NAME = _TYPES | {"signed", "long", "short"}  # words of prose as well
_NUMBERS = frozenset({
    "zero", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen",
    "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
    "hundred", "thousand", "million", "billion", "dozen", "half", "twice", "thrice",
})  # fmt: skip
_FEW_NUMBERS = frozenset({"one", "two"})  # of a unit, or "two-step"; else little hangs on them
_UNIT = re.compile(
    r"(?:nano|micro|milli)?seconds?|minutes?|hours?|days?|(?:kilo|mega|giga)?(?:bytes?|bits?)|octets?|words?|hertz|percent|times|"
    r"frames?|packets?|samples?|cycles?|ticks?"
)
FEW = 2
"""Sentences up to which a prompt is cut into clauses; of a longer one the sentences are its clauses."""


@dataclass(frozen=True)
class _Line:
    """A line of prose: what it begins with, and its sentences, each of clauses, each of places in the text's atoms."""

    marker: str
    sentences: tuple[tuple[tuple[int, ...], ...], ...]


def rows(given: Iterable[Mapping[str, Any]], config: WordingsConfig, seed: int) -> list[Mapping[str, Any]]:
    """Every row in its wordings, one after the other; each but the first says which it is of which prompt."""
    return [worded for row in given for worded in wordings(row, config, seed)]


def wordings(row: Mapping[str, Any], config: WordingsConfig, seed: int) -> list[Mapping[str, Any]]:
    """A row and its other wordings, fewer than `variants` where its prompt cannot be said in so many ways.

    Worded is the last turn before the answer, where a user has it.
    """
    messages = row["messages"]
    if config.variants == 1 or messages[-2]["role"] != "user":
        return [row]
    identity = hashlib.sha256(
        json.dumps([[m["role"], m["content"]] for m in messages], ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )
    ).hexdigest()
    text = Text(messages[-2]["content"])
    found = {messages[-2]["content"]: row}
    for number in range(1, config.variants):
        for attempt in range(_ATTEMPTS):
            said = text.worded(config.drop, random.Random(f"{seed}/{identity}/{number}/{attempt}"))
            if said not in found:
                turn = {**messages[-2], "content": said}
                found[said] = {
                    **row,
                    "messages": [*messages[:-2], turn, messages[-1]],
                    "wording": {"number": number, "of": identity[:16]},
                }
                break
    return list(found.values())


_ATTEMPTS = 4  # to find one that is not there yet


class Text:
    """A prompt's text, taken apart once."""

    def __init__(self, text: str) -> None:
        self._atoms: list[str] = []
        self._lines: list[str | _Line] = []
        fenced = False
        prose = []
        for line in text.split("\n"):
            edge = bool(_FENCE.match(line))
            fixed = fenced or edge or not line.strip() or bool(_CODE.match(line))
            fenced ^= edge
            prose.append(None if fixed else line)
            self._lines.append(line)
        cut = sum(map(_sentences, filter(None, prose))) <= FEW
        for place, said in enumerate(prose):
            if said is not None:
                self._lines[place] = self._taken_apart(said, cut)
        self._kept = _kept(self._atoms)

    def worded(self, drop: float, rng: random.Random) -> str:
        """Another wording. What may be left out is never all of it, so that no text is left empty."""
        plain = [place for place in range(len(self._atoms)) if place not in self._kept]
        gone = frozenset(rng.sample(plain, int(drop * len(plain))))
        return "\n".join(
            line if isinstance(line, str) else line.marker + self._said(line, gone, rng)
            for line in self._lines
        )

    def _said(self, line: _Line, gone: frozenset[int], rng: random.Random) -> str:
        said = []
        for sentence in rng.sample(line.sentences, len(line.sentences)):
            for clause in rng.sample(sentence, len(sentence)):
                said += [self._atoms[place] for place in clause if place not in gone]
        return " ".join(said)

    def _taken_apart(self, line: str, cut: bool) -> _Line:
        marker = found.group() if (found := _MARKER.match(line)) else ""
        atoms = _ATOM.findall(line[len(marker) :])
        first = len(self._atoms)
        self._atoms += atoms
        sentences: list[list[list[int]]] = [[[]]]
        for place, _atom in enumerate(atoms):
            if place and _ends_sentence(atoms, place):
                sentences.append([[]])
            elif place and cut and _ends_clause(atoms, place):
                sentences[-1].append([])
            sentences[-1][-1].append(first + place)
        return _Line(marker, tuple(tuple(tuple(clause) for clause in s) for s in sentences))


def _sentences(line: str) -> int:
    atoms = _ATOM.findall(line)
    return 1 + sum(_ends_sentence(atoms, place) for place in range(1, len(atoms)))


def _ends_sentence(atoms: Sequence[str], place: int) -> bool:
    """Whether a sentence ends before an atom: "e.g. `x`" does not end one."""
    return bool(_SENTENCE_END.search(atoms[place - 1])) and not atoms[place][0].islower()


def _ends_clause(atoms: Sequence[str], place: int) -> bool:
    """Whether a clause ends before an atom. Never beside a number: "3, 5 or 7", "from 3 to 7"."""
    if any(_number(atoms, beside) for beside in (place - 1, place, place + 1)):
        return False
    here = atoms[place]
    return bool(_CLAUSE_END.search(atoms[place - 1])) or here[0] == "(" or here in _CLAUSE_BEGIN


def _kept(atoms: Sequence[str]) -> frozenset[int]:
    """The places of what every wording has: all that is no plain word, and the words that a number or a turn of meaning needs."""
    kept = set()
    for place, atom in enumerate(atoms):
        word = _bare(atom)
        named = not _PLAIN.fullmatch(atom) or _capital(atoms, place) or bool(_QUOTED.fullmatch(atom))
        named = named or word in _TYPES or (len(word) == 1 and word != "a")
        if named or word in _TURNING:
            kept.add(place)
        if _PROTOTYPE.match(atom):
            kept |= set(_types_before(atoms, place))
        if _number(atoms, place):
            kept |= {place - 2, place - 1, place, place + 1}
            if place + 2 < len(atoms) and _bare(atoms[place + 2]) == "per":
                kept |= {place + 2, place + 3}
    return frozenset(kept)


def _types_before(atoms: Sequence[str], place: int) -> Iterator[int]:
    """The places of the words that say what a function returns, before its name."""
    while (place := place - 1) >= 0 and _bare(atoms[place]) in _BEFORE_A_NAME:
        yield place


def _capital(atoms: Sequence[str], place: int) -> bool:
    """Whether a word is a name by its capital: not the one that a sentence begins with."""
    first = atoms[place].lstrip("(\"'")
    begins = not place or _ends_sentence(atoms, place)
    return first[:1].isupper() and (len(first.strip(".,:;?!)\"'")) == 1 or not begins)


def _number(atoms: Sequence[str], place: int) -> bool:
    """Whether a number stands there, in digits or in words."""
    if not 0 <= place < len(atoms):
        return False
    if any(c.isdigit() for c in atoms[place]):
        return True
    parts = _bare(atoms[place]).split("-")
    after = _bare(atoms[place + 1]) if place + 1 < len(atoms) else ""
    few = parts[0] in _FEW_NUMBERS and (len(parts) > 1 or bool(_UNIT.fullmatch(after)))
    return few or not _NUMBERS.isdisjoint(parts)


def _bare(atom: str) -> str:
    return atom.strip("(\"'.,:;?!)").lower()
