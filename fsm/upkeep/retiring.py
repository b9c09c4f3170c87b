"""`fsm retire`: what runs that are over keep is freed, but for what other runs share; their journals stay."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Sequence
from typing import Any

from fsm.errors import ConfigError, FsmError, NoSuchRun, NotOver, RunBusy
from fsm.journal import Journal
from fsm.speech import out, say
from fsm.store import RETIRED, Store, open_store
from fsm.upkeep.who import who

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def retire(names: Sequence[str], store: str, older_than: str | None, as_json: bool) -> int:
    """Free the artifacts of runs.

    As JSON one line a run: run, artifacts (how many were freed), bytes, shared (how many stay, for another run reads them), or
    `skipped`, why it was left as it is. Raises NotOver, NoSuchRun, ConfigError, StoreError.
    """
    if not names and older_than is None:
        raise ConfigError(
            "Name the runs to retire, or say with --older-than which: `fsm retire --older-than 90d`."
        )
    age = _seconds(older_than) if older_than is not None else 0.0
    opened = open_store(store)
    given = _given(opened)
    for name in names or opened.runs():
        found = _retired(opened, name, age, given, named=bool(names))
        if found is None:
            continue
        if as_json:
            out(json.dumps({"run": name, **found}, ensure_ascii=False))
        elif "skipped" in found:
            say(f"run {name} is left as it is: {found['skipped']}.")
        else:
            shared = f"; {found['shared']} that other runs share are kept" if found["shared"] else ""
            out(f"{name}  {found['artifacts']} artifacts freed, {found['bytes']:,} bytes{shared}.")
    return 0


def _retired(
    store: Store, name: str, age: float, given: dict[str, set[str]], *, named: bool
) -> dict[str, Any] | None:
    """What was freed of a run; None for one that was not named, and is not over or cannot be read."""
    from fsm.view import is_alive

    run = store.run(name)
    journal = Journal(run)
    try:
        journal.header()
        fold = journal.load()
    except FsmError:
        if named:
            raise
        return None
    if not fold.ended:
        if not named:
            return None
        raise NotOver(
            f"Run {name} is not over, and goes on from what it keeps. Take it to its end, or end it: `fsm cancel {name}`."
        )
    ended = float(json.loads(run.tail(lambda line: True)[-1])["time"])
    if time.time() - ended < age:
        return {"skipped": "it ended later than that"} if named else None
    if is_alive(run, run.read_live()):
        raise RunBusy(f"Run {name} has a process at it still. Try again in a moment.")
    others = set().union(*(shas for other, shas in given.items() if other != name))
    # first, so that who misses an artifact from now on is told why
    run.put_request(RETIRED, json.dumps({"id": secrets.token_hex(8), "by": who(None)}).encode())
    mine = {file["sha256"] for _, file in fold.all_files()}
    count, size = run.free_artifacts(others)
    return {"artifacts": count, "bytes": size, "shared": len(mine & others)}


def _given(store: Store) -> dict[str, set[str]]:
    """By run, the artifacts that it may open though another run has put them.

    Its header names those that it was begun with (`--from`); what a fork has of its past is in its own state. A run that cannot be
    read may share anything, so that nothing is freed beside it: raises what reading it does.
    """
    found: dict[str, set[str]] = {}
    for name in store.runs():
        journal = Journal(store.run(name))
        try:
            header = journal.header()
            files = list((header.get("given") or {}).values())
            if header.get("past"):
                files += (file for _, file in journal.load().all_files())
        except NoSuchRun:  # it is being begun
            continue
        found[name] = {file["sha256"] for file in files}
    return found


def _seconds(text: str) -> float:
    """`90d` in seconds. Raises ConfigError."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not match:
        raise ConfigError(f"--older-than {text}: give a number with its unit, as in 90d, 12h or 30m.")
    return int(match[1]) * UNITS[match[2]]
