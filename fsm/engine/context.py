"""What a handler is given: where it stands, what it may keep, and whom it may ask."""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fsm.engine.data import Data
from fsm.engine.limits import TimeLeft, ended_in_time
from fsm.engine.program import Program
from fsm.engine.stop import Stop
from fsm.engine.waiting import Answer, Waits
from fsm.engine.walk import Walk
from fsm.errors import MissingArtifact, PhaseError
from fsm.journal import Fold, json_values, place_of
from fsm.store import Artifact, RunStore, Scratch, Shelf

T = TypeVar("T")


def _lines(content: bytes | Path) -> int:
    """How many lines there are, the last one with its end or without."""
    if isinstance(content, bytes):
        return content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
    with content.open("rb") as file:
        return sum(1 for _ in file)


@dataclass(frozen=True)
class Given:
    """Another run and its artifacts, {name: {"sha256", "size"}}, as they were when this run began."""

    run: RunStore
    files: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Result:
    """How a machine below ended: its durable data, its last state, and the label it left that by."""

    data: Mapping[str, Any]
    last: str
    label: str | None


class Driver(Protocol):
    """What a context asks of the loop that drives the run."""

    program: Program
    run: RunStore
    fold: Fold
    seed: int
    origin: str
    scratch: Scratch
    store_url: str
    store_options: dict[str, Any]
    config_text: str
    given: Given | None
    stop: Stop
    waits: Waits

    @property
    def logger(self) -> Any: ...

    def once(self, ctx: Context, key: str, do: Callable[[], Any]) -> Any: ...

    def failures(self, ctx: Context) -> int: ...

    def skipped(self, ctx: Context) -> Mapping[str, str]: ...

    def call(
        self,
        ctx: Context,
        key: str,
        name: str,
        inputs: dict[str, Any],
        start: str | None,
        until: frozenset[str],
    ) -> Result: ...

    def map(self, ctx: Context, key: str, name: str, items: list[Any], at_once: int) -> list[Result]: ...

    def walk(self, ctx: Context, name: str | None) -> Walk: ...

    def shelf(self, name: str) -> Shelf: ...

    def lasting(self, name: str, make: Callable[[], AbstractContextManager[Any]]) -> Any: ...

    def watch(self, ctx: Context, run_name: str) -> Any: ...

    def on_progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None: ...


