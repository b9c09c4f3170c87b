"""The states of Diagram 10, seen from outside: the job is created or adopted, and followed by what it tells.

`inputs`: {"job", "run"} to follow a job that is there; or {"machine", "channels"} (channel -> file -> artifact) to
create one, with {"run"} where it is to go on with a run that an earlier job began. Run alone, it creates one that reads
what the artifacts at hand give (`channels`). Durable data: {"job", "run", "model", "failure", "walked"}.
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

from fsm.config import SECRET_NAME, VARIABLE
from fsm.engine import Context, Phase, StopRequested
from phases.sagemaker_job import measured, source
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.environment import LAUNCHED_BY, launched_by
from phases.sagemaker_job.history import label, states
from phases.sagemaker_job.job import Job, JobSpec, Provider
from phases.sagemaker_job.logs import SEARCHED, telling
from phases.sagemaker_job.provider import provider
from phases.sagemaker_job.reasons import STOPPED

JOB = "job"
"""The step of Pending whose result is the name of the job."""

PHASE = Phase("sagemaker_job", config=SageMakerJobConfig)


def jobs(ctx: Context) -> Provider:
    """Who runs this run's jobs."""

    def tells(error: Exception, seconds: float) -> None:
        ctx.log.warning("no answer, asking again", error=str(error), seconds=round(seconds, 1))

    return provider(ctx.section("sagemaker_job"), ctx.workdir("jobs"), tells)


@PHASE.state("Pending", effects=True)
def pending(ctx: Context) -> str:
    """Create the job, or adopt the one an interrupted attempt created."""
    machine = ctx.inputs.get("machine", ctx.config.machine)
    ctx.data["run"] = ctx.inputs.get("run") or ctx.effect_name(machine)
    # in the journal before anything is told of it: whoever stops the run must find it
    ctx.data["job"] = ctx.once(JOB, lambda: jobs(ctx).create(_spec(ctx, machine, ctx.data["run"])))
    ctx.log.info("training job", job=ctx.data["job"], run=ctx.data["run"])
    return _next(ctx)


@PHASE.state("Starting", "Downloading", "Training", "Uploading", "Stopping")
def followed(ctx: Context) -> str:
    """Wait for what the service tells next. The work inside Training keeps its own journal, and is watched from here."""
    return _next(ctx)


@PHASE.state("Completed")
def completed(ctx: Context) -> None:
    ctx.data["model"] = _job(ctx).model
    _tell_measured(ctx)


@PHASE.state("Failed")
def failed(ctx: Context) -> None:
    """FailureReason, for whoever launched the job to go on with; and what its containers wrote last, for a person."""
    ctx.data["failure"] = _job(ctx).failure
    ctx.log.error("the job failed", job=ctx.data["job"], reason=ctx.data["failure"])
    _tell_measured(ctx)
    try:
        said = telling(jobs(ctx).log(ctx.data["job"], SEARCHED))
    except Exception as e:  # the log is for a person; that it cannot be had is no failure of the run's
        ctx.log.warning("the job's log cannot be read", job=ctx.data["job"], error=str(e))
        return
    if said:
        ctx.log.error("the last of its log:\n" + "\n".join(said), job=ctx.data["job"])


@PHASE.state("Stopped")
def stopped(ctx: Context) -> None:
    told = [status for status, _ in _job(ctx).history]
    ctx.data["failure"] = next(
        (w for w in ("MaxRuntimeExceeded", "MaxWaitTimeExceeded") if w in told), STOPPED
    )
    ctx.log.warning("the job was stopped; its checkpoints are kept", job=ctx.data["job"])


@PHASE.ends("Pending")
def ends_created(ctx: Context) -> None:
    """Stop the job that was created, though the journal may not have come to know of it: by the name it was created under."""
    machine = ctx.inputs.get("machine", ctx.config.machine)
    job = jobs(ctx).under_way(ctx.inputs.get("run") or ctx.effect_name(machine))
    if job is not None:
        _stop(ctx, job)


@PHASE.ends("Starting", "Downloading", "Training", "Uploading", "Stopping")
def ends_followed(ctx: Context) -> None:
    """Stop the job; it has its grace to save what it has."""
    job = ctx.data.get("job") or ctx.inputs["job"]
    if not jobs(ctx).describe(job).over:
        _stop(ctx, job)


def _stop(ctx: Context, job: str) -> None:
    jobs(ctx).stop(job)
    ctx.log.warning("the job is stopped, for the run is cancelled", job=job)


