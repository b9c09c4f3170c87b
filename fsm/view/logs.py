"""The logger that phases write to: structlog, rendered as lines for people or as JSON, secrets taken out."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from fsm.speech import visible

Event = MutableMapping[str, Any]


class Sink(Protocol):
    """Where a finished line goes."""

    def __call__(self, level: str, line: str) -> None: ...


@dataclass(frozen=True)
class Form:
    """How an event becomes a line: for people or as JSON, no secret in it, and nothing that a terminal would obey."""

    redact: Callable[[str], str]
    json: bool
    colours: bool = False

    def processors(self) -> list[Any]:
        """For structlog: what comes last is the line."""
        import structlog

        if self.json:
            clock = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")
            render: Any = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
            return [clock, structlog.processors.format_exc_info, render, self._line]
        clock = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
        render = structlog.dev.ConsoleRenderer(
            colors=self.colours, sort_keys=False, pad_event_to=0, exception_formatter=self._traceback
        )
        return [clock, _place_first, self._harmless, render, self._line]

    def said(self, level: str, event: str, **words: Any) -> str:
        """The line of an event that no logger was asked for."""
        line: Any = {"event": event, **words, "level": level}
        for process in self.processors():
            line = process(None, level, line)
        return str(line)

    def _line(self, logger: Any, method: str, line: str) -> str:
        # among colours the escape itself is ours; in the words it was replaced before
        return visible(self.redact(line), keep="" if self.json else "\n\t\x1b" if self.colours else "\n\t")

    def _harmless(self, logger: Any, method: str, event: Event) -> Event:
        """For people: words that are escape sequences are shown as such, and no message looks like a second line."""
        shown: Event = {}
        for key, value in event.items():
            if isinstance(value, str):
                value = visible(self.redact(value))
                if key == "event":
                    value = value.replace("\n", "\n    ")
            elif key != "exc_info" and (spelt := visible(repr(value))) != repr(value):
                value = spelt
            shown[visible(key, keep="")] = value
        return shown

    def _traceback(self, out: TextIO, exc_info: Any) -> None:
        """A plain traceback: the one with local variables would show what is in them."""
        import structlog

        text = io.StringIO()
        structlog.dev.plain_traceback(text, exc_info)
        out.write(visible(self.redact(text.getvalue())))


_KEPT: list[Sink] = []  # who keeps the lines besides, as JSON


@contextmanager
def kept_by(sink: Sink) -> Iterator[None]:
    """Inside, every line that is logged also goes to `sink`, as JSON."""
    _KEPT.append(sink)
    try:
        yield
    finally:
        _KEPT.remove(sink)


@contextmanager
def logging_to(sink: Sink, form: Form) -> Iterator[Any]:
    """A structlog logger whose lines go to `sink`; inside, also what `structlog.get_logger()` gives anyone."""
    import logging

    import structlog

    steps = form.processors()
    as_json = Form(form.redact, True).processors()

    def emit(logger: Any, method: str, event: Event) -> Any:
        level, line = str(event.get("level", method)), event
        for keep in _KEPT:
            kept: Any = dict(event)
            for step in as_json:
                kept = step(logger, method, kept)
            keep(level, str(kept))
        for step in steps:
            line = step(logger, method, line)
        sink(level, str(line))
        raise structlog.DropEvent

    before = structlog.get_config()
    was_configured = structlog.is_configured()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            emit,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        yield structlog.get_logger()
    finally:
        if was_configured:
            structlog.configure(**before)
        else:
            structlog.reset_defaults()


def _place_first(logger: Any, method: str, event: Event) -> Event:
    """For people: where, then what."""
    if place := event.pop("place", None):
        event["event"] = f"{place}: {event['event']}"
    return event


def nobody() -> Any:
    """A logger that says nothing."""
    import structlog

    def drop(logger: Any, method: str, event: Event) -> Any:
        raise structlog.DropEvent

    return structlog.wrap_logger(None, processors=[drop])
