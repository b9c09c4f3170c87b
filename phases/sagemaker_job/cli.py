"""`fsm launch`, `fsm jobs`, `fsm logs`, `fsm stop`: a job beside its run."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsm.command import example, of_run
from fsm.errors import FsmError
from fsm.speech import out, say

HOUR = 3600.0


class NoJob(FsmError):
    """The run has no job that could be asked about."""

    code = "F602"


@dataclass(frozen=True)
class Found:
    """A run's job: who runs it, and its name; `runner` is the process that is at the run on this machine."""

    provider: Any
    job: str
    rented: bool
    runner: int | None


def add_launch(subparsers: Any) -> None:
    """Add `fsm launch`."""
    from fsm import run

    parser = subparsers.add_parser(
        "launch", help="begin the training job of a configuration, and follow it; or say what it would be"
    )
    run.add_arguments(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the request of CreateTrainingJob and what it may cost; nobody is asked, but the price list where it answers",
    )
    example(parser, "fsm launch configs/pipeline.yaml --dry-run", before=run.EPILOG)
    parser.set_defaults(do=launch)


def add_jobs(subparsers: Any) -> None:
    """Add `fsm jobs`."""
    parser = subparsers.add_parser("jobs", help="what is rented on SageMaker now, its age and its dollars")
    parser.add_argument("--region", metavar="NAME", help="default: AWS_REGION, or us-east-1")
    parser.add_argument("--json", action="store_true", help="one JSON line a job")
    example(parser, "fsm jobs --region us-east-1")
    parser.set_defaults(do=jobs)


def add_logs(subparsers: Any) -> None:
    """Add `fsm logs`."""
    parser = of_run(
        subparsers, "logs", "what the job of a run has written", logs, as_json="one JSON line a line"
    )
    parser.add_argument("--follow", action="store_true", help="go on until the job is over")
    parser.add_argument("--lines", type=int, default=40, metavar="N", help="the last N lines (default: 40)")
    example(parser, "fsm logs local --follow")


def add_stop(subparsers: Any) -> None:
    """Add `fsm stop`."""
    of_run(subparsers, "stop", "stop a run's job, rented or on this machine; what it has saved is kept", stop)


@contextmanager
def _asking() -> Iterator[None]:
    """What a service answers, and what is no longer on this machine, as the error of a command. Raises NoJob."""
    from phases.errors import PipelineError

    try:
        yield
    except PipelineError as e:
        raise NoJob(str(e)) from e
    except FileNotFoundError as e:
        raise NoJob(
            f"{e} What a job on this machine had went with the scratch of its run (`fsm clean`)."
        ) from e


# The commands


def launch(args: argparse.Namespace) -> int:
    """`fsm run` of the launch alone; with --dry-run nothing is asked for."""
    from fsm import run

    if not args.dry_run:
        args.machine = args.machine or "sagemaker_job"
        return run.run(args)
    from fsm import config as configs
    from phases.sagemaker_job.config import SageMakerJobConfig
    from phases.sagemaker_job.job import JobRefused
    from phases.sagemaker_job.launch import plan
    from phases.sagemaker_job.prices import price_list

    config = configs.load(args.config, {"run.name": args.run} if args.run else {})
    settings = config.program.sections.get("sagemaker_job") or SageMakerJobConfig()
    if settings.provider != "sagemaker":
        said = f"nothing is rented by AWS: sagemaker_job.provider is {settings.provider}"
        out(json.dumps({"provider": settings.provider, "costs": []}) if args.json else said)
        return 0
    try:
        planned = plan(config, settings, price_list())
    except JobRefused as e:
        raise NoJob(str(e)) from e
    if args.json:
        costs = [
            {"instance": c.instance_type, "hour": c.hour, "most": c.most, "source": c.price.source}
            for c in planned.costs
        ]
        out(json.dumps({"request": planned.request, "problems": planned.problems, "costs": costs}))
    else:
        out(json.dumps(planned.request, indent=1))
        for cost in planned.costs:
            out(_cost(cost, planned.hours, planned.spot))
    for problem in planned.problems:
        say(problem)
    return 2 if planned.problems else 0


def jobs(args: argparse.Namespace) -> int:
    """What is in progress in the region, whoever created it."""
    from phases.sagemaker_job.aws import SageMakerProvider
    from phases.sagemaker_job.config import SageMakerJobConfig
    from phases.sagemaker_job.prices import price, price_list

    region = (
        args.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    )
    config = SageMakerJobConfig(provider="sagemaker", region=region)
    pricing, total, now = price_list(), 0.0, time.time()
    with _asking():
        rented = list(SageMakerProvider(config).rented())
    for job in rented:
        age = now - job.created
        hour = price(config, job.instance_type, pricing).hour
        dollars = hour * job.instance_count * age / HOUR if hour is not None else None
        total += dollars or 0.0
        status = job.history[-1][0] if job.history else job.status
        if args.json:
            said = {"job": job.name, "status": status, "age": round(age), "instance": job.instance_type}
            out(json.dumps(said | {"count": job.instance_count, "spot": job.spot, "dollars": dollars}))
            continue
        cost = f"${dollars:.2f} on demand" if dollars is not None else "price unknown"
        spot = ", spot" if job.spot else ""
        out(
            f"{job.name}  {status}  {job.instance_count} x {job.instance_type}{spot}  {age / HOUR:.1f} h  {cost}"
        )
    if not args.json:
        out(
            f"{region}: ${total:.2f} so far by the list; a spot instance costs less, and waiting for one nothing."
        )
    return 0


