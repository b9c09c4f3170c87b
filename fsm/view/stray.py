"""What libraries say past the logger: warnings, `logging`, prints. It becomes lines of the log."""

from __future__ import annotations

import io
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from fsm.speech import stripped

LONGEST = 1 << 16  # characters of an unfinished line


class Lines(io.TextIOBase):
    """A text stream that hands on whole lines. Of a line rewritten in place (a progress bar) only the last form."""

    def __init__(self, say: Callable[[str], None], instead_of: TextIO) -> None:
        self._say = say
        self._instead_of = instead_of
        self._rest = ""
        self._lock = threading.RLock()
        self._open = True

    def write(self, text: str) -> int:
        if not self._open:  # a handler of a library has kept this stream past its time
            with suppress(OSError, ValueError):  # its own failure is not the run's
                self._instead_of.write(text)
            return len(text)
        with self._lock:
            *lines, rest = (self._rest + text).split("\n")
            self._rest = rest.rpartition("\r")[2][-LONGEST:] if not rest.endswith("\r") else rest[-LONGEST:]
        for line in lines:
            self._hand_on(line)
        return len(text)

    def _hand_on(self, line: str) -> None:
        line = stripped(line).rstrip("\r").rpartition("\r")[2].rstrip()
        if line:
            self._say(line)

    def finish(self) -> None:
        """Hand on what is left; from now on write to the stream that this one stood for."""
        with self._lock:
            rest, self._rest, self._open = self._rest, "", False
        self._hand_on(rest)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._instead_of.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._instead_of.fileno()

    @property
    def buffer(self) -> Any:
        return self._instead_of.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"


class _Handler(logging.Handler):
    """Records of `logging` as events of the log."""

    def __init__(self, logger: Any) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._logger.log(
                record.levelno, record.getMessage(), library=record.name, exc_info=record.exc_info
            )
        except Exception:
            self.handleError(record)


@contextmanager
def captured(logger: Any) -> Iterator[None]:
    """Inside, warnings, `logging` and what is written to `sys.stdout` and `sys.stderr` become events of `logger`."""
    out, err = sys.stdout, sys.stderr
    stdout = Lines(lambda line: logger.info(line, printed="stdout"), out)
    stderr = Lines(lambda line: logger.info(line, printed="stderr"), err)
    handler = _Handler(logger)
    show = warnings.showwarning

    def showwarning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if file is not None:
            show(message, category, filename, lineno, file, line)
        else:
            words = " ".join(str(message).split())
            logger.warning(words, category=category.__name__, where=f"{filename}:{lineno}")

    root = logging.getLogger()
    root.addHandler(handler)
    warnings.showwarning = showwarning
    sys.stdout, sys.stderr = stdout, stderr
    try:
        yield
    finally:
        sys.stdout = out if sys.stdout is stdout else sys.stdout
        sys.stderr = err if sys.stderr is stderr else sys.stderr
        warnings.showwarning = show
        root.removeHandler(handler)
        stdout.finish()
        stderr.finish()
