"""What distillation begins with: rows to train on, prompts to be judged by, and other phases' settings."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fsm.engine import Context
from fsm.errors import PhaseError
from phases.distillation import corrections, student
from phases.errors import EmptyDataset, InvalidStructure
from phases.qlora_training import data
from phases.qlora_training import job as jobs
from phases.reading import read_text
from phases.turns import before_answer

HELD_OUT = 10  # one row in so many is taken out for eval_loss where no validation rows fit


@dataclass(frozen=True)
class Rows:
    """What was found: `train` to learn from, `all` that was found at all, and how many of each kind."""

    train: list[Any]
    all: list[Any]
    raw: int
    teacher: int


def rows(ctx: Context) -> Rows:
    """The training rows as `train_on` has them. Raises EmptyDataset and InvalidStructure."""
    config = ctx.config
    raw = _whose("raw", _valid(ctx, config.train, required=config.train_on == "raw"))
    teacher = _whose(
        "teacher", _valid(ctx, config.teacher, required=config.train_on == "teacher", also="teacher.jsonl")
    )
    if not raw and not teacher:
        jobs.require(ctx, config.train)
        raise EmptyDataset(
            f"{config.train} holds no rows, so there is nothing to train on. Check the sources."
        )
    everything = list(corrections.merge(raw, teacher))
    train = {"all": everything, "raw": raw, "teacher": teacher}[config.train_on]
    return Rows(list(train), everything, len(raw), len(teacher))


def split(ctx: Context, found: Rows) -> tuple[list[Any], list[Any]]:
    """(to learn from, to compute eval_loss on): prepared validation rows beside raw ones, else some taken out."""
    if ctx.config.train_on != "teacher":
        path = jobs.find(ctx, ctx.config.validation, "validation") or jobs.find(ctx, ctx.config.validation)
        if path and (prepared := data.read_valid(path, ctx.config.validation, required=False)):
            return found.train, prepared
    rest, held_out = data.hold_out(found.train, HELD_OUT, student.seed(ctx, "validation"))
    ctx.log.warning("no validation rows: some were taken out of the training set", rows=len(held_out))
    return rest, held_out


def prompts(ctx: Context) -> tuple[list[str], list[str], int]:
    """(the drawn set, the frozen set, how many were left out of the frozen one for being in another)."""
    config = ctx.config
    drawn = _prompts(ctx, config.eval_file, "eval", config.eval_prompts)
    frozen = _prompts(ctx, config.held_out_file, "held_out", config.held_out_prompts)
    rows = read(ctx, "distillation/seen.jsonl")
    seen = {*drawn, *(m["content"] for r in rows for m in r["messages"]), *map(before_answer, rows)}
    clean = [p for p in frozen if p not in seen]
    if not clean:
        raise EmptyDataset(
            "Every prompt of the frozen set is trained on or drawn as well, so none is left to judge the student by. "
            "Name other prompts in distillation.held_out_file, or let them be generated."
        )
    return drawn, clean, len(frozen) - len(clean)


def unasked(ctx: Context, drawn: list[str], frozen: list[str]) -> list[str]:
    """The pool of self-training: prompts that no teacher has answered, that are not drawn and above all not frozen.

    Raises EmptyDataset where there is none, InvalidStructure where not so many can be worded.
    """
    from phases.teacher_generation.loading import read_prompts
    from phases.teacher_generation.offline import generate

    config = ctx.config.self_training
    seen = {*drawn, *frozen, *map(before_answer, read(ctx, "distillation/seen.jsonl"))}
    if config.file is None:
        try:
            found = [
                p.text
                for p in generate("train", config.prompts + len(seen), ctx.run_seed, ctx.config.domains)
            ]
        except ValueError as e:
            raise InvalidStructure(
                f"distillation.self_training.prompts is {config.prompts}, more than can be worded: {e}. Lower it, or name a "
                "file of prompts in distillation.self_training.file."
            ) from e
    else:
        path = jobs.require(ctx, config.file, purpose="to answer alone")
        text = read_text(path, config.file, "Write one object with `prompt` or `messages` in each line.")
        found = read_prompts(text, config.file) if text.strip() else []
        random.Random(student.seed(ctx, "prompts unasked")).shuffle(found)
    pool = [p for p in found if p not in seen][: config.prompts]
    if not pool:
        why = "holds no prompts" if not found else "holds only prompts that are trained on, drawn or frozen"
        raise EmptyDataset(
            f"{config.file or 'What is generated'} {why}, so the student has nothing to answer alone. Name other prompts in "
            "distillation.self_training.file, or leave distillation.self_training out."
        )
    return pool


def given_answers(ctx: Context) -> list[dict[str, str]]:
    """The answers that files of prompts give beside them, by the digest of the prompt: rows of one exchange."""
    from phases.teacher_generation.teacher import digest

    found: dict[str, str] = {}
    for file in (ctx.config.eval_file, ctx.config.held_out_file):
        for row in (
            data.read_jsonl(jobs.require(ctx, file, purpose="to judge the student by")) if file else ()
        ):
            said = row.get("messages") or [{}]
            if said[-1].get("role") == "assistant":
                found[digest(before_answer(row))] = said[-1]["content"]
    return [{"digest": d, "answer": answer} for d, answer in found.items()]


def section(ctx: Context, name: str) -> Any:
    """Another phase's settings; its defaults where the configuration has no such section."""
    try:
        return ctx.section(name)
    except PhaseError:
        from importlib import import_module

        return import_module(f"phases.{name}").PHASE.section({})


def read(ctx: Context, name: str) -> list[Any]:
    """The rows of a JSONL artifact."""
    return data.read_jsonl(ctx.open(name))


def lines(rows: Iterable[Any]) -> str:
    """Rows as JSON lines."""
    return data.lines(rows)


def _whose(source: str, rows: list[Any]) -> list[Any]:
    """The rows, each with the word that tells of whom it is learned."""
    return [row | {"learned_from": source} for row in rows]


def _valid(ctx: Context, name: str, *, required: bool, also: str | None = None) -> list[Any]:
    path = (jobs.find(ctx, also) if also else None) or jobs.find(ctx, name)
    if path is None:
        if required:
            jobs.require(ctx, name)
        return []
    return data.read_valid(path, name, required=required)


def _prompts(ctx: Context, file: str | None, kind: Any, count: int) -> list[str]:
    """`count` prompts: seeded ones of the project, or the first of a file's in a seeded order."""
    from phases.teacher_generation.loading import read_prompts
    from phases.teacher_generation.offline import generate

    if file is None:
        return [p.text for p in generate(kind, count, ctx.run_seed, ctx.config.domains)]
    path = jobs.require(ctx, file, purpose="to judge the student by")
    text = read_text(path, file, "Write one object with `prompt` or `messages` in each line.")
    if not text.strip():
        raise EmptyDataset(
            f"{file} holds no prompts, so there is nothing to judge the student by. Write one object with `prompt` or "
            "`messages` in each line; or name no file in distillation, and prompts are generated."
        )
    found = read_prompts(text, file)
    random.Random(student.seed(ctx, f"prompts {kind}")).shuffle(found)
    return found[:count]
