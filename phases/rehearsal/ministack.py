"""MiniStack, which plays S3, STS, IAM and CloudWatch Logs: in a virtual environment of its own, for it pins another botocore."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fsm.errors import FsmError
from phases.rehearsal.process import HOST, Server, free_port

VERSION = "1.5.33"
VARIABLE = "FSM_MINISTACK"
"""Names the Python of an environment that has it."""


class CannotRehearse(FsmError):
    """What a rehearsal stands on is not there, and cannot be had."""

    code = "F601"
    exit_code = 2


def python(say: Callable[[str], None] = print) -> Path:
    """The Python that has MiniStack: the named one, that of a checkout's tests, or one that is set up now, once.

    Raises CannotRehearse.
    """
    checkout = Path(__file__).parents[2] / "build" / "servers" / "python"
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fsm" / f"ministack-{VERSION}"
    if named := os.environ.get(VARIABLE):
        return Path(named)
    for home in (checkout, kept):
        if (home / "bin" / "ministack").exists():
            return home / "bin" / "python"
    say(f"setting up MiniStack {VERSION}, which plays S3, IAM and the logs: 75 MB into {kept}, once")
    for command in (
        [sys.executable, "-m", "venv", str(kept)],
        [str(kept / "bin" / "python"), "-m", "pip", "install", "--quiet", f"ministack=={VERSION}"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotRehearse(
                f"MiniStack cannot be installed ({done.stderr.strip()[-300:]}). Install ministack=={VERSION} into an environment "
                f"of its own, and name its Python in {VARIABLE}."
            )
    return kept / "bin" / "python"


def server(directory: Path, interpreter: Path, *, auth: bool = False) -> Server:
    """MiniStack, keeping everything below `directory`, so that a `kill -9` loses nothing; with `auth`, IAM decides."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    env = {
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": HOST,
        "PERSIST_STATE": "1",
        "STATE_DIR": str(directory / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(directory / "s3"),
        "TMPDIR": str(directory),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "ERROR",
        "AUTH": "true" if auth else "false",
    }
    return Server([str(interpreter), "-m", "ministack"], port, directory / "ministack.log", env)
