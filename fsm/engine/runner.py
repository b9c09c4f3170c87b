"""The loop: check the claim, run the handler, ask the kernel, commit, go on."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsm.engine.context import Context, Given, Result
from fsm.engine.kernel import Step
from fsm.engine.machine import Machine, Verdict, callee
from fsm.engine.observer import Nobody, Observer
from fsm.engine.phase import Phase, Registered
from fsm.engine.program import Program
from fsm.engine.stop import Stop
from fsm.engine.walk import Walk
from fsm.errors import FsmError, PhaseError, RunReplaced, StoreError
from fsm.extras import wanting
from fsm.journal import RECOVERY, Fold, Frame, Journal, Watch, copied, json_values, new_frame, opened
from fsm.store import RunStore, Scratch, Shelf, open_store
from fsm.text import spelt

MOST_TRIES = 100  # of one state in one visit, whatever the recovery machine says


@dataclass(frozen=True)
class Outcome:
    """How a run came to rest. `outcome` is done, failed (by a failure edge) or stopped (resumable)."""

    outcome: str
    label: str | None = None
    last: str = ""
    message: str = ""

    @property
    def exit_code(self) -> int:
        return {"done": 0, "failed": 1, "stopped": 3}[self.outcome]


class Stopped(BaseException):
    """The run cannot go on now, and can be resumed. Passes through the handlers above the failed state."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class _Leave(BaseException):
    """An outer state is left by an edge of its own, for something below it failed."""

    def __init__(self, at: list[str], state: str) -> None:
        super().__init__(state)
        self.at = at
        self.state = state


@dataclass(frozen=True)
class _Level:
    """One machine in progress: its path of calls, what it is, its frame in the fold, what its caller gave."""

    at: list[str]
    machine: Machine
    phase: Phase
    frame: Frame
    inputs: dict[str, Any]

    @property
    def place(self) -> tuple[str, ...]:
        return tuple(self.frame["place"])

    def visit(self, state: str) -> int:
        """Which visit of a state this is, from 1."""
        return int(self.frame["visits"].get(state, 0)) + 1

    def record(self, kind: str, state: str) -> dict[str, Any]:
        """What every record made in a state begins with."""
        said = {
            "kind": kind,
            "at": self.at,
            "machine": self.machine.name,
            "from": state,
            "visit": self.visit(state),
        }
        if kind != "transition" and len(self.frame["place"]) > 1:
            said["place"] = list(self.frame["place"])
        return said


