"""The states of Diagram 8.

`ctx.data["error"]` says what failed: {machine, state, error, message, item, attempt, data}; `attempt` counts earlier
recoveries of the same kind in the same visit, `data` is the failed machine's durable data. A handler may leave
`advice` (the paragraph the user is shown when the run stops), `patch` (merged into the failed machine's data before
its state starts again) and `verdict` (`stop`, where the last state's own verdict cannot be carried out).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from fsm.engine import Context, Phase
from phases import errors
from phases.error_recovery.classify import classify
from phases.error_recovery.config import ErrorRecoveryConfig

PHASE = Phase("error_recovery", config=ErrorRecoveryConfig)
PHASE.classifies(classify)

RESUME = (
    "Then give the same command again: the run goes on from there. (It keeps the configuration it was begun with; with "
    "another one it begins anew, by --fresh.)"
)


@PHASE.state(
    "errors.AWSErrors.NoCredentials",
    "errors.AWSErrors.AccessDenied",
    "errors.AWSErrors.RoleNotFound",
    "errors.BedrockErrors.ThrottlingException",
    "errors.BedrockErrors.ModelStreamError",
    "errors.TrainingErrors.NaNLoss",
    "errors.TrainingErrors.CUDAOutOfMemory",
    "errors.TrainingErrors.DiskSpaceLow",
    "errors.DataErrors.EncodingError",
    "errors.DataErrors.EmptyDataset",
    "errors.DataErrors.InvalidStructure",
    "errors.SageMakerErrors.SpotInterruption",
    "errors.SageMakerErrors.MaxRuntimeExceeded",
    "errors.SageMakerErrors.ContainerError",
    "errors.LimitErrors.TimeLimit",
)
def entered(ctx: Context) -> None:
    """An error state: say what happened. What is done about it comes after."""
    error = ctx.data["error"]
    ctx.log.warning(
        error["message"], error=error["error"], state=error["state"], attempt=error["attempt"] + 1
    )


# AWSErrors


@PHASE.state("errors.AWSErrors.SetEnvVars")
def set_env_vars(ctx: Context) -> None:
    action = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for temporary ones), or AWS_PROFILE."
    _advise(ctx, action if _foreign(ctx) else "")


@PHASE.state("errors.AWSErrors.UpdateBucketPolicy")
def update_bucket_policy(ctx: Context) -> None:
    """A bucket's policy, the caller's own, or a model's terms: our own message says which."""
    action = "Allow the caller what the message names in the bucket's policy or in the caller's own."
    _advise(ctx, action if _foreign(ctx) else "")


@PHASE.state("errors.AWSErrors.DeployCloudFormation")
def deploy_cloud_formation(ctx: Context) -> None:
    """The one command that creates the role; what validation found names it already."""
    from phases.sagemaker_job.role import TEMPLATE, deploy

    sections = ctx.program.sections
    command = deploy(sections, ctx.store_url, getattr(sections.get("pipeline"), "output", ""))
    action = f"Create the role by `{command}`, and name it in sagemaker_job.role."
    _advise(ctx, "" if TEMPLATE in ctx.data["error"]["message"] else action)


# BedrockErrors


@PHASE.state("errors.BedrockErrors.ExponentialBackoff")
def exponential_backoff(ctx: Context) -> str:
    """Sleep base * 2^attempt seconds and allow another call, or give the item up."""
    attempt = ctx.data["error"]["attempt"]
    spent = ctx.data["error"]["error"] == errors.AttemptsSpent.__name__  # by the calls themselves
    if spent or attempt >= ctx.config.max_attempts:
        return "attempt >= 5"
    seconds = ctx.config.base_seconds * 2**attempt
    ctx.log.info("waiting before the call is made again", seconds=seconds)
    time.sleep(seconds)
    return "attempt < 5"


@PHASE.state("errors.BedrockErrors.RetryInvoke")
def retry_invoke(ctx: Context) -> None:
    """The verdict makes the call again."""


@PHASE.state("errors.BedrockErrors.SkipPrompt")
def skip_prompt(ctx: Context) -> None:
    action = "There was no answer in all attempts: look at the quota and at the service's health."
    _advise(ctx, "" if ctx.data["error"]["error"] == errors.AttemptsSpent.__name__ else action)


# TrainingErrors


