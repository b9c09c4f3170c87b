"""Telling a run as it goes: a live tree on a terminal, lines of a log anywhere else."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from fsm.config import Config, environment_secrets
from fsm.engine import Nobody, Observer
from fsm.secrets import redactor
from fsm.speech import Outlet, stripped, writer
from fsm.view.projection import Projection

if TYPE_CHECKING:
    from fsm.engine import Machine
    from fsm.journal import Watch
    from fsm.view.spool import Spool

SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"
BETWEEN_LOOKS = 0.2  # seconds between two looks at what was written to the descriptors
FORMS = ("auto", "console", "json", "none")


@contextmanager
def telling(
    config: Config, log: str = "auto", stream: TextIO | None = None
) -> Iterator[tuple[Observer, Any]]:
    """The observer and the logger to run a configuration with; both are to be used inside only.

    `log` is one of FORMS: `auto` is the live tree where `stream` (stderr) is a terminal that can show one, and lines
    otherwise; `none` is silent. Inside, what libraries print or warn becomes lines of the log; no line shows a secret.
    """
    from fsm.view import logs, spool, stray

    stream = stream or sys.stderr
    redact = redactor(config.secrets | environment_secrets())

    def empty() -> Projection:
        projection = Projection(config.program.machines)
        projection.name = config.engine.run.name
        return projection

    # only a stream of the process's own: what it passes by comes from the descriptors, and they are everybody's
    file = spool.opened(keep=log != "none") if stream is sys.stderr and _is_standard(stream) else None
    if log == "none":
        with _aside(file), stray.captured(logs.nobody()):
            yield Nobody(), logs.nobody()
    elif log == "auto" and file is not None and can_show_a_tree(stream):
        with _live(empty, redact, file) as told:
            yield told
    else:
        with (
            _aside(file) as (spooled, terminal),
            _lines(empty(), redact, terminal or stream, spooled, json=log == "json") as told,
        ):
            yield told


@contextmanager
def _aside(file: int | None) -> Iterator[tuple[Spool | None, TextIO | None]]:
    """Descriptors 1 and 2 lead to a file, if there is one, so that nothing below fails or waits for what it writes."""
    from fsm.view import spool

    if file is None:
        yield None, None
        return
    with spool.spooled(file) as found:
        yield found


@contextmanager
def _lines(
    projection: Projection,
    redact: Callable[[str], str],
    stream: TextIO,
    spooled: Spool | None,
    *,
    json: bool,
) -> Iterator[tuple[Observer, Any]]:
    from fsm.view import logs, stray
    from fsm.view.lines import Teller

    form = logs.Form(redact, json, _colours(stream))

    def note(lines: int, why: str) -> str:
        return form.said("warning", "lines of the log could not be written", lines=lines, why=why) + "\n"

    outlet = Outlet(writer(stream), note)
    try:
        with (
            logs.logging_to(lambda level, line: outlet.put(line + "\n"), form) as logger,
            stray.captured(logger),
            _watched(spooled, logger),
        ):
            teller = Teller(logger, projection)
            try:
                yield teller, logger
            finally:
                teller.close()
    finally:
        outlet.close()


@contextmanager
def _watched(spooled: Spool | None, logger: Any) -> Iterator[None]:
    """Inside, lines that were written to the descriptors become events, a moment later."""
    if spooled is None:
        yield
        return
    end = threading.Event()

    def watch() -> None:
        ending = False
        while not ending:
            ending = end.wait(BETWEEN_LOOKS)
            for line in spooled.lines(last=ending):
                logger.info(stripped(line), printed="descriptor")

    thread = threading.Thread(target=watch, name="spool", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@contextmanager
def _live(
    empty: Callable[[], Projection], redact: Callable[[str], str], file: int
) -> Iterator[tuple[Observer, Any]]:
    from fsm.view import logs, spool, stray
    from fsm.view.live import Painter, Teller

    with spool.spooled(file) as (spooled, terminal), signals(terminal):
        outlet = Outlet(writer(terminal, errors="replace"))  # as wide as it was drawn
        painter = Painter(empty(), terminal, outlet, stray=spooled.lines, redact=redact)
        try:
            with logs.logging_to(painter.line, logs.Form(redact, False, _colours(terminal))) as logger:
                teller = Teller(painter, logger, empty, _drawings)
                painter.start()
                try:
                    with stray.captured(logger):
                        yield teller, logger
                finally:
                    try:
                        teller.close()
                    finally:
                        painter.close()
        finally:
            outlet.close()


def _drawings(watch: Watch) -> Mapping[str, Machine]:
    """The machines of a run that is followed."""
    from fsm.journal import Journal
    from fsm.view.report import drawings

    return drawings(Journal(watch.run).header())


@contextmanager
def signals(terminal: TextIO) -> Iterator[None]:
    """Inside, a signal that would end or halt the process at once leaves the cursor visible."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    def halt(number: int, frame: FrameType | None) -> None:
        say(SHOW_CURSOR + "\n")
        os.kill(os.getpid(), signal.SIGSTOP)
        say(HIDE_CURSOR)  # it goes on

    def say(controls: str) -> None:
        with suppress(OSError, ValueError):
            terminal.write(controls)
            terminal.flush()

    found = {signal.SIGTERM: end, signal.SIGHUP: end, signal.SIGTSTP: halt}
    before = {number: signal.getsignal(number) for number in found}
    for number, do in found.items():
        if before[number] is signal.SIG_DFL:
            signal.signal(number, do)
    try:
        yield
    finally:
        for number, was in before.items():
            if was is signal.SIG_DFL and signal.getsignal(number) is found[number]:
                signal.signal(number, was)


def _is_standard(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, ValueError):
        return False


def can_show_a_tree(stream: TextIO) -> bool:
    """Whether a stream is a terminal on which lines can be drawn anew."""
    return stream.isatty() and not _dumb()


def _colours(stream: TextIO) -> bool:
    """Whether lines may be coloured: https://no-color.org, and only on a terminal that knows colours."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and not _dumb()


def _dumb() -> bool:
    return os.environ.get("TERM", "") in ("", "dumb", "unknown")
