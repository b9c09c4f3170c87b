"""Help for tests of pipelines: runs in memory, a kill at any record, a clock that moves only where it is slept by.

    pytest_plugins = ["fsm.testing.fixtures"]      # in the test's module, or in the top conftest.py

    def test_it_may_be_killed_after_its_second_record(fsm_bench: Bench) -> None:
        alone = fsm_bench.load("coffee.yaml", name="alone")
        alone.drive()
        killed = fsm_bench.load("coffee.yaml", name="killed")
        kill_at(killed, 2)
        killed.resume().wait()
        assert essence(killed) == essence(alone)

Without pytest, `with bench() as fsm_bench:` is the fixture. `fsm prove` kills a pipeline everywhere.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from fsm.journal import Journal
from fsm.journal import essence as _essence
from fsm.library import Record, Run, load
from fsm.moments import APPENDED, APPENDING, ENTERED, PROGRESS, PUT, PUTTING, Clockwork, Moment, Watching
from fsm.moments import dying as _dying
from fsm.moments import in_child as _in_child

__all__ = ["Bench", "Clock", "NotKilled", "bench", "essence", "kill_at"]

MEMORY = Path("/dev/shm")  # a file system in memory, where there is one
When = Literal["before", "after", "entered", "progress", "putting", "put"]
_WHAT = {
    "before": APPENDING,
    "after": APPENDED,
    "entered": ENTERED,
    "progress": PROGRESS,
    "putting": PUTTING,
    "put": PUT,
}


@dataclass
class Clock:
    """Time for tests: it passes where it is slept, or where a test moves it. Unit: seconds.

    Stands for the `time` module, and for a function that tells the time. `now` is the time that passes; the one on the wall is
    `ahead` of it, which a test may change, as somebody does who sets a clock.
    """

    now: float = 0.0
    ahead: float = 0.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now + self.ahead

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Bench:
    """A place for runs that are gone after the test: one store, one scratch, and one clock, by which they wait.

    Several loadings of one name are one run, as on a machine.
    """

    directory: Path
    clock: Clock = field(default_factory=Clock)

    @property
    def store(self) -> Path:
        """Where its runs are kept."""
        return self.directory / "store"

    def load(
        self,
        path: str | PathLike[str],
        overrides: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        machine: str | None = None,
        source: str | None = None,
        seed: int | None = None,
    ) -> Run:
        """The run of a configuration, as `fsm.load` gives it; it calls out to nobody. Raises what that raises."""
        found = load(
            path,
            {"notify": None, "telemetry": None, "store_options": {}, **(overrides or {})},
            name=name,
            machine=machine,
            source=source,
            seed=seed,
            store=self.store,
            work=self.directory / "work",
        )
        return Run(found.config, clock=self.clock)


@contextmanager
def bench() -> Iterator[Bench]:
    """Inside, a bench in a directory of its own: in memory where there is a file system there, for a run syncs every record."""
    made = Path(tempfile.mkdtemp(prefix="fsm-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        yield Bench(made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


class NotKilled(AssertionError):
    """The run did not come to the moment at which it was to be killed."""


def kill_at(run: Run, seq: int, when: When = "after") -> None:
    """Have a run go on in a process of its own, begun there if need be, which dies by SIGKILL at record `seq` (the claim that begins
    it is record 0).

    before, after   the record is about to be appended; it is there, and the runner has not heard of it
    entered         when the first handler begins whose record may be this one
    progress        when that one first shows progress
    putting, put    before and after it puts its first artifact

    The process is forked, so nothing is imported again; what it prints is shown where it is not killed. Raises NotKilled.
    """
    moment = Moment(seq, _WHAT[when])

    def work() -> int:
        import structlog

        clockwork = Clockwork(_dying(moment))
        store: Any = Watching(run.store, run.name, clockwork)
        silent = structlog.wrap_logger(structlog.PrintLogger(sys.stdout))
        return Run(run.config, store, run.clock).drive(observer=clockwork, logger=silent).exit_code

    with tempfile.TemporaryDirectory(prefix="fsm-") as temporary:
        log = Path(temporary) / "log"
        code = _in_child(work, log)
        if code == -signal.SIGKILL:
            return
        said = log.read_text(errors="replace")[-2000:].strip()
    raise NotKilled(
        f"Run {run.name} was not killed {when} record {seq}: its process ended with {code}, and the run is {run.status} with "
        f"{len(run.history())} records.{f' It said: {said}' if said else ''}"
    )


def essence(run: Run) -> list[Record]:
    """The records of a run without what differs between two runs that did the same: numbers, times, writers, claims. The artifacts
    are in it by their digests. Raises NoSuchRun, JournalDamaged.
    """
    journal = Journal(run.store.run(run.name))
    journal.header()
    return [_essence(record) for record in journal.records() if record["kind"] != "claim"]
