"""The logger that phases write to: structlog, rendered as lines for people or as JSON, secrets taken out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Protocol

Event = MutableMapping[str, Any]


class Sink(Protocol):
    """Where a finished line goes."""

    def __call__(self, level: str, line: str) -> None: ...


@contextmanager
def logging_to(sink: Sink, redact: Callable[[str], str], *, json: bool, colours: bool) -> Iterator[Any]:
    """A structlog logger whose lines go to `sink`; inside, also what `structlog.get_logger()` gives anyone."""
    import logging

    import structlog

    def emit(logger: Any, method: str, event: Event) -> Any:
        level = str(event.get("level", method))
        line = render(logger, method, event)
        sink(level, redact(str(line)))
        raise structlog.DropEvent

    if json:
        render: Any = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        clock = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")
        last: list[Any] = [structlog.processors.format_exc_info]
    else:
        # the traceback is plain: the one with local variables would show what is in them
        render = structlog.dev.ConsoleRenderer(
            colors=colours,
            sort_keys=False,
            pad_event_to=0,
            exception_formatter=structlog.dev.plain_traceback,
        )
        clock = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
        last = [_place_first]
    before = structlog.get_config()
    was_configured = structlog.is_configured()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            clock,
            structlog.processors.StackInfoRenderer(),
            *last,
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
