"""What a rehearsal took: calls by service, and what they and the rented hours would cost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.prices import HOUR, price

MILLION = 1_000_000
S3_WRITES = ("PutObject", "ListObjectsV2", "POST")
S3_WRITE, S3_READ = 5.0, 0.4  # dollars a million requests of S3 Standard in us-east-1; deletions are free
# asking these costs nothing: what is rented, and tokens, do
FREE = ("cloudformation", "ec2", "ecr", "iam", "pricing", "sagemaker", "service-quotas", "sts")


def told(stage: Any, code: int, starts: int) -> dict[str, Any]:
    """The rehearsal as JSON values: outcome, starts, what went wrong, calls, jobs, dollars by service."""
    calls = stage.calls()
    jobs = [_job(job, stage.sagemaker.home / name) for name, job in stage.sagemaker.jobs.items()]
    s3 = {name: n for (service, name), n in calls.items() if service == "s3"}
    writes = sum(n for name, n in s3.items() if name in S3_WRITES)
    reads = sum(n for name, n in s3.items() if name not in S3_WRITES and name != "DeleteObject")
    return {
        "exit": code,
        "starts": starts,
        "faults": stage.mishaps.happened,
        "calls": {f"{service} {name}": n for (service, name), n in sorted(calls.items())},
        "jobs": jobs,
        "dollars": {
            **{service: 0.0 for service, _ in calls if service in FREE},
            "s3": round((writes * S3_WRITE + reads * S3_READ) / MILLION, 6),
            "bedrock": float(stage.bedrock.bill.dollars),
        },
    }


def taken_again(lines: Iterable[str]) -> list[int]:
    """Of each time that a container went on with a training, how many of its steps had been taken before: by its log's lines."""
    again, before, broken_off = [], 0, False
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        event, step = said.get("event"), said.get("step")
        if event == "run goes on":
            broken_off = before > 0
        elif event == "left" and str(said.get("place", "")).endswith("TrainingLoop"):
            before = 0
        elif event == "training" and isinstance(step, int):
            if broken_off:
                again.append(max(0, before - step + 1))
                broken_off = False
            before = step
    return again


def _job(job: dict[str, Any], home: Path) -> dict[str, Any]:
    logs = [path.read_text("utf-8", "replace").splitlines() for path in sorted(home.glob("*.log"))]
    resources = job["ResourceConfig"]
    kind = resources.get("SelectedInstanceType") or resources.get("InstanceType", "")
    return {
        "name": job["TrainingJobName"],
        "status": job["TrainingJobStatus"],
        "secondary": [t["Status"] for t in job["SecondaryStatusTransitions"]],
        "instance": kind,
        "seconds": job.get("BillableTimeInSeconds", 0),
        "steps_again": [number for lines in logs for number in taken_again(lines)],
        "metrics": {m["MetricName"]: m["Value"] for m in job.get("FinalMetricDataList", ())},
        "hour": price(SageMakerJobConfig(), kind).hour,
        "most_hours": job["StoppingCondition"].get("MaxRuntimeInSeconds", 86400) / HOUR,
    }


def lines(said: dict[str, Any]) -> Iterator[str]:
    """For a person."""
    yield ""
    yield f"rehearsed: the run ended with exit code {said['exit']}, after {_times(said['starts'])}"
    for fault in said["faults"]:
        yield f"  went wrong   {fault}"
    services = sorted({name.partition(" ")[0] for name in said["calls"]})
    for service in services:
        own = {k.partition(" ")[2]: n for k, n in said["calls"].items() if k.startswith(f"{service} ")}
        dollars = said["dollars"].get(service)
        cost = "   price unknown" if dollars is None else f"   ${dollars:.4f}" if dollars else "   free   "
        yield f"  {service:12} {sum(own.values()):6} calls{cost}   " + ", ".join(
            f"{n} {k}" for k, n in own.items()
        )
    if services:
        calls = sum(said["calls"].values())
        yield f"  {'in all':12} {calls:6} calls   ${sum(said['dollars'].values()):.4f}, and what is rented:"
    for job in said["jobs"]:
        hour = f"${job['hour']:.3f} an hour on demand" if job["hour"] is not None else "price unknown"
        most = f", ${job['hour'] * job['most_hours']:.0f} at most" if job["hour"] is not None else ""
        yield (
            f"  job          {job['name']}: {job['status']}, {job['seconds']} s here; on AWS {job['instance']} costs {hour}{most} "
            f"({job['most_hours']:.0f} h)"
        )
        if job["steps_again"]:
            yield f"  taken again  {sum(job['steps_again'])} steps of training, in {len(job['steps_again'])} interruptions"
        if job["metrics"]:
            yield "  its metrics  " + ", ".join(f"{name} {value:g}" for name, value in job["metrics"].items())


def _times(starts: int) -> str:
    return "one start" if starts == 1 else f"{starts} starts"
