"""Following another run of the same store from outside: nothing is written, nothing is locked."""

from __future__ import annotations

from typing import Any

from fsm.errors import JournalDamaged
from fsm.journal.fold import Fold
from fsm.journal.journal import decode
from fsm.store import RunStore


class Watch:
    """One run, read as it grows."""

    def __init__(self, run: RunStore) -> None:
        self.run = run
        self.fold = Fold()
        self.seen = 0

    def poll(self) -> list[dict[str, Any]]:
        """The records added since the last call; none where the run has not begun."""
        new = []
        for line in self.run.records(self.seen):
            record = decode(line, f"{self.run.url}, record {self.seen}")
            if record["seq"] != self.seen:
                raise JournalDamaged(
                    f"{self.run.url}: record {self.seen} is missing. `fsm audit {self.run.name}` says more."
                )
            self.fold.apply(record)
            self.seen += 1
            new.append(record)
        return new

    @property
    def ended(self) -> dict[str, Any] | None:
        """How the run ended: {"outcome", "label", "last"}; None while it has not."""
        return self.fold.ended

    def stack(self) -> list[tuple[str, list[str]]]:
        """The machines in progress with their places, outermost first."""
        return stack_of(self.fold)

    def live(self) -> dict[str, Any] | None:
        """What its runner last said of itself."""
        return self.run.read_live()


def stack_of(fold: Fold) -> list[tuple[str, list[str]]]:
    """The machines a run stands in, outermost first, each with its place; machines that have ended are not on it."""
    stack = []
    frame = fold.root
    while frame and frame["place"]:
        stack.append((frame["machine"], list(frame["place"])))
        below = [
            call
            for state in frame["place"]
            for call in frame["open"].get(state, {"calls": {}})["calls"].values()
            if call["place"]
        ]
        frame = below[-1] if below else None
    return stack
