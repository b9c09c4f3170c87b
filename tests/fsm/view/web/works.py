"""Servers, runs and pages for the tests of the page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VIEW = Path(__file__).parents[1]
PATIENCE = 30.0  # seconds until what must happen has happened, on a machine that has other things to do


def until(true: Callable[[], Any]) -> Any:
    """Wait until a condition holds, and return what it gave."""
    end = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


class Works:
    """Servers and runs of one store; all of them end with the test."""

    def __init__(self, directory: Path, cache: Path) -> None:
        self.directory = directory
        self.paths = [str(VIEW), str(directory)]
        self.environment = os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONUNBUFFERED": "1"}
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A process of the project's interpreter."""
        environment = self.environment | {"PYTHONPATH": os.pathsep.join(self.paths)}
        one = subprocess.Popen(
            [sys.executable, *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(one)
        return one

    def serve(self, *words: str, port: int = 0) -> tuple[subprocess.Popen[str], str]:
        """`fsm watch`, and the address that it printed."""
        store = ["--store", str(self.directory), "--no-open", "--port", str(port)]
        one = self.start("-m", "fsm.cli", "watch", *words, *store)
        assert one.stdout is not None
        return one, one.stdout.readline().strip()

    def run(self, configuration: Path) -> subprocess.Popen[str]:
        """A run in a process of its own."""
        return self.start("-m", "toys.drive", str(configuration), "none")

    def end(self) -> None:
        """End what is still running."""
        for one in self.started:
            if one.poll() is None:
                one.send_signal(signal.SIGKILL)
            one.communicate()

    def records(self, run: str) -> list[dict[str, Any]]:
        """The journal of a run, as far as it is written."""
        journal = self.directory / "runs" / run / "journal.jsonl"
        if not journal.exists():
            return []
        lines = journal.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


class Opened:
    """A page that tells of all it asked for and all that it complained of."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.away = False  # whether something is not to be had, by the test's own will
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, message: Any) -> None:
        expected = self.away and "Failed to load resource" in message.text
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(message.text)

    def state(self, path: str) -> Any:
        """The group of a state in the drawing."""
        return self.page.locator(f'.drawing [data-path="{path}"]')

    def status(self, word: str) -> None:
        """Wait until the page says that the run stands so."""
        self.page.locator(f'.trail [role="status"] .badge:text("{word}")').wait_for()

    def address(self) -> str:
        """What the page's address says now."""
        found: str = self.page.evaluate("location.href")
        return found

    def scale(self) -> float:
        """How large the drawing is shown."""
        found: float = self.page.evaluate(
            "(e => e.getBoundingClientRect().width / e.clientWidth)(document.querySelector('.drawing'))"
        )
        return found

    def looks(self) -> dict[str, str]:
        """How the states of the shown drawing look."""
        found: dict[str, str] = self.page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll(".drawing [data-path]")].map((e) => [e.dataset.path,
              ["active", "visited", "failed", "never"].find((look) => e.classList.contains(`fsm-${look}`))]))"""
        )
        return found
