"""One run of one configuration, from the command line's point of view: begin it or take it up, drive it, let it go."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fsm.amend import hold, texts
from fsm.config import Config, Notify, environment_secrets, findable
from fsm.engine import Clock, Given, Nobody, Observer, Outcome, Runner, Stop
from fsm.errors import ConfigError, FsmError, NoSuchRun, NotThatRun, RunExists
from fsm.journal import (
    FORMAT,
    Fold,
    Journal,
    Pause,
    Watch,
    encode,
    is_line,
    pauses_of,
    place_of,
    requests,
    stack_of,
)
from fsm.secrets import redactor
from fsm.speech import called, origin, posted
from fsm.store import RunStore, Scratch, Store, Taken, open_store

HEARTBEAT = 5.0  # seconds between two writings of live.json
LISTEN = 1.0  # seconds between two looks whether the run is to be cancelled; in a bucket a heartbeat
GIVEN_UP = "failures.jsonl"  # what a phase calls the artifact of the items that it gave up; empty where there are none
TAIL_SECONDS = 4 * HEARTBEAT  # how old the records are that live.json brings
TAIL_BYTES = 1 << 19  # how many of them at most
Only = Literal["start", "resume"]


class Live(Nobody):
    """Keeps live.json: who is at the run, where it stands, how far, where its scratch is, which record was announced, and, when
    it has come to rest, what it waits for and how it is gone on with.

    Passes on to the next observer. Hears that the run is to be cancelled.

    Where every look is a request, in a bucket, live.json also brings the newest records (without their snapshots), so that
    who follows a fast run need not ask for each.
    """

    def __init__(
        self,
        run: RunStore,
        journal: Journal,
        fold: Fold,
        then: Observer,
        scratch: Scratch,
        redact: Callable[[str], str] | None = None,
        *,
        stop: Stop | None = None,
        again: Mapping[str, Any] | None = None,
        deaf: Callable[[str], None] = lambda place: None,
        asked: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        """`deaf` is called with the place of a coroutine that does not hear of a stop, `asked` with a record that asks."""
        self._deaf = deaf
        self._asked = asked
        self._stop = stop
        self._again = again
        self._run = run
        self._journal = journal
        self._fold = fold
        self._then = then
        self._scratch = str(scratch.path.absolute())
        self._entered: dict[str, Any] | None = None
        self._progress: dict[str, Any] = {}
        self._lines: dict[
            tuple[str, ...], dict[str, Any]
        ] = {}  # what goes at once, by path: {"entered", "progress"}
        self._watching: str | None = None
        self.newest: Mapping[str, Any] | None = None  # record of this runner
        self.announced: str | None = None  # the id of the record that others are called for
        self._redact = redact or str
        self._tail: deque[tuple[float, bytes]] | None = deque() if "://" in run.url else None
        self._tail_size = 0
        self._tail_lock = threading.Lock()  # between the runner's thread and the heartbeat
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def opened(self, run: RunStore, records: int) -> None:
        self._then.opened(run, records)

    def record(self, record: Mapping[str, Any]) -> None:
        self.newest = record
        if self._tail is not None:
            self._keep(encode({k: v for k, v in record.items() if k != "snapshot"}))
        self._then.record(record)
        if self._asked and record["kind"] == "ask":
            self.announced = record["id"]
            self._asked(record)

    def _keep(self, line: bytes) -> None:
        assert self._tail is not None
        with self._tail_lock:
            self._tail.append((time.monotonic(), line))
            self._tail_size += len(line)
            oldest = time.monotonic() - TAIL_SECONDS
            while self._tail and (self._tail_size > TAIL_BYTES or self._tail[0][0] < oldest):
                self._tail_size -= len(self._tail.popleft()[1])

    def _newest(self) -> list[Any]:
        with self._tail_lock:
            lines = [line for _, line in self._tail or ()]
        return [json.loads(self._redact(line.decode())) for line in lines]

    def entered(self, at: list[str], machine: str, state: str, visit: int) -> None:
        self._entered = {"at": at, "machine": machine, "state": state, "visit": visit, "time": time.time()}
        self._progress = {}
        if self._lines or any(map(is_line, at)):
            self._at_once(at)
        self._then.entered(at, machine, state, visit)

    def _at_once(self, at: list[str]) -> None:
        """Lines go at once: keep where each is, and of this one nothing of what it did before."""
        deep = len(at)
        left = {k: v for k, v in self._lines.items() if list(k[:deep]) != at and at[: len(k)] != list(k)}
        if any(map(is_line, at)):
            left[tuple(at)] = {"entered": self._entered, "progress": self._progress}
        self._lines = left

    def progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None:
        self._progress = {"state": state, "done": done, "total": total, "note": note}
        if (line := self._lines.get(tuple(at))) is not None:
            line["progress"] = self._progress
        self._then.progress(at, state, done, total, note)

    def watched(self, at: list[str], state: str, watch: Watch) -> None:
        self._watching = watch.run.name
        self._then.watched(at, state, watch)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Write live.json now, every few seconds, and when it ends."""
        self._write("running")
        self._thread.start()
        try:
            yield
        finally:
            self._end.set()
            self._thread.join()
            self._write("ended")

    def _waiting(self) -> list[dict[str, Any]]:
        if self._fold.ended:
            return []
        return [pause.as_json() for pause in pauses_of(self._fold.root)]

    def _beat(self) -> None:
        written, deaf, told = time.monotonic(), set[str](), set[str]()
        while not self._end.wait(HEARTBEAT if "://" in self._run.url else min(LISTEN, HEARTBEAT)):
            if self._stop is not None and not self._stop.cancelled and self._run.has_request(requests.CANCEL):
                self._stop.cancel()
            if self._stop is not None:
                for place in (deaf & self._stop.deaf) - told:  # for a whole beat
                    self._deaf(place)
                    told.add(place)
                deaf = set(self._stop.deaf)
            if (now := time.monotonic()) - written >= HEARTBEAT - LISTEN / 2:
                written = now
                self._write("running")

    def _write(self, status: str) -> None:
        # before `seq`, which then is no older
        tail = {"tail": self._newest()} if self._tail is not None else {}
        self._run.write_live(
            tail
            | {
                "status": status,
                "writer": self._journal.writer,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "time": round(time.time(), 3),
                "seq": self._journal.next - 1,
                "watching": self._watching,
                "stack": [list(s) for s in stack_of(self._fold)] if status == "ended" else None,
                "waiting": self._waiting() if status == "ended" else None,
                "over": self._fold.ended is not None,
                "again": self._again,
                "entered": self._entered,
                "progress": self._progress,
                **({"beside": list(self._lines.values())} if self._lines else {}),
                "scratch": self._scratch,
                "announced": self.announced,
            }
        )


