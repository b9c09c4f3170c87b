"""The states of Diagram 1: every check of Validation, and the phases below it."""

from __future__ import annotations

from typing import Any

from fsm.engine import Context, Phase
from phases.pipeline import validation
from phases.pipeline.config import PipelineConfig
from phases.pipeline.finding import Finding, Result, table
from phases.pipeline.output import save
from phases.pipeline.subject import Subject
from phases.sagemaker_job.handlers import channels, jobs
from phases.sagemaker_job.job import JobRefused
from phases.sagemaker_job.reasons import failed

PHASE = Phase("pipeline", config=PipelineConfig)


# Validation: each state makes its checks, keeps what they found, and names the edge

_TOOK: dict[tuple[str, str, str], float] = {}
"""Seconds that checks took, by run, state and check: for the table alone, and of this process alone."""


def _checked(ctx: Context, state: str) -> list[Finding]:
    """The findings of a state, made now and kept."""
    found = validation.made(state, Subject.of(ctx, validation.environment()))
    ctx.data["validation"] = ctx.data.get("validation", {}) | {state: [f.to_json() for f in found]}
    _TOOK.update({(ctx.run_name, state, f.check): f.seconds or 0.0 for f in found})
    for f in found:
        said = f"{f.check}: {f.text}" + (f". {f.do}" if f.do else "")
        (ctx.log.error if not f.good else ctx.log.warning if f.result is Result.WARNING else ctx.log.info)(
            said
        )
    return found


def _decide(ctx: Context, good: str, bad: str) -> str:
    state = ctx.state.rpartition(".")[2]
    wrong = [f for f in _checked(ctx, state) if not f.good]
    if not wrong:
        return good
    ctx.data["validation_error"] = "; ".join(f"{state}: {f.text}" for f in wrong)
    return bad


def _table(ctx: Context) -> str:
    """Everything that was found so far, as one table."""
    rows = [
        Finding.from_json(row, _TOOK.get((ctx.run_name, state, row["check"])))
        for state in validation.CHECKS
        for row in ctx.data["validation"].get(state, ())
    ]
    return "\n".join(table(rows))


@PHASE.state("Validation.AWSCredentials")
def aws_credentials(ctx: Context) -> str:
    return _decide(ctx, "Valid", "Invalid")


@PHASE.state("Validation.S3Access")
def s3_access(ctx: Context) -> str:
    return _decide(ctx, "Bucket accessible", "Access denied")


@PHASE.state("Validation.BedrockAuth")
def bedrock_auth(ctx: Context) -> str:
    if ctx.config.skip_bedrock:
        ctx.data["validation_warning"] = "the teacher is not checked: pipeline.skip_bedrock is set"
        return "--skip-bedrock"
    return _decide(ctx, "Model responds", "Model does not answer")


@PHASE.state("Validation.IAMRole")
def iam_role(ctx: Context) -> str:
    return _decide(ctx, "Role exists", "Role missing")


@PHASE.state("Validation.HFToken")
def hf_token(ctx: Context) -> str:
    """No token, or one that the hub refuses, is a warning, as drawn: the model may be one that anybody can have."""
    found = [f for f in _checked(ctx, "HFToken") if f.result in (Result.BAD, Result.WARNING)]
    if not found:
        return "Token valid"
    ctx.data["validation_warning"] = "; ".join(f.text for f in found)
    return "Token missing"


@PHASE.state("Validation.ConfigCheck")
def config_check(ctx: Context) -> str:
    return _decide(ctx, "YAML valid", "Invalid config")


@PHASE.state("Validation.LocalFiles")
def local_files(ctx: Context) -> str:
    return _decide(ctx, "Files exist", "Files missing")


@PHASE.state("Validation.ScriptSyntax")
def script_syntax(ctx: Context) -> str:
    return _decide(ctx, "Valid Python", "Syntax error")


