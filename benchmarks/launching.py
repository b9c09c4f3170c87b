"""A launch that is disturbed: crashes before the journal, calls that fail in passing, a launcher that is killed and taken up.

    python -m benchmarks.launching [--seeds 200 [--first 0]] [--crashes 50] [--kills 5]

Against the loopback SageMaker and MiniStack (`python -m tests.needs`), the journal in the bucket. Seconds of work are those
of CPU, as a machine does them that does nothing else; what a follower waits for politeness is not among them. Results go to
benchmarks/results/launching.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest

from benchmarks.common import RESULTS, ROOT
from benchmarks.s3_journal import server
from phases.rehearsal.faults import PASSING
from phases.rehearsal.instance import Pace
from phases.rehearsal.proxy import Proxy
from phases.rehearsal.sagemaker import SageMaker
from phases.sagemaker_job import request, source
from tests.servers.disturbed import ALL, Met, disturbed
from tests.servers.launcher import ROLE, Launcher
from tests.servers.process import Server
from tests.servers.s3 import KEYS, REGION


def schedules(found: Server, seeds: range, home: Path, before: dict[str, Any]) -> dict[str, Any]:
    """Seeded runs of which every call fails once: how many were walked as the one that nothing fails in.

    `before` is what other seeds came to, and is joined. Calls are told apart by what they ask for, whatever the run.
    """
    met: Met = Counter({(c, way): n for c, ways in before.get("met", {}).items() for way, n in ways.items()})
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:

        def proxied(plan: Any, **settings: Any) -> Proxy:
            return stack.enter_context(Proxy(found.port, plan, **settings))

        def walked(seed: int | None) -> list[tuple[str, str]]:
            return disturbed(found.url, "s3://bucket/launching", proxied, home, patch, seed, ALL, met)

        plain = walked(None)
        others = [seed for seed in seeds if walked(seed) != plain]
    done = before.get("seeds", 0) + len(seeds)
    # a call that few runs make (a second page, a look while the job settles) cannot have failed in every way
    steady = [c for c in sorted({c for c, _ in met}) if _times(met, c) >= done / 4]
    return {
        "seeds": done,
        "alike": before.get("alike", 0) + len(seeds) - len(others),
        "others": sorted([*before.get("others", ()), *others]),
        "failures": met.total(),
        "calls": len(steady),
        "pairs": len({(c, way) for c, way in met if c in steady}),
        "pairs_there_are": sum(len(PASSING[c.partition(" ")[0]]) for c in steady),
        "met": {c: {way: met[c, way] for way in PASSING[c.partition(" ")[0]] if met[c, way]} for c in steady},
    }


def _times(met: Met, call: str) -> int:
    return sum(number for (one, _), number in met.items() if one == call)


def service(stack: ExitStack, found: Server, home: Path, **settings: Any) -> SageMaker:
    """A SageMaker beside the server, and the environment in which clients find both."""

    def clients(name: str) -> Any:
        return boto3.client(name, endpoint_url=found.url, region_name=REGION, **KEYS)

    iam = clients("iam")
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=ROLE.rpartition("/")[2], AssumeRolePolicyDocument="{}")
    sagemaker = stack.enter_context(SageMaker(home / "jobs", clients, **settings))
    os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_ENDPOINT_URL_SAGEMAKER"] = found.url, sagemaker.url
    return sagemaker


def crashes(found: Server, times: int, home: Path) -> dict[str, Any]:
    """Launchers that die between CreateTrainingJob and the journal; how many jobs there are then."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "pack", lambda code: source.Archive(b"code", "5eed"))
        sagemaker = service(stack, found, home, settles=0.0, pace=Pace(status=3600))
        Launcher(sagemaker, "s3://bucket/crashes", home, "s3://bucket/crashes/store").crash(times)
        return {"crashes": times, "jobs": len(sagemaker.jobs)}


def kills(found: Server, times: int, home: Path) -> dict[str, Any]:
    """A launcher killed while it follows: seconds of CPU and of time from the next one's start to its first look."""
    works, walls = [], []
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(request, "ARGUMENTS", ("sleep 600",))
        sagemaker = service(stack, found, home, settles=0.0, pace=Pace(status=3600))
        launcher = Launcher(sagemaker, "s3://bucket/kills", home, "s3://bucket/kills/store")
        command = [sys.executable, "-m", "fsm.run", str(launcher.file), "--log", "none", "--takeover"]
        for kill in range(times + 1):
            asked, begun = sagemaker.http.calls["DescribeTrainingJob"], time.perf_counter()
            process = subprocess.Popen(command, cwd=ROOT)
            while not sagemaker.jobs or sagemaker.http.calls["DescribeTrainingJob"] <= asked + (not kill):
                time.sleep(0.005)
            wall = time.perf_counter() - begun
            process.kill()
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            process.wait()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if kill:  # the first one packs and puts the code
                works.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
                walls.append(wall)
        jobs = len(sagemaker.jobs)
    return {"kills": times, "jobs": jobs, "cpu_seconds": max(works), "wall_seconds": max(walls)}


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.launching", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument(
        "--first", type=int, default=0, help="of the seeds; not 0: they join those that are there"
    )
    parser.add_argument("--crashes", type=int, default=50)
    parser.add_argument("--kills", type=int, default=5)
    args = parser.parse_args()
    path = RESULTS / "launching.json"
    told: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    os.environ |= {"AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"], "AWS_DEFAULT_REGION": REGION}
    os.environ["AWS_SECRET_ACCESS_KEY"] = KEYS["aws_secret_access_key"]
    with server() as found, tempfile.TemporaryDirectory() as place:
        homes = [Path(place, name) for name in ("crashes", "kills", "schedules")]
        for home in homes:
            home.mkdir()
        if args.crashes:
            told["crashes"] = crashes(found, args.crashes, homes[0])
        if args.kills:
            told["kills"] = kills(found, args.kills, homes[1])
        if args.seeds:
            seeds, before = range(args.first, args.first + args.seeds), told.get("schedules", {})
            told["schedules"] = schedules(found, seeds, homes[2], before if args.first else {})
    c, k, s = told["crashes"], told["kills"], told["schedules"]
    print(f"{c['crashes']} crashes between CreateTrainingJob and the journal: {c['jobs']} job")
    print(
        f"{k['kills']} launchers killed: {k['jobs']} job; following again after {k['cpu_seconds']:.2f} s of work at most"
    )
    print(
        f"{s['seeds']} runs of which every call failed once ({s['failures']} failures): {s['alike']} ended as without; of "
        f"{s['calls']} calls {s['pairs']} of {s['pairs_there_are']} pairs of a call and a way to fail"
    )
    path.write_text(json.dumps(told, indent=1) + "\n")
    return 0 if c["jobs"] == k["jobs"] == 1 and s["alike"] == s["seeds"] else 1


if __name__ == "__main__":
    sys.exit(main())
