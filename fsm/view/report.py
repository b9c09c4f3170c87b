"""Runs as a person or a program reads them: where one stands, what it did, which there are."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from fsm.config import Beside, Plug
from fsm.engine import Machine, Registry, closure
from fsm.errors import FsmError, StoreError
from fsm.journal import Journal, is_branch, where
from fsm.mermaid import MermaidError
from fsm.session import HEARTBEAT
from fsm.store import RunStore, Scratch, Store
from fsm.view.projection import Level, Projection, moment

DEEPEST = 4  # runs watched by runs watched by runs


@dataclass(frozen=True)
class Reading:
    """A run, read once. `missing` records are known to have been written and are not in the journal.

    `foreign` says why it is not the run that it stands as, where it is not.
    """

    name: str
    url: str
    header: Mapping[str, Any]
    projection: Projection
    live: Mapping[str, Any] | None
    alive: bool
    missing: int = 0
    watching: Reading | None = None
    foreign: str | None = None

    @property
    def status(self) -> str:
        """running, waiting (nobody at it, and nothing to do yet), stopped (resumable), done, failed or cancelled."""
        if self.projection.ended:
            return str(self.projection.ended["outcome"])
        if self.alive:
            return "running"
        return "waiting" if self.projection.pauses else "stopped"

    @property
    def command(self) -> str:
        return f"fsm run CONFIG --run {self.name}"

    @property
    def advice(self) -> str:
        """What to do next."""
        if self.foreign:
            return self.foreign
        if self.missing:
            return f"Restore the journal of {self.name} from a copy: `fsm audit {self.name}` says what is missing."
        if self.status == "running":
            return f"It is being run. To stop it, send its process an interrupt; `{self.command}` goes on from there."
        if self.status == "stopped":
            return f"Give the command that began it again (`{self.command}`): it goes on from this state."
        if self.status == "waiting":
            return f"{self.projection.waits} `fsm resume-due` goes on with it when it is time, and so does `{self.command}`."
        if self.status == "cancelled":
            return f"It is over: see `fsm history {self.name}`. To begin it anew, give --fresh."
        if self.status == "failed":
            return f"It ended in a failure: see `fsm history {self.name}`, mend the cause, and start anew with --fresh."
        return f"It is complete: `fsm history {self.name} --json` names its artifacts."


def read(store: Store, name: str, depth: int = 0) -> Reading:
    """A run and the run it watches. Raises NoSuchRun, NewerFormat, JournalDamaged, StoreError."""
    run = store.run(name)
    journal = Journal(run)
    header = journal.header()
    foreign = journal.foreign()
    projection = Projection(drawings(header))
    projection.name = name
    live = run.read_live()  # before the records: what it says was written must then be among them
    for record in journal.records():
        projection.apply(record)
    written = int(live["seq"]) + 1 if live and isinstance(live.get("seq"), int) else 0
    alive = is_alive(run, live)
    if live and alive:
        say_now(projection, live)
    below = live.get("watching") if live else None
    watching = None
    if isinstance(below, str) and not projection.ended and depth < DEEPEST and below in store.runs():
        watching = read(store, below, depth + 1)
        if levels := projection.stack():
            projection.watch(levels[-1].at, levels[-1].state, watching.projection)
    missing = max(0, written - projection.records)
    return Reading(name, run.url, header, projection, live, alive, missing, watching, foreign)


def drawings(header: Mapping[str, Any]) -> dict[str, Machine]:
    """The machines that a run was begun with, by its header; none where they are not installed here."""
    try:
        machines = _machines(header.get("config", {}).get("plug", {}), header.get("beside"))
        return closure(str(header["machine"]), header.get("config", {}).get("recovery"), machines)
    except (FsmError, MermaidError):
        return {}


def _machines(plug: Mapping[str, Any], beside: str | None) -> Registry:
    said = {k: v for k, v in plug.items() if k in Plug.model_fields and isinstance(v, str)}
    files = Beside.of(Plug(**said), Path(beside)) if beside else Beside()
    return Registry(Plug(**said).machines, Machine, files.machines)


def is_alive(run: RunStore, live: Mapping[str, Any] | None) -> bool:
    """Whether a runner is at it: by its lock where the store has one, otherwise by its last heartbeat."""
    busy = getattr(run, "busy", None)
    if busy is not None:
        return bool(busy())
    if not live or live.get("status") != "running":
        return False
    age = live.get("age")  # by the store's own clock, which this machine's may differ from
    if not isinstance(age, int | float):
        age = time.time() - float(live.get("time", 0))
    return float(age) < 3 * HEARTBEAT


def changed(header: Mapping[str, Any], machines: Mapping[str, Machine]) -> tuple[str, ...]:
    """The machines whose drawings are not those that a run was begun with."""
    begun = header.get("diagrams", {})
    return tuple(name for name, m in machines.items() if name in begun and begun[name] != m.chart.digest)


def say_now(projection: Projection, live: Mapping[str, Any]) -> None:
    """Tell a projection what the runner said of itself last, where the journal has not gone on since."""
    if live.get("status") != "running":
        return
    beside = live.get("beside")
    for said in beside if isinstance(beside, list) else [live]:
        if isinstance(said, dict) and isinstance(said.get("entered"), dict):
            _say(projection, said["entered"], said.get("progress"))


def _say(projection: Projection, entered: Mapping[str, Any], progress: object) -> None:
    at, state = tuple(entered["at"]), entered["state"]
    levels = {level.at: level for level in projection.stack()}
    if at and is_branch(at[-1]):
        if at not in levels:
            return
    elif at:
        caller = levels.get(at[:-1])
        if caller is None or caller.state != at[-1].partition("~")[0]:
            return
    level = levels.get(at)
    if level is None and projection.knows(at):
        return  # that machine has ended
    if level is not None and (
        state not in level.place or (level.state == state and level.visit != entered["visit"])
    ):
        return
    projection.entered(at, entered["machine"], state, entered["visit"], entered["time"])
    if isinstance(progress, dict) and progress.get("state") == state:
        projection.progress(at, state, progress["done"], progress["total"], progress.get("note", ""))


# As JSON values


def status_json(reading: Reading) -> dict[str, Any]:
    """The value that `fsm status --json` prints; `commands.status` says what is in it."""
    p = reading.projection
    ended = p.ended or {}
    said: dict[str, Any] = {
        "run": reading.name,
        "url": reading.url,
        "machine": reading.header["machine"],
        "created": reading.header.get("created"),
        "status": reading.status,
        "label": ended.get("label"),
        "last": ended.get("last"),
        "place": p.place,
        "stack": [_level_json(level) for level in p.stack()],
        "records": p.records,
        "missing": reading.missing,
        "artifacts": p.artifacts,
        "errors": sum(t.errors for tallies in p.tallies.values() for t in tallies.values()),
        "stopped": p.stopped if reading.status == "stopped" else None,
        "waiting": [pause.as_json() for pause in p.pauses.values()],
        "updated": moment(p.latest) if p.records else None,
        "runner": _runner_json(reading) if reading.alive else None,
        "recent": list(p.recent),
        "watching": status_json(reading.watching) if reading.watching else None,
        "foreign": reading.foreign,
        "next": reading.advice,
    }
    return said


class Below(Protocol):
    """A run that another one follows, however it is read."""

    @property
    def name(self) -> str: ...

    @property
    def projection(self) -> Projection: ...


def below_json(run: Below, state: str) -> dict[str, Any]:
    """A run that another one follows, in short: {"run", "state", "place" (words), "records"}."""
    p = run.projection
    return {"run": run.name, "state": state, "place": p.place, "records": p.records}


def _level_json(level: Level) -> dict[str, Any]:
    said: dict[str, Any] = {
        "machine": level.machine,
        "state": level.state,
        "place": list(level.place),
        "visit": level.visit,
        "since": moment(level.since),
    }
    if level.overview:
        said["overview"] = list(level.overview)
    if level.progress:
        said["progress"] = vars(level.progress)
    return said


def _runner_json(reading: Reading) -> dict[str, Any] | None:
    live = reading.live
    return {k: live.get(k) for k in ("writer", "host", "pid", "time")} if live else {}


def scratches(run: RunStore, header: Mapping[str, Any], live: Mapping[str, Any] | None) -> Iterator[Scratch]:
    """Where the run's scratch may be on this machine: this generation's first, then those before it.

    Where its last runner said, and where the run's configuration says, seen from this directory. What is there belongs to
    the run only if its marker says so.
    """
    said = (live or {}).get("scratch")
    configured = header.get("config", {}).get("work")
    bases = [Path(said).parent] if isinstance(said, str) else []
    bases += [Path(configured)] if isinstance(configured, str) else []
    generation = header.get("generation", 0)
    for base in {b.absolute(): b for b in reversed(bases)}.values():
        scratch = Scratch(base, run, generation if isinstance(generation, int) else 0)
        yield scratch
        yield from scratch.former()


def summary(store: Store, name: str, now: float) -> dict[str, Any]:
    """A run in one row, by its newest records only; `problem` says why, where it cannot be read."""
    row: dict[str, Any] = {"run": name}
    try:
        run = store.run(name)
        journal = Journal(run)
        header = journal.header()
        foreign = journal.foreign()
        fold = journal.load()
    except StoreError:
        raise
    except FsmError as e:
        return row | {"problem": e.message}
    from fsm.journal import pauses_of

    live = run.read_live()
    alive = is_alive(run, live)
    newest = [_time_of(line) for line in run.tail(lambda line: True)]
    updated = newest[-1] if newest else None
    words = where(fold)
    ended = fold.ended
    pauses = () if ended else pauses_of(fold.root)
    there = [s for s in scratches(run, header, live) if s.there]
    return row | {
        "machine": header["machine"],
        "status": ended["outcome"] if ended else "running" if alive else "waiting" if pauses else "stopped",
        "waiting": [pause.as_json() for pause in pauses],
        "label": ended["label"] if ended else None,
        "place": words or (ended["last"] if ended else ""),
        "records": journal.next,
        "artifacts": len(fold.files),
        "artifact_bytes": run.artifacts_size(),
        "scratch": [str(s.path) for s in there],
        "workers": [] if alive else sorted({pid for s in there for pid in s.workers()}),
        "scratch_bytes": sum(s.size() for s in there),
        "generation": header.get("generation", 0),
        "created": header.get("created"),
        "updated": moment(updated) if updated else None,
        "age": round(now - updated, 3) if updated else None,
        "foreign": foreign,
        "progress": _progress(header, fold.root),
    }


def _progress(header: Mapping[str, Any], root: Mapping[str, Any] | None) -> list[int] | None:
    """How many of the outermost states were left, of how many; None where the machine is not installed here."""
    plug = json.dumps(header.get("config", {}).get("plug", {}))
    states = _outermost(str(header["machine"]), plug, header.get("beside"))
    if not states:
        return None
    left = {path.partition(".")[0] for path in (root["visits"] if root else ())}
    return [len(left & states), len(states)]


@lru_cache(maxsize=64)
def _outermost(machine: str, plug: str, beside: str | None) -> frozenset[str]:
    try:
        chart = _machines(json.loads(plug), beside)[machine].chart
    except (FsmError, MermaidError):
        return frozenset()
    return frozenset(path for path in chart.states if "." not in path)


def _time_of(line: bytes) -> float:
    return float(json.loads(line)["time"])
