"""The standard streams of a command: there or not, writable or not."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO, TypeGuard

from fsm.speech.outlet import spoken
from fsm.speech.visible import ESCAPES, visible

READER_GONE = 141  # what a shell reports for a program whose reader has gone
CANNOT_WRITE = 74  # EX_IOERR of sysexits.h


class _Output(io.FileIO):
    """A descriptor that remembers why it could not be written: other errors of a command look alike."""

    failed: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as e:
            self.failed = e
            raise


def settle() -> None:
    """Make the standard streams usable, whatever the process was started with.

    A descriptor that is closed would be given to the next file that is opened, a journal for instance, and what a C
    library writes to standard error would go there: the null device takes its place. What such a command prints is
    still not written, and `finished` says so. Characters that a stream's encoding lacks are written as JSON escapes.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            found = os.open(os.devnull, os.O_RDWR)
            if found != fd:
                os.dup2(found, fd)
                os.close(found)
            os.set_inheritable(fd, True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:  # every write to it fails
        sys.stdout = _output(os.open(os.devnull, os.O_RDONLY), "utf-8", unbuffered=False)
    elif _is_plain(sys.stdout):
        sys.stdout.flush()
        sys.stdout = _output(
            1, sys.stdout.encoding, unbuffered=sys.stdout.line_buffering or sys.stdout.write_through
        )
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors=ESCAPES)


def _is_plain(stream: TextIO) -> TypeGuard[io.TextIOWrapper]:
    """Whether a stream is what the interpreter made of descriptor 1, and not something that took its place."""
    return stream is sys.__stdout__ and isinstance(stream, io.TextIOWrapper) and stream.fileno() == 1


def _output(fd: int, encoding: str, *, unbuffered: bool) -> io.TextIOWrapper:
    raw = io.BufferedWriter(_Output(fd, "w", closefd=False))
    return io.TextIOWrapper(raw, encoding=encoding, errors=ESCAPES, line_buffering=unbuffered)


def _raw() -> _Output | None:
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Output) else None


def _failure() -> OSError | None:
    """Why standard output could not be written."""
    raw = _raw()
    return raw.failed if raw else None


def say(message: str) -> None:
    """A paragraph for the person at the terminal, who may have closed it: that is no failure of the command."""
    spoken(sys.stderr, f"fsm: {visible(message)}\n")


def out(text: object) -> None:
    """Print a line of a command's output. Raises OSError, which `unwritten` understands."""
    sys.stdout.write(visible(str(text)) + "\n")


def emit(text: str) -> str | None:
    """Write a line to standard output at once; returns why that could not be done, or None."""
    return spoken(sys.stdout, visible(text) + "\n")


def finished(code: int) -> int:
    """The exit code of a command that has printed its last: another one where its output could not be written."""
    if _fails(sys.stdout) or _failure():
        code = _told(_failure())
    if _fails(sys.stderr):
        _silence(sys.stderr)
    return code


def unwritten(error: OSError) -> int:
    """The exit code for an error of writing standard output, which is told. Raises the error if it is another's."""
    if error is not _failure():
        raise error
    return _told(error)


def _told(error: OSError | None) -> int:
    _silence(sys.stdout)
    if raw := _raw():
        raw.failed = None  # told once
    if error is not None and error.errno == errno.EPIPE:
        return READER_GONE
    why = (error.strerror if error else None) or error or "unknown"
    say(f"the output could not be written to its end: {why}.")
    return CANNOT_WRITE


def _fails(stream: TextIO) -> bool:
    try:
        stream.flush()
    except (OSError, ValueError):
        return True
    return False


def _silence(stream: TextIO) -> None:
    """Lead a stream that cannot be written to the null device, so that the interpreter's own flush does not fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):
        os.dup2(null, stream.fileno())
    os.close(null)
