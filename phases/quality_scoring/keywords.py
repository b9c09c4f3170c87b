"""Which domain a prompt is of, and which of its keywords the code speaks of (ProtocolCheck)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from phases.quality_scoring.config import Domain

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


def detect_domain(prompt: str, domains: Mapping[str, Domain]) -> str | None:
    """The domain whose markers the prompt names most; without any, the one of which it has two keywords or more.

    Of equals, the first drawn. None for a prompt of neither.
    """
    text = prompt.lower()
    by_markers = {name: _count(text, domain.markers) for name, domain in domains.items()}
    by_keywords = {name: _count(text, domain.keywords) for name, domain in domains.items()}
    for counts, least in ((by_markers, 1), (by_keywords, 2)):
        best = max(counts, key=lambda name: counts[name], default=None)
        if best is not None and counts[best] >= least:
            return best
    return None


def _count(text: str, words: tuple[str, ...]) -> int:
    return sum(1 for word in words if _whole(word).search(text))


@lru_cache(maxsize=1024)
def _whole(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z0-9]){re.escape(word.lower())}(?![a-z])")


def matches(keywords: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """The keywords that begin a word of a name, in their order: `timestamp` in `txTimestamps`, not `gate` in `navigate`.

    Words are what underscores, digits and capitals set apart.
    """
    words = " " + " ".join(_WORDS.findall(" ".join(names))).lower()
    return tuple(k for k in keywords if f" {k.lower()}" in words)
