"""The descriptors of standard output and error during a run.

What C libraries and processes below write there would tear the picture on a terminal, and they would fail or wait where
it leads to a full disk or to a pipe that nobody reads. It goes to a file without a name instead, and is read
from there: a file, and not a pipe, so that a process below that outlives this one can go on writing, and so that
nothing ever waits for a reader. In memory where it can be, so that a full disk is no reason to be silent.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

LARGEST = 1 << 24  # bytes that have been read before the file is emptied
AT_ONCE = 1 << 16


class Spool:
    """What was written to descriptors 1 and 2, read as it grows."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0
        self._rest = b""

    def lines(self, last: bool = False) -> list[str]:
        """The complete lines since the last call; with `last` also one that is not complete."""
        found = self._rest
        while chunk := os.pread(self._fd, AT_ONCE, self._at):
            self._at += len(chunk)
            found += chunk
        if self._at > LARGEST and os.fstat(self._fd).st_size == self._at:
            os.ftruncate(self._fd, 0)
            self._at = 0
        *complete, rest = found.split(b"\n")
        self._rest = b"" if last else rest[-AT_ONCE:]
        texts = [line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2] for line in complete]
        if last and rest:
            texts.append(rest.decode("utf-8", "replace").rpartition("\r")[2])
        return [text.rstrip() for text in texts if text.strip()]


def opened(keep: bool = True) -> int | None:
    """A descriptor of a new file for a spool, in memory where the system has such files; None where there is no room.

    Without `keep` it is the null device.
    """
    try:
        if not keep:
            return os.open(os.devnull, os.O_RDWR)
        if hasattr(os, "memfd_create"):
            return os.memfd_create("spool")
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    except OSError:
        return None


@contextmanager
def spooled(spool: int) -> Iterator[tuple[Spool, TextIO]]:
    """Inside, descriptors 1 and 2 lead to the file `spool`. Gives it, and a stream to the terminal that 2 was."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    kept = {fd: os.dup(fd) for fd in (1, 2)}
    fatal = faulthandler.is_enabled()
    try:
        # appending, so that a child's descriptor and an emptying agree on where the end is
        fcntl.fcntl(spool, fcntl.F_SETFL, fcntl.fcntl(spool, fcntl.F_GETFL) | os.O_APPEND)
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        terminal = os.fdopen(os.dup(kept[2]), "w", encoding=encoding, errors="replace")
        try:
            faulthandler.enable(terminal)  # a crash of a library is told where someone looks
            for fd in (1, 2):
                os.dup2(spool, fd)
            yield Spool(spool), terminal
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            for fd, was in kept.items():
                os.dup2(was, fd)
                os.close(was)
            faulthandler.disable()
            if fatal:
                faulthandler.enable()
            with contextlib.suppress(OSError, ValueError):
                terminal.close()
    finally:
        os.close(spool)
