"""The handlers of Diagram 3.

teacher/loaded.jsonl       rows as they were found       teacher/prompts.jsonl   what is asked, each prompt once
teacher/results/<n>.jsonl  one batch of results          teacher/checkpoint.json how far it is
teacher/outputs.jsonl      answers as training rows, in the order of the prompts
teacher/failures.jsonl     prompts without an answer, with the reason
teacher/summary.json       how many were asked, answered and failed, by reason

The answers themselves are in the store's ledger (ledger.py) before any of that is written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fsm.engine import Context, Phase
from phases.errors import EmptyDataset, NoCredentials
from phases.reading import read_text
from phases.teacher_generation import bedrock, failures, openai
from phases.teacher_generation.asking import Call, Result, ask, desk
from phases.teacher_generation.config import TeacherGenerationConfig
from phases.teacher_generation.loading import read_lines, read_prompts
from phases.teacher_generation.offline import generate
from phases.teacher_generation.teacher import Teacher, digest
from phases.teacher_generation.teachers import make_teacher
from phases.turns import shown, turns

PHASE = Phase("teacher_generation", config=TeacherGenerationConfig)


@PHASE.state("InitBedrockClient")
def init_bedrock_client(ctx: Context) -> None:
    """Name the teacher, on the screen and in the run: the reader of an answer must know who gave it."""
    teacher = _teacher(ctx)
    ctx.data["teacher"] = teacher.name
    ctx.data["note"] = teacher.note
    ctx.log.info(teacher.note, teacher=teacher.name)


@PHASE.state("Authentication.CheckIAMCreds")
def check_iam_credentials(ctx: Context) -> str:
    if ctx.config.teacher.kind == "offline":
        return "No credentials needed (offline teacher)"
    wanted = _teacher(ctx).credentials
    if wanted == "none":
        return "No credentials needed (a server of one's own)"
    ctx.data["iam"] = wanted == "aws" and bedrock.has_iam_credentials()
    return "IAM valid" if ctx.data["iam"] else "IAM missing"


@PHASE.state("Authentication.CheckAPIKey")
def check_api_key(ctx: Context) -> str:
    teacher = _teacher(ctx)
    if teacher.credentials == "key":
        if ctx.config.teacher.kind == "openai" and not openai.key(ctx.config.teacher):
            raise NoCredentials(
                f"{teacher.name} is asked with a key, and there is none. Set {openai.API_KEY_VARIABLE} or "
                "teacher_generation.teacher.api_key, and resume."
            )
        return "API key found"
    if bedrock.api_key():
        return "API key found"
    if not ctx.data["iam"]:
        raise NoCredentials(
            "Bedrock needs IAM credentials or an API key, and this process has neither. Set AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY, a profile, or {bedrock.API_KEY_VARIABLE}, and resume; or choose the offline "
            "teacher with teacher_generation.teacher.kind: offline."
        )
    return "No API key (IAM only)"


@PHASE.state("Authentication.RegisterEventHandler")
def register_event_handler(ctx: Context) -> None:
    """Make the client with its header hook, so that what is wrong with it shows before the prompts are read."""
    _teacher(ctx)


@PHASE.state("Authentication.ClientReady")
def client_ready(ctx: Context) -> None:
    """Nothing is left to do: every process makes its client when it first asks."""


@PHASE.state("LoadPrompts")
def load_prompts(ctx: Context) -> str:
    config: TeacherGenerationConfig = ctx.config
    if config.test:
        return "--test mode"
    text = _prompt_file(ctx, config.prompts) if config.prompts else ""
    made = generate("train", config.generated, ctx.seed("prompts"), config.domains)
    rows = "".join(_line({"prompt": prompt.text, "domain": prompt.domain}) for prompt in made)
    ctx.put("teacher/loaded.jsonl", text + ("" if text.endswith("\n") or not text else "\n") + rows)
    return "JSONL loaded"


@PHASE.state("ValidatePrompts")
def validate_prompts(ctx: Context) -> str:
    """Check every row before the first prompt is paid for; the same prompt twice is asked once."""
    where = f"{ctx.config.prompts or 'the generated prompts'} (teacher/loaded.jsonl)"
    prompts = read_prompts(ctx.open("teacher/loaded.jsonl").read_text("utf-8"), where)
    _keep_prompts(ctx, prompts[: ctx.config.limit])
    return "Valid prompts"


@PHASE.state("CreateTestPrompts")
def create_test_prompts(ctx: Context) -> None:
    made = generate("train", ctx.config.test_prompts, ctx.seed("prompts"), ctx.config.domains)
    _keep_prompts(ctx, [prompt.text for prompt in made])


@PHASE.state("CreateThreadPool")
def create_thread_pool(ctx: Context) -> None:
    """Say how many workers there will be. Threads do not survive a process, so each batch has a pool of its own."""
    ctx.data["workers"] = min(ctx.config.workers, ctx.data["prompts"])


@PHASE.state("ParallelExecution.SubmitFutures")
def submit_futures(ctx: Context) -> None:
    """Begin with the first prompt; the next batch always is the first that has no results yet."""
    ctx.data["done"] = 0
    ctx.data["batches"] = 0
    if not ctx.config.reuse:
        ctx.data["scope"] = ctx.effect_name("answers")


@PHASE.state("ParallelExecution.ProcessFuture")
def process_futures(ctx: Context) -> str:
    """Ask the next ten prompts. Batches go by the prompts' order, so that a resumed run makes the same ones.

    Where the run goes on after it stopped here, what failed before for a passing reason is asked again. At the end too many
    failures stop it: after a checkpoint, which tells of them. Raises AttemptsSpent, InvalidStructure; what `ask` raises.
    """
    prompts = _prompts(ctx)
    start = ctx.data["done"]
    batch = prompts[start : start + ctx.config.checkpoint_every]
    again = [result.prompt for result in _results(ctx) if result.passing] if ctx.failures else []
    if asked := again + batch:
        results = _asked(ctx, asked, start + len(batch), len(prompts))
        _put_results(ctx, results)
        failed = ctx.data.pop("failed", 0) - len(again) + sum(not result.answered for result in results)
        if failed:
            ctx.data["failed"] = failed
        ctx.data["done"] = start + len(batch)
    if ctx.data["done"] < len(prompts):
        return "Every 10 results"
    if failures.within(ctx.data.get("failed", 0), len(prompts), ctx.config.max_failed_share):
        return "All complete"
    if asked:
        return "Every 10 results"
    raise failures.too_many(_results(ctx), ctx.config.max_failed_share, *_lines(ctx))


def _asked(ctx: Context, prompts: list[str], done: int, total: int) -> list[Result]:
    with ctx.deferring_stop():  # calls under way are paid for: their answers are kept before the run stops
        results = ask(
            _teacher(ctx),
            prompts,
            asking=ctx.config,
            desk=desk(ctx, ctx.config, ctx.data.get("scope", "")),
            walk=ctx.walk().run,
            stopping=ctx.stopping,
            progress=lambda now, of: ctx.progress(done - of + now, total),
            log=ctx.log,
        )
    for result in results:
        if not result.answered:
            ctx.log.warning("prompt failed", digest=digest(result.prompt)[:12], reason=result.reason)
    return results


@PHASE.state("ParallelExecution.ProcessFuture.InvokeModel")
def invoke_model(call: Call) -> str:
    return call.invoke()


@PHASE.state("ParallelExecution.ProcessFuture.RetryBackoff")
def retry_backoff(call: Call) -> None:
    call.back_off()


@PHASE.state("ParallelExecution.ProcessFuture.ParseResponse")
def parse_the_response(call: Call) -> str:
    return call.parse()


@PHASE.state("ParallelExecution.ProcessFuture.RecordSuccess")
def record_success(call: Call) -> None:
    call.succeed()


@PHASE.state("ParallelExecution.ProcessFuture.RecordFailure")
def record_failure(call: Call) -> None:
    call.fail()


@PHASE.state("ParallelExecution.CheckpointWrite")
def checkpoint_write(ctx: Context) -> None:
    """Write down how far it is. The results themselves are parts, or each checkpoint would write all over again."""
    names = [_batch_name(number) for number in range(ctx.data["batches"])]
    progress = {"done": ctx.data["done"], "of": ctx.data["prompts"], "results": names}
    ctx.put("teacher/checkpoint.json", json.dumps(progress, indent=1))
    if (
        ctx.data["done"] >= ctx.data["prompts"]
    ):  # the run is about to stop: here are the failures that stop it
        results = _results(ctx)
        _put_failures(ctx, results)
        ctx.put("teacher/summary.json", json.dumps(_summary(ctx, results), indent=1))


@PHASE.state("SortAndSave")
def sort_and_save(ctx: Context) -> None:
    results = _results(ctx)
    ctx.put("teacher/outputs.jsonl", "".join(_line(_output(r)) for r in results if r.answered))
    _put_failures(ctx, results)
    ctx.data["summary"] = _summary(ctx, results)
    ctx.put("teacher/summary.json", json.dumps(ctx.data["summary"], indent=1))


@PHASE.state("PrintSummary")
def print_summary(ctx: Context) -> None:
    """Say what came out; where nothing did, a student would have nothing to learn, and the run stops."""
    summary = ctx.data["summary"]
    ctx.log.info("teacher outputs generated", **summary)
    if not summary["answered"]:
        first = next(iter(_results(ctx)))
        raise EmptyDataset(
            f"{ctx.data['teacher']} answered none of {summary['prompts']} prompts; the first one failed with: "
            f"{first.reason}. See teacher/failures.jsonl, put that right and start anew with --fresh."
        )
    if summary["failed"]:
        ctx.log.warning(
            f"{summary['failed']} of {summary['prompts']} prompts have no answer ({failures.said(summary['failures'])}): fewer than "
            "teacher_generation.max_failed_share stops for. See teacher/failures.jsonl; `fsm run CONFIG --retry-failed` asks again "
            "what failed for a passing reason, and pays for nothing else."
        )


def _teacher(ctx: Context) -> Teacher:
    return make_teacher(ctx.config.teacher, ctx.config.workers)


def _prompt_file(ctx: Context, name: str) -> str:
    path = ctx.open(name) if ctx.has(name) else Path(name)
    if not path.is_file():
        raise EmptyDataset(
            f"teacher_generation.prompts names {name!r}, which neither this run has made (data_preparation makes "
            f"data/splits/train.jsonl) nor is a file below {Path.cwd()}. Name a JSONL file with prompts, or give "
            "teacher_generation.test: true."
        )
    return read_text(path, name, "Nothing was asked yet; correct the file.")


def _keep_prompts(ctx: Context, prompts: list[str]) -> None:
    ctx.put("teacher/prompts.jsonl", "".join(_line(shown(prompt)) for prompt in prompts))
    ctx.data["prompts"] = len(prompts)


def _prompts(ctx: Context) -> list[str]:
    return read_prompts(ctx.open("teacher/prompts.jsonl").read_text("utf-8"), "teacher/prompts.jsonl")


def _lines(ctx: Context) -> tuple[dict[str, int], str]:
    """The lines of the prompts in what was loaded, and what that is called."""
    loaded = ctx.has("teacher/loaded.jsonl")
    name = "teacher/loaded.jsonl" if loaded else "teacher/prompts.jsonl"
    where = f"{ctx.config.prompts} ({name})" if loaded and ctx.config.prompts else name
    return read_lines(ctx.open(name).read_text("utf-8"), where), where


def _batch_name(number: int) -> str:
    return f"teacher/results/{number:05d}.jsonl"


def _put_results(ctx: Context, results: list[Result]) -> None:
    ctx.put(_batch_name(ctx.data["batches"]), "".join(_line(result.row()) for result in results))
    ctx.data["batches"] += 1


def _results(ctx: Context) -> list[Result]:
    """The newest result of each prompt that has one, in the order of the prompts."""
    texts = (ctx.open(_batch_name(number)).read_text("utf-8") for number in range(ctx.data["batches"]))
    rows = (json.loads(line) for text in texts for line in text.split("\n") if line)
    newest = {row["prompt"]: Result.from_row(row) for row in rows}
    return [newest[prompt] for prompt in _prompts(ctx) if prompt in newest]


def _summary(ctx: Context, results: list[Result]) -> dict[str, Any]:
    causes = failures.by_cause(results)
    return {
        "teacher": ctx.data["teacher"],
        "prompts": len(results),
        "answered": sum(result.answered for result in results),
        "failed": sum(causes.values()),
        "retries": sum(result.retries for result in results),
        "input_tokens": sum(result.input_tokens for result in results),
        "output_tokens": sum(result.output_tokens for result in results),
    } | ({"failures": causes} if causes else {})


def _output(result: Result) -> dict[str, Any]:
    """An answer as a training row: all turns of the prompt, and the answer."""
    said = [*turns(result.prompt), {"role": "assistant", "content": result.text}]
    return {"messages": said, "teacher": result.teacher, "digest": digest(result.prompt)}


def _put_failures(ctx: Context, results: list[Result]) -> None:
    """The prompts without an answer, in rows that may be asked as they are."""
    ctx.put("teacher/failures.jsonl", "".join(_line(_failure(r)) for r in results if not r.answered))


def _failure(result: Result) -> dict[str, Any]:
    return shown(result.prompt) | {
        "teacher": result.teacher,
        "reason": result.reason,
        "cause": result.cause,
        "kind": result.kind,
        "retries": result.retries,
    }


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
