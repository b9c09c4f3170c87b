"""What it costs to look at a run as it goes: a record more, opening a long run, what its runner loses, requests.

    python -m benchmarks.live [--only NAME] [--rounds 5]

`requests` needs MiniStack (`bash tests/servers/install.sh`). Everything stays on this machine. Results go to
benchmarks/results/live.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks import live_page
from benchmarks.common import BUILD, cpu_time, paired
from fsm.config import Plug
from fsm.engine import Machine, Nobody, Phase, Registry, Runner, closure
from fsm.journal import GENESIS, Journal, digest, encode
from fsm.store import Scratch, open_store
from fsm.store.local import LocalStore
from fsm.view.following import Following
from fsm.view.picture import of_file
from fsm.view.timeline import CHUNK, Timeline
from tests.fsm.drawn import drawn, program

RESULTS = Path(__file__).parent / "results" / "live.json"
EDITION = 1  # of the runs that are kept between two calls
WATCHERS = 3
TRANSITIONS = 8000


def machines() -> dict[str, Machine]:
    """The pipeline's drawings."""
    return closure("pipeline", "error_recovery", Registry(Plug().machines, Machine))


def walk(length: int) -> Iterator[dict[str, Any]]:
    """The records of a run that goes round in Diagram 4 at random for ever, by its edges, below the overview."""
    chance = random.Random(4)
    machine = machines()["distillation"]
    above = [{"at": [], "machine": "pipeline", "place": ["IterativeDistillation"]}]
    place, visits, prev = machine.kernel.enter(), dict.fromkeys(machine.states, 0), GENESIS
    for seq in range(length):
        if seq == 0:
            body: dict[str, Any] = {"kind": "claim", "host": "h", "pid": 1}
        else:
            state = machine.kernel.runnable(place)
            label = chance.choice(machine.kernel.labels(state) or [None])
            step = machine.kernel.step(place, state, label)
            visits[state] += 1
            body = {
                "kind": "transition", "at": ["IterativeDistillation"], "machine": machine.name, "from": state,
                "visit": visits[state], "label": step.label, "to": list(step.place), "took": 0.25,
                "data": {"set": {"step": seq}, "drop": []},
            }  # fmt: skip
            body |= {"above": above} if seq == 1 else {}
            body |= {"also": list(step.also)} if step.also else {}
            place = step.place or machine.kernel.enter()
        record = {"seq": seq, "epoch": 1, "writer": "h-1-abc", "id": f"h-1-abc-{seq}", "prev": prev, "time": 1e9 + seq / 4} | body  # fmt: skip
        prev = digest(encode(record))
        yield record


def written(directory: Path, length: int) -> LocalStore:
    """A store with such a run `long`."""
    store = LocalStore(directory)
    run = store.run("long")
    header = {"format": 1, "name": "long", "machine": "pipeline", "config": {"recovery": "error_recovery"}}
    header["diagrams"] = {name: m.chart.digest for name, m in machines().items()}
    run.write_header(json.dumps(header).encode())
    with run.journal.open("wb") as f:
        for record in walk(length):
            f.write(encode(record) + b"\n")
    return store


def one_more(rounds: int) -> dict[str, Any]:
    """Seconds of CPU for a record and what it changed, to somebody who looks on, after 10 records and after 100,000."""
    records = list(walk(100_000 + 2 * CHUNK))
    known = machines()
    found: dict[str, Any] = {}
    for before in (10, 1_000, 100_000):
        costs = []
        for _ in range(rounds if before < 100_000 else 1):
            timeline = Timeline(known)
            timeline.read(records[:before])
            timeline.since(timeline.last)
            for record in records[before : before + CHUNK]:
                began = time.thread_time()
                timeline.apply(record)
                timeline.since(timeline.last - 1)
                costs.append(time.thread_time() - began)
        found[f"after_{before}_median_us"] = round(statistics.median(costs) * 1e6, 1)
    return found


