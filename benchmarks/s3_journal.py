"""What a journal in a bucket costs: puts, throughput against bare puts, fencing checks, resuming, dollars.

    python -m benchmarks.s3_journal [--records 100000] [--only NAME]

Needs MiniStack (`python -m tests.needs`). Everything stays on the loopback address. Results go to
benchmarks/results/s3_journal.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsm.engine import Phase, Program, Runner
from fsm.journal import GENESIS, Fold, Journal, digest, encode
from fsm.store.s3 import S3Store
from tests.fsm.drawn import drawn, program
from tests.servers.process import HOST
from tests.servers.proxy import Proxy
from tests.servers.s3 import KEYS, REGION, client, ministack

RESULTS = Path(__file__).parent / "results" / "s3_journal.json"
PUT, GET = (
    0.005 / 1000,
    0.0004 / 1000,
)  # dollars a request, S3 Standard in us-east-1 (a list costs what a put does)
STEPS = 600


class Loop:
    """A machine that goes round `steps` times and does nothing: what is left is the engine and the store."""

    def __init__(self, steps: int, effects: bool = False) -> None:
        machine = drawn("[*] --> A\nA --> A : On\nA --> [*] : Off", "loop", bounds={("A", "On"): "steps"})
        phase = Phase("loop")
        phase.state("A", effects=effects)(lambda ctx: "Off" if ctx.visit >= steps else "On")
        self.program: Program = program(machine, phases={"loop": phase})
        self.steps = steps

    def drive(self, store: S3Store, name: str) -> float:
        """Seconds for all its transitions, the opening not counted."""
        run = store.run(name)
        run.write_header(b'{"format": 1}')
        journal = Journal(run)
        runner = Runner(self.program, run, journal, journal.open(), seed=1, work=Path("/nonexistent"))
        began = time.perf_counter()
        runner.drive()
        return time.perf_counter() - began


@contextmanager
def server() -> Iterator[Any]:
    with tempfile.TemporaryDirectory() as directory:
        found = ministack(Path(directory))
        found.start()
        client(found.url).create_bucket(Bucket="bucket")
        yield found
        found.kill()


class Paired:
    """A run that puts every record a second time, bare, to a key beside the journal, and times that."""

    def __init__(self, run: Any, prefix: str) -> None:
        self._run = run
        self._prefix = prefix
        self.bare = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def append(self, seq: int, line: bytes) -> None:
        self._run.append(seq, line)
        began = time.perf_counter()
        self._run.bucket.put(f"{self._prefix}/{seq:012}.json", line, absent=True)
        self.bare += time.perf_counter() - began


def throughput(url: str, repeats: int = 5) -> dict[str, Any]:
    """Transitions a second against bare sequential puts of the same records.

    The bare put of each record follows the record itself, so that both meet the same machine at the same time.
    """
    ratios, rates, bare_rates = [], [], []
    for n in range(repeats):
        store = S3Store(f"s3://bucket/throughput{n}", endpoint_url=url)
        run: Any = Paired(store.run("run"), f"bare{n}")
        run.write_header(b'{"format": 1}')
        journal = Journal(run)
        loop = Loop(STEPS)
        runner = Runner(loop.program, run, journal, journal.open(), seed=1, work=Path("/nonexistent"))
        run.bare = 0.0
        began = time.perf_counter()
        runner.drive()
        took = time.perf_counter() - began - run.bare
        rates.append(STEPS / took)
        bare_rates.append(STEPS / run.bare)
        ratios.append(run.bare / took)
    return {
        "transitions_per_second": round(statistics.median(rates), 1),
        "bare_puts_per_second": round(statistics.median(bare_rates), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(r, 3) for r in ratios],
    }


def puts(port: int) -> dict[str, Any]:
    """Requests of a run by kind; a transition is one put."""
    with Proxy(port) as proxy:
        Loop(STEPS).drive(S3Store("s3://bucket/puts", endpoint_url=proxy.url), "run")
        counts = {f"{method} {kind}": n for (method, kind), n in sorted(proxy.counts.items())}
    journal = counts["PUT journal"] - 1  # the claim
    requests = sum(n for k, n in counts.items() if k.startswith("PUT") or k.endswith("list"))
    dollars = requests * PUT + (sum(counts.values()) - requests) * GET
    return {
        "transitions": STEPS,
        "puts_per_transition": journal / STEPS,
        "requests": counts,
        "dollars": round(dollars, 6),
        "dollars_per_1000_transitions": round(dollars / STEPS * 1000, 6),
    }


def fencing(url: str, work: float = 0.05) -> dict[str, Any]:
    """The share of a run's time that goes into claim checks, where every state has effects outside and works 50 ms."""
    store = S3Store("s3://bucket/fencing", endpoint_url=url)
    spent = [0.0]

    class Timed(Journal):
        def check_claim(self) -> None:
            began = time.perf_counter()
            super().check_claim()
            spent[0] += time.perf_counter() - began

    loop = Loop(100, effects=True)
    handler = loop.program.phases["loop"].handlers["A"].handle

    def working(ctx: Any) -> Any:
        time.sleep(work)
        return handler(ctx)

    phase = Phase("loop")
    phase.state("A", effects=True)(working)
    run = store.run("run")
    run.write_header(b'{"format": 1}')
    journal = Timed(run)
    plugged = program(loop.program.machine("loop"), phases={"loop": phase})
    runner = Runner(plugged, run, journal, journal.open(), seed=1, work=Path("/nonexistent"))
    began = time.perf_counter()
    runner.drive()
    took = time.perf_counter() - began
    return {"handler_seconds": work, "checks": 100, "share": round(spent[0] / took, 4)}


