"""The command line in a process of its own, which gets real signals at exact places.

Children are forked, for torch is imported once; what runs in them is `python -m fsm.run`, from its arguments to its
exit code.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from fsm.journal import Journal, essence
from fsm.store import open_store

STOPPED = 3  # stopped by a signal, and resumable
LONGEST = 120.0  # seconds a process may take to end: what SageMaker gives


@dataclass(frozen=True)
class Strike:
    """A signal that the process gets at the `nth` call of a function, as the call begins or, with `after`, has ended.

    `where` is `module:function` or `module:Class.method`.
    """

    number: int
    where: str
    nth: int = 1
    after: bool = False

    @property
    def code(self) -> int:
        """How the process is to end."""
        return STOPPED if self.number == signal.SIGTERM else -self.number

    def install(self) -> None:
        """Have it come, in this process."""
        module, _, path = self.where.partition(":")
        *owners, name = path.split(".")
        owner = import_module(module)
        for part in owners:
            owner = getattr(owner, part)
        do: Callable[..., Any] = getattr(owner, name)
        calls = []

        def struck(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            now = len(calls) == self.nth
            if now and not self.after:
                os.kill(os.getpid(), self.number)
            found = do(*args, **kwargs)
            if now and self.after:
                os.kill(os.getpid(), self.number)
            return found

        setattr(owner, name, struck)


class Home:
    """A directory with one configuration, the run it makes, and its output."""

    def __init__(self, home: Path, machine: str, sections: dict[str, Any]) -> None:
        self.home = home
        self.machine = machine
        home.mkdir()
        engine = {"store": str(home / "store"), "work": str(home / "work"), "run": {"seed": 5}}
        self.config = home / "config.yaml"
        self.config.write_text(
            yaml.safe_dump({"machine": machine, "recovery": "error_recovery", **engine, **sections})
        )

    @property
    def arguments(self) -> list[str]:
        return [str(self.config), "--machine", self.machine, "--log", "json"]

    def run(self, *strikes: Strike, watched: Callable[[], None] | None = None) -> int:
        """Give the command, as often as it takes; returns the exit code, negative for a signal."""
        process = multiprocessing.get_context("fork").Process(target=self._child, args=(strikes, watched))
        process.start()
        process.join(LONGEST)
        if process.exitcode is None:
            process.kill()
            raise AssertionError("the process did not end\n" + self.said)
        return process.exitcode

    @property
    def said(self) -> str:
        """What the processes have said."""
        return (self.home / "said.txt").read_text()[-4000:]

    @property
    def journal(self) -> list[dict[str, Any]]:
        """What the run did, the counts of what it walked included; without times, writers and claims."""
        records = Journal(open_store(str(self.home / "store")).run(self.machine)).records()
        return [essence(r) for r in records if r["kind"] != "claim"]

    def artifact(self, name: str) -> bytes:
        """The newest artifact of that name."""
        run = open_store(str(self.home / "store")).run(self.machine)
        return run.artifact(Journal(run).load().files[name]["sha256"]).read_bytes()

    def _child(self, strikes: tuple[Strike, ...], watched: Callable[[], None] | None) -> None:
        code = 70
        try:
            said = os.open(self.home / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(said, 1)
            os.dup2(said, 2)
            sys.stdout = os.fdopen(1, "w", closefd=False)
            sys.stderr = os.fdopen(2, "w", closefd=False)
            from fsm import run

            if watched:
                watched()
            for strike in strikes:
                strike.install()
            code = run.main(self.arguments)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
