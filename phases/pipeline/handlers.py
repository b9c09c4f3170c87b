"""The states of Diagram 1: every check of Validation, and the phases below it."""

from __future__ import annotations

from typing import Any

from fsm.engine import Context, Phase
from phases.errors import ContainerError, MaxRuntimeExceeded, SpotInterruption
from phases.pipeline import validation
from phases.pipeline.config import PipelineConfig
from phases.pipeline.output import save
from phases.sagemaker_job.handlers import channels, jobs
from phases.sagemaker_job.job import JobRefused

PHASE = Phase("pipeline", config=PipelineConfig)


# Validation: each check says what it found, or that there is nothing to check, and names the edge


def _decide(ctx: Context, found: validation.Finding, good: str, bad: str) -> str:
    check = ctx.state.rpartition(".")[2]
    ctx.data.setdefault("validation", {})[check] = found.text
    (ctx.log.info if found.good else ctx.log.error)(found.text)
    if found.good:
        return good
    ctx.data["validation_error"] = f"{check}: {found.text}"
    return bad


@PHASE.state("Validation.AWSCredentials")
def aws_credentials(ctx: Context) -> str:
    return _decide(ctx, validation.aws_credentials(validation.Needs.of(ctx)), "Valid", "Invalid")


@PHASE.state("Validation.S3Access")
def s3_access(ctx: Context) -> str:
    return _decide(ctx, validation.s3_access(validation.Needs.of(ctx)), "Bucket accessible", "Access denied")


@PHASE.state("Validation.BedrockAuth")
def bedrock_auth(ctx: Context) -> str:
    if ctx.config.skip_bedrock:
        ctx.data["validation_warning"] = "the teacher is not checked: pipeline.skip_bedrock is set"
        return "--skip-bedrock"
    return _decide(ctx, validation.teacher_answers(ctx), "Model responds", "Model does not answer")


@PHASE.state("Validation.IAMRole")
def iam_role(ctx: Context) -> str:
    return _decide(ctx, validation.iam_role(validation.Needs.of(ctx)), "Role exists", "Role missing")


@PHASE.state("Validation.HFToken")
def hf_token(ctx: Context) -> str:
    found = validation.hf_token(ctx)
    if found.good:
        return _decide(ctx, found, "Token valid", "Token missing")
    ctx.data["validation_warning"] = found.text
    return "Token missing"


@PHASE.state("Validation.ConfigCheck")
def config_check(ctx: Context) -> str:
    return _decide(ctx, validation.config_check(ctx), "YAML valid", "Invalid config")


@PHASE.state("Validation.LocalFiles")
def local_files(ctx: Context) -> str:
    return _decide(ctx, validation.local_files(validation.Needs.of(ctx)), "Files exist", "Files missing")


@PHASE.state("Validation.ScriptSyntax")
def script_syntax(ctx: Context) -> str:
    return _decide(ctx, validation.script_syntax(), "Valid Python", "Syntax error")


@PHASE.state("Validation.ImportCheck")
def import_check(ctx: Context) -> str:
    return _decide(
        ctx, validation.import_check(validation.Needs.of(ctx)), "All imports resolve", "Import fails"
    )


@PHASE.state("Validation.ValidationError")
def validation_error(ctx: Context) -> None:
    """Nothing was begun that costs anything; mend what the message names and start anew."""
    ctx.log.error(f"validation failed: {ctx.data['validation_error']}")


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
        raise _failure(job.data)
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
        raise _failure(job.data)
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


def _failure(job: Any) -> Exception:
    reason = job["failure"] or "the service gave no reason"
    text = f"Training job {job['job']}: {reason.rstrip('.')}."
    if "MaxRuntimeExceeded" in reason:
        return MaxRuntimeExceeded(text)
    return SpotInterruption(text) if reason == "stopped" else ContainerError(text)


VALIDATION = PHASE.part("Validation", "validation")
