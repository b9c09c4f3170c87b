"""`fsm resume-due`: which runs of a store wait no longer, found without opening the others, and gone on with.

A runner leaves in live.json what its run waits for: one small file a run is read, and a request looked for where one can be. Of a
run whose runner died the journal's end is read instead. Neither claims anything: what turns out not to be due is left alone.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsm.errors import ConfigError, FsmError
from fsm.journal import Journal, moment, pauses_of, requests
from fsm.speech import out, say
from fsm.store import RunStore, Store, open_store
from fsm.upkeep import going
from fsm.upkeep.going import Going

READ_AT_ONCE = 16  # runs of a bucket


@dataclass(frozen=True)
class Due:
    """A run whose time has come, and why; what its last runner left in live.json."""

    name: str
    why: str
    live: Mapping[str, Any] | None


def resume(store: str, config: Path | None, at_once: int, log: str, dry_run: bool, as_json: bool) -> int:
    """Go on with all runs that are due; the exit code is 0 where each could be, else that of the first that could not.

    As JSON one line a run: run, why, and unless `dry_run` outcome (done, failed, stopped, waiting, cancelled; refused where it could not
    be gone on with, lost where its process died), label, message, code. Raises StoreError.
    """
    if at_once < 1:
        raise ConfigError(f"--at-once {at_once}: one run at a time is the least.")
    opened = open_store(store)
    found = list(due(opened, time.time()))
    reasons = {one.name: one.why for one in found}
    if dry_run:
        for one in found:
            out(json.dumps({"run": one.name, "why": one.why}) if as_json else f"{one.name}  {one.why}")
        return 0
    code = 0
    for said in went_on(opened, store, found, config, at_once, log):
        if (
            said["outcome"] in ("refused", "lost") and said.get("error") != "F405"
        ):  # busy: another one is at it
            code = code or said["code"] or 3
        if as_json:
            out(json.dumps({"run": said["run"], "why": reasons[said["run"]]} | said, ensure_ascii=False))
        else:
            label = f" by {said['label']!r}" if said.get("label") else ""
            message = f" {said['message']}" if said.get("message") else ""
            out(f"{said['run']}  {reasons[said['run']]}: {said['outcome']}{label}.{message}")
    if not found and not as_json:
        say(f"nothing is due at {opened.url}.")
    return code


def due(store: Store, now: float) -> Iterator[Due]:
    """The runs whose time has come, by name. Raises StoreError."""
    names = store.runs()
    if "://" not in store.url:
        reasons: Iterable[Due | None] = (_looked_at(store.run(name), now) for name in names)
        yield from (one for one in reasons if one)
        return
    with ThreadPoolExecutor(READ_AT_ONCE, "due") as pool:
        found = list(pool.map(lambda name: _looked_at(store.run(name), now), names))
    yield from (one for one in found if one)


def _looked_at(run: RunStore, now: float) -> Due | None:
    live = run.read_live()
    if live and live.get("over"):
        return None
    if live and live.get("status") == "ended" and isinstance(live.get("waiting"), list):
        pauses = [pause for pause in live["waiting"] if isinstance(pause, dict)]
    else:
        from fsm.view import is_alive

        if is_alive(run, live):
            return None
        read = _by_journal(run)
        if read is None:
            return None
        pauses = read
    why = "it is to be cancelled" if run.has_request(requests.CANCEL) else _why(run, pauses, now)
    return Due(run.name, why, live) if why else None


def _why(run: RunStore, pauses: Iterable[Mapping[str, Any]], now: float) -> str | None:
    for pause in pauses:
        until, slot = pause.get("until"), pause.get("slot")
        if isinstance(slot, str) and run.has_request(slot):
            return "it is answered"
        if isinstance(until, int | float) and until <= now:
            return f"it waited until {moment(until)}" if slot is None else "nobody has answered in time"
    return None


def _by_journal(run: RunStore) -> list[dict[str, Any]] | None:
    """What a run waits for, read where its journal ends; None where it has ended, or cannot be read, which `fsm runs` tells."""
    try:
        fold = Journal(run).load()
    except FsmError:
        return None
    return None if fold.ended else [pause.as_json() for pause in pauses_of(fold.root)]


def went_on(
    store: Store, url: str, found: Iterable[Due], config: Path | None, at_once: int, log: str
) -> Iterator[dict[str, Any]]:
    """Go on with runs, each in a process of its own, and say what became of each as it ends."""
    at_work: dict[int, Going] = {}
    try:
        for one in found:
            try:
                by = going.words(store.run(one.name), url, one.live, config)
            except FsmError as e:
                yield {
                    "run": one.name,
                    "outcome": "refused",
                    "message": e.message,
                    "error": e.code,
                    "code": e.exit_code,
                }
                continue
            while len(at_work) >= at_once:
                yield _next(at_work)
            going.warm()
            begun = going.begin(one.name, by, log)
            at_work[begun.pid] = begun
        while at_work:
            yield _next(at_work)
    finally:
        for pid in at_work:  # interrupted: a Ctrl-C has told them too, and each comes to its next record
            os.kill(pid, signal.SIGTERM)
        while at_work:
            _next(at_work)


def _next(at_work: dict[int, Going]) -> dict[str, Any]:
    """Wait for the one that ends first."""
    while True:
        pid, status = os.wait()
        if pid in at_work:
            return going.end(at_work.pop(pid), status)
