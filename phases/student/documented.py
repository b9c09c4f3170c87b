"""C below a note that says in loose words what is in it: what the tiny student's base learns to copy from.

Copying takes two attention heads that find each other (induction, arXiv:2209.11895), and nothing in plain C asks for
them: a constant stands there once, so a base of raw C writes numbers that it knows, and a few hundred steps of LoRA do
not change that. Here a function's note tells its constants, or a constant's its value, with numbers that are new
in every row, so that nothing but copying foretells them. All of it comes from the texts and a seed, never from a prompt.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

UNITS = {"ns": "nanoseconds", "us": "microseconds", "ms": "milliseconds"}
"""A constant's suffix -> the unit as a note writes it."""

_COMMENT = re.compile(r"/\*+(.*?)\*/|//(.*)", re.DOTALL)
_NAME = re.compile(r"^[A-Za-z_][\w \t*]*?\b([A-Za-z_]\w*)\([^;]*$", re.MULTILINE)
_CONSTANT = re.compile(r"(?<== )\d{2,}(?=[uU]?[lL]{0,2};)")
_SUFFIXED = re.compile(r"(?<=_)(?:ns|us|ms)\b(?= = \d)")
_WORD = re.compile(r"[A-Za-z]+")
_DROPPED = 0.2


def functions(texts: Sequence[str]) -> list[str]:
    """Those of the texts that define one function, which a note can be about."""
    return [text for text in texts if len(_NAME.findall(text)) == 1]


def noted(text: str, rng: random.Random) -> tuple[str, str]:
    """A note, and below it a text that defines a function, its constants made others. The note has words of the text's
    first comment, its name in backquotes and its constants, in any order.
    """
    facts = [f"`{name.group(1)}`"] if (name := _NAME.search(text)) else []
    unit = _SUFFIXED.search(text)
    if unit:
        other = rng.choice(sorted(UNITS))
        text = re.sub(rf"(?<=_){unit.group()}\b", other, text)
    said: list[str] = []

    def another(found: re.Match[str]) -> str:
        number = _number(rng)
        said.append(f"{number} {UNITS[other]}" if unit and not said else number)
        return number

    text = _CONSTANT.sub(another, text)
    comment = next((found.group(1) or found.group(2) for found in _COMMENT.finditer(text)), "")
    plain = [word for word in _WORD.findall(comment.replace("@brief", "")) if rng.random() >= _DROPPED]
    return _note(plain, facts + said, rng), text


def constant(words: Sequence[str], rng: random.Random) -> tuple[str, str]:
    """A note, and below it a constant whose name is of `words`."""
    name, number, unit = f"{rng.choice(words)}_{rng.choice(words)}", _number(rng), rng.choice(sorted(UNITS))
    plain = [rng.choice(words) for _ in range(rng.randrange(5))]
    note = _note(plain, [f"`{name}`", f"{number} {UNITS[unit]}"], rng)
    return note, f"static const uint32_t {name}_{unit} = {number}U;\n"


def _note(words: list[str], facts: Sequence[str], rng: random.Random) -> str:
    for fact in facts:
        words.insert(rng.randrange(len(words) + 1), fact)
    return f"/* {' '.join(words)} */\n"


def words(texts: Sequence[str]) -> list[str]:
    """The words that names are made of, sorted."""
    return sorted({word for text in texts for word in re.findall(r"[a-z]{3,}", text)})


def _number(rng: random.Random) -> str:
    """Of two to five digits, each length as often: that of few digits would be rare among all up to 99,999."""
    digits = rng.randrange(2, 6)
    return str(rng.randrange(10 ** (digits - 1), 10**digits))
