"""The run that the README's first command makes, made once for all tests that look at one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fsm.journal import Journal
from fsm.store import open_store
from tests import readme

SECONDS = 1800
"""So long a command may take: a machine that does much else besides is slow."""
CLONE = ("benchmarks", "configs", "diagrams", "docs", "fsm", "machines", "phases", "tests")


@dataclass(frozen=True)
class Place:
    """A directory with what a clone has, where commands are given."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands: nothing of the test run's own, and nothing kept from another run."""
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "FSM_")) and k != "CI"}
        return plain | {"BROWSER": "true", "FSM_CACHE": str(self.home / "cache"), "OMP_NUM_THREADS": "1"}

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Give a command as the README writes it: `fsm ...`, or that of a virtual environment's Python."""
        head, *rest = words
        command = [sys.executable, *(["-m", "fsm.cli"] if head == "fsm" else []), *rest]
        return subprocess.Popen(command, cwd=self.home, env=self.environment, text=True, **options)

    def give(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Give a command and wait for its end; its output is text."""
        started = self.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = started.communicate(timeout=SECONDS)
        return subprocess.CompletedProcess(words, started.returncode, out, err)

    def runs(self) -> list[str]:
        return open_store(str(self.home)).runs()

    def records(self, run: str) -> list[dict[str, Any]]:
        return list(Journal(open_store(str(self.home)).run(run)).records())

    def artifacts(self, run: str) -> dict[str, str]:
        """Name -> digest of what a run has put."""
        return {name: f["sha256"] for r in self.records(run) for name, f in r.get("files", {}).items()}

    def puts(self, run: str) -> set[tuple[str, str]]:
        """(name, digest) of whatever a run has put; a name that it put again stands there with each digest."""
        return {(n, f["sha256"]) for r in self.records(run) for n, f in r.get("files", {}).items()}

    def job_of(self, run: str) -> str:
        """The run in which the job of a run does its work."""
        jobs = [
            r["data"]["set"]["run"]
            for r in self.records(run)
            if (r.get("data") or {}).get("set", {}).get("run")
        ]
        return str(jobs[-1])

    def went(self, run: str) -> dict[tuple[str, str], int]:
        """What went along which arrow of the data flow, by `fsm lineage`; nothing that is not drawn."""
        done = self.give("fsm", "lineage", run, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return {
            (a["source"], a["target"]): a["count"] for a in json.loads(done.stdout)["arrows"] if a["count"]
        }


@pytest.fixture(scope="session")
def local_run(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A clone in which the README's first command has been run to its end (2 minutes).

    Tests that ask for it stay in one process (tests/order.py).
    """
    home = tmp_path_factory.mktemp("clone")
    for name in CLONE:
        shutil.copytree(
            readme.ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__", "results")
        )
    for name in ("README.md", "pyproject.toml", "constraints.txt"):
        shutil.copy(readme.ROOT / name, home / name)
    place = Place(home)
    done = place.give(*readme.first_command())
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return place
