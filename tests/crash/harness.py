"""Killing a runner at a chosen record, going on, and comparing with a run that was left alone.

Every session is a process forked from this one, so that what is heavy to import is imported once; it dies by `kill -9`
in itself, at the point that was chosen, and nothing of it is unwound.
"""

from __future__ import annotations

import importlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsm import moments, session
from fsm.config import Config
from fsm.journal import Journal, alike, audit, in_order
from fsm.moments import Moment
from fsm.store import RunStore, Store
from tests.servers.fixtures import S3

BEFORE, AFTER, MIDDLE = "before", "after", "middle"
MOST_SESSIONS = 20  # until a run is done: it may stop at errors, and is killed once


@dataclass(frozen=True)
class Kill:
    """Die at record `seq`.

    before  when it is about to be put     after  when it was put, before the runner hears of it
    middle  in the handler that leads to it: when that handler first shows progress, or after `seconds`
    """

    seq: int
    where: str
    seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.where}-{self.seq}"

    @property
    def at(self) -> moments.At:
        """Dies there; of a run that shows no progress on the way to its record, before that is put."""
        if self.where == AFTER:
            return moments.dying(Moment(self.seq, moments.APPENDED))
        put = Moment(self.seq, moments.APPENDING)
        if self.where == BEFORE:
            return moments.dying(put)
        if self.seconds is None:
            return moments.dying(put, Moment(self.seq, moments.PROGRESS))
        return self._after(self.seconds, moments.dying(put))

    def _after(self, seconds: float, put: moments.At) -> moments.At:
        def at(now: Moment) -> None:
            put(now)
            if (now.seq, now.what) == (self.seq, moments.NEXT):
                threading.Timer(seconds, moments.die).start()

        return at


def in_a_bucket(s3: S3) -> Callable[[Path], Store]:
    """What opens a store of its own in the bucket for each directory."""

    def store(directory: Path) -> Store:
        made = s3.store()
        made.prefix = f"{s3.prefix}/{directory.name}/"
        _ = made.bucket._client  # type: ignore[attr-defined]  # made once, before the processes fork
        return made

    return store


@dataclass(frozen=True)
class History:
    """What a run comes to, but for times, writers and claims. `ended` is its outcome and the label it ended by."""

    records: tuple[dict[str, Any], ...]
    files: dict[str, str]
    ended: Any
    seqs: tuple[int, ...]  # of the records
    took: tuple[float, ...]  # seconds in the handler, 0 for a record that is not a transition


def history(run: RunStore) -> History:
    """The journal of a run and its artifacts, each checked to be whole. Raises AssertionError where it is not."""
    found = audit(run)
    assert found.whole, [str(f) for f in found.findings]
    records: list[Any] = in_order(Journal(run).records())
    files = {n: f["sha256"] for r in records for n, f in (r.get("files") or {}).items()}
    return History(
        tuple(alike(records)),
        files,
        records[-1].get("end"),
        tuple(r["seq"] for r in records),
        tuple(r.get("took", 0.0) for r in records),
    )


def warm(config: Config, modules: Sequence[str] = ()) -> None:
    """Import and build here what every session needs, so that a forked one has it."""
    for name in ("structlog", "fsm.journal.record", "fsm.store.s3", *modules):
        importlib.import_module(name)
    for machine in config.program.machines.values():
        _ = machine.kernel


def one_session(config: Config, store: Store, log: Path, kill: Kill | None = None) -> int:
    """One start of a run in a process of its own: 0 done, 1 failed, 3 stopped, -9 killed."""

    def work() -> int:
        import structlog

        silent = structlog.wrap_logger(structlog.PrintLogger(sys.stdout))
        if kill is None:
            return session.run(config, logger=silent, store=store).exit_code
        clockwork = moments.Clockwork(kill.at)
        watching: Any = moments.Watching(store, config.engine.run.name, clockwork)
        return session.run(config, observer=clockwork, logger=silent, store=watching).exit_code

    return moments.in_child(work, log)


def to_the_end(config: Config, store: Store, log: Path) -> int:
    """Give the same command again until the run is done. Raises AssertionError where it never is."""
    for _ in range(MOST_SESSIONS):
        code = one_session(config, store, log)
        if code != 3:
            assert code in (0, 1), f"a session ended with {code}:\n{log.read_text()[-3000:]}"
            return code
    raise AssertionError(f"not done after {MOST_SESSIONS} sessions:\n{log.read_text()[-3000:]}")


def killed(config: Config, store: Store, log: Path, kill: Kill) -> History:
    """A run killed at one point, in whichever session comes to it, and taken to its end."""
    for _ in range(MOST_SESSIONS):
        code = one_session(config, store, log, kill)
        if code == -signal.SIGKILL:
            break
        assert code == 3, (
            f"{kill}: a session ended with {code} and was not killed:\n{log.read_text()[-3000:]}"
        )
    to_the_end(config, store, log)
    return history(store.run(config.engine.run.name))


def points(reference: History, wheres: Sequence[str] = (BEFORE, AFTER, MIDDLE)) -> Iterator[Kill]:
    """Every point of a run: each of its records but the claims. A killed run has the same numbers up to its kill."""
    for seq in reference.seqs:
        for where in wheres:
            yield Kill(seq, where)


def differences(found: History, reference: History) -> list[str]:
    """What differs, said shortly; empty where nothing does."""
    said = [
        f"record {n}: {a} where the reference has {b}"
        for n, (a, b) in enumerate(zip(found.records, reference.records, strict=False))
        if a != b
    ][:3]
    if len(found.records) != len(reference.records):
        said.append(f"{len(found.records)} records where the reference has {len(reference.records)}")
    if found.files != reference.files:
        said.append(f"artifacts {found.files} where the reference has {reference.files}")
    return said
