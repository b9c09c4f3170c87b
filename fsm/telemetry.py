"""A run as others see it: OpenTelemetry's traces and metrics, sent to a collector by OTLP over HTTP.

A run is one trace, whose id derives from its run.json, so that whoever goes on with the run goes on with the trace. Its spans:

    the run             when it has ended, from the moment it was begun; an error where its outcome is `failed`
    a visit             below the visit that called its machine; place, label and outcome; its errors are events of it
    an interrupted one  where a process left a visit unfinished, for a stop or an error: below that visit, which comes later

A span's id derives from the visit that it is, so what was seen below it before an interruption is below it still.

Looking on costs a run nothing but these objects: they are sent by another thread, and where the collector cannot be reached
one line says so and what would have been sent is lost. Nothing here is imported unless `telemetry` is configured.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags, set_span_in_context

from fsm.engine import Observer
from fsm.journal import Watch, place_of
from fsm.store import RunStore

if TYPE_CHECKING:
    from fsm.config import Telemetry

SERVICE = "fsm"
QUEUE = 1 << 14  # spans that wait to be sent; more are dropped
BATCH = 512
EVERY = 5.0  # seconds between two batches
METRICS_EVERY = 15.0  # seconds
DOWN = 60.0  # seconds for which a collector that failed is left alone
BOUNDS = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 36000)  # seconds that a visit takes


def trace_of(header: bytes) -> int:
    """The trace of a run, from its run.json: 128 bits, not 0."""
    return int.from_bytes(hashlib.sha256(header).digest()[:16]) or 1


def bound(logger: Any, run: RunStore) -> Any:
    """The logger whose lines carry the trace of a run, from whichever thread."""
    trace = trace_of(run.read_header() or b"{}")
    return (logger or structlog.get_logger()).bind(trace_id=f"{trace:032x}")


def _span_of(trace: int, *parts: object) -> int:
    text = "/".join(map(str, (f"{trace:032x}", *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) or 1


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


class _Ids(IdGenerator):
    """Gives out the ids that are set, for what the SDK makes next."""

    def __init__(self) -> None:
        self.trace = 1
        self.span = 1

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


@dataclass
class _Visit:
    """A visit in progress, by this process."""

    span: Span
    identity: str
    began: int
    attributes: dict[str, Any]
    errors: list[tuple[dict[str, Any], int]] = field(default_factory=list)


class Traced:
    """Makes spans and metrics of a run, and passes everything on to the next observer."""

    def __init__(self, then: Observer, spans: SpanProcessor, metrics: MetricReader) -> None:
        self._then = then
        self._ids = _Ids()
        resource = Resource.create({"service.name": SERVICE})
        self._tracers = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._tracers.add_span_processor(spans)
        self._meters = MeterProvider([metrics], resource=resource, shutdown_on_exit=False)
        self._tracer = self._tracers.get_tracer(SERVICE)
        meter = self._meters.get_meter(SERVICE)
        self._transitions = meter.create_counter("fsm.transitions", "{transition}", "Transitions committed")
        self._errors = meter.create_counter("fsm.errors", "{error}", "Exceptions in states")
        self._seconds = meter.create_histogram(
            "fsm.visit.duration",
            "s",
            "Time from entering a state to leaving it",
            explicit_bucket_boundaries_advisory=BOUNDS,
        )
        self._lock = threading.Lock()
        self._visits: dict[tuple[str, ...], _Visit] = {}
        self._root: SpanContext | None = None
        self._run: dict[str, Any] = {}
        self._created = 0
        self._session = 0

    # Looking on

    def opened(self, run: RunStore, records: int) -> None:
        content = run.read_header() or b"{}"
        header = json.loads(content)
        trace = trace_of(content)
        self._root = SpanContext(
            trace, _span_of(trace), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
        )
        self._run = {"fsm.run": run.name, "fsm.machine": str(header.get("machine", ""))}
        self._created = _nanoseconds(_created(header))
        self._session = records
        structlog.contextvars.bind_contextvars(trace_id=f"{trace:032x}")
        self._then.opened(run, records)

    def entered(self, at: list[str], machine: str, state: str, visit: int) -> None:
        key = (*at, state)
        if key not in self._visits:
            self._visits[key] = self._begun(at, machine, state, visit)
        self._then.entered(at, machine, state, visit)

    def record(self, record: Mapping[str, Any]) -> None:
        if "from" in record:  # it is of a state
            visit = self._visits.get((*record["at"], record["from"]))
            if record["kind"] == "transition":
                self._left(record, visit)
            elif record["kind"] == "error":
                self._failed(record, visit)
            elif record["kind"] == "verdict" and visit:
                visit.span.add_event(
                    "verdict", {"fsm.verdict": record["verdict"], "fsm.last": record["last"]}
                )
            elif record["kind"] in ("join", "cancel") and (end := record.get("end")):
                self._ended(end, _nanoseconds(record["time"]))
        self._then.record(record)

    def progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None:
        self._then.progress(at, state, done, total, note)

    def watched(self, at: list[str], state: str, watch: Watch) -> None:
        self._then.watched(at, state, watch)

    # Spans

    def _begun(self, at: list[str], machine: str, state: str, number: int) -> _Visit:
        assert self._root is not None
        above = self._above(at)
        identity = f"{above.identity if above else ''}/{at[-1] if at else ''}:{machine}:{state}#{number}"
        attributes = {
            "fsm.run": self._run["fsm.run"],
            "fsm.machine": machine,
            "fsm.state": state,
            "fsm.place": place_of(at, state),
            "fsm.visit": number,
        }
        began = time.time_ns()
        parent = above.span.get_span_context() if above else self._root
        return _Visit(self._span(state, identity, parent, began, attributes), identity, began, attributes)

    def _above(self, at: Sequence[str]) -> _Visit | None:
        """The visit that called down to a path, where it is this process's."""
        return next(
            (
                visit
                for depth in reversed(range(len(at)))
                if (visit := self._visits.get((*at[:depth], at[depth].partition("~")[0])))
            ),
            None,
        )

    def _span(
        self, name: str, identity: str, parent: SpanContext, began: int, attributes: Mapping[str, Any]
    ) -> Span:
        assert self._root is not None
        context = set_span_in_context(NonRecordingSpan(parent), Context())
        with self._lock:
            self._ids.span = _span_of(self._root.trace_id, identity)
            span = self._tracer.start_span(name, context, attributes=dict(attributes), start_time=began)
        assert isinstance(span, Span)
        return span

    def _left(self, record: Mapping[str, Any], visit: _Visit | None) -> None:
        at, state = record["at"], record["from"]
        words = {"fsm.machine": record["machine"], "fsm.state": state}
        self._transitions.add(1, words | {"fsm.label": record["label"] or ""})
        self._seconds.record(record["took"], words)
        now = _nanoseconds(record["time"])
        if visit:
            self._drop_below(at, state)
            del self._visits[(*at, state)]
            visit.span.set_attributes({"fsm.label": record["label"] or "", "fsm.to": list(record["to"])})
            if visit.errors:
                visit.span.set_status(StatusCode.OK)  # it was left in the end
            visit.span.end(max(now, visit.began))
        if end := record.get("end"):
            self._ended(end, now)

    def _failed(self, record: Mapping[str, Any], visit: _Visit | None) -> None:
        words = {"fsm.machine": record["machine"], "fsm.state": record["from"]}
        self._errors.add(1, words | {"fsm.error": record["error"]})
        if visit:
            event = {
                "exception.type": record["error"],
                "exception.message": record["message"],
                "exception.stacktrace": record["traceback"],
            }
            visit.errors.append((event, _nanoseconds(record["time"])))
            visit.span.add_event("exception", event, _nanoseconds(record["time"]))
            visit.span.set_status(StatusCode.ERROR, f"{record['error']}: {record['message']}")
            self._drop_below(record["at"], record["from"])

    def _drop_below(self, at: Sequence[str], state: str) -> None:
        """What a state had called, and left unfinished, when it was left or failed."""
        above, deep = list(at), len(at)
        for key in [k for k in self._visits if len(k) > deep + 1 and list(k[:deep]) == above]:
            if key[deep].partition("~")[0] == state:
                self._interrupted(self._visits.pop(key))

    def _interrupted(self, visit: _Visit) -> None:
        """What this process did of a visit that it does not finish. The visit's own span is for who finishes it."""
        span = self._span(
            visit.span.name,
            f"{visit.identity}!{self._session}",
            visit.span.get_span_context(),
            visit.began,
            visit.attributes | {"fsm.interrupted": True},
        )
        for event, moment in visit.errors:
            span.add_event("exception", event, moment)
        if visit.errors:
            last = visit.errors[-1][0]
            span.set_status(StatusCode.ERROR, f"{last['exception.type']}: {last['exception.message']}")
        span.end()

    def _ended(self, end: Mapping[str, Any], now: int) -> None:
        assert self._root is not None
        said = {"fsm.outcome": end["outcome"], "fsm.label": end["label"] or "", "fsm.last": end["last"]}
        with self._lock:
            self._ids.trace, self._ids.span = self._root.trace_id, self._root.span_id
            span = self._tracer.start_span(
                self._run["fsm.run"], Context(), attributes=self._run | said, start_time=self._created
            )
        if end["outcome"] == "failed":
            span.set_status(StatusCode.ERROR, f"after {end['last']}, by {end['label']}")
        span.end(max(now, self._created))

    def close(self, seconds: float) -> None:
        """Send what is left, for so long at most."""
        structlog.contextvars.unbind_contextvars("trace_id")
        for visit in reversed(list(self._visits.values())):
            self._interrupted(visit)
        self._visits.clear()
        flush = threading.Thread(target=self._shut, name="telemetry", daemon=True)
        flush.start()
        flush.join(seconds)

    def _shut(self) -> None:
        self._tracers.shutdown()
        self._meters.shutdown()