class Runner:
    """Drives one run, as the writer of its journal."""

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
    ) -> None:
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
        self._logger = logger
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
        if not self.fold.ended:
            try:
                with self._leaving:
                    self._drive([], self.program.root, {}, None, frozenset())
            except Stopped as stopped:
                return Outcome("stopped", message=stopped.message)
            finally:
                self._lasting.clear()
        ended = self.fold.ended or {"outcome": "done", "label": None, "last": ""}
        return Outcome(ended["outcome"], ended["label"], ended["last"])

    def _drive(
        self, at: list[str], name: str, inputs: dict[str, Any], start: str | None, until: frozenset[str]
    ) -> Result:
        """One machine, from where it stands to its end."""
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
        level = _Level(at, machine, self.program.phases[name], frame, inputs)
        while place := level.place:
            state = place[0] if len(place) == 1 else kernel.runnable(place)
            if state in until:
                break
            self.stop.check()
            try:
                self._visit(level, state)
            except _Leave as leave:
                if leave.at != at or leave.state != state:
                    raise
        return Result(copied(frame["data"]), frame["last"], frame["label"])

    def _visit(self, level: _Level, state: str) -> None:
        """One state: its handler, the move, the record."""
        at, machine, frame = level.at, level.machine, level.frame
        registered = level.phase.handlers.get(state)
        if registered is None:
            raise PhaseError(
                f"phases/{machine.name}: {state} has no handler. Register one with @PHASE.state({state!r})."
            )
        here: dict[str, Any] = frame["open"].get(state) or {}
        visit, config = level.visit(state), self.program.sections.get(level.phase.machine)
        ctx = Context(self, machine.name, at, state, visit, config, copied(frame["data"]), level.inputs)
        self.observer.entered(at, machine.name, state, visit)
        started = time.monotonic()
        try:
            if "!" in here.get("calls", ()):  # it was interrupted while recovering
                self._recover(level, state)
                return
            label = here["leave"] if "leave" in here else self._handle(registered, ctx)
            step = machine.kernel.step(level.place, state, label)
            patch = _patch(frame["data"], ctx)
        except (StoreError, RunReplaced):
            raise
        except Exception as error:
            self._failed(level, state, error)
            return
        self._commit(level, ctx, step, patch, time.monotonic() - started)

    def _handle(self, registered: Registered, ctx: Context) -> str | None:
        if registered.effects:
            self.journal.check_claim()
        return registered.handle(ctx)

    def _commit(
        self, level: _Level, ctx: Context, step: Step, patch: dict[str, Any] | None, took: float
    ) -> None:
        state = ctx.state
        record = level.record("transition", state)
        record["label"], record["to"], record["took"] = step.label, list(step.place), round(took, 6)
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
        if step.also:
            record["also"] = list(step.also)
        if counts := ctx.taken_counts():
            record["counts"] = counts
        if not level.at and not step.place:
            last = step.edges[-1].label if step.edges else step.label
            names = {last, state, state.rpartition(".")[2]}
            failed = bool(level.machine.failures & names)
            record["end"] = {"outcome": "failed" if failed else "done", "label": last, "last": state}
        self._append(record)

    def _append(self, body: dict[str, Any]) -> None:
        """Fold and commit a record. A signal in the middle waits until both are done."""
        self.stop.depth += 1
        try:
            if above := self.fold.begun_above(body["at"]):
                body["above"] = above
            self.fold.apply(body)
            if self.fold.snapshot_due():
                body["snapshot"] = self.fold.snapshot()
            record = self.journal.append(body)
        finally:
            self.stop.depth -= 1
        self.observer.record(record)
        self.stop.check()

    # Failure

    def _failed(self, level: _Level, state: str, error: Exception) -> None:
        """An exception in a state: record it, and go through the recovery machine where it fits a class."""
        error = wanting(error, " > ".join([*level.at, state])) or error
        recovery = self.program.recovery
        inside = any(step.endswith(RECOVERY) for step in level.at)
        entry = None
        if recovery and not inside and not isinstance(error, FsmError):
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
        if (item := getattr(error, "item", None)) is not None:
            body["item"] = spelt(str(item))
        self._append(body)
        where = " > ".join([*level.at, state])
        if entry is None:
            raise Stopped(
                str(error)
                if isinstance(error, FsmError)
                else f"{where}: {type(error).__name__}: {str(error).rstrip('.')}. It fits no class of the recovery machine, so the run stopped there; its "
                f"traceback is in the journal (`fsm history {self.run.name}`). Mend the cause and give the same command again."
            )
        self._recover(level, state)

    def _recover(self, level: _Level, state: str) -> None:
        """Walk the recovery machine to its end and do what its last state decides."""
        name = self.program.recovery
        assert name is not None
        recovery = self.program.machine(name)
        place = [*level.at, state + RECOVERY]
        below = self.fold.frame(place)
        assert below is not None
        failed = copied(below["data"]["error"])
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
        self._append(body)
        if leave:
            raise _Leave(leave[0], leave[1])
        if verdict is Verdict.STOP:
            where = " > ".join([*level.at, state])
            raise Stopped(
                str(result.data.get("advice") or f"{where}: {failed['error']}: {failed['message']}")
            )

    def _edge_outside(self, at: list[str], state: str, entry: str) -> tuple[list[str], str, str] | None:
        """The innermost state, this one or one above it, that declares an edge for such an end."""
        for depth in range(len(at), -1, -1):
            frame = self.fold.frame(at[:depth])
            assert frame is not None
            standing = state if depth == len(at) else at[depth].partition("~")[0]
            label = self.program.machine(frame["machine"]).on_error.get((standing, entry.rpartition(".")[2]))
            if label is not None:
                return at[:depth], standing, label
        return None

    # What a context asks for

    def once(self, ctx: Context, key: str, do: Callable[[], Any]) -> Any:
        frame = self.fold.frame(ctx._at)
        assert frame is not None
        done = opened(frame, ctx.state)["once"]
        if key not in done:
            body: dict[str, Any] = {
                "kind": "once",
                "at": ctx._at,
                "machine": ctx.machine,
                "from": ctx.state,
                "visit": ctx.visit,
                "key": json_values(key, f"{ctx.place}: the key of once"),
                "value": json_values(do(), f"{ctx.place}: once({key!r})"),
            }
            if len(frame["place"]) > 1:
                body["place"] = frame["place"]
            self._append(body)
        return copied(opened(frame, ctx.state)["once"][key])

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
        return self._drive([*ctx._at, step], name, json_values(inputs, ctx.place), start, until)

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


def _patch(before: dict[str, Any], ctx: Context) -> dict[str, Any] | None:
    """What the handler changed in the frame's data, as JSON gives it back. Raises NotJson.

    Only what differs is made JSON: a state that changes one key among many pays for that one.
    """
    differs = {k: v for k, v in ctx.data.items() if k not in before or before[k] != v}
    if not differs and len(before) == len(ctx.data):
        return None
    patch: dict[str, Any] = {}
    if differs:
        patch["set"] = json_values(differs, ctx.place)
    if dropped := before.keys() - ctx.data.keys() - patch.get("set", {}).keys():
        patch["drop"] = sorted(dropped)
    return patch or None
