"""Two and six runners on one run in a bucket for a minute each, through a proxy that loses answers; and simulated histories.

    python -m benchmarks.s3_race [--seconds 60]

Needs MiniStack and s3rver (`python -m tests.needs`). The same race on a server that ignores conditions must be found
out. Results go to benchmarks/results/s3_race.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.s3_journal import server
from tests.crash.race import Result, race
from tests.crash.simulation import reference, simulate
from tests.crash.workshop import workshop
from tests.servers.proxy import Proxy, stormy
from tests.servers.s3 import KEYS, REGION, s3rver

RESULTS = Path(__file__).parent / "results" / "s3_race.json"


def summary(found: Result, faults: Counter[str]) -> dict[str, Any]:
    return {
        "runners": found.runners,
        "seconds": found.seconds,
        "whole": found.whole,
        "records": found.audit.records,
        "epochs": found.audit.epochs,
        "acknowledged": found.acknowledged,
        "acknowledged_lost": len(found.lost),
        "losers": len(found.losers),
        "losers_that_name_nobody": len(found.unnamed),
        "findings": dict(Counter(f.kind for f in found.audit.findings)),
        "runners_that_gave_up": [f.strip().splitlines()[-1].partition(": ")[0] for f in found.failures],
        "faults": dict(faults),
    }


def held(runners: int, seconds: float) -> dict[str, Any]:
    """A race on MiniStack, each runner behind a proxy of its own."""
    with server() as found, ExitStack() as stack, tempfile.TemporaryDirectory() as directory:
        proxies = [
            stack.enter_context(Proxy(found.port, stormy(n, 0.15), delay=0.05)) for n in range(runners)
        ]
        options: dict[str, Any] = {"cache": f"{directory}/cache", "patience": 10.0}
        result = race(
            Path(directory) / "race", "s3://bucket/race", options, [p.url for p in proxies], seconds
        )
        return summary(result, sum((p.faults for p in proxies), Counter()))


def ignored(runners: int, seconds: float) -> dict[str, Any]:
    """The same on s3rver, the probe left out."""
    os.environ.update(AWS_ACCESS_KEY_ID="S3RVER", AWS_SECRET_ACCESS_KEY="S3RVER")
    with patch("fsm.store.s3.probe"), tempfile.TemporaryDirectory() as directory:
        found = s3rver(Path(directory) / "s3rver")
        found.start()
        try:
            options: dict[str, Any] = {"cache": f"{directory}/cache", "patience": 10.0}
            result = race(
                Path(directory) / "race", "s3://bucket/race", options, [found.url] * runners, seconds
            )
        finally:
            found.kill()
        return summary(result, Counter())


def histories(seconds: float) -> dict[str, Any]:
    """Simulated histories one after the other; every one must hold."""
    program = workshop()
    expected = reference(program)
    began, seed, steps = time.perf_counter(), 0, 0
    while time.perf_counter() - began < seconds:
        steps += simulate(seed, program, expected)
        seed += 1
    took = time.perf_counter() - began
    return {
        "histories": seed,
        "steps": steps,
        "seconds": round(took, 1),
        "per_minute": round(seed / took * 60),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of each race, and of the simulation")
    parser.add_argument(
        "--only", help="one of two_runners, six_runners, simulation, conditions_ignored; the others are kept"
    )
    args = parser.parse_args()
    os.environ.update(
        AWS_ACCESS_KEY_ID=KEYS["aws_access_key_id"],
        AWS_SECRET_ACCESS_KEY=KEYS["aws_secret_access_key"],
        AWS_DEFAULT_REGION=REGION,
    )
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "two_runners": lambda: held(2, args.seconds),
        "six_runners": lambda: held(6, args.seconds),
        "simulation": lambda: histories(args.seconds),
        "conditions_ignored": lambda: ignored(6, min(args.seconds, 15.0)),
    }
    for name, measure in measures.items():
        if args.only not in (None, name):
            continue
        results[name] = {**measure(), "load": round(os.getloadavg()[0], 1), "cpus": os.cpu_count()}
        print(name, json.dumps(results[name]), flush=True)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