def opening(length: int) -> dict[str, Any]:
    """From nothing to what a page shows first, the newest chunk; then any other chunk."""
    with tempfile.TemporaryDirectory() as directory:
        store = written(Path(directory), length)
        following = Following(store, "long", past=True, machines=lambda header: machines())
        machines()
        wall, cpu = time.perf_counter(), cpu_time()
        while not following.caught_up:
            following.poll()
        timeline = following.timeline
        assert timeline is not None
        index = json.dumps(timeline.index())
        newest = timeline.chunk(timeline.last)
        wall, cpu = time.perf_counter() - wall, cpu_time() - cpu
        assert timeline.last == length - 1
        chance, seeks, sizes = random.Random(1), [], []
        for _ in range(20):
            began = time.perf_counter()
            chunk = timeline.chunk(chance.randrange(length // CHUNK) * CHUNK)
            seeks.append(time.perf_counter() - began)
            sizes.append((len(chunk), len(zlib.compress(chunk, 6))))
        at = []
        for _ in range(20):
            began = time.perf_counter()
            timeline.at(chance.randrange(length))
            at.append(time.perf_counter() - began)
        return {
            "records": length,
            "seconds": round(wall, 3),
            "cpu_seconds": round(cpu, 3),
            "index_bytes": len(index),
            "newest_chunk_bytes": len(newest),
            "chunk_of": CHUNK,
            "chunk_bytes": int(statistics.median(size for size, _ in sizes)),
            "chunk_bytes_compressed": int(statistics.median(size for _, size in sizes)),
            "chunk_median_ms": round(statistics.median(seeks) * 1000, 1),
            "projection_at_any_record_median_ms": round(statistics.median(at) * 1000, 1),
            "kept_bytes_a_record": round(timeline.size / length, 1),
        }


# What the runner loses


@contextmanager
def watchers(
    directory: Path, cores: set[int]
) -> Iterator[Callable[[str], AbstractContextManager[list[float]]]]:
    """Three `fsm watch`, each in a process of its own on some cores; gives what watches a run with all of them.

    Inside that, a page's events are read from each; afterwards its value is the seconds of CPU that they took together.
    """
    with ExitStack() as stack:
        servers = [stack.enter_context(live_page.serving(directory)) for _ in range(WATCHERS)]
        for server, _ in servers:
            for thread in Path(f"/proc/{server.pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), cores)

        @contextmanager
        def watching(run: str) -> Iterator[list[float]]:
            words = [sys.executable, "-m", "benchmarks.live", "--listen", run, *(url for _, url in servers)]
            listener = subprocess.Popen(words, stdout=subprocess.PIPE)
            os.sched_setaffinity(listener.pid, cores)
            assert listener.stdout is not None
            listener.stdout.readline()  # all pages have been told how the run stands
            processes = (listener.pid, *(server.pid for server, _ in servers))
            before = sum(map(cpu_of, processes))
            took: list[float] = []
            yield took
            took.append(sum(map(cpu_of, processes)) - before)
            listener.kill()
            listener.wait()

        yield watching


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listen(run: str, addresses: Sequence[str]) -> None:
    """The events of a run, read from several servers as their pages do; says when each has begun to tell."""
    begun = threading.Barrier(len(addresses) + 1)

    def read(address: str) -> None:
        with urllib.request.urlopen(f"{address}api/runs/{run}") as answer:
            header = json.load(answer)
        asked = urlencode({"from": header["index"]["records"] - 1, "born": header["born"]})
        with urllib.request.urlopen(f"{address}api/runs/{run}/events?{asked}") as events:
            while b"event: status" not in events.readline():
                pass
            begun.wait()
            while events.read1(1 << 16):
                pass

    for address in addresses:
        threading.Thread(target=read, args=(address,), daemon=True).start()
    begun.wait()
    print("listening", flush=True)
    threading.Event().wait()


def transitions(
    directory: Path,
    name: str,
    pause: float,
    watching: Callable[[str], AbstractContextManager[list[float]]] | None,
) -> dict[str, float]:
    """Transitions a second of a runner that does nothing else, or works `pause` seconds in each, and what was taken for it."""
    steps = TRANSITIONS if not pause else int(3 / pause)
    machine = drawn("[*] --> A\nA --> A : On\nA --> [*] : Off", "loop", bounds={("A", "On"): "steps"})
    phase = Phase("loop")

    @phase.state("A")
    def step(ctx: Any) -> str:
        if pause:
            time.sleep(pause)
        return "Off" if ctx.visit >= steps else "On"

    run = LocalStore(directory).run(name)
    run.write_header(b'{"format": 1, "machine": "loop"}')
    with watching(name) if watching else nullcontext([0.0]) as took:
        journal = Journal(run)
        runner = Runner(
            program(machine, phases={"loop": phase}),
            run,
            journal,
            journal.open(),
            seed=1,
            work=directory / "w",
        )
        began, cpu = time.perf_counter(), time.process_time()
        runner.drive()
        rate, cpu = steps / (time.perf_counter() - began), time.process_time() - cpu
        journal.close()
    return {"a_second": rate, "cpu": cpu, "watchers_cpu": took[-1]}


def losses(rounds: int) -> dict[str, Any]:
    """The share of its transitions a second that a runner loses to three watchers with a page each.

    `apart`: runner and watchers have a core each, so that what is lost is lost by disk and lock; `together`: they share all.
    """
    found: dict[str, Any] = {"watchers": WATCHERS, "rounds": rounds}
    number = count()
    everything = os.sched_getaffinity(0)
    first, last = {min(everything)}, {max(everything)}
    for place, own, others in (("apart", first, last), ("together", everything, everything)):
        with tempfile.TemporaryDirectory() as directory, watchers(Path(directory), others) as watching:
            os.sched_setaffinity(0, own)
            for words, pause in (("as_fast_as_it_can", 0.0), ("at_100_a_second", 0.01)):

                def one(
                    watching: Any = watching, pause: float = pause, at: str = directory
                ) -> dict[str, float]:
                    return transitions(Path(at), f"r{next(number)}", pause, watching)

                pairs = paired(rounds, one, lambda one=one: one(watching=None))  # type: ignore[misc]
                found[f"{words}_{place}"] = lost(pairs)
            os.sched_setaffinity(0, everything)
    return found


def lost(pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]) -> dict[str, Any]:
    """Watched beside alone."""
    ratios = [watched["a_second"] / alone["a_second"] for watched, alone in pairs]
    return {
        "alone_a_second": round(statistics.median(alone["a_second"] for _, alone in pairs), 1),
        "watched_a_second": round(statistics.median(watched["a_second"] for watched, _ in pairs), 1),
        "lost_percent_median": round(100 * (1 - statistics.median(ratios)), 2),
        "lost_percent_each": [round(100 * (1 - ratio), 2) for ratio in ratios],
        "cpu_seconds_of_the_runner": round(statistics.median(watched["cpu"] for watched, _ in pairs), 3),
        "cpu_seconds_of_the_watchers": round(
            statistics.median(watched["watchers_cpu"] for watched, _ in pairs), 3
        ),
    }


# Requests


@contextmanager
def bucket() -> Iterator[Any]:
    from tests.servers.s3 import KEYS, REGION, client, ministack

    os.environ.update(
        AWS_ACCESS_KEY_ID=KEYS["aws_access_key_id"],
        AWS_SECRET_ACCESS_KEY=KEYS["aws_secret_access_key"],
        AWS_DEFAULT_REGION=REGION,
    )
    with tempfile.TemporaryDirectory() as directory:
        found = ministack(Path(directory))
        found.start()
        client(found.url).create_bucket(Bucket="bucket")
        yield found
        found.kill()


def requests() -> dict[str, Any]:
    """Requests of one follower in a minute by the clock: of a run at 5 transitions a second, and of one that does nothing."""
    from fsm import session
    from fsm.journal import Fold
    from tests.servers.proxy import Proxy

    found: dict[str, Any] = {}
    with bucket() as server, Proxy(server.port) as proxy:
        run = open_store(f"s3://bucket/p?endpoint_url={server.url}").run("r")
        run.write_header(b'{"format": 1, "machine": "loop"}')
        journal = Journal(run)
        journal.open()
        live = session.Live(run, journal, Fold(), Nobody(), Scratch(Path(tempfile.gettempdir()), run))
        following = Following(open_store(f"s3://bucket/p?endpoint_url={proxy.url}"), "r")
        over = threading.Event()
        seen: list[float] = []

        def step() -> None:
            visit = 0
            while not over.wait(0.2):
                visit += 1
                record = {"kind": "transition", "at": [], "machine": "loop", "from": "A", "visit": visit, "label": "On", "to": ["A"], "took": 0.2}  # fmt: skip
                live.record(journal.append(record))

        def minute() -> int:
            proxy.counts.clear()
            end = time.monotonic() + 60
            while time.monotonic() < end:
                seen.extend(time.time() - record["time"] for record in following.poll())
                time.sleep(0.1)
            return sum(proxy.counts.values())

        with live.beating():
            thread = threading.Thread(target=step)
            thread.start()
            time.sleep(6)
            while not following.caught_up:
                following.poll()
                time.sleep(0.1)
            found["busy_a_minute"] = minute()
            found["busy_records"] = len(seen)
            found["busy_listings"] = proxy.counts["GET", "list"]
            found["busy_seconds_behind_median"] = round(statistics.median(seen), 2)
            over.set()
            thread.join()
            time.sleep(5)
            minute()  # until it counts as idle
            found["idle_a_minute"] = minute()
            found["idle_listings"] = proxy.counts["GET", "list"]
    return found


# In a browser


def store_of(length: int) -> Path:
    """A store with a run of so many records, made once."""
    directory = BUILD / "live" / f"{EDITION}-{length}"
    if not (directory / "whole").exists():
        shutil.rmtree(directory, ignore_errors=True)
        written(directory, length)
        (directory / "whole").touch()
    return directory


def pixels(rate: float, seconds: float) -> dict[str, Any]:
    """Records of a run that goes on, until they are on the screen."""
    with tempfile.TemporaryDirectory() as directory:
        journal = written(Path(directory), 0).run("long").journal
        return live_page.pixels(Path(directory), journal, walk(1 << 30), rate, seconds)


def frames(rounds: int) -> dict[str, Any]:
    """A drawing of 500 states in a page, beside having Mermaid draw one anew."""
    os.environ["XDG_CACHE_HOME"] = str(BUILD / "cache")
    file, took = live_page.drawing(100)
    picture, chart = live_page.tiled(file, 500)
    store = BUILD / "live" / "empty"
    store.mkdir(parents=True, exist_ok=True)
    found = live_page.frames(store, picture, chart, rounds)
    return found | {"drawn_anew": {"states": len(of_file(file).states), "seconds": took}}


# The table


def table(results: dict[str, Any]) -> list[tuple[str, str, float | str, float, str, bool]]:
    """What was measured beside its bar: (what, which, found, bar, unit, met)."""
    rows: list[tuple[str, str, float | str, float, str, bool]] = []

    def row(name: str, what: str, which: str, bar: float, unit: str, *keys: str) -> None:
        found: Any = results.get(name)
        for key in keys:
            found = found and found.get(key)
        if found is not None:
            rows.append((what, which, found, bar, unit, found <= bar))

    for rate, bar in ((5, 30), (100, 60)):
        row(f"pixel_{rate}", f"record on disk to changed pixel, {rate} a second", "p95", bar, "ms", "to_the_pixel_ms", "p95")  # fmt: skip
        row(f"pixel_{rate}", f"record on disk to changed pixel, {rate} a second", "p50", bar, "ms", "to_the_pixel_ms", "p50")  # fmt: skip
    if found := results.get("pixel_5"):
        longest = found["longest_task_ms"]
        rows.append(("longest task of the page's main thread, 5 a second", "longest", longest or "under 50", 50, "ms", longest is None))  # fmt: skip
    for which in ("p50", "p95"):
        row("seek", "seek to any of 20,000 records by the slider, loaded", which, 20, "ms", "to_the_pixel_ms", which)  # fmt: skip
    row("seek", "the same between two frames, which wait for the next", "p95", 20, "ms", "out_of_step_to_the_pixel_ms", "p95")  # fmt: skip
    row("seek", "the same, not loaded yet", "p95", 20, "ms", "not_loaded_yet_to_the_pixel_ms", "p95")
    for size, bar in ((20_000, 1), (100_000, 2)):
        row(f"open_{size}", f"open a run of {size:,} records in the page, from the list", "median", bar, "s", "from_the_list_seconds_median")  # fmt: skip
        row(f"open_{size}", "the same by its address, the page's own beginning included", "median", bar, "s", "seconds_median")  # fmt: skip
    for what in ("mark", "pan", "zoom"):
        row("frames", f"a diagram of 500 states: {what}, main thread", "p95", 16, "ms a frame", what, "main_thread_ms", "p95")  # fmt: skip
    for words in ("at_100_a_second_apart", "as_fast_as_it_can_apart", "at_100_a_second_together", "as_fast_as_it_can_together"):  # fmt: skip
        row("losses", f"transitions lost with three watchers, {words.replace('_', ' ')}", "median", 1, "%", words, "lost_percent_median")  # fmt: skip
    for state, bar in (("idle", 12), ("busy", 60)):
        row("requests", f"requests to S3 of one watcher, {state} run", "count", bar, "a minute", f"{state}_a_minute")  # fmt: skip
        row("requests", f"listings of it, {state} run", "count", 0, "a minute", f"{state}_listings")
    return rows


def first(nice: int) -> None:
    """Let all that is measured go before what else the machine does. Linux shares by session first, and then within one."""
    if os.getsid(0) != os.getpid() and os.getpgrp() != os.getpid():
        os.setsid()
    os.nice(nice)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice))