@PHASE.state("Validation.ImportCheck")
def import_check(ctx: Context) -> str:
    label = _decide(ctx, "All imports resolve", "Import fails")
    if label == "All imports resolve":
        ctx.log.info("what was checked\n" + _table(ctx))
    return label


@PHASE.state("Validation.ValidationError")
def validation_error(ctx: Context) -> None:
    """Nothing was begun that costs anything. What comes after the check that failed is checked too: all in one go."""
    for state in validation.CHECKS:
        if state not in ctx.data["validation"] and not (state == "BedrockAuth" and ctx.config.skip_bedrock):
            _checked(ctx, state)
    found = ctx.data["validation"]
    wrong = [
        (s, row) for s in validation.CHECKS for row in found.get(s, ()) if row["result"] == Result.BAD.value
    ]
    ctx.data["validation_error"] = "; ".join(f"{state}: {row['text']}" for state, row in wrong)
    ctx.log.error(f"validation failed: {ctx.data['validation_error']}\n" + _table(ctx))


@PHASE.state("Validation.ValidationWarn")
def validation_warn(ctx: Context) -> None:
    ctx.log.warning(ctx.data["validation_warning"])


# The phases


@PHASE.state("DataPreparation")
def data_preparation(ctx: Context) -> str:
    ctx.data["data_preparation"] = dict(ctx.run("data_preparation").data)
    return "train.jsonl + val.jsonl ready"


@PHASE.state("TeacherGeneration")
def teacher_generation(ctx: Context) -> str:
    if ctx.config.skip_teacher:
        return "Skip (use raw data only)"
    ctx.data["teacher_generation"] = dict(ctx.run("teacher_generation").data)
    return "Teacher outputs generated"


@PHASE.state("TrainingLaunch", effects=True)
def training_launch(ctx: Context) -> str:
    """Launch the job and follow it to where its work begins."""
    try:
        job = ctx.run("sagemaker_job", _distillation(ctx), until=("Training",))
    except JobRefused as e:
        ctx.log.error(f"the job was refused: {e}")
        return "Launch failed"
    if job.last in ("Failed", "Stopped"):
        raise _failure(ctx, job.data)
    ctx.data["job"] = {key: job.data.get(key) for key in ("job", "run")}
    return "SageMaker job running"


@PHASE.state("IterativeDistillation", effects=True)
def iterative_distillation(ctx: Context) -> str:
    """Watch the distillation in its container, and follow the job to its end.

    Where that failed before, another job goes on with the same run, from its last checkpoint.
    """
    run = ctx.data["job"]["run"]
    if ctx.failures and jobs(ctx).describe(ctx.data["job"]["job"]).over:
        job = ctx.run("sagemaker_job", {**_distillation(ctx), "run": run})
    else:
        job = ctx.run("sagemaker_job", ctx.data["job"], start="Training")
    watch = ctx.watch(run)
    watch.poll()
    if watch.ended and watch.ended["outcome"] == "failed":
        return "Fatal error"
    if job.last in ("Failed", "Stopped"):
        raise _failure(ctx, job.data)
    ctx.data["distillation"] = watch.fold.root["data"].get("result", {}) if watch.fold.root else {}
    ctx.data["model"] = job.data["model"]
    return "Converged or max epochs"


def _distillation(ctx: Context) -> dict[str, Any]:
    """What the job is to run, and the channels it reads."""
    return {"machine": "distillation", "channels": channels(ctx)}


@PHASE.state("Complete", effects=True)
def complete(ctx: Context) -> None:
    """Save the model and its metrics where the pipeline's outputs go."""
    ctx.data["saved"] = save(ctx, ctx.data["model"], ctx.config.output)
    ctx.log.info("model saved", **ctx.data["saved"])


def _failure(ctx: Context, job: Any) -> Exception:
    types = ctx.section("sagemaker_job").instance_types
    return failed(job["job"], job["failure"], spare=ctx.failures + 1 < len(types))


VALIDATION = PHASE.part("Validation", "validation")
