"""How fast a teacher is asked, against a Bedrock on the loopback in a process of its own: `python -m benchmarks.teacher`.

throughput   of the sum of latencies over ten, for the window and for batches of ten
quota        how much of a quota of tokens a minute is used, and how many calls it turns away: the window, ten workers with
             backoff, and botocore's adaptive mode, all three at the same time against a service each
cpu          a call's CPU beside that of boto3 as it comes, in a pool of ten threads

The clients do not know that the service is not the real one; `--quick` makes all of it short, and says nothing.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import boto3
from botocore.config import Config

from benchmarks.common import Goal, Measure, Moment, in_turns, machine, measure, table, write
from fsm.engine import Walk
from fsm.store.local_shelf import LocalShelf
from machines.teacher_generation import MACHINE
from phases.rehearsal.bedrock import Bedrock
from phases.rehearsal.model import Asked, Lognormal, Quota
from phases.rehearsal.wire import apart
from phases.teacher_generation import PHASE
from phases.teacher_generation.bedrock import BedrockTeacher, runtime_client
from phases.teacher_generation.config import AskingConfig, TeacherConfig
from phases.teacher_generation.desk import Desk
from phases.teacher_generation.ledger import Ledger
from phases.teacher_generation.policy import Everybodys
from phases.teacher_generation.window import Window

WORKERS = 10
MEDIAN = 0.2  # seconds of an answer
BURNDOWN = 5.0  # of Claude Sonnet 4.5
INSIDE = "ParallelExecution.ProcessFuture"
WALK = Walk(MACHINE.counted_inside(INSIDE), PHASE, prefix=f"{INSIDE}.")


def prompts(number: int, name: str) -> list[str]:
    """So many prompts, others for each name."""
    return [f"Write a token bucket shaper `{name}_{n}` for a TSN stream." for n in range(number)]


def bill(url: str) -> dict[str, Any]:
    with urlopen(f"{url}/-/bill") as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def teacher(url: str) -> BedrockTeacher:
    settings = TeacherConfig(endpoint_url=url)
    return BedrockTeacher(settings, runtime_client(settings, WORKERS))


@dataclass
class Asker:
    """This project's way: the window, with its ledger in a directory of its own."""

    teacher: BedrockTeacher

    def __call__(self, texts: list[str], stopping: Callable[[], bool] = lambda: False) -> None:
        asking = AskingConfig(workers=WORKERS, check="none")
        with (
            TemporaryDirectory() as directory,
            Desk(Ledger(LocalShelf(Path(directory))), Everybodys(WORKERS), "run") as desk,
        ):
            window = Window(self.teacher, texts, asking=asking, desk=desk, way=WALK.way, stopping=stopping)
            desk.window = window
            while not stopping() and window.take(10):
                pass


# Throughput


def window_share(number: int, scale: float) -> float:
    """The sum of latencies over ten, of the time that the window takes."""
    with apart(partial(Bedrock, latency=Lognormal(MEDIAN * scale))) as place:
        asked = teacher(place.url)
        began = time.perf_counter()
        Asker(asked)(prompts(number, "window"))
        took = time.perf_counter() - began
        return float(bill(place.url)["seconds"]) / WORKERS / took


def batches_share(number: int, scale: float) -> float:
    """The same of ten at a time, each ten awaited."""
    with (
        apart(partial(Bedrock, latency=Lognormal(MEDIAN * scale))) as place,
        ThreadPoolExecutor(WORKERS) as threads,
    ):
        asked, rest = teacher(place.url), iter(prompts(number, "window"))
        began = time.perf_counter()
        while ten := list(itertools.islice(rest, WORKERS)):
            list(threads.map(asked.invoke, ten))
        took = time.perf_counter() - began
        return float(bill(place.url)["seconds"]) / WORKERS / took


def ideal_share(number: int) -> float:
    """The same of ten workers that lose no time between two calls: what the longest of the last latencies leave."""
    latency = Lognormal(MEDIAN)
    took = [latency(Asked("", "", prompt, 0, {}, {})) for prompt in prompts(number, "window")]
    workers = [0.0] * WORKERS
    for seconds in took:
        heapq.heapreplace(workers, workers[0] + seconds)
    return sum(took) / WORKERS / max(workers)


# Under a quota


def plain(url: str, stopping: Callable[[], bool]) -> None:
    """Ten workers: sleep up to base * 2^attempt, five times at most, then the next prompt."""
    asked, rest, lock, jitter = teacher(url), _endless("plain"), threading.Lock(), random.Random(1)

    def work() -> None:
        while not stopping():
            with lock:
                prompt = next(rest)
            for attempt in range(6):
                try:
                    asked.invoke(prompt)
                    break
                except Exception:
                    time.sleep(jitter.uniform(0, 2**attempt))

    _together(work)


def adaptive(url: str, stopping: Callable[[], bool]) -> None:
    """Ten workers with one client, whose adaptive mode paces and retries by itself."""
    import boto3
    from botocore.config import Config

    client = boto3.Session().client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        config=Config(retries={"mode": "adaptive", "total_max_attempts": 6}, max_pool_connections=WORKERS),
    )
    asked, rest, lock = BedrockTeacher(TeacherConfig(), client), _endless("adaptive"), threading.Lock()

    def work() -> None:
        while not stopping():
            with lock:
                prompt = next(rest)
            try:
                asked.invoke(prompt)
            except Exception:
                continue  # it was tried six times

    _together(work)


def ours(url: str, stopping: Callable[[], bool]) -> None:
    Asker(teacher(url))(prompts(200_000, "ours"), stopping)


def _endless(name: str) -> Iterator[str]:
    return (prompt for n in itertools.count() for prompt in prompts(1000, f"{name}{n}"))


