"""A fork's past: the records of another run, up to the one it was begun from.

A fork copies none of them. Its own journal begins with a record that names the last one by number and digest and carries the
state there, so a run is gone on with as any other is; who wants the whole story reads it here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from fsm.errors import PastNeeded
from fsm.journal.journal import Journal
from fsm.store import RunStore


def whole(run: RunStore) -> Iterator[dict[str, Any]]:
    """The records of a run, those of its past before its own. Raises as `Journal.records` does, and PastNeeded."""
    yield from past_of(run)
    yield from Journal(run).records()


def past_of(run: RunStore) -> Iterator[dict[str, Any]]:
    """The records of a fork's past, and of the past's own; none of any other run. Raises as `whole` does."""
    if past := Journal(run).header().get("past"):
        above = parent(run, past)
        yield from past_of(above)
        yield from islice(Journal(above).records(), past["seq"] + 1)


def lines_of_past(run: RunStore, past: dict[str, Any]) -> Iterator[bytes]:
    """The lines of the run that a fork was begun from, up to the one it was begun from. Raises PastNeeded, StoreError."""
    yield from islice(parent(run, past).records(), past["seq"] + 1)


def parent(run: RunStore, past: dict[str, Any]) -> RunStore:
    """The run that a fork was begun from. Raises PastNeeded."""
    found = run.past
    if found is None:
        raise PastNeeded(
            f"Run {run.name} is a fork of run {past['run']} at its record {past['seq']}, and that run is gone from the store, with the "
            f"artifacts that the two share. Put {past['run']} back from a copy."
        )
    return found
