"""A job that runs on this machine: what is kept of it in its directory, and a process that does not outlive its parent."""

from __future__ import annotations

import ctypes
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def read(home: Path) -> dict[str, Any] | None:
    """What was kept of a job; None where there is none."""
    try:
        found: dict[str, Any] = json.loads((home / "job.json").read_bytes())
    except (OSError, ValueError):
        return None
    return found


def keep(home: Path, job: Mapping[str, Any]) -> None:
    """Keep a job as it stands."""
    home.mkdir(parents=True, exist_ok=True)
    part = home / ".job.json"
    part.write_text(json.dumps(job, indent=1))
    part.replace(home / "job.json")


def die_with(parent: int) -> None:
    """Have this process killed when its parent dies: whoever takes the job up next starts another container."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:  # it was faster
            os._exit(1)