def run(
    config: Config,
    *,
    fresh: bool = False,
    retry: bool = False,
    takeover: bool = False,
    observer: Observer | None = None,
    logger: Any = None,
    stop: Stop | None = None,
    store: Store | None = None,
    stay: bool = True,
    clock: Clock | None = None,
    only: Only | None = None,
    accept: Sequence[str] | None = None,
    drive: Callable[[Runner], Outcome] = Runner.drive,
) -> Outcome:
    """Run a configuration: begin the run, or go on with the one of its name where it stands; `only` the one or the other.

    `fresh` begins it anew in any case, `retry` where it has ended and failed, or ended with items given up. `takeover` replaces a runner that seems alive, in a
    store that has no locks. A run that has ended is only read. `store` is the configuration's, opened already. Without `stay`
    a run that waits comes to rest, and `fsm resume-due` goes on with it; `clock` tells how long it waits. `accept` goes on with
    a run under drawings that are not those it was begun with; it lists the states that are called otherwise in them,
    `Old=New`. `drive` is how far it goes at once: to its end.

    Raises every FsmError, RunExists and NoSuchRun among them where only the other would do; StopRequested where it was stopped
    by a signal, or by `stop`.
    """
    how: dict[str, Any] = {
        "fresh": fresh,
        "retry": retry,
        "takeover": takeover,
        "stop": stop,
        "store": store,
        "stay": stay,
        "clock": clock,
        "only": only,
        "accept": accept,
        "drive": drive,
    }
    observer = observer or Nobody()
    if (said := config.engine.telemetry) is None:
        return _run(config, observer=observer, logger=logger, **how)
    try:
        from fsm.telemetry import tracing
    except ImportError as e:
        raise ConfigError(
            f"telemetry: {e.name} is not installed. Install the extra: pip install 'fsm-pipelines[otel]', or take `telemetry` out."
        ) from e
    with tracing(said, observer, logger) as traced:
        return _run(config, observer=traced, logger=logger, **how)