def _created(header: Mapping[str, Any]) -> float:
    try:
        return datetime.fromisoformat(header["created"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return time.time()


# Sending


class Link:
    """Whether the collector takes what it is sent. Where it does not, one line says so, and it is left alone for a while.

    It is of the process that made it: the library starts its threads anew in each that is forked, and there they would send what is
    this one's to send.
    """

    def __init__(self, endpoint: str, warn: Callable[[str], None]) -> None:
        self._endpoint = endpoint
        self._warn = warn
        self._process = os.getpid()
        self._down_until = 0.0
        self._told = False
        self._lock = threading.Lock()

    def sent(self, send: Callable[[], bool]) -> bool:
        if os.getpid() != self._process or time.monotonic() < self._down_until:
            return False
        try:
            taken = send()
        except Exception:
            taken = False
        if not taken:
            self._down_until = time.monotonic() + DOWN
            with self._lock:
                told, self._told = self._told, True
            if not told:
                self._warn(
                    f"the collector at {self._endpoint} takes no telemetry: the run goes on, and what it does not take is lost"
                )
        return taken


class _Spans(SpanExporter):
    def __init__(self, exporter: SpanExporter, link: Link) -> None:
        self._exporter = exporter
        self._link = link

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        taken = self._link.sent(lambda: self._exporter.export(spans) is SpanExportResult.SUCCESS)
        return SpanExportResult.SUCCESS if taken else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Metrics(MetricExporter):
    def __init__(self, exporter: MetricExporter, link: Link) -> None:
        cumulative = dict.fromkeys(exporter._preferred_temporality or (), AggregationTemporality.CUMULATIVE)
        super().__init__(exporter._preferred_temporality or cumulative, exporter._preferred_aggregation)
        self._exporter = exporter
        self._link = link

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: Any
    ) -> MetricExportResult:
        taken = self._link.sent(
            lambda: self._exporter.export(metrics_data, timeout_millis) is MetricExportResult.SUCCESS
        )
        return MetricExportResult.SUCCESS if taken else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **more: Any) -> None:
        self._exporter.shutdown(timeout_millis)


