"""Scoring from outside the machine: one text, or many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

from fsm.engine import Walk
from phases.quality_scoring.config import QualityScoringConfig
from phases.quality_scoring.handlers import PHASE
from phases.quality_scoring.scoring import DEFAULT, Score, Scoring

if TYPE_CHECKING:
    from phases.quality_scoring.ahead import Ahead


def score(
    text: str,
    prompt: str = "",
    config: QualityScoringConfig = DEFAULT,
    *,
    reference: str | None = None,
    behaves: bool = False,
    walk: Walk | None = None,
) -> Score:
    """The score of one text for a prompt: the text walks through Diagram 6.

    `reference` is another answer to the same prompt, one that is right: what the text does is compared with what it does.
    `behaves` has that looked at without one. `walk` is a walk to count the edges on, `ctx.walk("quality_scoring")`.
    Whatever the text is, there is a score. Raises SandboxMissing where behaviour has a weight and nothing can be run.
    """
    item = Scoring(text, prompt, config, reference=reference, behaves=behaves)
    (walk or _walk()).run(item)
    return item.result


def score_many(
    items: Iterable[tuple[str, str]],
    config: QualityScoringConfig = DEFAULT,
    *,
    references: Sequence[str | None] | None = None,
    behaves: bool = False,
    workers: int | None = None,
    walk: Walk | None = None,
    ahead: Ahead | None = None,
) -> list[Score]:
    """The scores of (text, prompt) pairs, in their order. `workers` texts at once; the configured number by default.

    `references` has one for each, or None. Threads do: nearly all of the time is the compiler's. `ahead` are scores that were
    begun before, with the same settings.
    """
    walk = walk or _walk()
    pairs = list(items)
    beside = references if references is not None else [None] * len(pairs)

    def one(pair: tuple[str, str], reference: str | None) -> Score:
        if ahead is not None and (known := ahead.taken(*pair, reference, walk)) is not None:
            return known
        return score(*pair, config, reference=reference, behaves=behaves, walk=walk)

    with ThreadPoolExecutor(workers or config.workers) as pool:
        return list(pool.map(one, pairs, beside))


@lru_cache(maxsize=1)
def _walk() -> Walk:
    from machines.quality_scoring import MACHINE

    return Walk(MACHINE, PHASE)