def _run(
    config: Config,
    *,
    fresh: bool,
    retry: bool,
    takeover: bool,
    observer: Observer,
    logger: Any,
    stop: Stop | None,
    store: Store | None,
    stay: bool,
    clock: Clock | None,
    only: Only | None,
    accept: Sequence[str] | None,
    drive: Callable[[Runner], Outcome],
) -> Outcome:
    engine = config.engine
    store = store or open_store(engine.store, **engine.store_options)
    run = store.run(engine.run.name)
    secrets = config.secrets | environment_secrets()
    redact = redactor(secrets) if secrets else None
    journal = Journal(run, redact=redact)
    generation = 0
    if (fresh or (retry and _to_retry(journal))) and run.read_header() is not None:
        generation = int(journal.header().get("generation", 0)) + 1
        store.retire(run.name)
        run = store.run(run.name)  # in a bucket, other keys
        journal = Journal(run, redact=redact)
    source = store.run(engine.run.source) if engine.run.source else None
    header = begin(
        config, run, journal, generation, _files(source) if source else {}, None if fresh else only
    )
    # what is made outside is named after the run: a bucket's run by its bucket too, for its jobs share an account
    place = engine.store.partition("?")[0] if "://" in engine.store else ""
    fold = journal.load()
    accepted = hold(run, header, fold, config, accept)
    if not fold.ended:
        fold = journal.open(takeover)
        accepted = accepted and hold(run, header, fold, config, accept)  # others may have written meanwhile
    if fold.ended:  # before, or while this runner was waiting for its turn
        observer.opened(run, journal.next)
        outcome = Outcome.of(fold.ended)
        if engine.notify and (record := _not_announced(run)):
            _announce(engine.notify, run, record, outcome, redact, logger)
        return outcome
    if engine.telemetry is not None:
        from fsm.telemetry import bound

        logger = bound(logger, run)
    runner = Runner(
        config.program,
        run,
        journal,
        fold,
        seed=engine.run.seed,
        origin=f"{place}/{header.get('generation', 0)}",
        work=Path(engine.work),
        generation=int(header.get("generation", 0)),
        store_url=engine.store,
        store_options=engine.store_options,
        config_text=config.text,
        given=Given(source, header["given"]) if source else None,
        logger=logger,
        stop=stop,
        stay=stay,
        clock=clock or time,
    )
    again = {
        "config": str(Path(config.file).absolute()),
        "overrides": dict(config.overrides),
        "directory": str(Path.cwd()),
    }

    def deaf(place: str) -> None:
        runner.logger.warning(
            "the coroutine does not hear that the run is to stop: one that blocks hears of it when it awaits something, or by a second signal",
            place=place,
        )

    calls: list[threading.Thread] = []

    def asked(record: Mapping[str, Any]) -> None:
        """Call out beside the run, which waits here for the answer meanwhile."""
        place = place_of(record["at"], record["from"])
        waits = Outcome("waiting", message=Pause.of(place, record).words(run.name))
        call = (engine.notify, run, record, waits, redact, logger)
        calls.append(threading.Thread(target=_announce, args=call, name="notify", daemon=True))
        calls[-1].start()

    live = Live(
        run,
        journal,
        fold,
        observer,
        runner.scratch,
        redact,
        stop=runner.stop,
        again=again,
        deaf=deaf,
        asked=asked if stay and engine.notify else None,
    )
    runner.observer = live
    live.opened(run, journal.next)
    try:
        if accepted:
            runner.accept(accepted)
        for left in runner.scratch.sweep():
            runner.logger.warning("scratch of a former run is still worked in, and stays", path=str(left))
        with findable(Path(config.file).parent), runner.stop.installed(), live.beating():
            outcome = drive(runner)
            resting = live.newest if live.newest and _rests(live.newest) else None
            if resting and live.announced == resting["id"]:
                resting = None  # a question that was called out when it was asked
            elif resting:
                live.announced = resting["id"]  # before the call, which then is made once at most
    finally:
        runner.scratch.release()
        journal.close()
        for call in calls:
            call.join()  # each is within its bound of time
    if resting and engine.notify:  # whoever is called may go on with the run
        _announce(engine.notify, run, resting, outcome, redact, logger)
    return outcome


def outlook(config: Config) -> list[str]:
    """What the phases say beforehand of a run of this configuration, from its words and the store alone.

    Raises ConfigError where a phase finds that it cannot be run as it is.
    """
    engine = config.engine
    said: list[str] = []

    def store() -> Store:
        return open_store(engine.store, **engine.store_options)

    for name, phase in config.program.phases.items():
        try:
            with findable(Path(config.file).parent):
                said += phase.foresee(config.program.sections.get(name), config.program, store)
        except ConfigError:
            raise
        except FsmError as e:
            said.append(f"{name}: {e.message}")
    return said


