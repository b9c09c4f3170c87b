"""Telling a run as it goes: a live tree on a terminal, lines of a log anywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

from fsm.config import Config, environment_secrets
from fsm.runner import Nobody, Observer
from fsm.view.projection import Projection
from fsm.view.secrets import redactor

FORMS = ("auto", "console", "json", "none")


@contextmanager
def telling(
    config: Config, log: str = "auto", stream: TextIO | None = None
) -> Iterator[tuple[Observer, Any]]:
    """The observer and the logger to run a configuration with; both are to be used inside only.

    `log` is one of FORMS: `auto` is the live tree where `stream` (stderr) is a terminal that can show one, and lines
    otherwise; `none` is silent. Inside, what libraries print or warn becomes lines of the log; no line shows a secret.
    """
    from fsm.view import logs

    stream = stream or sys.stderr
    redact = redactor(config.secrets | environment_secrets())
    projection = Projection(config.program.machines)
    projection.name = config.engine.run.name
    if log == "none":
        yield Nobody(), logs.nobody()
        return
    with ExitStack() as stack:
        yield stack.enter_context(_lines(projection, redact, stream, json=log == "json"))


@contextmanager
def _lines(
    projection: Projection, redact: Any, stream: TextIO, *, json: bool
) -> Iterator[tuple[Observer, Any]]:
    from fsm.view import logs, stray
    from fsm.view.lines import Teller

    def sink(level: str, line: str) -> None:
        stream.write(line + "\n")
        stream.flush()

    with logs.logging_to(sink, redact, json=json, colours=_colours(stream)) as logger, stray.captured(logger):
        teller = Teller(logger, projection)
        try:
            yield teller, logger
        finally:
            teller.close()


def _colours(stream: TextIO) -> bool:
    """Whether lines may be coloured: https://no-color.org, and only on a terminal that knows colours."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and not _dumb()


def _dumb() -> bool:
    return os.environ.get("TERM", "") in ("", "dumb", "unknown")