def _together(work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work, daemon=True) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _limited(tokens: int) -> Bedrock:
    return Bedrock(latency=Lognormal(MEDIAN), quota=Quota(tokens=tokens, burndown=BURNDOWN))


def quota_of(
    ask: Callable[[str, Callable[[], bool]], None], tokens: int, minutes: float, settled: float
) -> dict[str, float]:
    """{"share": of the tokens there were between minute `settled` and the end, "throttled": of all calls}."""
    with apart(partial(_limited, tokens)) as place:
        over = threading.Event()
        thread = threading.Thread(target=ask, args=(place.url, over.is_set), daemon=True)
        thread.start()
        time.sleep(60 * settled)
        before, began = bill(place.url), time.perf_counter()
        time.sleep(60 * (minutes - settled))
        after, took = bill(place.url), time.perf_counter() - began
        over.set()
        thread.join(30)
    used = sum(
        (after[k] - before[k]) * weight for k, weight in (("input_tokens", 1), ("output_tokens", BURNDOWN))
    )
    return {
        "share": used / (tokens * took / 60),
        "throttled": after["throttled"] / max(after["calls"], 1),
        "calls": after["calls"],
    }


def quotas(tokens: int, minutes: float, settled: float) -> dict[str, dict[str, float]]:
    """All three at the same time, each with a quota of its own."""
    with ThreadPoolExecutor(3) as threads:
        asked = {"window": ours, "backoff": plain, "adaptive": adaptive}
        found = {name: threads.submit(quota_of, ask, tokens, minutes, settled) for name, ask in asked.items()}
        return {name: future.result() for name, future in found.items()}


# CPU


def cpu(number: int) -> tuple[Callable[[], float], Callable[[], float]]:
    """Milliseconds of CPU a call: (the window, bare boto3 in a pool of ten threads)."""
    turn = itertools.count()

    def window() -> float:
        with apart(Bedrock) as place:
            ask, texts = Asker(teacher(place.url)), prompts(number, f"cpu{next(turn)}")
            ask(["Write one."])  # what is loaded once is loaded
            began = Moment.now()
            ask(texts)
            return 1000 * Moment.now().since(began, number).cpu

    def bare() -> float:
        with apart(Bedrock) as place, ThreadPoolExecutor(WORKERS) as threads:
            asked, texts = teacher(place.url), prompts(number, f"cpu{next(turn)}")
            requests = [{"modelId": asked.name, **asked.asked(text)} for text in texts]
            client = boto3.client(
                "bedrock-runtime",
                region_name=asked.settings.region,
                endpoint_url=place.url,
                config=Config(max_pool_connections=WORKERS),
            )
            client.converse(**requests[0])
            began = Moment.now()
            list(threads.map(lambda request: client.converse(**request), requests))
            return 1000 * Moment.now().since(began, number).cpu

    return window, bare


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=4.0, help="of the quota's arms")
    parser.add_argument("--tokens", type=int, default=400_000, help="a minute")
    parser.add_argument("--only", choices=tuple(ARMS), action="append")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.prompts, args.minutes = 100, 0.2
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    os.environ.pop("AWS_BEARER_TOKEN_BEDROCK", None)
    for arm in args.only or ARMS:
        measures, more = ARMS[arm](args)
        print(table(measures), flush=True)
        if not args.quick:
            here = machine(["boto3", "botocore"])
            write(
                f"teacher_{arm}",
                measures,
                command=f"python -m benchmarks.teacher --only {arm}",
                machine=here,
                **more,
            )


def throughput(args: argparse.Namespace) -> Told:
    scale = 0.1 if args.quick else 1.0
    # ten at a time need three times as long: a fifth of the prompts tells their share as well
    found = in_turns(
        args.rounds,
        lambda: window_share(args.prompts, scale),
        lambda: batches_share(args.prompts // 5, scale),
        lambda: ideal_share(args.prompts),
    )
    name, unit = "throughput of the window", "of sum/10"
    batches, ideal = ([(row[0], row[n]) for row in found] for n in (1, 2))
    return [
        measure(name, unit, "batches of ten", batches, Goal("value", ">=", 0.94)),
        measure(name, unit, "the same latencies and no overhead, simulated", ideal),
    ], {}


def quota(args: argparse.Namespace) -> Told:
    found, measures = quotas(args.tokens, args.minutes, args.minutes / 2), []
    for other, what in (("backoff", "ten workers with backoff"), ("adaptive", "botocore's adaptive mode")):
        shares = [(found["window"]["share"], found[other]["share"])] * 2
        measures.append(measure("share of the quota used", "of it", what, shares, Goal("value", ">=", 0.9)))
        away = [(found["window"]["throttled"], max(found[other]["throttled"], 1e-4))] * 2
        measures.append(measure("calls turned away", "of all", what, away, Goal("value", "<=", 0.02)))
    return measures, {"tokens_a_minute": args.tokens, "minutes": args.minutes, "arms": found}


def of_a_call(args: argparse.Namespace) -> Told:
    pairs = _two(in_turns(2 * args.rounds + 1, *cpu(args.prompts // 2)))
    return [measure("CPU of a call", "ms", "bare boto3 in a pool", pairs, Goal("ratio", "<=", 1.1))], {}


def _two(rounds: list[tuple[float, ...]]) -> list[tuple[float, float]]:
    return [(found[0], found[1]) for found in rounds]


Told = tuple[list[Measure], dict[str, Any]]
ARMS: dict[str, Callable[[argparse.Namespace], Told]] = {
    "throughput": throughput,
    "quota": quota,
    "cpu": of_a_call,
}


if __name__ == "__main__":
    main()
