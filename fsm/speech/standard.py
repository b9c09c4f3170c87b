"""The standard streams of a command: there or not, writable or not."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from fsm.speech.outlet import spoken
from fsm.speech.visible import ESCAPES, visible

READER_GONE = 141  # what a shell reports for a program whose reader has gone
CANNOT_WRITE = 74  # EX_IOERR of sysexits.h
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


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
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPES)


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
    try:
        sys.stdout.flush()
    except OSError as e:
        code = unwritten(e)
    if _fails(sys.stderr):
        _silence(sys.stderr)
    return code


def unwritten(error: OSError) -> int:
    """The exit code for an error of writing standard output, which is told. Raises the error if it is another's."""
    failing = _fails(sys.stdout)  # what could not be written is still in its buffer
    if not failing and not (error.errno in FULL and error.filename is None):
        raise error
    _silence(sys.stdout)
    if error.errno == errno.EPIPE:
        return READER_GONE
    say(f"the output could not be written to its end: {error.strerror or error}.")
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
