"""Scorers of other packages: an entry point of the group `fsm.scorers`, whose name is the score's and which loads a `Scorer`.

One is asked where its score has a weight and no state of the drawing has given it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points

from fsm.errors import ConfigError
from phases.quality_scoring.scoring import Scoring

GROUP = "fsm.scorers"
Scorer = Callable[[Scoring], None]
"""Gives points to its score, by `item.give("LicenceCheck", points, note)` for a score named `licence`."""


@cache
def scorer(name: str) -> Scorer | None:
    """The scorer of that name; None where no package brings one. Raises ConfigError where it cannot be loaded."""
    for entry in sorted(entry_points(group=GROUP, name=name), key=lambda e: e.value):
        try:
            found: Scorer = entry.load()
        except Exception as error:
            raise ConfigError(
                f"quality_scoring.weights: the scorer {name!r} ({entry.value}) cannot be loaded: {type(error).__name__}: {error}."
            ) from error
        return found
    return None