def journal_of(count: int) -> Iterator[bytes]:
    """The records of a run that went round so often, snapshots where a runner puts them."""
    fold, prev = Fold(), GENESIS
    for seq in range(count):
        frame = {"seq": seq, "epoch": 1, "writer": "w", "id": f"w-{seq}", "prev": prev, "time": 0.0}
        if seq == 0:
            body: dict[str, Any] = {"kind": "claim", "host": "h", "pid": 1}
        else:
            body = {
                "kind": "transition", "at": [], "machine": "loop", "from": "A", "visit": seq, "label": "On",
                "to": ["A"], "took": 0.0,
            }  # fmt: skip
            fold.apply(body)
            if seq % 64 == 0:
                body["snapshot"] = fold.snapshot()
        line = encode({**frame, **body})
        prev = digest(line)
        yield line


def resume(count: int, *, live: bool, latency: float = 0.02, repeats: int = 5) -> dict[str, Any]:
    """Seconds from nothing (not even a client) to the right to append, on a store that takes so long for each answer.

    With `live`, the last runner's live.json is there, as it is unless somebody removed it; its last heartbeat was a few
    records before the end.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.quick_s3", str(latency)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    url = f"http://{HOST}:{process.stdout.readline().strip()}"
    try:
        _fill(url, count, live)
        took = []
        for _ in range(repeats):
            began = time.perf_counter()
            store = S3Store("s3://bucket/p", endpoint_url=url)
            journal = Journal(store.run("run"))
            journal.header()
            fold = journal.open()
            took.append(time.perf_counter() - began)
            assert fold.root is not None
            assert fold.root["visits"]["A"] == count - 1
    finally:
        process.kill()
        process.wait()
    return {
        "records": count,
        "live_json": live,
        "latency_seconds": latency,
        "median_seconds": round(statistics.median(took), 3),
        "worst_seconds": round(max(took), 3),
    }


def _fill(url: str, count: int, live: bool) -> None:
    """Put the records by plain HTTP on several connections: a client that signs would take minutes."""
    import http.client
    from concurrent.futures import ThreadPoolExecutor

    host, _, port = url.removeprefix("http://").partition(":")
    lines = list(enumerate(journal_of(count)))

    def fill(share: list[tuple[int, bytes]]) -> None:
        connection = http.client.HTTPConnection(host, int(port))
        for seq, line in share:
            connection.request("PUT", f"/bucket/p/runs/run/journal/{seq:012}.json", body=line)
            connection.getresponse().read()

    connection = http.client.HTTPConnection(host, int(port))
    small = {"run": {"format": 1}} | ({"live": {"status": "ended", "seq": count - 5}} if live else {})
    for name, content in small.items():
        connection.request("PUT", f"/bucket/p/runs/run/{name}.json", body=json.dumps(content))
        connection.getresponse().read()
    with ThreadPoolExecutor(64) as pool:
        list(pool.map(fill, [lines[n::64] for n in range(64)]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=100_000, help="of the longest journal that is resumed")
    parser.add_argument("--only", help="one of the measures; the others are kept")
    args = parser.parse_args()
    os.environ.update(
        AWS_ACCESS_KEY_ID=KEYS["aws_access_key_id"],
        AWS_SECRET_ACCESS_KEY=KEYS["aws_secret_access_key"],
        AWS_DEFAULT_REGION=REGION,
    )
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with server() as found:
        measures: dict[str, Callable[[], dict[str, Any]]] = {
            "puts": lambda: puts(found.port),
            "throughput": lambda: throughput(found.url),
            "fencing": lambda: fencing(found.url),
            "resume": lambda: resume(2_000, live=True),
            "resume_without_live": lambda: resume(2_000, live=False),
            "long_resume": lambda: resume(args.records, live=True),
            "long_resume_without_live": lambda: resume(args.records, live=False),
        }
        for name, measure in measures.items():
            if args.only in (None, name):
                results[name] = {**measure(), "load": round(os.getloadavg()[0], 1), "cpus": os.cpu_count()}
                print(name, json.dumps(results[name]), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