class Context:
    """What a handler is given: one visit of one state.

    `data` is the machine's durable dictionary (JSON values only); what the handler changes in it is committed with
    the transition. It is made of the values that are given when it is first asked for, and leaves these as they are.
    `inputs` is what the calling machine gave.
    """

    def __init__(
        self,
        runner: Driver,
        machine: str,
        at: list[str],
        state: str,
        visit: int,
        config: Any,
        data: Mapping[str, Any],
        inputs: Mapping[str, Any],
    ) -> None:
        self._runner = runner
        self._at = at
        self.machine = machine
        self.state = state
        self.visit = visit
        self.config = config
        self._before = data
        self._data: dict[str, Any] | None = None
        self._given: Data | None = None
        self.inputs = inputs
        self.files: dict[str, Artifact] = {}
        self.records: dict[str, int] = {}
        self.reads: dict[str, str] = {}
        self.uses: set[str] = set()  # sections of other phases
        self.counts: dict[str, int] = {}
        self.time_left: TimeLeft | None = None
        self._thread = threading.get_ident()
        self._calls = 0
        self._pauses = 0
        self._walks: list[Walk] = []

    # Where

    @property
    def run_name(self) -> str:
        return self._runner.run.name

    @property
    def run_identity(self) -> str:
        """The run among all of its name: one that is begun anew is another."""
        generation = self._runner.origin.rpartition("/")[2]
        return f"{self.run_name}/{generation or 0}"

    @property
    def run_seed(self) -> int:
        """The run's seed, to be handed on; for a seed of this state's own, `seed()`."""
        return self._runner.seed

    @property
    def store_url(self) -> str:
        """The store of this run, for a process elsewhere that is to keep a journal beside it."""
        return self._runner.store_url

    @property
    def config_text(self) -> str:
        """The configuration file as it stands, its variables not filled in: for a process elsewhere to run by."""
        return self._runner.config_text

    def section(self, name: str) -> Any:
        """Another phase's configuration section. Raises PhaseError where the configuration has none and needs none."""
        self.uses.add(name)
        try:
            return self._runner.program.sections[name]
        except KeyError:
            raise PhaseError(
                f"{self.place}: the configuration has no section {name!r}. Add one, empty if its defaults will do."
            ) from None

    @property
    def program(self) -> Program:
        """The machines and phases that this run consists of."""
        return self._runner.program

    @property
    def store_options(self) -> dict[str, Any]:
        """How that store is reached."""
        return self._runner.store_options

    @property
    def place(self) -> str:
        """The stack of places: `IterativeDistillation > EpochN.Train > ForwardPass`."""
        return place_of(self._at, self.state)

    @cached_property
    def identity(self) -> str:
        """Names this visit of this state, the same in every attempt: seeds and outside names derive from it.

        The visits of the states above belong to it: an epoch that trains is not the epoch before.
        """
        return f"{self._runner.fold.visited(self._at)}/{self.machine}:{self.state}#{self.visit}"

    def effect_name(self, prefix: str, length: int = 63) -> str:
        """A name for something made outside, the same in every attempt, so that a second one finds the first's.

        At most `length` characters of letters, digits and hyphens.
        """
        suffix = hashlib.sha256(
            f"{self._runner.origin}/{self.run_name}/{self.identity}".encode()
        ).hexdigest()[:8]
        words = re.sub(r"[^A-Za-z0-9]+", "-", f"{prefix}-{self.run_name}").strip("-")
        return f"{words[: length - 9].rstrip('-')}-{suffix}"

    # Chance

    def seed(self, *parts: object) -> int:
        """A 63-bit seed from the run's seed, the place, the visit, and `parts`."""
        text = "/".join(map(str, (self._runner.seed, self.identity, *parts)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1

    @cached_property
    def random(self) -> random.Random:
        """The only random numbers a handler may use."""
        return random.Random(self.seed())

    # Data

    @property
    def data(self) -> dict[str, Any]:
        """The machine's durable data, to be read and changed."""
        if self._data is None:
            self._data = self._given = Data(self._before)
        return self._data

    @data.setter
    def data(self, data: dict[str, Any]) -> None:
        if self._given is None:
            self._given = Data(self._before)
        self._data = data

    def put(self, name: str, content: bytes | str | Path, *, records: int | None = None) -> Artifact:
        """Keep a file by content under a logical name (`data/splits/train.jsonl`); it is durable on return.

        `content` is the bytes, the text, or the path of a file. The name becomes visible with this transition. `records` says
        how many are in it, for who asks what went where; of JSON lines they are counted.
        """
        self._in_time()
        if isinstance(content, str):
            content = content.encode()
        artifact = self._runner.run.put_artifact(
            json_values(name, f"{self.place}: the name of an artifact"), content
        )
        if records is None and name.endswith(".jsonl"):
            records = _lines(content)
        self.keep(artifact, records)
        return artifact

    def keep(self, artifact: Artifact, records: int | None = None) -> None:
        """Let the transition name an artifact that an earlier attempt of this visit put, as `put` does its own."""
        self.files[artifact.name] = artifact
        if records is not None:
            self.records[artifact.name] = records

    def has(self, name: str) -> bool:
        """Whether some state of this run, or of the run it comes after, has put an artifact of that name."""
        given = self._runner.given
        return (
            name in self.files
            or name in self._runner.fold.files_at(self._at)
            or (given is not None and name in given.files)
        )

    def open(self, name: str) -> Path:
        """The newest artifact of that name, as a local file to be read. Raises MissingArtifact."""
        self._in_time()
        run, given = self._runner.run, self._runner.given
        if name in self.files:
            sha256 = self.files[name].sha256
        elif name in self._runner.fold.files_at(self._at):
            sha256 = self._runner.fold.files_at(self._at)[name]["sha256"]
        elif given is not None and name in given.files:
            run, sha256 = given.run, given.files[name]["sha256"]
        else:
            raise MissingArtifact(
                f"{self.place}: this run has no artifact {name!r}. The state that puts it has not run: run the machine that does "
                "before this one and name that run with --from, or name the file in the configuration."
            )
        self.reads[name] = sha256
        return run.artifact(sha256)

    def names(self, prefix: str = "") -> list[str]:
        """The names of this run's artifacts that begin with `prefix`, sorted."""
        return sorted(n for n in {*self._runner.fold.files_at(self._at), *self.files} if n.startswith(prefix))

    def workdir(self, name: str) -> Path:
        """A directory of this run on this machine: survives a kill, may be lost with the machine."""
        return self._runner.scratch.directory(name)

    def shelf(self, name: str) -> Shelf:
        """What this run's store keeps beside its runs under that name, for all of them."""
        return self._runner.shelf(name)

    def lasting(self, name: str, make: Callable[[], AbstractContextManager[T]]) -> T:
        """What this process keeps in memory from visit to visit, such as work that goes on meanwhile.

        Entered when it is first asked for, left when the drive of the run ends, however it does. A resumed run makes it
        anew, so nothing that is committed may depend on its having been there.
        """
        found: T = self._runner.lasting(name, make)
        return found

    @property
    def failures(self) -> int:
        """How often this state has failed in this visit: more than none where it starts again after an error."""
        return self._runner.failures(self)

    @property
    def skipped(self) -> Mapping[str, str]:
        """Items of this state that were given up in this visit, with the reason: to be left out now."""
        return self._runner.skipped(self)

    # Doing things once, and below

    def once(self, key: str, do: Callable[[], Any]) -> Any:
        """The result of `do()`, which is run at most once in this visit: journaled before it is returned.

        A kill between the effect and the record runs it again; for that, name the effect by `effect_name`.
        """
        self._in_time()
        return self._runner.once(self, key, do)

    def run(
        self,
        machine: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        start: str | None = None,
        until: Iterable[str] = (),
    ) -> Result:
        """Run a machine below this state, to its end or until it stands in one of `until`.

        The machine is a frame on the stack of places: a resumed run goes on inside it. Calls of one handler are told
        apart by their order, so a handler must make the same calls when it is run again.
        """
        self._in_time()
        key = str(self._calls)
        self._calls += 1
        return self._runner.call(self, key, machine, dict(inputs or {}), start, frozenset(until))

    def map(self, machine: str, items: Iterable[Any], *, at_once: int = 1) -> list[Result]:
        """Run a machine below this state for each of the items, `at_once` of them at the same time; the results in the order of
        the items, which are JSON values.

        The machine finds its item as `ctx.inputs["item"]`. Each is durable by itself: a resumed run goes on with those that
        have not ended. An item knows what was there before the map and what it did itself, not what others do; of its
        artifacts this state knows when all have ended, and two that put one name differently are an error. Like calls of
        `run`, those of `map` are told apart by their order.
        """
        self._in_time()
        key = str(self._calls)
        self._calls += 1
        return self._runner.map(self, key, machine, list(items), at_once)

    # Waiting

    def wait(self, seconds: float | None = None, *, until: datetime | float | None = None) -> None:
        """Wait so many seconds, or until a moment: a datetime with its time zone, or seconds since 1970.

        The moment stands in the journal: a run that is resumed waits the rest, or goes on where it has passed. Under
        `fsm run --no-wait` the process ends here, and `fsm resume-due` goes on when it is time; the handler is then run again
        from its beginning, and must make the same calls. A moment that is past is no wait. Raises PhaseError.
        """
        self._runner.waits.wait(self, self._next_pause(), seconds, until)

    def ask(
        self, question: str, *, show: Any = None, seconds: float | None = None, otherwise: str | None = None
    ) -> Answer:
        """Wait until somebody names one of this state's edges (`fsm answer RUN LABEL`), and return what was said.

        `show` (JSON values) is what the person decides by. With `seconds` it is left by the edge `otherwise` when nobody has
        answered by then. What was set with the answer (`--set key=value`) is in `data` on return. The handler decides what
        it does with the label; most return it. Raises PhaseError.
        """
        edges = self._runner.program.machine(self.machine).chart.moves(self.state)
        labels = list(dict.fromkeys(e.label for e in edges if e.label))
        answer = self._runner.waits.ask(self, self._next_pause(), labels, question, show, seconds, otherwise)
        self.data.update(answer.values)
        return answer

    def _next_pause(self) -> str:
        self._in_time()
        self._pauses += 1
        return str(self._pauses - 1)

    def walk(self, machine: str | None = None) -> Walk:
        """A counted machine to walk items through; without a name, the counted inside of this state.

        `NAME:COMPOSITE` is the counted inside of another machine's composite.
        """
        self._in_time()
        walk = self._runner.walk(self, machine)
        self._walks.append(walk)
        return walk

    # Telling

    @property
    def log(self) -> Any:
        """A structlog logger that knows the place."""
        return self._runner.logger.bind(place=self.place)

    def progress(self, done: float, total: float, note: str = "") -> None:
        """How far the state is. Advisory: shown, never journaled."""
        self._in_time()
        self._runner.on_progress(self._at, self.state, done, total, note)

    def watch(self, run_name: str) -> Any:
        """Another run of the same store, to be followed from here (`poll` reads what is new); shown below this state."""
        self._in_time()
        return self._runner.watch(self, run_name)

    # Stopping

    def stopping(self) -> bool:
        """Whether a stop was asked for (Ctrl-C, SIGTERM)."""
        self._in_time()
        return self._runner.stop.requested

    @contextmanager
    def deferring_stop(self) -> Iterator[None]:
        """Inside, a signal only sets the flag: for work that must reach a point of its own before it stops."""
        with self._runner.stop.deferred():
            yield
        self._in_time()

    # Limits of time

    @property
    def left(self) -> float | None:
        """Seconds until the first limit of time passes that holds here: of this state, or of anything around it; 0 where one has,
        None where none holds.

        A state that goes on after that fails, at the next call that it makes here (`put`, `open`, `once`, `run`, `map`,
        `walk`, `wait`, `ask`, `progress`, `watch`, `stopping`), or when it returns.
        """
        return None if self.time_left is None else self.time_left.seconds()

    @contextmanager
    def ending(self, process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
        """Inside, a process is ended when the time is up, by SIGTERM, and a few seconds later by SIGKILL; and when this is left.

        with ctx.ending(subprocess.Popen(...)) as process:
            process.wait()
        """
        with ended_in_time(process, self.time_left):
            yield process
        self._in_time()

    def _in_time(self) -> None:
        """Not broken off where a stop would not be; where the run is cancelled, in the handler's own thread alone."""
        stop = self._runner.stop
        if stop.depth:
            return
        if stop.cancelled and threading.get_ident() == self._thread:
            stop.check()
        if self.time_left is not None:
            self.time_left.check()

    # For the engine

    def patch(self) -> dict[str, Any] | None:
        """What this visit has changed of its data. Raises NotJson."""
        given, now = self._given, self._data
        if given is None or now is None or (now is given and not given.touched):
            return None
        return given.patch(now, self.place)

    def taken_counts(self) -> dict[str, int]:
        """What the walks of this visit have counted, by machine and edge, in a fixed order."""
        if not self.counts and not self._walks:
            return {}
        total = dict(self.counts)
        for walk in self._walks:
            for edge, n in walk.counts().items():
                key = f"{walk.machine.name}: {edge}"
                total[key] = total.get(key, 0) + n
        return dict(sorted(total.items()))