def say(results: dict[str, Any]) -> None:
    """Print the table."""
    for what, which, found, bar, unit, met in table(results):
        print(f"{what:66} {which:8} {found!s:>9}  bar {bar:>4} {unit:11} {'met' if met else 'MISSED'}")
    if anew := results.get("frames", {}).get("drawn_anew", {}):
        print(f"beside: Mermaid draws {anew['states']} states anew in {anew['seconds']} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", help="some of the measures; the others are kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nice", type=int, default=0, help="of all that is measured: below 0 where the machine does other things too, and one may")  # fmt: skip
    parser.add_argument("--listen", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.listen:
        listen(args.listen[0], args.listen[1:])
        return
    if args.nice:
        first(args.nice)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "pixel_5": lambda: pixels(5, 20),
        "pixel_100": lambda: pixels(100, 10),
        "seek": lambda: live_page.seeking(store_of(20_000), 20_000, 200),
        "open_20000": lambda: live_page.opening(store_of(20_000), 20_000, args.rounds),
        "open_100000": lambda: live_page.opening(store_of(100_000), 100_000, args.rounds),
        "frames": lambda: frames(120),
        "losses": lambda: losses(args.rounds),
        "requests": requests,
        "one_more": lambda: one_more(args.rounds),
        "opening_20000": lambda: opening(20_000),
        "opening_100000": lambda: opening(100_000),
    }
    for name in args.only or measures:
        around = {"load": round(os.getloadavg()[0], 1), "nice": args.nice, "cpus": os.cpu_count()}
        results[name] = measures[name]() | around
        print(name, json.dumps(results[name]), flush=True)
        results = {name: results[name] for name in measures if name in results}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    say(results)


if __name__ == "__main__":
    main()
