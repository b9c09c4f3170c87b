"""What faces read of a projection: its levels and its states, as values."""

from __future__ import annotations

from dataclasses import dataclass

At = tuple[str, ...]  # the states that called down to a machine, outermost first


@dataclass
class Tally:
    """One state of one machine, over all the times the machine ran.

    `seconds` is the time in its handler, of visits that were completed; `label` the edge it was left by last; `error` the
    last one in words.
    """

    visits: int = 0
    seconds: float = 0.0
    last: float = 0.0
    errors: int = 0
    skipped: int = 0
    label: str | None = None
    failing: bool = False  # the last thing that happened to it was an error
    error: str | None = None


@dataclass(frozen=True)
class Progress:
    """How far a state says it is: `done` of `total` (0: unknown), with a word on the thing in hand."""

    done: float
    total: float
    note: str = ""


@dataclass(frozen=True)
class Level:
    """One machine on the stack of places.

    `state` is the one in hand of those in `place`; `since` a Unix time, of its beginning; `overview` where inside
    `state` its detail stands, seen from here (several where the drawing cannot tell them apart).
    """

    at: At
    machine: str
    place: tuple[str, ...]
    state: str
    visit: int
    since: float
    progress: Progress | None = None
    overview: tuple[str, ...] = ()


@dataclass(frozen=True)
class StateView:
    """A state as faces show it.

    A composite is active while something in it is; its time is that of its inside, and `seen` of its `inside` innermost
    states have been visited, in all the times it was entered (0 of 0: a simple state). `last` is the time of the last visit
    of a state with a handler, in seconds.
    """

    path: str
    active: bool = False
    visits: int = 0
    seconds: float = 0.0
    errors: int = 0
    skipped: int = 0
    label: str | None = None
    failing: bool = False
    last: float = 0.0
    error: str | None = None
    seen: int = 0
    inside: int = 0

    @property
    def look(self) -> str:
        """`failed`, `active`, `visited` or `never`, the first that holds."""
        if self.failing:
            return "failed"
        if self.active:
            return "active"
        return "visited" if self.visits else "never"