@PHASE.state("errors.TrainingErrors.LogCUDAMemory")
def log_cuda_memory(ctx: Context) -> None:
    """Keep the CUDA memory summary in the run's record, where there is CUDA."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        ctx.data["cuda_memory"] = "no CUDA device in this process"
        return
    ctx.data["cuda_memory"] = torch.cuda.memory_summary()


@PHASE.state("errors.TrainingErrors.HaltTraining")
def halt_training(ctx: Context) -> None:
    _advise(ctx, "The last complete checkpoint is kept.")


@PHASE.state("errors.TrainingErrors.ReduceBatchSize")
def reduce_batch_size(ctx: Context) -> None:
    """Halve the micro-batch and double the accumulation, so that the effective batch stays."""
    failed = ctx.data["error"]["data"]
    micro, accumulation = failed.get("micro_batch"), failed.get("accumulation")
    if micro is None or accumulation is None or micro <= 1:
        ctx.data["verdict"] = "stop"
        why = "The micro-batch is 1 already" if micro else "No batch is being trained on yet"
        _advise(
            ctx,
            f"{why}, so there is nothing to halve. Lower qlora_training.max_length, or rent a larger GPU.",
        )
        return
    ctx.data["patch"] = {"micro_batch": micro // 2, "accumulation": accumulation * 2}
    ctx.log.warning("micro-batch halved", micro_batch=micro // 2, accumulation=accumulation * 2)


@PHASE.state("errors.TrainingErrors.CleanCheckpoints")
def clean_checkpoints(ctx: Context) -> None:
    """Remove old checkpoints, never the newest or the best one; stop where that frees nothing."""
    from phases.qlora_training import checkpoints

    directory = _checkpoints(ctx)
    freed = checkpoints.clean(Path(directory)) if directory else 0
    if freed:
        ctx.log.warning("old checkpoints removed", bytes=freed)
        return
    ctx.data["verdict"] = "stop"
    _advise(
        ctx,
        "There is no old checkpoint left to remove: free space on the disk that the run works on (`work:` in the configuration), or "
        "give the instance a larger volume.",
    )


# DataErrors


@PHASE.state("errors.DataErrors.TryLatin1")
def try_latin1(ctx: Context) -> str:
    """Whether the file that failed reads as Latin-1 text; only a file that can be found again can."""
    from phases.decoding import NotText, decode_latin1

    item = ctx.data["error"]["item"]
    path = Path(item) if item else None
    if path is None or not path.is_file():
        return "Still fails"
    try:
        decode_latin1(path.read_bytes())
    except NotText:
        return "Still fails"
    return "Decoded"


@PHASE.state("errors.DataErrors.UseLatin1", "errors.DataErrors.SkipFile")
def file_decided(ctx: Context) -> None:
    """The verdict reads the file again, or goes on without it."""
    _advise(ctx, "Convert the file to UTF-8, or take it out of the source." if _foreign(ctx) else "")


@PHASE.state("errors.DataErrors.CheckS3Paths")
def check_s3_paths(ctx: Context) -> None:
    """Which place is empty, and what belongs there, is in the message: sources, a data set, prompts."""
    _advise(ctx, "")


@PHASE.state("errors.DataErrors.ValidateJSONL")
def validate_jsonl(ctx: Context) -> None:
    """What is wrong with which row, model or adapter, and what it should be, is in the message."""
    _advise(ctx, "")


# SageMakerErrors


@PHASE.state("errors.SageMakerErrors.ResumeFromCheckpoint")
def resume_from_checkpoint(ctx: Context) -> None:
    """The verdict starts the state again; it finds its last checkpoint."""


@PHASE.state("errors.SageMakerErrors.SavePartialModel")
def save_partial_model(ctx: Context) -> None:
    """Keep the adapter of the newest complete checkpoint, where it can be reached from here, as a partial model."""
    from phases.qlora_training import checkpoints

    directory = _checkpoints(ctx)
    newest = checkpoints.newest_below(Path(directory)) if directory else None
    if newest is None:
        kept = f"Its checkpoints are at {directory}." if directory else "It had written no checkpoint."
    else:
        for path in sorted(newest.path.glob("adapter_*")):
            ctx.put(f"model/partial/{path.name}", path)
        kept = f"The adapter after step {newest.step} is kept as model/partial."
    _advise(ctx, f"{kept} Raise sagemaker_job.max_runtime_seconds.")


@PHASE.state("errors.SageMakerErrors.CheckDLCImage")
def check_dlc_image(ctx: Context) -> None:
    """An image is to blame where a job's container failed; not where there was no machine, or this place lacks something."""
    action = "Look at the job's log, and at sagemaker_job.image: its tag must exist in the job's region."
    said = {errors.NotProvided.__name__, errors.NotRented.__name__}  # these say themselves what to do
    _advise(ctx, "" if ctx.data["error"]["error"] in said else action)


# LimitErrors


@PHASE.state("errors.LimitErrors.RaiseLimit")
def raise_limit(ctx: Context) -> None:
    machine = ctx.data["error"]["machine"]
    _advise(ctx, f"Look at what takes so long, or raise the limit among `limits` in machine {machine}.")


def _checkpoints(ctx: Context) -> str:
    """Where the failed machine's checkpoints are: those of the job it follows, or those it writes itself."""
    job = ctx.data["error"]["data"].get("job")
    if job:
        from phases.sagemaker_job.handlers import jobs

        return jobs(ctx).describe(job["job"] if isinstance(job, dict) else job).checkpoints
    from phases.qlora_training.job import checkpoints

    return str(checkpoints(ctx, ""))


def _foreign(ctx: Context) -> bool:
    """Whether a library raised it. What the phases raise says itself what to do next."""
    return not hasattr(errors, ctx.data["error"]["error"])


def _advise(ctx: Context, action: str) -> None:
    error = ctx.data["error"]
    own = error["error"] == errors.BudgetReached.__name__  # it says itself how the run goes on
    said = [
        f"{error['machine']}, {error['state']}: {error['message'].rstrip('.')}.",
        action,
        "" if own else RESUME,
    ]
    ctx.data["advice"] = " ".join(filter(None, said))
