"""Going on with a run in a process of its own, by the words it was last run with."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fsm.errors import ConfigError, FsmError
from fsm.journal import Journal
from fsm.store import RunStore

LONGEST = (
    4000  # characters of a message, so that it fits into a pipe whose reader waits for the process to end
)
CRASHED = 70  # exit code of a process that ended by an error which is no error of the engine's


@dataclass(frozen=True)
class Words:
    """A configuration with what the command line said besides, and the directory that its paths are seen from."""

    config: Path
    overrides: Mapping[str, Any]
    directory: Path


def words(run: RunStore, store: str, live: Mapping[str, Any] | None, config: Path | None) -> Words:
    """How to go on with a run: by `config`, or else as its last runner has left it in live.json. Raises ConfigError, NoSuchRun."""
    here = {"run.name": run.name, "store": store if "://" in store else str(Path(store).absolute())}
    if config is not None:
        header = Journal(run).header()
        said = {"machine": header["machine"], "run.seed": header["seed"]}
        source = header["config"].get("run", {}).get("source")
        return Words(config.absolute(), said | ({"run.source": source} if source else {}) | here, Path.cwd())
    again = (live or {}).get("again")
    if not isinstance(again, dict) or not {"config", "overrides", "directory"} <= again.keys():
        raise ConfigError(
            f"Run {run.name}: nothing says by which configuration it was run (live.json is gone, or of an earlier version). Give it with "
            "--config."
        )
    found = Words(Path(again["config"]), {**again["overrides"], **here}, Path(again["directory"]))
    if not found.config.is_file() or not found.directory.is_dir():
        raise ConfigError(
            f"Run {run.name} was run by {found.config} in {found.directory}, which is not on this machine. Give its configuration with "
            "--config."
        )
    return found


@dataclass(frozen=True)
class Going:
    """A process at work on a run."""

    name: str
    pid: int
    said: int  # a descriptor: what it says at its end


def warm() -> None:
    """Import here what every process needs that is begun from now on."""
    for module in (
        "fsm.check",
        "fsm.config",
        "fsm.journal.record",
        "fsm.session",
        "fsm.view.logs",
        "fsm.view.spool",
        "fsm.view.stray",
        "fsm.view.terminal",
        "structlog",
    ):
        import_module(module)


def begin(name: str, by: Words, log: str = "none") -> Going:
    """Go on with a run in a process of its own."""
    reads, writes = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = CRASHED
        try:
            os.close(reads)
            said, code = _go_on(by, log)
            with suppress(OSError):
                os.write(writes, json.dumps(said).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writes)
    return Going(name, pid, reads)


def end(going: Going, status: int) -> dict[str, Any]:
    """What became of it: {"run", "outcome", "message"}, and its exit `code`; `status` is the one that was waited for."""
    text = b""
    os.set_blocking(going.said, False)  # a process that it has left behind may hold the other end
    with suppress(BlockingIOError):
        text = os.read(going.said, 1 << 16)
    os.close(going.said)
    code = os.waitstatus_to_exitcode(status)
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        found = {"outcome": "lost", "message": f"its process ended with {code} and said nothing"}
    return {"run": going.name, **found, "code": code}


def _go_on(by: Words, log: str) -> tuple[dict[str, Any], int]:
    from fsm.library import load
    from fsm.view import telling

    try:
        os.chdir(by.directory)
        run = load(by.config, by.overrides)
        with telling(run.config, log) as (observer, logger):
            outcome = run.drive(observer=observer, logger=logger, stay=False)
    except FsmError as e:
        return {"outcome": "refused", "message": e.message[:LONGEST], "error": e.code}, e.exit_code
    said = {"outcome": outcome.outcome, "label": outcome.label, "message": outcome.message[:LONGEST]}
    return said, outcome.exit_code
