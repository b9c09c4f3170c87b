"""Following another run of the same store from outside: nothing is written, nothing is locked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fsm.errors import JournalDamaged
from fsm.journal.fold import Fold, Frame
from fsm.journal.journal import decode
from fsm.journal.lines import MARK, is_line, said
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
    """The machines a run stands in, outermost first, each with its place; machines that have ended are not on it.

    Where lines go at once, each of them with what it has called; of a machine whose branches do, the branches stand for it.
    """
    return [(machine, place) for _, machine, place in standing(fold)]


def where(fold: Fold) -> str:
    """The same in words."""
    return said([(at, place[0]) for at, _, place in standing(fold)])


def standing(fold: Fold) -> list[tuple[tuple[str, ...], str, list[str]]]:
    """The same with the path of calls to each."""
    return list(_standing((), fold.root)) if fold.root else []


def _standing(at: tuple[str, ...], frame: Frame) -> Iterator[tuple[tuple[str, ...], str, list[str]]]:
    if not frame["place"]:
        return
    branches = [
        ((*at, f"{state}~{key}"), call)
        for state, opened in frame["open"].items()
        for key, call in opened["calls"].items()
        if key.startswith(MARK) and call["place"]
    ]
    if branches:
        for path, branch in branches:
            yield from _standing(path, branch)
        return
    yield at, frame["machine"], list(frame["place"])
    below = [
        ((*at, state if key == "0" else f"{state}~{key}"), call)
        for state in frame["place"]
        for key, call in frame["open"].get(state, {"calls": {}})["calls"].items()
        if call["place"]
    ]
    if below and is_line(below[-1][0][-1]):
        below.sort(key=lambda call: int(call[0][-1].rpartition(MARK)[2]) if is_line(call[0][-1]) else -1)
        for path, call in below:
            yield from _standing(path, call)
    elif below:
        yield from _standing(*below[-1])