def _rests(record: Mapping[str, Any]) -> bool:
    """Whether a run can have ended or stopped with this record."""
    ends = record["kind"] in ("error", "verdict") and "retry" not in record
    return ends or record["kind"] == "ask" or "end" in record


def _not_announced(run: RunStore) -> dict[str, Any] | None:
    """The record that ended the run, if its runner did not come to announcing it; it counts as announced from here on."""
    record: dict[str, Any] = json.loads(run.tail(lambda line: True)[-1])
    live = run.read_live() or {}
    if live.get("announced") == record["id"]:
        return None
    run.write_live({k: v for k, v in live.items() if k != "age"} | {"announced": record["id"]})
    return record if (run.read_live() or {}).get("announced") == record["id"] else None


def _announce(
    notify: Notify,
    run: RunStore,
    record: Mapping[str, Any],
    outcome: Outcome,
    redact: Callable[[str], str] | None,
    logger: Any,
) -> None:
    """Call out to whom the configuration names. What goes wrong there is told, and nothing of the run's."""
    by = f"by {outcome.label!r}, after {outcome.last}" if outcome.label else f"after {outcome.last}"
    said = {
        "run": run.name,
        "status": outcome.outcome,
        "place": place_of(record["at"], record["from"]),
        "label": outcome.label,
        "message": outcome.message or f"Run {run.name} {outcome.outcome} {by}.",
        "url": run.url,
        "seq": record["seq"],
    }
    if logger is None:
        import structlog

        logger = structlog.get_logger()
    redact = redact or str
    text = redact(json.dumps(said, ensure_ascii=False)) + "\n"
    calls: list[tuple[str, Callable[[], str | None]]] = []
    if notify.command:
        calls.append((notify.command[0], lambda: called(notify.command, text, notify.seconds)))
    if notify.webhook is not None:
        url = notify.webhook.get_secret_value()
        calls.append((origin(url), lambda: posted(url, text, notify.seconds)))
    for whom, call in calls:
        try:
            why = call()
        except KeyboardInterrupt:
            why = "it was interrupted"
        if why:
            logger.warning(
                "the run could not be announced", to=redact(whom), why=redact(why), seq=said["seq"]
            )
        else:
            logger.info("announced", to=redact(whom), status=said["status"], seq=said["seq"])


def _to_retry(journal: Journal) -> bool:
    """Whether the run has ended, and there is something to try again: it failed, or gave items up."""
    try:
        journal.header()
    except NoSuchRun:
        return False
    fold = journal.load()
    given_up = any(n.rpartition("/")[2] == GIVEN_UP and file["size"] for n, file in fold.files.items())
    return fold.ended is not None and (fold.ended["outcome"] == "failed" or given_up)


def _files(run: RunStore) -> dict[str, Any]:
    """The newest artifacts of a run by name. Raises NoSuchRun."""
    journal = Journal(run)
    journal.header()
    return journal.load().files


def _header(config: Config, run: RunStore, generation: int, given: Mapping[str, Any]) -> dict[str, Any]:
    header = {
        "format": FORMAT,
        "name": run.name,
        "generation": generation,
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "machine": config.program.root,
        "seed": config.engine.run.seed,
        "config": dict(config.plain),
        "diagrams": config.program.digests,
        "drawings": texts(config.program),
        "given": dict(given),
    }
    if config.engine.plug.drawing or config.engine.plug.handlers:  # where who looks on finds the drawing
        header["beside"] = str(Path(config.file).parent.absolute())
    return header


def begin(
    config: Config,
    run: RunStore,
    journal: Journal,
    generation: int = 0,
    given: Mapping[str, Any] | None = None,
    only: Only | None = None,
) -> dict[str, Any]:
    """The header of the run, written now if it is new.

    `generation` counts the former runs of the name; `given` are the artifacts of the run this one comes after, as they
    are now: later ones are not for it. Raises NotThatRun where what stands there is another run's; NoSuchRun and RunExists
    where `only` the other would do.
    """
    try:
        found = journal.header()
    except NoSuchRun:
        if only == "resume":
            raise
        header = _header(config, run, generation, given or {})
        content = config.redact(json.dumps(header, indent=1, sort_keys=True, ensure_ascii=False))
        try:
            run.write_header(content.encode())
            return header
        except Taken:  # another runner began it at this moment
            found = journal.header()
    if only == "start":
        raise RunExists(
            f"There is a run {run.name} at {run.url} already. Resume it to go on where it stands, start anew with fresh (the former run "
            "is moved aside), or give this one another name."
        )
    if foreign := journal.foreign():
        raise NotThatRun(foreign)
    return found