@contextmanager
def tracing(said: Telemetry, then: Observer, logger: Any = None) -> Iterator[Traced]:
    """The observer that sends what it sees to the collector of the configuration, until this is left."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    endpoint = said.endpoint.rstrip("/")
    headers = {name: value.get_secret_value() for name, value in said.headers.items()}
    link = Link(endpoint, lambda line: (logger or structlog.get_logger()).warning(line))
    with _silent():
        spans = OTLPSpanExporter(f"{endpoint}/v1/traces", headers=headers, timeout=said.seconds)
        metrics = OTLPMetricExporter(f"{endpoint}/v1/metrics", headers=headers, timeout=said.seconds)
        traced = Traced(
            then,
            BatchSpanProcessor(
                _Spans(spans, link),
                max_queue_size=QUEUE,
                schedule_delay_millis=EVERY * 1e3,
                max_export_batch_size=BATCH,
            ),
            PeriodicExportingMetricReader(
                _Metrics(metrics, link), METRICS_EVERY * 1e3, export_timeout_millis=said.seconds * 1e3
            ),
        )
        try:
            yield traced
        finally:
            traced.close(2 * said.seconds)


@contextmanager
def _silent() -> Iterator[None]:
    """The library's own lines, one for each failed try: `Link` says what there is to say."""
    logger = logging.getLogger("opentelemetry")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
