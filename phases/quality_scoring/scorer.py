"""Scoring from outside the machine: one text, or many."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from fsm.engine import Walk
from phases.quality_scoring.config import QualityScoringConfig
from phases.quality_scoring.handlers import PHASE
from phases.quality_scoring.scoring import DEFAULT, Score, Scoring


def score(
    text: str, prompt: str = "", config: QualityScoringConfig = DEFAULT, *, walk: Walk | None = None
) -> Score:
    """The score of one text for a prompt: the text walks through Diagram 6.

    `walk` is a walk to count the edges on, `ctx.walk("quality_scoring")`. Whatever the text is, there is a score.
    """
    item = Scoring(text, prompt, config)
    (walk or _walk()).run(item)
    return item.result


def score_many(
    items: Iterable[tuple[str, str]],
    config: QualityScoringConfig = DEFAULT,
    *,
    workers: int | None = None,
    walk: Walk | None = None,
) -> list[Score]:
    """The scores of (text, prompt) pairs, in their order. `workers` texts at once; the configured number by default.

    Threads do: nearly all of the time is the compiler's.
    """
    walk = walk or _walk()
    with ThreadPoolExecutor(workers or config.workers) as pool:
        return list(pool.map(lambda item: score(item[0], item[1], config, walk=walk), items))


@lru_cache(maxsize=1)
def _walk() -> Walk:
    from machines.quality_scoring import MACHINE

    return Walk(MACHINE, PHASE)
