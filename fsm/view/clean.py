"""`fsm clean`: the scratch of a run on this machine, found and removed."""

from __future__ import annotations

from dataclasses import dataclass

from fsm.errors import RunBusy, ScratchNeeded
from fsm.journal import Journal
from fsm.store import Store
from fsm.view.report import is_alive, scratches
from fsm.view.sizes import size


@dataclass(frozen=True)
class Cleaned:
    """What was removed: directories, and the bytes that were in them."""

    run: str
    removed: tuple[str, ...]
    freed: int


def clean(store: Store, name: str, force: bool) -> Cleaned:
    """Remove the scratch of a run that is over; with `force` also that of one which could go on from it.

    Raises RunBusy where a runner is at it, ScratchNeeded, StoreError, and what reading the run raises.
    """
    run = store.run(name)
    journal = Journal(run)
    header = journal.header()
    fold = journal.load()
    live = run.read_live()
    there = [s for s in scratches(run, header, live) if s.there]
    if not fold.ended:
        if is_alive(run, live):
            raise RunBusy(
                f"Run {name} is being run, and works in its scratch. Stop it first; `fsm status {name}` says by whom it is run."
            )
        if there and not force:
            takes = size(sum(s.size() for s in there))
            raise ScratchNeeded(
                f"Run {name} has stopped and can go on. Its scratch, {there[0].path} ({takes}), holds what is not in its journal yet: the "
                "checkpoints of a training, answers and outputs that are half done. Without it the run still goes on, and does that "
                "again. Let it end first, or give --force."
            )
        run.acquire()  # so that none begins meanwhile
    try:
        sizes = {str(s.path): s.remove() for s in there}
    finally:
        run.release()
    return Cleaned(name, tuple(sizes), sum(sizes.values()))
