"""A teacher without a model: it writes short C functions from the prompt's words, by templates.

It is there so that the pipeline runs from end to end without a network, an account or a GPU, and it is named
for what it is wherever it appears. Its answers are real C that compiles, about what the prompt names; they
are not the answers of a language model, and a student that learned from them has learned these templates.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Literal

from phases.quality_scoring.asked import common
from phases.teacher_generation.offline.shapes import SHAPES, UNITS, Shape, words
from phases.teacher_generation.prices import FREE
from phases.teacher_generation.takes import Takes
from phases.teacher_generation.teacher import digest
from phases.turns import words as words_of

_NAMES = (
    re.compile(r"`(?:[^`(]*\W)?([A-Za-z_]\w{2,})\s*(?:\([^`]*)?`"),  # `name`, `uint32_t name(void)`
    re.compile(r"\b(?:called|named|function)\s+([A-Za-z]+_\w+)"),
    re.compile(r"\b([A-Za-z_]\w{2,})\("),
)
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.]*\w|-bit)")
_TICKED = re.compile(r"`[^`]*`")
TAKES = Takes(price=FREE)
_DOMAIN = re.compile(r"\b(TSN|AVB|CARLA)\b", re.IGNORECASE)


@dataclass(frozen=True)
class OfflineTeacher:
    """Answers a prompt with a C function written by template; the same prompt always gets the same answer."""

    name: str = "offline-templates"
    note: str = (
        "The teacher is offline: no model answers, short C functions are written by templates from the "
        "words of each prompt."
    )

    takes: Takes = TAKES
    credentials: Literal["none"] = "none"

    def question(self, prompt: str) -> None:
        """Nothing is paid for an answer, and none differs from the one before."""

    def count(self, prompt: str) -> None:
        """There are no tokens."""

    def invoke(self, prompt: str) -> dict[str, Any]:
        """The function, in the form of a Converse response, so that one reader serves all teachers."""
        text = write_function(words_of(prompt))
        return {
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn",
            "usage": {},
        }

    def check(self, lasting: timedelta) -> tuple[str, ...]:
        """It is always there."""
        return ()


def write_function(prompt: str) -> str:
    """The C function that a prompt asks for: the nearest shape, with the prompt's name, number and unit."""
    domain, shape = choose_shape(prompt)
    bare = _TICKED.sub(" ", prompt)
    number = _NUMBER.search(bare)
    unit = next((unit for unit in UNITS if unit in bare.lower()), "nanoseconds")
    name = _function_name(prompt) or f"{domain.lower()}_{shape.kind}"
    return shape.write(name, int(number.group()[:9]) if number else None, unit)


def choose_shape(prompt: str) -> tuple[str, Shape]:
    """The domain and shape whose words the prompt shares most, rare words counting more than common ones.

    A prompt that names its domain is answered from that domain. One without any known word still gets a
    function, chosen by the prompt's digest.
    """
    named = {match.upper() for match in _DOMAIN.findall(prompt)}
    domains = [domain for domain in SHAPES if not named or domain in named]
    asked = set(words(prompt))
    scored = [(_likeness(shape, asked), domain, shape) for domain in domains for shape in SHAPES[domain]]
    best = max(score for score, _, _ in scored)
    near = [(domain, shape) for score, domain, shape in scored if score == best]
    return near[int(digest(prompt), 16) % len(near)]


def _likeness(shape: Shape, asked: set[str]) -> float:
    """Shared weight over the root of the shape's own: one asked for in full beats a longer one."""
    weight = _weights()
    own = sorted(shape.words)  # sums of floats depend on their order
    return sum(weight[word] for word in own if word in asked) / math.sqrt(sum(weight[word] for word in own))


@cache
def _weights() -> dict[str, float]:
    shapes = [shape for domain in SHAPES.values() for shape in domain]
    count = Counter(word for shape in shapes for word in shape.words)
    return {word: math.log((1 + len(shapes)) / number) for word, number in count.items()}


def _function_name(prompt: str) -> str | None:
    for pattern in _NAMES:
        for name in pattern.findall(prompt):
            if not common(name) and not name.startswith("__"):
                return str(name)
    return None
