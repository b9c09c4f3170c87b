"""How a run comes to rest, and what ends a visit on the way there."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """How a run came to rest.

    `outcome` is done, failed (by a failure edge) or cancelled, which are the ends of a run; stopped (resumable), or waiting, for
    a moment or an answer.

    May be awaited, and is there at once: what waits for a run is awaited in async code, and is not in any other.
    """

    outcome: str
    label: str | None = None
    last: str = ""
    message: str = ""

    @property
    def exit_code(self) -> int:
        return {"done": 0, "failed": 1, "stopped": 3, "waiting": 4, "cancelled": 5}[self.outcome]

    @classmethod
    def of(cls, ended: Mapping[str, Any]) -> Outcome:
        """How a run has ended, by its journal."""
        said = [f"by {ended['by']}"] if ended.get("by") else []
        said += [f"for: {ended['why']}"] if ended.get("why") else []
        return cls(ended["outcome"], ended["label"], ended["last"], ", ".join(said))

    def __await__(self) -> Generator[Any, None, Outcome]:
        return self
        yield


class Stopped(BaseException):
    """The run cannot go on now, and can be resumed. Passes through the handlers above the failed state."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Leave(BaseException):
    """An outer state is left by an edge of its own, for something below it failed."""

    def __init__(self, at: list[str], state: str) -> None:
        super().__init__(state)
        self.at = at
        self.state = state
