"""A run as a collector sees it: one trace however often it is taken up, a span a visit, and nothing that holds the run up."""

from __future__ import annotations

import http.server
import io
import json
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from fsm import config as configs
from fsm import session
from fsm.engine import Nobody, Outcome
from fsm.errors import ConfigError
from fsm.journal import Journal, essence
from fsm.store import open_store
from fsm.telemetry import Link, Traced, trace_of
from fsm.view import telling
from tests.fsm.view.conftest import Bakery, toys_on_the_path

__all__ = ["toys_on_the_path"]

PATIENCE = 0.5  # seconds that a collector of a test has


class Killed(BaseException):
    """The process is gone."""


class Dies(Nobody):
    """Looks on until so many records were made."""

    def __init__(self, after: int | None) -> None:
        self._left = after

    def record(self, record: Mapping[str, Any]) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Killed


class Seen:
    """What a run's processes have sent, all of them together."""

    def __init__(self, bakery: Bakery) -> None:
        self.bakery = bakery
        self.spans: list[ReadableSpan] = []
        self.counted: Counter[str] = Counter()

    def run(self, after: int | None = None, **said: Any) -> Outcome | None:
        """One process; with `after` it is killed after so many records, and what it has in hand is lost."""
        memory, reader = InMemorySpanExporter(), InMemoryMetricReader()
        traced = Traced(Dies(after), SimpleSpanProcessor(memory), reader)
        try:
            return self.bakery.run(observer=traced, **said)
        except Killed:
            return None
        finally:
            data = reader.get_metrics_data()
            for metric in data.resource_metrics[0].scope_metrics[0].metrics if data else ():
                for point in metric.data.data_points:
                    self.counted[metric.name] += int(getattr(point, "count", 0) or getattr(point, "value", 0))
            if after is None:
                traced.close(10)
            self.spans += memory.get_finished_spans()

    def records(self) -> list[dict[str, Any]]:
        return list(Journal(open_store(self.bakery.store).run("bread")).records())

    def said(self, span: ReadableSpan) -> dict[str, Any]:
        return dict(span.attributes or {})

    def whole(self) -> list[ReadableSpan]:
        """Those of visits that came to their end."""
        return [
            s for s in self.spans if "fsm.place" in self.said(s) and "fsm.interrupted" not in self.said(s)
        ]

    def by_id(self) -> dict[int, ReadableSpan]:
        return {s.context.span_id: s for s in self.spans if s.context}


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    return Seen(Bakery(tmp_path))


def identity(span: ReadableSpan) -> tuple[int, int, int | None]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id, span.parent.span_id if span.parent else None


def test_a_run_is_a_trace_and_a_visit_a_span_with_its_label_and_place(seen: Seen) -> None:
    assert (outcome := seen.run()) is not None
    assert outcome.outcome == "done"
    transitions = [r for r in seen.records() if r["kind"] == "transition"]
    assert [(s.name, seen.said(s)["fsm.label"]) for s in seen.whole()] == [
        (r["from"], r["label"] or "") for r in transitions
    ]
    (root,) = [s for s in seen.spans if s.parent is None]
    header = (Path(seen.bakery.store) / "runs" / "bread" / "run.json").read_bytes()
    assert {identity(s)[0] for s in seen.spans} == {trace_of(header)}
    assert seen.said(root) | {"fsm.run": "bread", "fsm.outcome": "done"} == seen.said(root)
    assert len(seen.by_id()) == len(seen.spans) == len(transitions) + 1
    below = next(s for s in seen.whole() if seen.said(s)["fsm.place"].startswith("Bake > "))
    assert below.parent is not None
    assert seen.by_id()[below.parent.span_id].name == "Bake"
    assert seen.counted["fsm.transitions"] == seen.counted["fsm.visit.duration"] == len(transitions)


def test_an_error_is_an_event_of_its_visit_which_is_well_where_it_was_left_in_the_end(seen: Seen) -> None:
    seen.run(mishap="Burnt")
    failed = [s for s in seen.whole() if any(e.name == "exception" for e in s.events)]
    assert failed
    assert failed[0].status.status_code is StatusCode.OK
    exception, verdict = failed[0].events
    assert dict(exception.attributes or {})["exception.message"] == "Burnt"
    assert dict(verdict.attributes or {}) == {"fsm.verdict": "again", "fsm.last": "Mishaps.TryAgain"}
    assert seen.counted["fsm.errors"] == len(failed)