def _tell_measured(ctx: Context) -> None:
    """What a smoke job has measured of its instance, beside what docs/gpu.md has."""
    if ctx.config.machine != "smoke" or not ctx.data.get("run"):
        return
    watch = ctx.watch(ctx.data["run"])
    watch.poll()
    if found := watch.fold.files.get(measured.ARTIFACT):
        here = json.loads(watch.run.artifact(found["sha256"]).read_text("utf-8"))
        there = measured.reference(ctx.section("smoke").shape)
        ctx.log.info("what the instance does:\n" + measured.table(here, there), job=ctx.data["job"])


def channels(ctx: Context) -> dict[str, dict[str, str]]:
    """What a distillation's job reads of the artifacts at hand, as far as they are there: channel -> file -> artifact."""
    wanted = {
        "train": {"train.jsonl": "data/processed/train.jsonl", "teacher.jsonl": "teacher/outputs.jsonl"},
        "validation": {"val.jsonl": "data/processed/val.jsonl"},
    }
    there = {
        channel: {file: artifact for file, artifact in files.items() if ctx.has(artifact)}
        for channel, files in wanted.items()
    }
    return {channel: files for channel, files in there.items() if files}


def _next(ctx: Context) -> str:
    """Wait until the job has left the present state; the label of the edge it took."""
    here = ctx.state
    ctx.data.setdefault("job", ctx.inputs.get("job"))
    ctx.data.setdefault("run", ctx.inputs.get("run"))
    # where in the history this walk stands; one that begins in Training has Pending to Downloading behind it
    position = ctx.data.setdefault("walked", 0 if here == "Pending" else _first(_job(ctx), here))
    watch = ctx.watch(ctx.data["run"]) if here == "Training" and ctx.data["run"] else None
    job = _job(ctx)
    while len(history := states(job)) <= position + 1:
        if watch is not None:
            watch.poll()
        _pause(ctx)
        job = _job(ctx)
    there, status = history[position + 1]
    ctx.data["walked"] = position + 1
    return label(here, there, status, job)


def _first(job: Job, state: str) -> int:
    return next((i for i, (s, _) in enumerate(states(job)) if s == state), 0)


def _pause(ctx: Context) -> None:
    """Wait before the next look, followers not in step. A stop asked for meanwhile is passed on to a job on this machine."""
    try:
        time.sleep(ctx.config.poll_seconds * random.uniform(1.0, 1.25))
    except StopRequested:
        jobs(ctx).interrupted(ctx.data["job"])
        raise


def _job(ctx: Context) -> Job:
    return jobs(ctx).describe(ctx.data.get("job") or ctx.inputs["job"])


def _spec(ctx: Context, machine: str, run: str) -> JobSpec:
    config = ctx.workdir("job") / "pipeline.yaml"
    config.write_text(ctx.config_text, "utf-8")
    given = ctx.inputs["channels"] if "channels" in ctx.inputs else channels(ctx)
    opened = {
        channel: {file: ctx.open(artifact) for file, artifact in files.items()}
        for channel, files in sorted(given.items())
    }
    for channel, paths in sorted(ctx.config.channels.items()):
        opened.setdefault(channel, {}).update({file: Path(path) for file, path in paths.items()})
    store = ctx.store_url if "://" in ctx.store_url else str(Path(ctx.store_url).absolute())
    words = {"machine": machine, "run": run, "store": store, "seed": str(ctx.run_seed), **ranks(ctx.config)}
    return JobSpec(
        run,
        {**opened, "config": {"pipeline.yaml": config}},
        words,
        environment(ctx.config, ctx.config_text) | {LAUNCHED_BY: launched_by(ctx.run_identity)},
        source.code(ctx.config_text, machine, ctx.config.packages, ctx.config.requirements),
    )


def ranks(config: SageMakerJobConfig) -> dict[str, str]:
    """The job's word for how many processes a host has, where the configuration says it."""
    return {"ranks_per_host": str(config.ranks_per_host)} if config.ranks_per_host else {}


def environment(config: SageMakerJobConfig, text: str) -> dict[str, str]:
    """The variables that the configuration, `text`, needs to be read once more in the container.

    A secret goes along only where `environment` says so: whoever may describe the job can read it there.
    """
    named = {match[1] for match in VARIABLE.finditer(text)}
    plain = {name for name in named if not SECRET_NAME.search(name)}
    return {name: os.environ[name] for name in sorted({*config.environment, *plain}) if name in os.environ}
