"""GCC's front end, reading text written by a model: bounded in time, memory and files, and told everything.

`cc1` is run without the driver in front of it: half the processes, and the limits are on the one that reads the text.
It is started without the text, which comes through a pipe once the limits are set on it from outside
(prlimit(2)); so nothing runs between fork and exec, and threads may start as many as they like.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import resource
import select
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from phases.quality_scoring.config import CompilerLimits

CODE, PRELUDE = "code.c", "prelude.h"  # what diagnostics call the scored text, and what is put before it

# Standard, whatever the compiler's own default: the same text has the same score with GCC 12 and with GCC 15.
_LANGUAGE = (
    "-std=gnu17",
    "-Wno-error=implicit-function-declaration",
    "-Wno-error=implicit-int",
    "-Wno-error=int-conversion",
    "-Wno-error=incompatible-pointer-types",
)
# Both operators can be pasted together by macros where no check of the text can see them, and both open files.
_NO_FILES = ("-D_Pragma(x)=", "-D__has_include(x)=0", "-D__has_include_next(x)=0", "-D__has_embed(x)=0")


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One diagnostic in the scored text. `kind` is GCC's: error, fatal error, warning.

    elsewhere  the other half of it is not in the text: a clash with what a header declares
    """

    kind: str
    line: int
    message: str
    option: str
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Compilation:
    """What the compiler said. `failure` is empty, or says why it could not read the text to its end.

    brought  names that what stands before the text declares twice: a header of the prelude brought them as well
    """

    diagnostics: tuple[Diagnostic, ...]
    failure: str = ""
    brought: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compiler:
    """GCC's C front end and the directories of the system's headers."""

    cc1: str
    include: tuple[str, ...]

    @cached_property
    def available(self) -> Callable[[str], bool]:
        """Whether a header, by the name in its #include, is one of the system's; answers are kept."""
        roots = [(d, os.path.realpath(d) + "/") for d in self.include]

        @lru_cache(maxsize=4096)
        def available(name: str) -> bool:
            for directory, root in roots:
                path = f"{directory}/{name}"
                if os.path.isfile(path) and os.path.realpath(path).startswith(root):  # noqa: PTH113 (a third the time)
                    return True
            return False

        return available

    def read(self, text: str, warnings: tuple[str, ...], limits: CompilerLimits) -> Compilation:
        """Diagnostics of a guarded text (see `guard`). Never raises for what is in the text.

        Raises OSError where the compiler cannot be started.
        """
        command = [self.cc1, "-quiet", "-fsyntax-only", *_LANGUAGE, *warnings, *_NO_FILES, "-nostdinc"]
        for directory in self.include:
            command += ["-isystem", directory]
        command += ["-fdiagnostics-format=json", "-o", "/dev/null", "-"]
        output, failure, code = _run(command, text.encode("utf-8", "replace"), limits)
        said = _said(output)
        if not failure and code != 0 and not any(part["kind"] != "warning" for part in said):
            # It says that there are errors, and names none. What it does say is then in words.
            failure = "it ran out of memory" if b"out of memory" in output else _ending(code)
        found = tuple(d for part in said if (d := _diagnostic(part)) is not None)
        return Compilation(found, failure, tuple(name for part in said if (name := _clashing(part))))


