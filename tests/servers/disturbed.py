"""A launch of which calls fail in passing, each once: by a seed, in whatever way passes."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from phases.rehearsal.faults import PASSING
from phases.rehearsal.instance import Pace
from phases.rehearsal.proxy import Proxy, Request
from phases.rehearsal.sagemaker import SageMaker
from phases.sagemaker_job import request, source
from tests.servers.launcher import Launcher
from tests.servers.s3 import REGION

_ALIKE = re.compile(r"store-\d+|[0-9a-f]{64}|(?<=-)[0-9a-f]{8}\b|(?<=uploadId=)[^&]+")
"""What of a call is another in every run."""
HALF, ALL = 0.5, 1.0
"""Shares of the calls that fail once."""
Met = Counter[tuple[str, str]]
"""(which call, in which way it failed) -> how often: the same call of any run is the same."""


def disturbed(
    behind: str,
    place: str,
    proxied: Callable[..., Proxy],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int | None,
    share: float = HALF,
    met: Met | None = None,
) -> list[tuple[str, str]]:
    """Launch a job that does nothing, its journal in the bucket; how the run was walked. Without a seed nothing fails.

    `share` of the calls fail, each once before it is let through; what failed and how is counted in `met`.

    `behind` is an S3 with IAM at its side, `place` an s3:// prefix in it.
    """
    chance = random.Random(seed)
    failed: set[str] = set()

    def perhaps(service: str, call: str) -> str:
        if seed is None or call in failed or chance.random() >= share:
            return ""
        failed.add(call)  # the same call is let through when it comes again
        way = chance.choice(PASSING[service])
        if met is not None:
            met[_ALIKE.sub("#", f"{service} {call}").replace(f"/{seed}/", "/#/"), way] += 1
        return way

    def of_s3(one: Request) -> str:
        return perhaps("s3", f"{one.method} {one.target}") or "none"

    def of_sagemaker(operation: str, number: int) -> str:
        return perhaps("sagemaker", f"{operation} {number // 2}")

    def clients(name: str) -> Any:
        return boto3.client(name, endpoint_url=behind, region_name=REGION)

    iam = clients("iam")
    if "pipeline" not in [role["RoleName"] for role in iam.list_roles()["Roles"]]:
        iam.create_role(RoleName="pipeline", AssumeRolePolicyDocument="{}")
    own = home / f"seed-{seed}"
    own.mkdir()
    monkeypatch.setattr(source, "pack", lambda code: source.Archive(b"code", "5eed"))
    monkeypatch.setattr(request, "ARGUMENTS", ("true",))
    proxy = proxied(of_s3, delay=0.0)
    with SageMaker(own / "jobs", clients, plan=of_sagemaker, settles=0.05, pace=Pace(0.02, 0.1)) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", service.url)
        store = f"{place}/store-{seed}"
        options = {"endpoint_url": proxy.url, "cache": str(own / "cache")}
        launcher = Launcher(service, f"{place}/{seed}", own, store, **options)
        assert launcher.go().outcome == "done"
        assert len(service.jobs) == 1
        return launcher.walked()
