"""One run from its beginning to its end in processes of their own, one of which may die at a moment chosen beforehand.

A moment is a point of a run that every attempt comes through: before and after a record is appended, before and after an
artifact is put, when a handler begins, when it first shows progress. It is known by the number of the record that comes next, so
that a killed run, which has the same records up to its kill, dies where it was meant to.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fsm import session
from fsm.config import Config
from fsm.engine import Context, Nobody, Runner, Waits
from fsm.errors import FsmError
from fsm.journal import Journal, requests
from fsm.prove.outside import Outside
from fsm.store import RunStore, Store, open_store

ENTERED, PROGRESS, PUTTING, PUT, APPENDING, APPENDED = (
    "entered",
    "progress",
    "putting",
    "put",
    "appending",
    "appended",
)
NEXT = "next"  # a record is there, and the count of moments begins anew
MOST_SESSIONS = 20  # until a run has ended: it may stop, and is killed once


@dataclass(frozen=True)
class Moment:
    """A point of a run: `what` happens for the `nth` time while record `seq` is the next one, in a state of a machine."""

    seq: int
    what: str
    nth: int
    machine: str = ""
    state: str = ""

    def same(self, other: Moment) -> bool:
        """Whether it is the same point, wherever that is."""
        return (self.seq, self.what, self.nth) == (other.seq, other.what, other.nth)

    def __str__(self) -> str:
        said = {
            ENTERED: "when it begins",
            PROGRESS: "at its first progress",
            PUTTING: f"before it puts artifact {self.nth}",
            PUT: f"after it has put artifact {self.nth}",
            APPENDING: f"before record {self.seq}",
            APPENDED: f"after record {self.seq}",
        }
        return f"{self.machine}: {self.state}, {said[self.what]}"


class Stuck(FsmError):
    """A run does not come to an end, however often it is gone on with."""

    code = "F104"


class Clockwork(Nobody):
    """Counts the moments of a session: notes each in a file, or dies at the one that was chosen."""

    def __init__(self, notes: Path | None, kill: Moment | None) -> None:
        self._notes = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if notes else None
        self._kill = kill
        self._seq = 0
        self._times: dict[str, int] = {}
        self._lock = threading.Lock()
        self.here: tuple[str, str] | None = None
        self.once = False

    def moment(self, what: str, seq: int | None = None) -> None:
        """A point is passed; not passed where it is the chosen one."""
        with self._lock:
            if seq is not None and seq != self._seq:
                self._seq, self._times = seq, {}
            nth = self._times[what] = self._times.get(what, 0) + 1
            if what == PROGRESS and nth > 1:
                return
            now = Moment(self._seq, what, nth, *(self.here or ("", "")))
        if self._notes is not None and self.here is not None:
            os.write(self._notes, json.dumps(asdict(now)).encode() + b"\n")
        if self._kill is not None and now.same(self._kill):
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # until the signal comes

    def entered(self, at: list[str], machine: str, state: str, visit: int) -> None:
        self.here = machine, state
        self.moment(ENTERED)

    def progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None:
        self.moment(PROGRESS)


class Watched:
    """A run's store whose every write is a moment."""

    def __init__(self, run: RunStore, clockwork: Clockwork) -> None:
        self._run = run
        self._clockwork = clockwork

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def append(self, seq: int, line: bytes) -> None:
        self._clockwork.moment(APPENDING, seq)
        self._run.append(seq, line)
        self._clockwork.moment(APPENDED)
        self._clockwork.moment(NEXT, seq + 1)

    def put_artifact(self, name: str, content: bytes | Path) -> Any:
        self._clockwork.moment(PUTTING)
        artifact = self._run.put_artifact(name, content)
        self._clockwork.moment(PUT)
        return artifact


class Watching:
    """The store of a trial: what it opens is watched."""

    def __init__(self, store: Store, clockwork: Clockwork) -> None:
        self._store = store
        self._clockwork = clockwork

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def run(self, name: str) -> Any:
        return Watched(self._store.run(name), self._clockwork)


