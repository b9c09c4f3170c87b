"""A process that reads text written by a model: bounded in time, memory, output and files.

It is started without the text, which comes through a pipe once the limits are set on it from outside (prlimit(2)); so
nothing runs between fork and exec, and threads may start as many as they like. What it makes comes through a pipe too:
it may write no file.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import resource
import select
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from phases.quality_scoring.config import CompilerLimits

ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}

_MOST_MADE = 8 << 20  # bytes of an object file; no answer's is a hundredth of it
_TOO_LONG = "it took more than {:g} seconds"


@dataclass(frozen=True, slots=True)
class Ended:
    """What a process wrote to stderr and to stdout, which bound it passed ("" if none), its exit status."""

    messages: bytes
    made: bytes
    failure: str
    code: int


@lru_cache(maxsize=1)
def empty_directory() -> str:
    """Where such processes run: private, empty, and not to be written in. One for this process."""
    path = tempfile.mkdtemp(prefix="quality-scoring-")
    Path(path).chmod(0o500)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def run(
    command: Sequence[str],
    text: bytes,
    limits: CompilerLimits,
    *,
    makes: bool = False,
    files: Sequence[int] = (),
) -> Ended:
    """Feed the text to the command, within the limits. `makes` has stdout read as well; `files` are open in there.

    Raises OSError where the command cannot be started.
    """
    here = empty_directory()
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if makes else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=here,
        env={**ENVIRONMENT, "TMPDIR": here},
        start_new_session=True,
        pass_fds=files,
        bufsize=0,
    )
    deadline = time.monotonic() + limits.wall_seconds
    messages, made, failure = b"", b"", ""
    try:
        _limit(process.pid, limits)
        messages, made, failure = _feed(process, text, limits, deadline)
        if not failure:
            failure = _await_end(process, limits, deadline)
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
    return Ended(messages, made, failure, code)


def _await_end(process: subprocess.Popen[bytes], limits: CompilerLimits, deadline: float) -> str:
    """Wait for the process that has closed its output; which bound it passed ("" if none).

    Not by `wait(timeout=...)`, which sleeps between looks, half a millisecond and more.
    """
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        ended = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
    finally:
        os.close(descriptor)
    return "" if ended else _TOO_LONG.format(limits.wall_seconds)


def _limit(pid: int, limits: CompilerLimits) -> None:
    memory = limits.memory_mb << 20
    for what, most in (
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            resource.prlimit(pid, what, (most, most))


def _feed(
    process: subprocess.Popen[bytes], text: bytes, limits: CompilerLimits, deadline: float
) -> tuple[bytes, bytes, str]:
    """Write and read at once, until the process closes its output, a bound is passed, or time is up."""
    assert process.stdin is not None
    assert process.stderr is not None
    left = memoryview(text)
    messages, made = bytearray(), bytearray()
    bounds = {
        process.stderr: (
            messages,
            limits.output_kb << 10,
            f"its diagnostics are longer than {limits.output_kb} KiB",
        )
    }
    if process.stdout is not None:
        bounds[process.stdout] = (made, _MOST_MADE, f"what it makes is longer than {_MOST_MADE >> 10} KiB")
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as selector:
        for pipe in bounds:
            selector.register(pipe, selectors.EVENT_READ)
        if left := _write(process, left):
            selector.register(process.stdin, selectors.EVENT_WRITE)
        open_ones = len(bounds)
        while open_ones:
            if (wait := deadline - time.monotonic()) <= 0:
                return bytes(messages), bytes(made), _TOO_LONG.format(limits.wall_seconds)
            for key, _ in selector.select(wait):
                if key.fileobj is process.stdin:
                    if not (left := _write(process, left)):
                        selector.unregister(process.stdin)
                    continue
                into, most, too_much = bounds[key.fileobj]  # type: ignore[index]
                piece = os.read(key.fd, 1 << 16)
                into += piece
                if len(into) > most:
                    return bytes(messages), bytes(made), too_much
                if not piece:
                    selector.unregister(key.fileobj)
                    open_ones -= 1
    return bytes(messages), bytes(made), ""


def _write(process: subprocess.Popen[bytes], left: memoryview) -> memoryview:
    """Write what the pipe takes; what is left. The pipe is closed after the last byte."""
    assert process.stdin is not None
    try:
        left = left[os.write(process.stdin.fileno(), left) :] if left else left
    except BlockingIOError:
        return left
    except BrokenPipeError:  # it has ended without reading on
        left = left[:0]
    if not left:
        process.stdin.close()
    return left
