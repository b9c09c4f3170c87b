"""`fsm run --watch`: the page of a run, served by a process beside it, so that the run waits for no reader.

The process ends by itself soon after the run's, however that ends: its standard input is a pipe from there.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fsm.speech import say

if TYPE_CHECKING:
    from fsm.config import Config

FIRST_LINE = 15.0  # seconds until the address must have been printed


@contextmanager
def watching(config: Config, on: bool, browse: bool = True) -> Iterator[None]:
    """Inside, the run of a configuration is served where `on`; a page that cannot be served is said, and no reason to stop."""
    if not on:
        yield
        return
    command = [sys.executable, "-m", "fsm.cli", "watch", config.engine.run.name, "--store", store_url(config)]
    try:
        beside = subprocess.Popen(
            [*command, "--attached", *([] if browse else ["--no-open"])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is for the run; the page shows how that ends
        )
    except OSError as e:
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
        say("The page cannot be served; the run goes on without. `fsm watch` says why.")
    try:
        yield
    finally:
        with suppress(OSError):
            beside.stdin.close()
        beside.stdout.close()


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
