"""The loop: check the claim, run the handler, ask the kernel, commit, go on."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from fsm.engine import cancelling
from fsm.engine.cancelling import Ended
from fsm.engine.context import Context, Given, Result
from fsm.engine.coroutine import finished
from fsm.engine.data import Data
from fsm.engine.kernel import Step
from fsm.engine.level import Level, ended_by
from fsm.engine.limits import Limits, TimeUp, pause, retries_of
from fsm.engine.machine import Verdict, callee
from fsm.engine.observer import Nobody, Observer
from fsm.engine.outcome import Leave, Outcome, Stopped
from fsm.engine.phase import Registered
from fsm.engine.program import Program
from fsm.engine.stop import Stop, StopRequested
from fsm.engine.turns import Turns
from fsm.engine.waiting import Clock, Resting, Waits
from fsm.engine.walk import Walk
from fsm.errors import FsmError, PhaseError, RunReplaced, StoreError, TimeLimit
from fsm.extras import wanting
from fsm.journal import (
    RECOVERY,
    Fold,
    Journal,
    Watch,
    copied,
    is_branch,
    json_values,
    new_frame,
    opened,
    pauses_of,
    place_of,
    requests,
    retried,
)
from fsm.store import RunStore, Scratch, Shelf, open_store
from fsm.text import spelt

T = TypeVar("T")
MOST_TRIES = 100  # of one state in one visit, whatever the recovery machine says


class Runner:
    """Drives one run, as the writer of its journal.

    `turns`, where it is set, has what runs at once take turns, for a test or a proof.
    """

    turns: Turns | None = None

    def __init__(
        self,
        program: Program,
        run: RunStore,
        journal: Journal,
        fold: Fold,
        *,
        seed: int,
        origin: str = "",
        work: Path = Path("work"),
        generation: int = 0,
        store_url: str = "",
        store_options: Mapping[str, Any] | None = None,
        config_text: str = "",
        given: Given | None = None,
        observer: Observer | None = None,
        logger: Any = None,
        stop: Stop | None = None,
        stay: bool = True,
        clock: Clock = time,
    ) -> None:
        """`stay`: wait here for what the run waits for; else come to rest."""
        self.program = program
        self.run = run
        self.journal = journal
        self.fold = fold
        self.seed = seed
        self.origin = origin
        self.scratch = Scratch(work, run, generation)
        self.store_url = store_url
        self.store_options = dict(store_options or {})
        self.config_text = config_text
        self.given = given
        self.observer: Observer = observer or Nobody()
        self.stop = stop or Stop()
        self.waits = Waits(self, stay, clock)
        self.ending = False  # the run is cancelled: what is in progress is ended, and nothing begun
        self.clock = clock
        self.limits = Limits.of(program, fold, clock)
        self._logger = logger
        self.thread = threading.get_ident()  # the one that drives
        self._shelves: dict[str, Shelf] = {}
        self._lasting: dict[str, Any] = {}
        self._leaving = ExitStack()

    @property
    def logger(self) -> Any:
        if self._logger is None:
            import structlog

            self._logger = structlog.get_logger()
        return self._logger

    def drive(self) -> Outcome:
        """Take the run to its end, or to where it stops.

        Raises RunReplaced, StoreError and StopRequested; every other failure is in the journal and the Outcome.
        """
        return self._driven(self.walk_down) or Outcome.of({"outcome": "done", "label": None, "last": ""})

    def step(self) -> Outcome:
        """Leave one state of the outermost machine, with all that its handler calls, or go through one split; the run stops
        behind it unless that was its end.

        Raises what `drive` does.
        """
        state = self.standing
        return self._driven(self._one_step) or Outcome("stopped", last=state)

    def _driven(self, go: Callable[[], None]) -> Outcome | None:
        """How the run came to rest, if it did or had before."""
        self.thread = threading.get_ident()
        if not self.fold.ended:
            if asked := requests.cancel_of(self.run):
                return cancelling.cancelled(self, *asked)
            try:
                go()
            except Stopped as stopped:
                return Outcome("stopped", message=stopped.message)
            except Resting:
                waits = [pause.words(self.run.name) for pause in pauses_of(self.fold.root)]
                return Outcome("waiting", message=" ".join(waits))
            except StopRequested:
                if not (self.stop.cancelled and (asked := requests.cancel_of(self.run))):
                    raise
                return cancelling.cancelled(self, *asked)
        return Outcome.of(self.fold.ended) if self.fold.ended else None

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Inside, this thread is the one that drives: that one waits for it."""
        before, self.thread = self.thread, threading.get_ident()
        try:
            yield
        finally:
            self.thread = before

    def walk_down(self) -> None:
        """From the root to where the run stands, and on from there."""
        with self._keeping():
            self._drive([], self.program.root, {}, None, frozenset())

    def _one_step(self) -> None:
        with self._keeping():
            level = self.outermost()
            if level.splits and self._at_once(level, frozenset()):
                return
            state = self._next(level)
            before = level.visit(state)
            while level.visit(state) == before:  # again where it fails, and the recovery says so
                self._visit_or_leave(level, state)

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        """What lasts from visit to visit is left behind it."""
        try:
            with self._leaving:
                yield
        finally:
            self._lasting.clear()

    def context(self, level: Level, state: str) -> Context:
        config = self.program.sections.get(level.phase.machine)
        return Context(
            self,
            level.machine.name,
            level.at,
            state,
            level.visit(state),
            config,
            level.frame["data"],
            level.inputs,
        )

    @property
    def standing(self) -> str:
        """The state of the outermost machine whose handler runs next; empty where the run has ended."""
        level = self.outermost()
        return self._next(level) if level.place else ""

    def outermost(self) -> Level:
        """The machine that the run is of, where it stands; begun where it has not."""
        return self._level([], self.program.root, {}, None)

    def _drive(
        self, at: list[str], name: str, inputs: dict[str, Any], start: str | None, until: frozenset[str]
    ) -> Result:
        """One machine, from where it stands to its end."""
        level = self._level(at, name, inputs, start)
        if self.ending and level.place:
            cancelling.end_all(self, level)
        self._walk(level, until)
        frame = level.frame
        return Result(Data(frame["data"]), frame["last"], frame["label"])

    def _level(self, at: list[str], name: str, inputs: dict[str, Any], start: str | None) -> Level:
        """A machine where it stands; begun where it has not."""
        machine = self.program.machine(name)
        kernel = machine.kernel
        frame = self.fold.frame(at)
        if frame is None:
            frame = self.fold.begin(at, new_frame(name, kernel.enter(start and machine.chart.find(start))))
        elif frame["machine"] != name:
            raise PhaseError(
                f"{' > '.join(at)} called machine {frame['machine']} before it was interrupted, and now calls {name}. A handler must "
                "make the same calls in the same order when it is run again."
            )
        return Level(at, machine, self.program.phases[name], frame, inputs, machine.splits)

    def _walk(self, level: Level, until: frozenset[str]) -> None:
        """From where a machine stands to its end, or to a state of `until`."""
        while level.place:
            if level.splits and self._at_once(level, until):
                continue
            state = self._next(level)
            if state in until:
                break
            self._visit_or_leave(level, state)

    def _next(self, level: Level) -> str:
        place = level.place
        return place[0] if len(place) == 1 else level.machine.kernel.runnable(place)

    def _visit_or_leave(self, level: Level, state: str) -> None:
        """Visit a state; where something below ended it by an edge of its own, it is left by that the next time."""
        self.stop.check()
        try:
            self._visit(level, state)
        except Leave as leave:
            if leave.at != level.at or leave.state != state:
                raise

    def _at_once(self, level: Level, until: frozenset[str]) -> bool:
        """Go through the split that the machine stands behind, if it does. Who runs nothing at once imports nothing for it."""
        from fsm.engine import at_once

        return at_once.through(self, level, until)

    def _visit(self, level: Level, state: str) -> None:
        """One state: its handler, the move, the record."""
        at, machine, frame = level.at, level.machine, level.frame
        registered = level.phase.handlers.get(state)
        if registered is None:
            raise PhaseError(
                f"phases/{machine.name}: {state} has no handler. Register one with @PHASE.state({state!r})."
            )
        here: dict[str, Any] = frame["open"].get(state) or {}
        ctx = self.context(level, state)
        self.observer.entered(at, machine.name, state, ctx.visit)
        started = time.monotonic()
        try:
            if "!" in here.get("calls", ()):  # it was interrupted while recovering
                self._recover(level, state)
                return
            label = here["leave"] if "leave" in here else self.handle(level, registered, ctx)
            step = level.step(state, label)
            patch = ctx.patch()
        except (StoreError, RunReplaced):
            raise
        except TimeUp as up:
            if (up.scope.at, up.scope.state) != (at, state):
                raise
            self._failed(level, state, up.scope.error(), again=not up.scope.key)
            return
        except Exception as error:
            self._failed(level, state, error)
            return
        self._commit(level, ctx, step, patch, time.monotonic() - started)

    def check_claim(self) -> None:
        """Before an effect outside: whether this is still the writer. Raises RunReplaced."""
        self.journal.check_claim()

    def handle(self, level: Level, registered: Registered, ctx: Context) -> str | None:
        if registered.effects:
            self.check_claim()
        if self.limits is not None:
            ctx.time_left = self.limits.begin(level.at, level.machine, ctx.state)
        label = self.perform(registered.handle, ctx)
        if ctx.time_left is not None:
            ctx.time_left.check()
        return label

    def perform(self, do: Callable[[Any], T | Coroutine[Any, Any, T]], ctx: Context) -> T:
        """What a phase does in a state; where that is a coroutine, it is run to its end, or to that of its time."""
        did = do(ctx)
        if did is None or isinstance(did, str) or not isinstance(did, Coroutine):
            return did
        left = ctx.time_left
        try:
            return finished(
                cast(Coroutine[Any, Any, T], did),
                self.stop,
                self.lent,
                ctx.place,
                left.seconds if left else None,
            )
        except CancelledError:
            if left is not None:
                left.check()
            raise

    def _commit(
        self, level: Level, ctx: Context, step: Step, patch: dict[str, Any] | None, took: float
    ) -> None:
        state = ctx.state
        record = level.record("transition", state)
        record["label"], record["to"], record["took"] = step.label, list(step.place), int(took * 1e6) / 1e6
        if patch:
            record["data"] = patch
        if ctx.files:
            record["files"] = {
                n: {"sha256": a.sha256, "size": a.size}
                | ({"records": ctx.records[n]} if n in ctx.records else {})
                for n, a in ctx.files.items()
            }
        if ctx.reads:
            record["reads"] = dict(ctx.reads)
        if ctx.uses:
            record["uses"] = sorted(ctx.uses)
        if step.also:
            record["also"] = list(step.also)
        if counts := ctx.taken_counts():
            record["counts"] = counts
        if not level.at and not step.place:
            record["end"] = ended_by(level.machine, state, step)
        self.append(record)

    def append(self, body: dict[str, Any]) -> None:
        """Fold and commit a record. A signal in the middle waits until both are done."""
        if self.ending:
            raise Ended
        self._of_this_thread(body)
        self.stop.depth += 1
        try:
            self._fold(body)
            record = self.journal.append(body)
            record.pop("snapshot", None)  # nobody looks at it, and it goes on changing
        finally:
            self.stop.depth -= 1
        self.observer.record(record)
        self.stop.check()

    def accept(self, body: dict[str, Any]) -> None:
        """Go on under other drawings, by the record that says so."""
        self.append(body)
        self.limits = Limits.of(self.program, self.fold, self.clock)  # of states as they are called now

    def _fold(self, body: dict[str, Any]) -> None:
        if above := self.fold.begun_above(body.get("at", [])):
            body["above"] = above
        if self.limits is not None and "at" in body:
            self.limits.tell(body)
        self.fold.apply(body)
        if self.fold.snapshot_due():
            body["snapshot"] = self.fold.snapshot()

    def _of_this_thread(self, body: Mapping[str, Any]) -> None:
        """Raises PhaseError where a thread that a handler has started would write."""
        if threading.get_ident() != self.thread:
            where = place_of(body["at"], body["from"])
            raise PhaseError(
                f"{where}: a thread that its handler started asked for a record ({body['kind']}). `once`, `run` and `map` are for the "
                "handler's own thread: let the threads hand their results to it, or have the engine run them by `ctx.map`."
            )

    # Failure

    def _failed(self, level: Level, state: str, error: Exception, again: bool = True) -> None:
        """An exception in a state: record it, and start the state again where its machine declares that for such errors, or go
        through the recovery machine where it fits a class. `again`: whether another try could end otherwise.
        """
        error = wanting(error, " > ".join([*level.at, state])) or error
        recovery = self.program.recovery
        inside = any(step.endswith(RECOVERY) for step in level.at)
        entry, retry = None, None
        if not inside and (not isinstance(error, FsmError) or isinstance(error, TimeLimit)):
            retry = self._retry(level, state, error) if again else None
            if recovery and retry is None:
                named = self.program.phases[recovery].classify(error)
                entry = self.program.machine(recovery).chart.find(named) if named else None
        body = level.record("error", state) | {
            "recovery": entry,
            "error": type(error).__name__,
            "message": spelt(error.message if isinstance(error, FsmError) else str(error)),
            "traceback": spelt("".join(traceback.format_exception(error))),
        }
        if entry:
            body["by"] = recovery
        if retry:
            body["retry"] = retry
        if (item := getattr(error, "item", None)) is not None:
            body["item"] = spelt(str(item))
        self.append(body)
        if self.limits is not None:
            self.limits.recovering(level.at, state)
        if retry:
            pause(retry["seconds"], self.clock, self.stop.check)
            return
        where = place_of(level.at, state)
        if entry is None:
            raise Stopped(
                str(error)
                if isinstance(error, FsmError)
                else f"{where}: {type(error).__name__}: {str(error).rstrip('.')}. It fits no class of the recovery machine, so the run stopped there; its "
                f"traceback is in the journal (`fsm history {self.run.name}`). Mend the cause and give the same command again."
            )
        self._recover(level, state)

    def _retry(self, level: Level, state: str, error: Exception) -> dict[str, Any] | None:
        """{"of": the class of errors, "seconds": before the next try}; None where there is none for such an error, or none left."""
        if not level.machine.retries or (found := retries_of(level.machine, error)) is None:
            return None
        name, retries = found
        tried = retried(self.fold.frame(level.at), state, name)
        if tried >= retries.most:
            return None
        place = f"{self.fold.visited(level.at)}/{level.machine.name}:{state}#{level.visit(state)}"
        return {"of": name, "seconds": retries.seconds(tried, f"{self.seed}/{place}/{name}/{tried}")}

    def _recover(self, level: Level, state: str) -> None:
        """Walk the recovery machine to its end and do what its last state decides."""
        name = self.program.recovery
        assert name is not None
        recovery = self.program.machine(name)
        place = [*level.at, state + RECOVERY]
        below = self.fold.frame(place)
        assert below is not None
        failed = Data(below["data"]["error"])
        result = self._drive(place, name, failed, None, frozenset())
        verdict = Verdict(recovery.ends.get(result.last, Verdict.STOP))
        if result.data.get("verdict"):  # a last state may find that its own verdict cannot be carried out
            verdict = Verdict(result.data["verdict"])
        item = failed.get("item")
        if verdict is Verdict.SKIP and item is None:
            verdict = Verdict.STOP
        if opened(level.frame, state)["tries"].get(failed["entry"], 0) >= MOST_TRIES:
            verdict = Verdict.STOP
        body = level.record("verdict", state) | {"verdict": verdict.value, "last": result.last}
        if patch := result.data.get("patch"):
            body["patch"] = patch
        if verdict is Verdict.SKIP:
            body["skipped"] = {str(item): failed["message"]}
        leave = self._edge_outside(level.at, state, failed["entry"]) if verdict is Verdict.STOP else None
        if leave:
            body["leave"] = {"at": leave[0], "state": leave[1], "label": leave[2]}
        self.append(body)
        if leave:
            raise Leave(leave[0], leave[1])
        if verdict is Verdict.STOP:
            where = place_of(level.at, state)
            raise Stopped(
                str(result.data.get("advice") or f"{where}: {failed['error']}: {failed['message']}")
            )

    def _edge_outside(self, at: list[str], state: str, entry: str) -> tuple[list[str], str, str] | None:
        """The innermost state, this one or one above it, that declares an edge for such an end."""
        for depth in range(len(at), -1, -1):
            if depth < len(at) and is_branch(at[depth]):
                continue
            frame = self.fold.frame(at[:depth])
            assert frame is not None
            standing = state if depth == len(at) else at[depth].partition("~")[0]
            label = self.program.machine(frame["machine"]).on_error.get((standing, entry.rpartition(".")[2]))
            if label is not None:
                return at[:depth], standing, label
        return None

    # What a context asks for

    def once(self, ctx: Context, key: str, do: Callable[[], Any]) -> Any:
        done = self._here(ctx).get("once", {})
        if key not in done:
            named = json_values(key, f"{ctx.place}: the key of once")
            self.say(ctx, "once", key=named, value=json_values(do(), f"{ctx.place}: once({key!r})"))
            done = self._here(ctx)["once"]
        return copied(done[key])

    def say(self, ctx: Context, kind: str, **said: Any) -> None:
        """Commit a record of the state that acts."""
        frame = self.fold.frame(ctx._at)
        assert frame is not None
        body: dict[str, Any] = {
            "kind": kind,
            "at": ctx._at,
            "machine": ctx.machine,
            "from": ctx.state,
            "visit": ctx.visit,
            **said,
        }
        if len(frame["place"]) > 1:
            body["place"] = frame["place"]
        self.append(body)

    def waited(self, ctx: Context, seconds: float) -> None:
        if self.limits is not None:
            self.limits.not_counted(ctx._at, ctx.state, seconds)

    def pauses(self, ctx: Context) -> Mapping[str, Any]:
        return self._here(ctx).get("pauses", {})  # type: ignore[no-any-return]

    def failures(self, ctx: Context) -> int:
        return int(self._here(ctx).get("failures", 0))

    def skipped(self, ctx: Context) -> Mapping[str, str]:
        return self._here(ctx).get("skipped", {})  # type: ignore[no-any-return]

    def _here(self, ctx: Context) -> Mapping[str, Any]:
        """What the state has begun in this visit."""
        frame = self.fold.frame(ctx._at)
        assert frame is not None
        return frame["open"].get(ctx.state) or {}

    def call(
        self,
        ctx: Context,
        key: str,
        name: str,
        inputs: dict[str, Any],
        start: str | None,
        until: frozenset[str],
    ) -> Result:
        self._declared(ctx, name)
        until = frozenset(map(self.program.machine(name).chart.find, until))
        step = ctx.state if key == "0" else f"{ctx.state}~{key}"
        with self.stop.waking(None):  # a signal is for what runs below, whatever called it
            return self._drive([*ctx._at, step], name, json_values(inputs, ctx.place), start, until)

    def map(self, ctx: Context, key: str, name: str, items: list[Any], at_once: int) -> list[Result]:
        from fsm.engine import at_once as lines

        self._declared(ctx, name)
        return lines.mapped(self, ctx, key, name, items, at_once)

    def walk(self, ctx: Context, name: str | None) -> Walk:
        if name is not None:
            self._declared(ctx, name)
        machine, inside = (ctx.machine, ctx.state) if name is None else callee(name)
        whole, phase = self.program.machine(machine), self.program.phases[machine]
        return (
            Walk(whole.counted_inside(inside), phase, prefix=inside + ".") if inside else Walk(whole, phase)
        )

    def shelf(self, name: str) -> Shelf:
        """One object for the whole drive: what it has learned of the store it need not ask again."""
        if name not in self._shelves:
            self._shelves[name] = self.run.shelf(name)
        return self._shelves[name]

    def lasting(self, name: str, make: Callable[[], AbstractContextManager[Any]]) -> Any:
        if name not in self._lasting:
            self._lasting[name] = self._leaving.enter_context(make())
        return self._lasting[name]

    def _declared(self, ctx: Context, call: str) -> None:
        if call not in self.program.machine(ctx.machine).calls.get(ctx.state, ()):
            raise PhaseError(
                f"{ctx.place} calls machine {call!r}, which machines/{ctx.machine} does not declare. Add it to `calls`, so that "
                "`check` can see it."
            )

    def watch(self, ctx: Context, run_name: str) -> Watch:
        watch = Watch(open_store(self.store_url, **self.store_options).run(run_name))
        self.observer.watched(ctx._at, ctx.state, watch)
        return watch

    def on_progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None:
        self.observer.progress(at, state, done, total, note)
