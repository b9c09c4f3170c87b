"""Scores that are begun as soon as a text is there, and counted where the drawing has them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from fsm.drawing import Edge
from fsm.engine import Walk
from phases.quality_scoring.config import QualityScoringConfig
from phases.quality_scoring.handlers import PHASE
from phases.quality_scoring.scoring import Score, Scoring

Key = tuple[str, str, str | None]
Scored = tuple[Score, Sequence[Edge]]


class Ahead:
    """Texts on their way through Diagram 6 beside other work, `config.workers` at a time; the walk they take is counted later."""

    def __init__(self, config: QualityScoringConfig) -> None:
        from machines.quality_scoring import MACHINE

        self._config = config
        self._walk = Walk(MACHINE, PHASE)
        self._pool = ThreadPoolExecutor(config.workers, thread_name_prefix="scoring")
        self._begun: dict[Key, Future[Scored]] = {}

    def begin(self, text: str, prompt: str, reference: str | None = None) -> Future[Scored]:
        """Have a text scored, unless it is already."""
        key = (text, prompt, reference)
        if key not in self._begun:
            self._begun[key] = self._pool.submit(self._one, key)
        return self._begun[key]

    def taken(self, text: str, prompt: str, reference: str | None, walk: Walk) -> Score | None:
        """The score, its edges counted on `walk`; None where it was not begun. Raises what scoring raises."""
        future = self._begun.get((text, prompt, reference))
        if future is None:
            return None
        score, way = future.result()
        walk.count(way)
        return score

    def close(self) -> None:
        """What is not begun yet is not scored."""
        self._pool.shutdown(cancel_futures=True)

    def _one(self, key: Key) -> Scored:
        text, prompt, reference = key
        item = Scoring(text, prompt, self._config, reference=reference)
        way = self._walk.way(item)
        return item.result, way