def test_a_run_that_fails_is_a_trace_that_failed(seen: Seen) -> None:
    assert (outcome := seen.run(flour=False)) is not None
    assert outcome.outcome == "failed"
    (root,) = [s for s in seen.spans if s.parent is None]
    assert root.status.status_code is StatusCode.ERROR


def test_a_visit_that_a_process_left_unfinished_is_a_span_below_it(seen: Seen) -> None:
    assert (outcome := seen.run(mishap="NoGas")) is not None
    assert outcome.outcome == "stopped"
    left = [s for s in seen.spans if "fsm.interrupted" in seen.said(s)]
    assert any(s.status.status_code is StatusCode.ERROR for s in left)
    assert all(s.parent for s in seen.spans)  # the run has not ended
    before = len(seen.spans)
    seen.run(mishap="NoGas")
    for span in left:
        assert span.parent is not None
    assert len({identity(s)[0] for s in seen.spans}) == 1
    assert len(seen.spans) > before
    assert len(seen.by_id()) == len(seen.spans)  # no id twice


def test_killed_after_any_record_the_trace_goes_on_and_every_visit_is_in_it_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    whole = Seen(Bakery(tmp_path_factory.mktemp("whole")))
    whole.run(mishap="Burnt")
    names = sorted(s.name for s in whole.whole())
    for kill in range(1, len(whole.records())):
        parts = Seen(Bakery(tmp_path_factory.mktemp("parts")))
        parts.run(after=kill, mishap="Burnt")
        parts.run(mishap="Burnt")
        assert len({identity(s)[0] for s in parts.spans}) == 1
        assert sorted(s.name for s in parts.whole()) == names
        ids = parts.by_id()
        assert all(s.parent.span_id in ids for s in parts.spans if s.parent)
        assert len(ids) == len(parts.spans)


def test_another_run_of_the_name_is_another_trace(seen: Seen) -> None:
    seen.run()
    config = seen.bakery.config()
    memory = InMemorySpanExporter()
    session.run(
        config, fresh=True, observer=Traced(Nobody(), SimpleSpanProcessor(memory), InMemoryMetricReader())
    )
    assert {identity(s)[0] for s in seen.spans}.isdisjoint(
        identity(s)[0] for s in memory.get_finished_spans()
    )


# A collector


