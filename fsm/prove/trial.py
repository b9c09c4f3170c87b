"""One run from its beginning to its end in processes of their own, one of which may die at a moment chosen beforehand."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fsm import session
from fsm.config import Config
from fsm.engine import Context, Runner, Turns, Waits, in_rotation
from fsm.errors import FsmError
from fsm.journal import Journal, requests
from fsm.moments import NEXT, At, Clockwork, Moment, Watching, dying, in_child
from fsm.prove.outside import Outside
from fsm.store import open_store

MOST_SESSIONS = 20  # until a run has ended: it may stop, and is killed once


class Stuck(FsmError):
    """A run does not come to an end, however often it is gone on with."""

    code = "F104"


class Noting(Clockwork):
    """The clockwork of a trial: it also tells whether a step is in hand that is journaled (`ctx.once`)."""

    once = False


def noting(notes: Path) -> At:
    """Writes each moment of a handler as a line of a file."""
    file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def at(now: Moment) -> None:
        if now.state:
            os.write(file, json.dumps(asdict(now)).encode() + b"\n")

    return at


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

        clockwork = Noting(noting(self.moments) if self.kill is None else dying(self.kill))
        if self.steady:
            _steady(clockwork)
        _told_of_once(clockwork)
        setattr(Runner, "turns", Turns(in_rotation()))  # noqa: B010 - so that a moment comes again
        _hurried()

        def here() -> tuple[str, str, bool] | None:
            return (*clockwork.here, clockwork.once) if clockwork.here else None

        Outside(self.effects, self.kept, [self.directory], here).watch()
        store: Any = Watching(open_store(str(self.store)), self.config.engine.run.name, clockwork)
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


def _told_of_once(clockwork: Noting) -> None:
    original = Runner.once

    def once(self: Runner, ctx: Context, key: str, do: Callable[[], Any]) -> Any:
        def doing() -> Any:
            clockwork.once = True
            try:
                return do()
            finally:
                clockwork.once = False

        return original(self, ctx, key, doing)

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
    setattr(sys.modules[Runner.__module__], "pause", lambda seconds, clock, check: check())  # noqa: B010 - before a state is tried again


def _steady(clockwork: Noting) -> None:
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
