"""One run of one configuration: begun, gone on with, waited for, looked at."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from fsm import config as configs
from fsm import session
from fsm.amend import settings_of
from fsm.check import refuse
from fsm.engine import Clock, Nobody, Observer, Outcome, StopRequested, nearest
from fsm.errors import FsmError, MissingArtifact, RunBusy, RunOver
from fsm.journal import Fold, Journal, pauses_of, stack_of
from fsm.library.drive import Drive, Reader, Record, Waker, interruptible, without_snapshot
from fsm.secrets import redactor
from fsm.store import Artifact, RunStore, Store, open_store

AT_ONCE = 256  # records that are read from the journal before other coroutines have their turn


def load(
    path: str | os.PathLike[str],
    overrides: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    machine: str | None = None,
    source: str | None = None,
    store: str | os.PathLike[str] | None = None,
    work: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    forked: bool = True,
) -> Run:
    """The run that a configuration describes, read and proved as `fsm run` does; nothing is begun.

    `name` is the run's, `machine` another one to run (a phase alone, under its own name where none is given), `source` a run
    whose artifacts this one may open; the others are the configuration's keys. `overrides` has any engine key by its dotted name
    (`{"notify": None}`). Where the store has a run of that name that is a fork, the settings that it was begun with go before the
    file's, unless `forked` is false. Modules beside the configuration are found, and sys.path is afterwards as it was.

    Raises ConfigError where the file cannot be read or says what it may not, CheckFailed where the pipeline cannot be run as it is
    drawn, StoreError where the store cannot be asked, JournalDamaged where what it says of the run cannot be read, and what its modules raise when they are imported.
    """
    given = {
        "run.name": name if name is not None else machine,
        "machine": machine,
        "run.source": source,
        "store": None if store is None else os.fspath(store),
        "work": None if work is None else os.fspath(work),
        "run.seed": seed,
    }
    said = dict(overrides or {}) | {key: value for key, value in given.items() if value is not None}
    found = Run(configs.load(Path(path), said))
    if forked and (own := settings_of(found.store.run(found.name))):
        found = Run(configs.load(Path(path), own | said), found.store)
    refuse(found.config.program)
    return found


class Run:
    """One run of one configuration: begun, gone on with, looked at.

    `start` and `resume` have it go on in a thread of its own, so that this one is free; they return as soon as the run is this
    process's. `drive` has it go on in this thread, as the command line does. Signals belong to the main thread: a run that is
    driven there is stopped by them, in the middle of a handler if need be. One in a thread of its own is stopped by `stop`,
    or by an interrupt (Ctrl-C) of who waits for it, in `wait`, in a loop over its records, or inside `with run:`; it then ends
    with its next record, or where a coroutine awaits something, and can be resumed. What interrupts other code, such as the
    body of a loop outside `with`, leaves it going on. The thread is not a daemon: a program ends when its runs do.

    May be used by several threads. What it tells (`status`, `state`, `history`, ...) is read from the store, so it is true of a
    run that goes on elsewhere as well.
    """

    def __init__(
        self, config: configs.Config, store: Store | None = None, clock: Clock | None = None
    ) -> None:
        """`store` is the configuration's, opened already; `clock` tells how long it waits, `time` where none is given."""
        self.config = config
        self.clock = clock
        self.name = config.engine.run.name
        self._given = store
        self._lock = threading.Lock()
        self._newest: Drive | None = None

    @cached_property
    def store(self) -> Store:
        """Where it is kept."""
        engine = self.config.engine
        return self._given or open_store(engine.store, **engine.store_options)

    def outlook(self) -> list[str]:
        """What the phases say beforehand of it, in sentences."""
        return session.outlook(self.config)

    # Going on

    def start(
        self, *, fresh: bool = False, stay: bool = True, observer: Observer | None = None, logger: Any = None
    ) -> Self:
        """Begin it, in a thread of its own. With `fresh` a former run of the name is moved aside.

        Without `stay` it comes to rest where it waits for a moment or an answer, as by `fsm run --no-wait`.

        Raises RunExists where there is one of the name, and every FsmError that keeps it from beginning.
        """
        return self._threaded(observer, logger, fresh=fresh, stay=stay, only=None if fresh else "start")

    def resume(
        self,
        *,
        retry: bool = False,
        takeover: bool = False,
        stay: bool = True,
        observer: Observer | None = None,
        logger: Any = None,
    ) -> Self:
        """Go on with it where it stands, in a thread of its own; one that has ended is only read.

        `retry` begins one anew that ended in a failure, or with items given up. `takeover` replaces a runner elsewhere that seems
        alive, in a bucket. Raises NoSuchRun where there is none, RunBusy where another runner is at it, ConfigChanged where it
        was begun with another program, and every other FsmError that keeps it from going on.
        """
        return self._threaded(observer, logger, retry=retry, takeover=takeover, stay=stay, only="resume")

    def drive(
        self,
        *,
        fresh: bool = False,
        retry: bool = False,
        takeover: bool = False,
        stay: bool = True,
        accept: Sequence[str] | None = None,
        observer: Observer | None = None,
        logger: Any = None,
    ) -> Outcome:
        """Begin it or go on with it, in this thread, until it comes to rest; in the main thread signals stop it.

        `accept` goes on with it under drawings that have changed since, and lists the states that are called otherwise in them,
        `Old=New`.

        Raises every FsmError.
        """
        drive = self._begun(observer)
        self._work(
            drive,
            f"Stopped by a signal. Give the same command again to go on with run {self.name}.",
            fresh=fresh,
            retry=retry,
            takeover=takeover,
            stay=stay,
            accept=accept,
            logger=logger,
        )
        return drive.result()

    def stop(self) -> None:
        """Ask it to stop with its next record, or where a coroutine awaits something. It need not go on, and can be resumed."""
        if drive := self._newest:
            drive.stop.request()

    def wait(self, timeout: float | None = None) -> Outcome:
        """Wait until it comes to rest, and say how. In async code it is to be awaited: `await run.wait()`, as in a notebook.

        An interrupt (KeyboardInterrupt; a cancellation in async code) asks it to stop; it is waited for, and the interrupt goes
        on; a second one does not wait. To leave it going on, give a `timeout` in seconds, or shield what you cancel.

        Of a run that rests already, here or in the store, it says how. Raises TimeoutError, NoSuchRun, RunBusy where it goes on
        in another process, and what has ended it here.
        """
        drive = self._newest
        if _in_async_code():
            return cast(Outcome, self._awaited(drive, timeout))
        if drive is None:
            return self._rests()
        with interruptible(drive):
            if not drive.over.wait(timeout):
                raise TimeoutError(f"Run {self.name} goes on: it has not come to rest within {timeout} s.")
        return drive.result()

    async def _awaited(self, drive: Drive | None, timeout: float | None) -> Outcome:
        if drive is None:
            return await asyncio.to_thread(self._rests)
        end = Waker()
        with drive.read_by(Reader(end, only_the_end=True)), interruptible(drive):
            try:
                async with asyncio.timeout(timeout):
                    while not drive.over.is_set():
                        await end.wait()
            except TimeoutError:
                raise TimeoutError(
                    f"Run {self.name} goes on: it has not come to rest within {timeout} s."
                ) from None
        return drive.result()

    def _threaded(self, observer: Observer | None, logger: Any, **how: Any) -> Self:
        drive = self._begun(observer)
        said = f"Stopped as it was asked to. Resume run {self.name} to go on with it."
        context = contextvars.copy_context()

        def work() -> None:
            context.run(self._work, drive, said, logger=logger, **how)

        threading.Thread(target=work, name=f"run {self.name}").start()
        with interruptible(drive):
            drive.begun.wait()
        if drive.over.is_set():
            drive.result()
        return self

    def _begun(self, observer: Observer | None) -> Drive:
        with self._lock:
            if self._newest is not None and not self._newest.over.is_set():
                raise RunBusy(
                    f"Run {self.name} goes on in this process already. Wait for it, or stop it, and then go on with it."
                )
            secrets = self.config.secrets | configs.environment_secrets()
            self._newest = Drive(observer or Nobody(), redactor(secrets) if secrets else None)
            return self._newest

    def _work(self, drive: Drive, stopped: str, **how: Any) -> None:
        try:
            drive.outcome = session.run(
                self.config, observer=drive, stop=drive.stop, store=self.store, clock=self.clock, **how
            )
        except StopRequested:
            drive.outcome = Outcome("stopped", message=stopped)
        except BaseException as e:  # for who waits for it
            drive.error = e
        finally:
            drive.finish()

    # Looking

    @property
    def status(self) -> str:
        """absent, running, waiting or stopped (resumable), or how it ended: done, failed, cancelled."""
        if self._newest is not None and not self._newest.over.is_set():
            return "running"
        run = self._run()
        if run.read_header() is None:
            return "absent"
        fold = self._fold()
        if fold.ended:
            return str(fold.ended["outcome"])
        from fsm.view import is_alive

        if is_alive(run, run.read_live()):
            return "running"
        return "waiting" if pauses_of(fold.root) else "stopped"

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it has not. Raises NoSuchRun."""
        ended = self._fold().ended
        return Outcome.of(ended) if ended else None

    @property
    def state(self) -> str:
        """Where it stands: the stack of places, `Measure > Weighing.Read`; states that are entered at once stand beside each
        other, `Left, Right`.

        Raises RunOver where it has ended, and so is in no state; NoSuchRun.
        """
        fold = self._fold()
        if ended := fold.ended:
            by = f" by {ended['label']!r}" if ended["label"] else ""
            raise RunOver(
                f"Run {self.name} has ended and is in no state any more: it is {ended['outcome']}{by}, after {ended['last']}. "
                "`outcome` says how it ended, `history()` which way it went."
            )
        places = [place for _, place in stack_of(fold)]
        if not places:  # before its first record
            places = [list(self.config.program.machine(self.config.program.root).kernel.enter())]
        return " > ".join(", ".join(place) for place in places)

    @property
    def data(self) -> dict[str, Any]:
        """The durable data of its machine, as committed by its last record. Raises NoSuchRun."""
        root = self._fold().root
        return dict(root["data"]) if root else {}

    def history(self) -> list[Record]:
        """Its records so far, oldest first, as the journal has them without its snapshots. Raises NoSuchRun."""
        journal = Journal(self._run())
        journal.header()
        return [without_snapshot(record) for record in journal.records()]

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """The newest artifact of each name. Raises NoSuchRun."""
        files = self._fold().files
        return {name: Artifact(name, files[name]["sha256"], files[name]["size"]) for name in sorted(files)}

    def artifact(self, name: str) -> Path:
        """The newest artifact of that name, as a local file to be read. Raises MissingArtifact, NoSuchRun, StoreError."""
        files = self._fold().files
        if name not in files:
            close = nearest(name, sorted(files)) or "."
            raise MissingArtifact(
                f"Run {self.name} has put no artifact {name!r}{close} `artifacts` has those there are: {len(files)}."
            )
        return self._run().artifact(files[name]["sha256"])

    def __iter__(self) -> Iterator[Record]:
        """The records: those there are, and while it goes on in this process, those that come.

        Ends when it comes to rest. Each loop begins with the first record. Raises what has ended it here.
        """
        drive, reader = self._newest, Reader(threading.Event())
        if drive is None:
            yield from self.history()
            return
        with drive.read_by(reader):
            with interruptible(drive):
                drive.begun.wait()
            seen = 0
            for record in self._there():
                yield record
                seen += 1
            over = False
            while not over:
                reader.wake.clear()
                over = drive.over.is_set()
                for record in reader.take(seen):
                    yield drive.told(record)
                if not over:
                    with interruptible(drive):
                        reader.wake.wait()
        drive.result()

    async def __aiter__(self) -> AsyncIterator[Record]:
        drive, reader = self._newest, Reader(Waker())
        if drive is None:
            for record in await asyncio.to_thread(self.history):
                yield record
            return
        with drive.read_by(reader):
            await asyncio.to_thread(drive.begun.wait)
            seen, there = 0, self._there()
            while some := await asyncio.to_thread(lambda: list(islice(there, AT_ONCE))):
                for record in some:
                    yield record
                seen += len(some)
            over = False
            while not over:
                reader.wake.clear()
                over = drive.over.is_set()
                for record in reader.take(seen):
                    yield drive.told(record)
                if not over:
                    with interruptible(drive):
                        await reader.wake.wait()
        drive.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until it rests; where something was raised inside, it is asked to stop first."""
        if (drive := self._newest) is None:
            return
        if kind is not None:
            drive.stop.request()
        with interruptible(drive):
            drive.over.wait()
        if kind is None:
            drive.result()

    # Showing

    def __repr__(self) -> str:
        status = "unreadable"
        with suppress(FsmError):
            status = self.status
        return f"<Run {self.name} of {self.config.file}: {status}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return self._view()._repr_mimebundle_(include, exclude)  # type: ignore[no-any-return]

    def _ipython_display_(self) -> None:
        """In a notebook: its drawing and its tree, which follow it until it rests."""
        self._view()._ipython_display_()

    def _view(self) -> Any:
        from fsm import view

        return view.run(self.name, self.store)

    # Reading

    def _run(self) -> RunStore:
        return self.store.run(self.name)

    def _fold(self) -> Fold:
        journal = Journal(self._run())
        journal.header()
        return journal.load()

    def _there(self) -> Iterator[Record]:
        return map(without_snapshot, Journal(self._run()).records())

    def _rests(self) -> Outcome:
        """How a run rests that does not go on here."""
        if ended := self.outcome:
            return ended
        if self.status == "running":
            raise RunBusy(
                f"Run {self.name} goes on in another process. It is waited for there; `fsm watch {self.name}` shows it."
            )
        if pauses := pauses_of(self._fold().root):
            return Outcome("waiting", message=" ".join(pause.words(self.name) for pause in pauses))
        return Outcome("stopped", message=f"Resume run {self.name} to go on with it.")


def _in_async_code() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
