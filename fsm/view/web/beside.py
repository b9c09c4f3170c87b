"""`fsm run --watch`: the page of a run, served by a process beside it, so that the run waits for no reader.

The process ends by itself soon after the run's, however that ends: its standard input is a pipe from there.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fsm.speech import say

if TYPE_CHECKING:
    from fsm.config import Config

MOST_LINES = 64 << 20  # characters of the log that are kept for the page
FIRST_LINE = 15.0  # seconds until the address must have been printed


@contextmanager
def watching(config: Config, on: bool, browse: bool = True) -> Iterator[None]:
    """Inside, the run of a configuration is served where `on`; a page that cannot be served is said, and no reason to stop."""
    if not on:
        yield
        return
    from fsm.view import logs

    lines = Lines()
    command = [sys.executable, "-m", "fsm.cli", "watch", config.engine.run.name, "--store", store_url(config)]
    command += ["--lines", str(lines.path)]
    try:
        beside = subprocess.Popen(
            [*command, "--attached", *([] if browse else ["--no-open"])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is for the run; the page shows how that ends
        )
    except OSError as e:
        lines.remove()
        say(
            f"The page cannot be served ({e.strerror}); the run goes on without. fsm watch serves it from elsewhere."
        )
        yield
        return
    assert beside.stdout is not None
    assert beside.stdin is not None
    address = _first_line(beside.stdout.fileno())
    if address:
        say(f"Watch run {config.engine.run.name} at {address}")
    else:
        lines.remove()
        say("The page cannot be served; the run goes on without. `fsm watch` says why.")
    try:
        with logs.kept_by(lines):
            yield
    finally:
        with suppress(OSError):
            beside.stdin.close()
        beside.stdout.close()
        lines.close()


class Lines:
    """The lines of the log, in a file that the page's process reads, and removes when it ends. They are no part of the run."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="fsm-lines-")) / "lines.jsonl"
        self._file = self.path.open("w", encoding="utf-8")
        self._room = MOST_LINES
        self._lock = threading.Lock()

    def __call__(self, level: str, line: str) -> None:
        with self._lock, suppress(OSError, ValueError):  # a full disk is no reason to stop
            self._room -= len(line) + 1
            if self._room > 0:
                self._file.write(line + "\n")
                self._file.flush()

    def remove(self) -> None:
        """Nobody reads them."""
        self.close()
        self._room = 0
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def close(self) -> None:
        """Write no more."""
        with self._lock, suppress(OSError):
            self._file.close()


def store_url(config: Config) -> str:
    """The store with its options, as commands take it."""
    store, options = config.engine.store, dict(config.engine.store_options)
    if "://" not in store:
        return str(Path(store).absolute())
    if not options:
        return store
    words = {
        k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in options.items() if v is not None
    }
    return f"{store}{'&' if '?' in store else '?'}{urlencode(words)}"


def _first_line(fd: int) -> str:
    ready, _, _ = select.select([fd], [], [], FIRST_LINE)
    return os.read(fd, 4096).decode("utf-8", "replace").partition("\n")[0] if ready else ""