@lru_cache(maxsize=8)
def find_compiler(command: str) -> Compiler | None:
    """The GCC behind a command; None where there is none, or something else by its name, or no way to bound it."""
    path = shutil.which(command)
    if path is None or not (hasattr(resource, "prlimit") and hasattr(os, "pidfd_open")):
        return None
    ask: Callable[..., subprocess.CompletedProcess[str]] = lambda *args: subprocess.run(  # noqa: E731
        [path, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, env=_ENVIRONMENT
    )
    try:
        cc1 = ask("-print-prog-name=cc1").stdout.strip()
        searched = ask("-E", "-v", "-x", "c", "/dev/null").stderr
    except (OSError, subprocess.SubprocessError):
        return None
    if not (Path(cc1).is_absolute() and os.access(cc1, os.X_OK)):  # clang answers "cc1"
        return None
    listed = re.search(r"<\.\.\.> search starts here:\n(.*?)End of search list", searched, re.DOTALL)
    directories = [line.strip() for line in listed[1].splitlines()] if listed else []
    return Compiler(cc1, tuple(d for d in directories if Path(d).is_dir()))


_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


@lru_cache(maxsize=1)
def _empty_directory() -> str:
    """Where the compiler runs: private, empty, and not to be written in. One for this process."""
    path = tempfile.mkdtemp(prefix="quality-scoring-")
    Path(path).chmod(0o500)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def _run(command: list[str], text: bytes, limits: CompilerLimits) -> tuple[bytes, str, int]:
    """Feed the text to the command: what it wrote to stderr, which bound it passed ("" if none), its exit status."""
    here = _empty_directory()
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=here,
        env={**_ENVIRONMENT, "TMPDIR": here},
        start_new_session=True,
        bufsize=0,
    )
    deadline = time.monotonic() + limits.wall_seconds
    output, failure = b"", ""
    try:
        _limit(process.pid, limits)
        output, failure = _feed(process, text, limits, deadline)
        if not failure:
            failure = _await_end(process, limits, deadline)
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        for pipe in (process.stdin, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
    return output, failure, code


_TOO_LONG = "it took more than {:g} seconds"


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
) -> tuple[bytes, str]:
    """Write and read at once, until the compiler closes its output, a bound is passed, or time is up."""
    assert process.stdin is not None
    assert process.stderr is not None
    most = limits.output_kb << 10
    left = memoryview(text)
    pieces: list[bytes] = []
    read = 0
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        if left := _write(process, left):
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while True:
            if (wait := deadline - time.monotonic()) <= 0:
                return b"".join(pieces), _TOO_LONG.format(limits.wall_seconds)
            for key, _ in selector.select(wait):
                if key.fileobj is process.stdin:
                    if not (left := _write(process, left)):
                        selector.unregister(process.stdin)
                elif piece := os.read(process.stderr.fileno(), 1 << 16):
                    pieces.append(piece)
                    read += len(piece)
                    if read > most:
                        return b"".join(pieces), f"its diagnostics are longer than {limits.output_kb} KiB"
                else:
                    return b"".join(pieces), ""


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


def _ending(code: int) -> str:
    if code == 1:
        return "it gave up"
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return "it used up its time"
    return "it broke down" if code in (4, -signal.SIGSEGV, -signal.SIGABRT) else f"it ended with {code}"


def _said(output: bytes) -> list[dict[str, Any]]:
    """The diagnostics, each with its own notes under "notes".

    GCC writes one JSON array at its end; of a broken-off one, what is whole counts.
    """
    text = output.decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    found: list[dict[str, Any]] = []
    at = text.find("[{") + 1
    while at > 0:
        try:
            raw, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        found.extend(_flatten(raw))
        at = text.find("{", end, end + 4)
    return found


def _flatten(raw: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """GCC groups diagnostics: what follows a first one may be its notes, or others in their own right."""
    alone: dict[str, Any] = {}
    for part in (raw, *raw.get("children", ())):
        if part.get("kind") == "note":
            if alone:
                alone["notes"].append(part)
        else:
            if alone:
                yield alone
            alone = {**part, "kind": str(part.get("kind")), "notes": []}
    if alone:
        yield alone


def _diagnostic(raw: dict[str, Any]) -> Diagnostic | None:
    """A diagnostic in the scored text, or an error that the text causes in a header."""
    caret = _caret(raw)
    message = str(raw.get("message", ""))
    line = int(caret["line"]) if caret else 1
    if caret is not None and (file := str(caret.get("file"))) != CODE:
        if raw["kind"] == "warning" or file == PRELUDE:
            return None
        line, message = 1, f"in {file}: {message}"
    elsewhere = any((note := _caret(n)) is not None and note.get("file") != CODE for n in raw["notes"])
    return Diagnostic(raw["kind"], line, message, str(raw.get("option", "")), elsewhere)


def _clashing(raw: dict[str, Any]) -> str:
    """The name that the prelude and a header of it declare differently; "" for any other diagnostic."""
    clash = re.match(r"conflicting types for '(\w+)'", str(raw.get("message", "")))
    caret = _caret(raw)
    return clash[1] if clash and caret is not None and caret.get("file") == PRELUDE else ""


def _caret(raw: dict[str, Any]) -> dict[str, Any] | None:
    return next((place["caret"] for place in raw.get("locations", ()) if "caret" in place), None)