class Collector:
    """An OTLP collector on the loopback."""

    def __init__(self) -> None:
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.tokens: set[str | None] = set()
        self.status = 200
        self.hangs = threading.Event()
        self.hangs.set()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.hangs.wait(10)
                collector.tokens.add(self.headers["Authorization"])
                if self.path == "/v1/traces":
                    collector.traces.append(ExportTraceServiceRequest.FromString(body))
                elif self.path == "/v1/metrics":
                    collector.metrics.append(ExportMetricsServiceRequest.FromString(body))
                self.send_response(collector.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def spans(self) -> list[Any]:
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.hangs.set()
    collector.server.shutdown()
    collector.server.server_close()


def told(bakery: Bakery, telemetry: dict[str, Any], **said: Any) -> tuple[Outcome, list[dict[str, Any]]]:
    """A run with a collector: how it came to rest, and the lines of its log."""
    path = bakery.file(**said)
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"telemetry": telemetry}))
    config, stream = configs.load(path), io.StringIO()
    with telling(config, "json", stream) as (observer, logger):
        outcome = session.run(config, observer=observer, logger=logger)
    return outcome, [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_collector_is_sent_the_trace_and_the_metrics_with_the_headers(
    collector: Collector, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTOR_TOKEN", "Bearer a-very-secret-word")
    telemetry = {"endpoint": collector.url, "headers": {"Authorization": "${COLLECTOR_TOKEN}"}}
    outcome, lines = told(seen.bakery, telemetry, talk=True)
    assert outcome.outcome == "done"
    transitions = [r for r in seen.records() if r["kind"] == "transition"]
    assert Counter(s.name for s in collector.spans()) == Counter([*(r["from"] for r in transitions), "bread"])
    assert collector.tokens == {"Bearer a-very-secret-word"}
    metrics = collector.metrics[-1].resource_metrics[0].scope_metrics[0].metrics
    assert {m.name for m in metrics} == {"fsm.transitions", "fsm.visit.duration"}
    # and the lines say which trace it is, those of a handler and those of the records
    trace = collector.spans()[0].trace_id.hex()
    assert {line["trace_id"] for line in lines if line["event"] in ("weighing", "left")} == {trace}
    kept = (Path(seen.bakery.store) / "runs" / "bread" / "run.json").read_text()
    assert "telemetry" not in json.loads(kept)["config"]


def closed() -> str:
    """An address at which nothing listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{s.getsockname()[1]}"


def refusing(collector: Collector) -> str:
    collector.status = 503
    return collector.url


def hanging(collector: Collector) -> str:
    collector.hangs.clear()
    return collector.url


@pytest.mark.parametrize(
    "down", [lambda collector: closed(), refusing, hanging], ids=["closed", "refusing", "hanging"]
)
def test_a_collector_that_is_down_is_one_line_and_changes_nothing_of_the_run(
    down: Callable[[Collector], str], collector: Collector, tmp_path: Path
) -> None:
    url = down(collector)
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
    with_it, without = Seen(Bakery(tmp_path / "with")), Seen(Bakery(tmp_path / "without"))
    outcome, lines = told(with_it.bakery, {"endpoint": url, "seconds": PATIENCE})
    assert without.bakery.run() == outcome
    warnings = [line["event"] for line in lines if line["level"] in ("warning", "error")]
    assert warnings == [
        f"the collector at {url} takes no telemetry: the run goes on, and what it does not take is lost"
    ]
    assert [essence(r) for r in with_it.records() if r["kind"] != "claim"] == [
        essence(r) for r in without.records() if r["kind"] != "claim"
    ]


def test_a_forked_process_sends_nothing_of_its_parents() -> None:
    link = Link("http://there", lambda line: None)
    if (pid := os.fork()) == 0:
        os._exit(link.sent(lambda: True))
    assert os.waitpid(pid, 0)[1] == 0
    assert link.sent(lambda: True)


@pytest.mark.parametrize("endpoint", ["localhost:4318", "ftp://host", "http://", "http://host:0"])
def test_an_address_that_is_none_is_refused(endpoint: str, seen: Seen) -> None:
    with pytest.raises(ConfigError, match=r"telemetry.*http"):
        told(seen.bakery, {"endpoint": endpoint})


def test_without_the_extra_the_configuration_says_what_to_install(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "fsm.telemetry")
    with pytest.raises(
        ConfigError,
        match=r"opentelemetry.* is not installed. Install the extra: pip install 'fsm-pipelines\[otel\]'",
    ):
        told(seen.bakery, {"endpoint": "http://localhost:4318"})


def test_no_notify_leaves_the_collector_alone(collector: Collector, seen: Seen) -> None:
    from fsm import cli

    path = seen.bakery.file()
    path.write_text(
        yaml.safe_dump(yaml.safe_load(path.read_text()) | {"telemetry": {"endpoint": collector.url}})
    )
    assert cli.main(["run", str(path), "--no-notify", "--log", "none"]) == 0
    assert (collector.traces, collector.metrics) == ([], [])


def test_a_record_of_no_state_is_passed_on_and_is_in_no_span(seen: Seen) -> None:
    """Drawings that were accepted, which a run tells before it goes on."""
    passed: list[Any] = []

    class Hears(Nobody):
        def record(self, record: Mapping[str, Any]) -> None:
            passed.append(record)

    memory = InMemorySpanExporter()
    Traced(Hears(), SimpleSpanProcessor(memory), InMemoryMetricReader()).record({"kind": "accept", "seq": 9})
    assert passed == [{"kind": "accept", "seq": 9}]
    assert memory.get_finished_spans() == ()