def logs(args: argparse.Namespace) -> int:
    """The last lines, and with --follow those that come."""
    from phases.sagemaker_job.logs import Followed

    found = find(args.run, args.store)

    def show(lines: Any) -> None:
        for line in lines:
            out(json.dumps({"line": line}) if args.json else line)

    with _asking():
        over = found.provider.describe(found.job).over
    if not args.follow:
        show(found.provider.log(found.job, args.lines))
        return 0
    followed = (
        Followed(found.provider.cloudwatch, found.job)
        if hasattr(found.provider, "cloudwatch")
        else _File(found.provider, found.job)
    )
    while True:
        show(followed.new())
        if over:
            return 0
        time.sleep(found.provider.pause)
        with _asking():
            over = found.provider.describe(found.job).over


def stop(args: argparse.Namespace) -> int:
    """A rented job is stopped by the service; one on this machine ends with its runner, and goes on with the next one."""
    found = find(args.run, args.store)
    with _asking():
        over = found.provider.describe(found.job).over
    if not over and found.rented:
        found.provider.stop(found.job)
        said = (
            f"{found.job} was asked to stop; it has two minutes to save what it has. The same run, begun again, goes "
            "on from its last checkpoint in a job of its own."
        )
    elif not over:
        if found.runner is not None:
            os.kill(found.runner, signal.SIGTERM)
        found.provider.interrupted(found.job)
        said = f"{found.job} is stopped. The same run, given again, goes on with it from its last checkpoint."
    else:
        said = f"{found.job} is over already; there is nothing to stop."
    if args.json:
        out(json.dumps({"run": args.run, "job": found.job, "stopped": not over}))
    else:
        say(said)
    return 0


# What they stand on


def find(run: str, store: str) -> Found:
    """The job that a run follows, by its journal, and whoever runs it. Raises NoSuchRun, NoJob."""
    from fsm.journal import Journal
    from fsm.store import Scratch, open_store
    from phases.sagemaker_job.config import SageMakerJobConfig
    from phases.sagemaker_job.provider import provider

    opened = open_store(store).run(run)
    journal = Journal(opened)
    header = journal.header()
    jobs = list(_jobs(journal.load().root or {}))
    if not jobs:
        raise NoJob(
            f"Run {run} at {opened.url} has no job: it has not come to its launch, or runs everything itself."
        )
    config = SageMakerJobConfig.model_validate(header["config"].get("sagemaker_job") or {})
    live = opened.read_live() or {}
    own = Scratch(Path(header["config"].get("work", "work")), opened, int(header.get("generation", 0))).path
    scratch = Path(live.get("scratch") or own)
    here = live.get("host") == socket.gethostname() and live.get("status") == "running"
    pid = live.get("pid") if here else None
    return Found(
        provider(config, scratch / "jobs"),
        jobs[-1],
        config.provider != "local",
        pid if _alive(pid) else None,
    )


def _jobs(frame: Mapping[str, Any]) -> Iterator[str]:
    """The jobs that a frame and those below it know, the innermost last."""
    from phases.sagemaker_job.handlers import JOB

    job = frame.get("data", {}).get("job")
    if job:
        yield job["job"] if isinstance(job, Mapping) else job
    for opened in frame.get("open", {}).values():
        if frame["machine"] == "sagemaker_job" and JOB in opened["once"]:
            yield opened["once"][JOB]
        for below in opened["calls"].values():
            yield from _jobs(below)


def _alive(pid: int | None) -> bool:
    with suppress(OSError, TypeError):
        os.kill(pid, 0)  # type: ignore[arg-type]
        return True
    return False


class _File:
    """The log of a job on this machine, as it grows."""

    def __init__(self, provider: Any, job: str) -> None:
        self._provider, self._job, self._seen = provider, job, 0

    def new(self) -> list[str]:
        lines: list[str] = self._provider.log(self._job, 1_000_000)
        new, self._seen = lines[self._seen :], len(lines)
        return new


def _cost(cost: Any, hours: float, spot: bool) -> str:
    if cost.hour is None:
        return f"{cost.instance_type}: the price is {cost.price.source}."
    less = "; spot costs less" if spot else ""
    return (
        f"{cost.instance_type}: ${cost.hour:.3f} an hour on demand, by {cost.price.source}{less}; ${cost.most:.2f} at most, in "
        f"the {hours:g} hours of max_runtime_seconds."
    )
