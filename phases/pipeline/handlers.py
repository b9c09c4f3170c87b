"""The states of Diagram 1: every check of Validation, and the phases below it."""

from __future__ import annotations

import json
from typing import Any

from fsm.engine import Context, Phase
from phases.pipeline.config import PipelineConfig
from phases.pipeline.output import save
from phases.pipeline.validation import (
    CHECKS,
    SKIPPED,
    Finding,
    Needs,
    Result,
    look,
    paragraph,
    summary,
    table,
    timed,
)
from phases.sagemaker_job.handlers import channels, jobs
from phases.sagemaker_job.job import JobRefused
from phases.sagemaker_job.prices import HOUR, bill, price_list
from phases.sagemaker_job.reasons import failed

PHASE = Phase("pipeline", config=PipelineConfig)


# Validation: each check says what it found, or that there is nothing to check, and names the edge

MENDED = "Mended"


def _checked(ctx: Context, good: str, bad: str) -> str:
    """Ask what the state is drawn for; the edge `bad` where something failed."""
    check = ctx.state.rpartition(".")[2]
    found = list(timed(CHECKS[check](Needs.of(ctx))))
    _keep(ctx, check, found)
    # a warning may count days, which a journal does not: it is in the log, and in the table
    told = [one.text for one in found if one.result is not Result.WARNING]
    ctx.data.setdefault("validation", {})[check] = "; ".join(told)
    for one in found:
        say = ctx.log.error if one.bad else ctx.log.warning if one.result is Result.WARNING else ctx.log.info
        say(f"{one.text}. {one.do}" if one.do else one.text)
    if not any(one.bad for one in found):
        return good
    ctx.data["validation_error"] = paragraph((check, one) for one in found)
    return bad


@PHASE.state("Validation.AWSCredentials")
def aws_credentials(ctx: Context) -> str:
    _forget(ctx)
    return _checked(ctx, "Valid", "Invalid")


@PHASE.state("Validation.S3Access", effects=True)
def s3_access(ctx: Context) -> str:
    return _checked(ctx, "Bucket accessible", "Access denied")


@PHASE.state("Validation.BedrockAuth")
def bedrock_auth(ctx: Context) -> str:
    if ctx.config.skip_bedrock:
        ctx.data["validation_warning"] = SKIPPED
        return "--skip-bedrock"
    return _checked(ctx, "Model responds", "Model does not answer")


@PHASE.state("Validation.IAMRole")
def iam_role(ctx: Context) -> str:
    return _checked(ctx, "Role exists", "Role missing")


@PHASE.state("Validation.HFToken")
def hf_token(ctx: Context) -> str:
    found = list(timed(CHECKS["HFToken"](Needs.of(ctx))))
    _keep(ctx, "HFToken", found)
    if doubts := [one for one in found if one.result is Result.WARNING]:
        ctx.data["validation_warning"] = " ".join(f"{one.text}. {one.do}".strip() for one in doubts)
        return "Token missing"
    ctx.data.setdefault("validation", {})["HFToken"] = "; ".join(one.text for one in found)
    return "Token valid"


@PHASE.state("Validation.ConfigCheck")
def config_check(ctx: Context) -> str:
    return _checked(ctx, "YAML valid", "Invalid config")


@PHASE.state("Validation.LocalFiles")
def local_files(ctx: Context) -> str:
    return _checked(ctx, "Files exist", "Files missing")


@PHASE.state("Validation.ScriptSyntax")
def script_syntax(ctx: Context) -> str:
    return _checked(ctx, "Valid Python", "Syntax error")


@PHASE.state("Validation.ImportCheck")
def import_check(ctx: Context) -> str:
    label = _checked(ctx, "All imports resolve", "Import fails")
    if Needs.of(ctx).aws:
        ctx.log.info(_tabled([(name, one) for name, found in _kept(ctx).items() for one in found]))
    return label


@PHASE.state("Validation.ValidationError", effects=True)
def validation_error(ctx: Context) -> str | None:
    """The checks that were not reached are made here, so that all that is wrong is told at once.

    Raises the error of the first failure, which Diagram 8 has a path for: what is mended outside is asked anew when
    the run is resumed. What is wrong with the configuration itself ends the run, which keeps it. Nothing was begun
    that costs anything.
    """
    found = list(look(Needs.of(ctx), {} if ctx.failures else _kept(ctx)))
    bad = [one for _, one in found if one.bad]
    if not bad:
        return MENDED
    ctx.log.error(_tabled(found))
    ctx.data["validation_error"] = paragraph(found)
    own = [one.error for one in bad if one.error]
    if len(own) == len(bad):
        raise own[0](paragraph(found))
    return None


@PHASE.state("Validation.ValidationWarn")
def validation_warn(ctx: Context) -> None:
    ctx.log.warning(ctx.data["validation_warning"])


def _tabled(found: list[tuple[str, Finding]]) -> str:
    return f"validation: {summary(found)}\n{table(found)}"


# What was found, with the seconds it took, for the table alone: in a file of this machine, for a journal knows no clock


def _forget(ctx: Context) -> None:
    for path in ctx.workdir("validation").glob("*.json"):
        path.unlink()


def _keep(ctx: Context, check: str, found: list[Finding]) -> None:
    (ctx.workdir("validation") / f"{check}.json").write_text(json.dumps([one.as_json() for one in found]))


def _kept(ctx: Context) -> dict[str, list[Finding]]:
    """By check, in the order of the drawing; fewer on another machine than the one they were found on."""
    paths = {name: ctx.workdir("validation") / f"{name}.json" for name in CHECKS}
    return {n: [Finding.read(v) for v in json.loads(p.read_text())] for n, p in paths.items() if p.is_file()}


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
    """Launch the job and follow it to where its work begins; first have it approved, where that is wanted."""
    if ctx.state in ctx.config.approve and "approved" not in ctx.data:
        return "Approval wanted"
    try:
        job = ctx.run("sagemaker_job", _distillation(ctx), until=("Training",))
    except JobRefused as e:
        ctx.log.error(f"the job was refused: {e}")
        return "Launch failed"
    if job.last in ("Failed", "Stopped"):
        raise _failure(ctx, job.data)
    ctx.data["job"] = {key: job.data.get(key) for key in ("job", "run")}
    return "SageMaker job running"


@PHASE.ends("TrainingLaunch")
def ends_launch(ctx: Context) -> None:
    """The job may have been created, though nothing of it is in the journal: diagram 10 finds it by its name."""
    ctx.run("sagemaker_job", _distillation(ctx), until=("Training",))


@PHASE.state("Approval")
def approval(ctx: Context) -> str:
    """Show what a launch would rent, and ask a person."""
    settings, hours = ctx.section("sagemaker_job"), ctx.config.approve_hours
    within = {"seconds": hours * HOUR, "otherwise": "No answer"} if hours else {}
    shown = bill(settings, price_list() if settings.provider == "sagemaker" else None)
    answer = ctx.ask("May the training job be launched?", show=shown, **within)
    if answer.label == "Approved":
        ctx.data["approved"] = {"by": answer.by, "note": answer.note}
    return answer.label


@PHASE.ends("IterativeDistillation")
def ends_distillation(ctx: Context) -> None:
    ctx.run("sagemaker_job", ctx.data["job"], start="Training")


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