@dataclass(frozen=True)
class Trial:
    """How a trial is made. `directory` is the same for all, for records may name paths; it is emptied between them.

    `steady`: random numbers are the same in every attempt of a state, so that what still differs is none of theirs.
    """

    config: Config
    directory: Path
    overrides: Mapping[str, Any] = field(
        default_factory=dict
    )  # of the configuration, for an interpreter of its own
    kill: Moment | None = None
    steady: bool = False

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def kept(self) -> Path:
        """Where files outside are kept as they were."""
        return self.directory / "kept"

    @property
    def moments(self) -> Path:
        return self.directory / "moments"

    @property
    def effects(self) -> Path:
        return self.directory / "effects"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def session(self) -> int:
        """One start of the run, in this process: how it ended."""
        import structlog

        clockwork = Clockwork(self.moments if self.kill is None else None, self.kill)
        if self.steady:
            _steady(clockwork)
        _told_of_once(clockwork)
        _hurried()

        def here() -> tuple[str, str, bool] | None:
            return (*clockwork.here, clockwork.once) if clockwork.here else None

        Outside(self.effects, self.kept, [self.directory], here).watch()
        store = Watching(open_store(str(self.store)), clockwork)
        silent = structlog.wrap_logger(structlog.PrintLogger(sys.stdout))
        return session.run(self.config, observer=clockwork, logger=silent, store=store).exit_code

    def to_the_end(self, start: Callable[[Trial], int]) -> None:
        """Give the same command again until the run has ended. Raises Stuck where it does not get on."""
        trial, before, still = self, -1, 0
        for _ in range(MOST_SESSIONS):
            code = start(trial)
            if code in (0, 1):
                return
            if code == -signal.SIGKILL and trial.kill is not None:
                trial = replace(trial, kill=None)
                continue
            steps = sum(line["kind"] == "transition" for line in self.records())
            still = still + 1 if steps == before else 0
            before = steps
            if code != 3 or still > 1:
                break
        said = [f"{r['error']}: {r['message']}" for r in self.records() if r["kind"] == "error"]
        last = said[-1] if said else self.log.read_text(errors="replace")[-500:].strip()
        raise Stuck(f"It does not come to an end: {last}")

    def passed(self) -> list[Moment]:
        """The moments that the sessions of this trial came through, in order; those between two records aside."""
        lines = self.moments.read_text().splitlines() if self.moments.exists() else []
        found = [Moment(**json.loads(line)) for line in lines]
        return [moment for moment in found if moment.what != NEXT]

    def records(self) -> list[dict[str, Any]]:
        """The run's records but the claims, as they stand."""
        run = open_store(str(self.store)).run(self.config.engine.run.name)
        return [r for r in Journal(run).records() if r["kind"] != "claim"] if run.read_header() else []


def forked(trial: Trial) -> int:
    """A session in a process forked from this one, which has imported already what it needs."""
    return in_child(trial.session, trial.log)


def in_child(work: Callable[[], int], log: Path) -> int:
    """Fork, work, and say how it ended: the exit code, or minus the signal; 70 for an exception, which is in the log."""
    return ended(begun(work, log))


def ended(pid: int) -> int:
    """Wait for a child: the exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def begun(work: Callable[[], int], log: Path) -> int:
    """A child that works, and says to a file what it says; its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            with log.open("a") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            code = work()
        except BaseException:
            with suppress(Exception), log.open("a") as file:
                traceback.print_exc(file=file)
        finally:
            os._exit(code)
    return pid


def apart(seed: int) -> Callable[[Trial], int]:
    """Sessions in interpreters of their own, whose sets are ordered by another hash seed."""

    def start(trial: Trial) -> int:
        said = {
            "file": trial.config.file,
            "directory": str(trial.directory),
            "overrides": dict(trial.overrides),
        }
        with trial.log.open("a") as log:
            return subprocess.run(
                [sys.executable, "-m", "fsm.prove.apart", json.dumps(said)],
                env=os.environ | {"PYTHONHASHSEED": str(seed)},
                stdout=log,
                stderr=log,
                check=False,
            ).returncode

    return start


def _told_of_once(clockwork: Clockwork) -> None:
    original = Runner.once

    def once(self: Runner, ctx: Context, key: str, do: Callable[[], Any]) -> Any:
        clockwork.once = True
        try:
            return original(self, ctx, key, do)
        finally:
            clockwork.once = False

    setattr(Runner, "once", once)  # noqa: B010 - in the process of a trial only


def _hurried() -> None:
    """Nothing is waited for: a wait is over at once, a time limit has passed, and a question without one is answered by an edge that
    its name decides, the same in every attempt, and another in another visit.
    """
    answered = Waits._answered

    def given(self: Waits, pause: Mapping[str, Any]) -> Any:
        if "until" not in pause:
            label = pause["labels"][int(pause["slot"], 16) % len(pause["labels"])]
            requests.put(self._runner.run, pause["slot"], requests.AnswerRequest(by="fsm prove", label=label))
        return answered(self, pause)

    setattr(Waits, "_left", lambda self, pause: lambda: 0.0)  # noqa: B010 - in the process of a trial only
    setattr(Waits, "_answered", given)  # noqa: B010


def _steady(clockwork: Clockwork) -> None:
    """Make every attempt of a state draw the same random numbers, wherever it draws them from."""
    numbers = random.Random()
    os.urandom = numbers.randbytes
    random._urandom = numbers.randbytes  # type: ignore[attr-defined]
    entered = clockwork.entered

    def again(at: list[str], machine: str, state: str, visit: int) -> None:
        numbers.seed(f"{at} {state} {visit}")
        random.seed(f"{at} {state} {visit}")
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(visit)
        entered(at, machine, state, visit)

    setattr(clockwork, "entered", again)  # noqa: B010
