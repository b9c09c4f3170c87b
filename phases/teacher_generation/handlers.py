"""The handlers of Diagram 3.

teacher/loaded.jsonl       rows as they were found       teacher/prompts.jsonl   what is asked, each prompt once
teacher/results/<n>.jsonl  one batch of results          teacher/checkpoint.json how far it is
teacher/again/<n>.jsonl    results of what was asked again after a stop
teacher/outputs.jsonl      answers as training rows, in the order of the prompts
teacher/failures.jsonl     prompts without an answer, with the reason
teacher/turned_away.jsonl  answers that are nothing to learn from, with the reason
teacher/summary.json       how many were asked, answered, failed and turned away, by reason; summary.md as a table

The answers themselves are in the store's ledger (ledger.py) before any of that is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from fsm.engine import Context, Phase
from fsm.text import lines
from phases.errors import EmptyDataset, NoCredentials, PipelineError
from phases.reading import copy_lines
from phases.teacher_generation import batch, bedrock, estimate, failures, openai
from phases.teacher_generation import summary as tables
from phases.teacher_generation.asking import Call, Result
from phases.teacher_generation.checking import Checker
from phases.teacher_generation.config import FREE_KEYS, TeacherGenerationConfig
from phases.teacher_generation.desk import desk, note, spends_for
from phases.teacher_generation.loading import each, fitting, read_lines
from phases.teacher_generation.offline import generate
from phases.teacher_generation.summary import Summary
from phases.teacher_generation.teacher import Teacher, digest
from phases.teacher_generation.teachers import make_teacher
from phases.teacher_generation.window import Window, ask, prompts_of
from phases.turns import shown, turns

UNASKED = "Nothing was asked yet; correct the file."
PHASE = Phase("teacher_generation", config=TeacherGenerationConfig, free=FREE_KEYS)
PHASE.foresees(estimate.foresee)


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
    made = generate("train", config.generated, ctx.seed("prompts"), config.domains)
    path = ctx.workdir("teacher") / "loaded.jsonl"
    with path.open("w", encoding="utf-8") as loaded:
        if config.prompts:
            copy_lines(_prompt_file(ctx, config.prompts), config.prompts, UNASKED, loaded)
        loaded.writelines(_line({"prompt": prompt.text, "domain": prompt.domain}) for prompt in made)
    ctx.put("teacher/loaded.jsonl", path)
    return "JSONL loaded"


@PHASE.state("ValidatePrompts")
def validate_prompts(ctx: Context) -> str:
    """Check every row before the first prompt is paid for; the same prompt twice is asked once."""
    where = f"{ctx.config.prompts or 'the generated prompts'} (teacher/loaded.jsonl)"
    with ctx.open("teacher/loaded.jsonl").open("rb") as file:
        asked = fitting(each(lines(file, where), where), _teacher(ctx), where)
        _keep_prompts(ctx, (prompt for _, prompt in asked), ctx.config.limit)
    return "Valid prompts"


@PHASE.state("CreateTestPrompts")
def create_test_prompts(ctx: Context) -> None:
    made = generate("train", ctx.config.test_prompts, ctx.seed("prompts"), ctx.config.domains)
    _keep_prompts(ctx, (prompt.text for prompt in made))


@PHASE.state("CreateThreadPool")
def create_thread_pool(ctx: Context) -> None:
    """Say how many workers there will be, and what is about to be asked. Threads do not survive a process: each makes its own."""
    Checker.of(
        ctx.config, ctx.program.sections.get("quality_scoring")
    )  # what it takes is here, or nothing is asked
    ctx.data["workers"] = min(ctx.config.workers, ctx.data["prompts"])
    for number, said in enumerate(estimate.of_run(ctx, _teacher(ctx), _prompts(ctx))):
        (ctx.log.warning if number else ctx.log.info)(said)


@PHASE.state("ParallelExecution.SubmitFutures", effects=True)
def submit_futures(ctx: Context) -> None:
    """Begin with the first prompt; the next batch always is the first that has no results yet. Where a batch inference job is
    to answer, await it: its answers are in the ledger, where the window finds them."""
    ctx.data["done"] = 0
    ctx.data["batches"] = 0
    if not ctx.config.reuse:
        ctx.data["scope"] = ctx.effect_name("answers")
    if ctx.config.teacher.batches:
        run = spends_for(ctx)
        ledger = desk(ctx, ctx.config, run).at(ctx.data.get("scope", ""))
        batch.fill(ctx, partial(_prompts, ctx), ledger, ctx.config, run)


@PHASE.state("ParallelExecution.ProcessFuture")
def process_futures(ctx: Context) -> str:
    """Take the next ten results of the window, which goes on asking behind them. They go by the prompts' order, so that a
    resumed run makes the same ones.

    Where the run goes on after it stopped here, what failed before for a passing reason is asked again. At the end too many
    failures stop it: after a checkpoint, which tells of them. Raises AttemptsSpent, InvalidStructure; what `Window` raises.
    """
    again = _ask_again(ctx) if ctx.failures else 0
    number = min(ctx.config.checkpoint_every, ctx.data["prompts"] - ctx.data["done"])
    if number:
        _put_results(ctx, _taken(ctx, number))
    if ctx.data["done"] < ctx.data["prompts"]:
        return "Every 10 results"
    if _within(ctx):
        return "All complete"
    if again or number:
        return "Every 10 results"
    raise _too_many(ctx)


def _taken(ctx: Context, number: int) -> list[Result]:
    """The next results in the order of the prompts."""
    at = desk(ctx, ctx.config, spends_for(ctx))
    walk, prompts = ctx.walk(), _prompts(ctx)  # in every visit, for its record says what was read
    with ctx.deferring_stop():  # calls under way are paid for: their answers are kept before the run stops
        window = at.window
        if window is None or window.over or window.place != ctx.data["done"]:
            if window is not None:
                window.close()
            window = at.window = Window(
                _teacher(ctx),
                islice(prompts, ctx.data["done"], None),
                start=ctx.data["done"],
                asking=ctx.config,
                desk=at,
                way=walk.way,
                scope=ctx.data.get("scope", ""),
                stopping=ctx.stopping,
                log=ctx.log,
            )
        total = ctx.data["prompts"]
        found = window.take(
            number,
            lambda: ctx.progress(window.done, total, note(at, total - window.done)),
        )
    assert len(found) == number  # where a stop was asked for, it has been raised by now
    for done in found:
        walk.count(done.way)
    return [done.result for done in found]


def _ask_again(ctx: Context) -> int:
    """Ask once more for what failed for a passing reason; how many those are. Their new results go before the old ones."""
    passing = [result.prompt for result in _results(ctx) if result.passing]
    if not passing:
        return 0
    before = sum(not result.answered and not result.turned_away for result in _newest_of(ctx, passing))
    at, walk = desk(ctx, ctx.config, spends_for(ctx)), ctx.walk()
    with ctx.deferring_stop():
        results = ask(
            _teacher(ctx),
            passing,
            asking=ctx.config,
            desk=at,
            way=walk.way,
            count=walk.count,
            scope=ctx.data.get("scope", ""),
            stopping=ctx.stopping,
            progress=lambda done, total, said: ctx.progress(done, total, said),
            log=ctx.log,
        )
    ctx.data["again"] = ctx.data.get("again", 0) + 1
    ctx.put(_again_name(ctx.data["again"]), "".join(_line(result.row()) for result in results))
    _count(ctx, results, -before)
    return len(passing)


def _put_results(ctx: Context, results: list[Result]) -> None:
    ctx.put(_batch_name(ctx.data["batches"]), "".join(_line(result.row()) for result in results))
    ctx.data["batches"] += 1
    ctx.data["done"] += len(results)
    _count(ctx, results)


def _count(ctx: Context, results: list[Result], failed: int = 0) -> None:
    """Add to the counts of the run what has no answer, and say it; `failed` is what was counted before."""
    for result in results:
        if not result.answered:
            ctx.log.warning("prompt failed", digest=digest(result.prompt)[:12], reason=result.reason)
    away = sum(result.turned_away for result in results)
    failed += sum(not result.answered for result in results) - away
    for name, more in (("failed", failed), ("turned_away", away)):
        number = ctx.data.pop(name, 0) + more
        if number:
            ctx.data[name] = number


def _within(ctx: Context) -> bool:
    config, total = ctx.config, ctx.data["prompts"]
    return failures.within(ctx.data.get("failed", 0), total, config.max_failed_share) and failures.within(
        ctx.data.get("turned_away", 0), total, config.max_turned_away_share
    )


def _too_many(ctx: Context) -> PipelineError:
    config, total, (numbers, where) = ctx.config, ctx.data["prompts"], _lines(ctx)
    if not failures.within(ctx.data.get("failed", 0), total, config.max_failed_share):
        failed = [r for r in _results(ctx) if not r.answered and not r.turned_away]
        return failures.too_many(failed, total, config.max_failed_share, numbers, where)
    away = [r for r in _results(ctx) if r.turned_away]
    return failures.too_many_turned_away(
        away, total, config.max_turned_away_share, config.check, numbers, where
    )


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
    """Write down how far it is. The results themselves are parts, or each checkpoint would write all over again; each names
    the entries of the ledger that it was made of."""
    newest = _batch_name(ctx.data["batches"] - 1) if ctx.data["batches"] else None
    progress = {
        "done": ctx.data["done"],
        "of": ctx.data["prompts"],
        "batches": ctx.data["batches"],
        "newest": newest,
    }
    ctx.put("teacher/checkpoint.json", json.dumps(progress, indent=1))
    if (
        ctx.data["done"] >= ctx.data["prompts"]
    ):  # the run is about to stop: here are the failures that stop it
        _put_summary(ctx)


@PHASE.state("SortAndSave")
def sort_and_save(ctx: Context) -> None:
    path = ctx.workdir("teacher") / "outputs.jsonl"
    with path.open("w", encoding="utf-8") as outputs:
        outputs.writelines(_line(_output(r)) for r in _results(ctx) if r.answered)
    ctx.put("teacher/outputs.jsonl", path)
    ctx.data["summary"] = _put_summary(ctx)


@PHASE.state("PrintSummary")
def print_summary(ctx: Context) -> None:
    """Say what came out; where nothing did, a student would have nothing to learn, and the run stops."""
    summary = ctx.data["summary"]
    for line in tables.text(summary):
        ctx.log.info(line)
    if not summary["answered"]:
        first = next(iter(_results(ctx)))
        raise EmptyDataset(
            f"{ctx.data['teacher']} answered none of {summary['prompts']} prompts; the first one failed with: "
            f"{first.reason}. See teacher/failures.jsonl, put that right and start anew with --fresh."
        )
    if away := summary.get("turned_away"):
        ctx.log.warning(
            f"{away} of {summary['prompts']} answers were turned away ({failures.said(summary['turned_away_for'])}), and are not "
            "learned from. See teacher/turned_away.jsonl."
        )
    if summary["failed"]:
        ctx.log.warning(
            f"{summary['failed']} of {summary['prompts']} prompts have no answer ({failures.said(summary['failures'])}): fewer than "
            "teacher_generation.max_failed_share stops for. See teacher/failures.jsonl; `fsm run CONFIG --retry-failed` asks again "
            "what failed for a passing reason, and pays for nothing else."
        )


def _teacher(ctx: Context) -> Teacher:
    return make_teacher(ctx.config.teacher, ctx.config.workers)


def _prompt_file(ctx: Context, name: str) -> Path:
    path = ctx.open(name) if ctx.has(name) else Path(name)
    if not path.is_file():
        raise EmptyDataset(
            f"teacher_generation.prompts names {name!r}, which neither this run has made (data_preparation makes "
            f"data/splits/train.jsonl) nor is a file below {Path.cwd()}. Name a JSONL file with prompts, or give "
            "teacher_generation.test: true."
        )
    return path


def _keep_prompts(ctx: Context, prompts: Iterable[str], limit: int | None = None) -> None:
    """Keep the first prompts. All of them are read, for the last may be wrong."""
    path = ctx.workdir("teacher") / "prompts.jsonl"
    number = 0
    with path.open("w", encoding="utf-8") as kept:
        for number, prompt in enumerate(prompts, 1):
            if limit is None or number <= limit:
                kept.write(_line(shown(prompt)))
    ctx.put("teacher/prompts.jsonl", path)
    ctx.data["prompts"] = number if limit is None else min(number, limit)


def _prompts(ctx: Context) -> Iterator[str]:
    return prompts_of(_rows(ctx, "teacher/prompts.jsonl"))


def _rows(ctx: Context, name: str) -> Iterator[dict[str, Any]]:
    """The rows of an artifact of this run, one at a time in memory."""
    path = ctx.open(name)  # here, for it tells that the artifact was read

    def rows() -> Iterator[dict[str, Any]]:
        with path.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                yield json.loads(line)

    return rows()


def _lines(ctx: Context) -> tuple[dict[str, int], str]:
    """The lines of the prompts in what was loaded, and what that is called."""
    loaded = ctx.has("teacher/loaded.jsonl")
    name = "teacher/loaded.jsonl" if loaded else "teacher/prompts.jsonl"
    where = f"{ctx.config.prompts} ({name})" if loaded and ctx.config.prompts else name
    return read_lines(ctx.open(name).read_text("utf-8"), where), where


def _batch_name(number: int) -> str:
    return f"teacher/results/{number:05d}.jsonl"


def _again_name(number: int) -> str:
    return f"teacher/again/{number:05d}.jsonl"


def _results(ctx: Context) -> Iterator[Result]:
    """The newest result of each prompt that has one, in the order of the prompts."""
    newest: dict[str, Result] = {}
    for number in range(1, ctx.data.get("again", 0) + 1):
        newest |= {row["prompt"]: Result.from_row(row) for row in _rows(ctx, _again_name(number))}
    for number in range(ctx.data["batches"]):
        for row in _rows(ctx, _batch_name(number)):
            yield newest.get(row["prompt"]) or Result.from_row(row)


def _newest_of(ctx: Context, prompts: Iterable[str]) -> Iterator[Result]:
    wanted = set(prompts)
    return (result for result in _results(ctx) if result.prompt in wanted)


def _put_summary(ctx: Context) -> dict[str, Any]:
    """Keep the summary, and what is no training data with its reason: in rows that may be asked as they are."""
    work = ctx.workdir("teacher")
    summary = Summary(ctx.data["teacher"])
    paths = {name: work / f"{name}.jsonl" for name in ("failures", "turned_away")}
    with (
        paths["failures"].open("w", encoding="utf-8") as failed,
        paths["turned_away"].open("w", encoding="utf-8") as away,
    ):
        for result in _results(ctx):
            summary.add(result)
            if result.turned_away:
                away.write(_line(_failure(result) | {"answer": result.text}))
            elif not result.answered:
                failed.write(_line(_failure(result)))
    for name, path in paths.items():
        if name == "failures" or summary.turned_away:
            ctx.put(f"teacher/{name}.jsonl", path)
    said = summary.as_dict()
    ctx.put("teacher/summary.json", json.dumps(said, indent=1))
    ctx.put("teacher/summary.md", tables.markdown(said))
    return said


def _output(result: Result) -> dict[str, Any]:
    """An answer as a training row: all turns of the prompt, and the answer."""
    said = [*turns(result.prompt), {"role": "assistant", "content": result.text}]
    return {"messages": said, "teacher": result.teacher, "digest": digest(result.prompt)}


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
