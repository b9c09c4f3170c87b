"""A launch that is disturbed: crashes before the journal, calls that fail in passing, a launcher that is killed and taken up.

    python -m benchmarks.launching [--seeds 200] [--crashes 50] [--kills 5]

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
from fsm.journal import Journal
from phases.rehearsal.instance import Pace
from phases.rehearsal.proxy import Proxy
from phases.rehearsal.sagemaker import SageMaker
from phases.sagemaker_job import request, source
from tests.servers.disturbed import disturbed
from tests.servers.launcher import ROLE, Launcher
from tests.servers.process import Server
from tests.servers.s3 import KEYS, REGION


class Killed(BaseException):
    """A launcher that ends here."""


def schedules(found: Server, seeds: int, home: Path) -> dict[str, Any]:
    """Seeded runs of which every other call fails once: how many were walked as the one that nothing fails in."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        faults: Counter[str] = Counter()

        def proxied(plan: Any, **settings: Any) -> Proxy:
            proxy = stack.enter_context(Proxy(found.port, plan, **settings))
            proxy.faults = faults
            return proxy

        def walked(seed: int | None) -> list[tuple[str, str]]:
            return disturbed(found.url, "s3://bucket/launching", proxied, home, patch, seed)

        plain = walked(None)
        alike = sum(walked(seed) == plain for seed in range(seeds))
    return {"seeds": seeds, "alike": alike, "s3_faults": dict(sorted(faults.items()))}


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
        launcher = Launcher(sagemaker, "s3://bucket/crashes", home, "s3://bucket/crashes/store")
        append = Journal.append

        def dies(self: Journal, record: dict[str, Any]) -> Any:
            if record["kind"] != "claim":
                raise Killed
            return append(self, record)

        patch.setattr(Journal, "append", dies)
        for _ in range(times):
            with suppress(Killed):
                launcher.go()
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
    parser.add_argument("--crashes", type=int, default=50)
    parser.add_argument("--kills", type=int, default=5)
    args = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"], "AWS_DEFAULT_REGION": REGION}
    os.environ["AWS_SECRET_ACCESS_KEY"] = KEYS["aws_secret_access_key"]
    with server() as found, tempfile.TemporaryDirectory() as place:
        homes = [Path(place, name) for name in ("crashes", "kills", "schedules")]
        for home in homes:
            home.mkdir()
        told = {
            "crashes": crashes(found, args.crashes, homes[0]),
            "kills": kills(found, args.kills, homes[1]),
            "schedules": schedules(found, args.seeds, homes[2]),
        }
    c, k, s = told["crashes"], told["kills"], told["schedules"]
    print(f"{c['crashes']} crashes between CreateTrainingJob and the journal: {c['jobs']} job")
    print(
        f"{k['kills']} launchers killed: {k['jobs']} job; following again after {k['cpu_seconds']:.2f} s of work at most"
    )
    print(f"{s['seeds']} fault schedules: {s['alike']} ended as without")
    (RESULTS / "launching.json").write_text(json.dumps(told, indent=1) + "\n")
    return 0 if c["jobs"] == k["jobs"] == 1 and s["alike"] == s["seeds"] else 1


if __name__ == "__main__":
    sys.exit(main())
