"""Reading prompts: rows of a JSONL file, checked before the first of them is paid for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from fsm.text import NotJsonText, blank, json_value, split_lines
from phases.errors import EmptyDataset, InvalidStructure
from phases.teacher_generation.prices import fits
from phases.teacher_generation.teacher import Teacher
from phases.turns import ROLES, spell

SHOWN = 5


class Turn(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: str
    content: str

    @model_validator(mode="before")
    @classmethod
    def _only_text(cls, turn: Any) -> Any:
        if isinstance(turn, dict):
            if (
                turn.get("tool_calls")
                or turn.get("function_call")
                or turn.get("role") in ("tool", "function")
            ):
                raise ValueError("tool calls cannot be asked: a turn is text")
            if turn.get("role") not in ROLES and isinstance(turn.get("role"), str):
                raise ValueError(f"the role {turn['role']!r} is not one of {', '.join(ROLES)}")
        return turn


class PromptRow(BaseModel):
    """A row that holds a prompt: all turns of `messages`, or `prompt` itself.

    A row of one exchange is a training row: its answer is the one to be replaced, and no part of what is asked.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    prompt: str

    @model_validator(mode="before")
    @classmethod
    def _from_messages(cls, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        if "prompt" in row:
            if "messages" in row:
                raise ValueError("it has a prompt and messages: leave one of them out")
            if isinstance(row["prompt"], str) and not row["prompt"].strip():
                raise ValueError("the prompt is blank")
            said = [{"role": "user", "content": row["prompt"]}]
            return {"prompt": spell(said) if isinstance(row["prompt"], str) else row["prompt"]}
        if "messages" in row:
            if not isinstance(row["messages"], list):
                raise ValueError("messages is not a list")
            return {"prompt": spell(_asked([Turn.model_validate(turn) for turn in row["messages"]]))}
        return row


def read_prompts(text: str, where: str) -> list[str]:
    """The prompts of a JSONL text, in order, each once, as `phases.turns` spells them. `where` names the text in messages.

    Raises:
        InvalidStructure: lines are not JSON as `fsm.text` takes it, or hold no turns that can be asked.
        EmptyDataset: there is no prompt.
    """
    return list(read_lines(text, where))


def read_lines(text: str, where: str) -> dict[str, int]:
    """The prompts, and the number of the line where each stands first. Raises what `read_prompts` raises."""
    return {prompt: number for number, prompt in each(enumerate(split_lines(text), 1), where)}


def each(lines: Iterable[tuple[int, str]], where: str) -> Iterator[tuple[int, str]]:
    """(line, prompt) of numbered lines as they come, each prompt once. What is wrong is raised after the last of them, all
    at once, so nothing may be asked before. Raises what `read_prompts` raises."""
    seen: set[bytes] = set()
    wrong: list[str] = []
    number_wrong = 0
    for number, line in lines:
        if blank(line):
            continue
        try:
            prompt = PromptRow.model_validate(json_value(line)).prompt
        except (NotJsonText, ValidationError, TypeError) as error:
            number_wrong += 1
            if len(wrong) < SHOWN:
                wrong.append(
                    f"line {number}: {error.why if isinstance(error, NotJsonText) else _reason(error)}"
                )
            continue
        name = hashlib.sha256(prompt.encode()).digest()[:16]
        if name not in seen:
            seen.add(name)
            yield number, prompt
    if wrong:
        shown = "; ".join(wrong) + (f"; and {number_wrong - SHOWN} more" if number_wrong > SHOWN else "")
        raise InvalidStructure(
            f"{number_wrong} rows of {where} hold no prompt: {shown}. A row is a JSON object with a `prompt`, or with "
            "`messages`: a system turn or none, then user and assistant in turns, the user's the last. Nothing was asked yet; "
            "correct the file."
        )
    if not seen:
        raise EmptyDataset(
            f"{where} holds no prompt, so there is nothing to ask the teacher. Put one in each line."
        )


def fitting(prompts: Iterable[tuple[int, str]], teacher: Teacher, where: str) -> Iterator[tuple[int, str]]:
    """The same (line, prompt) as they come. After the last one, raises InvalidStructure for those that, with the longest
    answer, do not fit the context of the teacher's model."""
    context = teacher.takes.context
    wrong: list[str] = []
    for number, prompt in prompts:
        question = teacher.question(prompt)
        if question is not None and not fits(question, context):
            wrong.append(f"line {number}: {len(prompt.encode()):,} bytes")
        yield number, prompt
    if wrong:
        shown = "; ".join(wrong[:SHOWN]) + (f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else "")
        raise InvalidStructure(
            f"Of {where} {len(wrong):,} do not fit the context of {teacher.name}, {context:,} tokens with the answer: {shown}. "
            "Shorten these prompts, lower teacher_generation.teacher.max_tokens, or take another model. Nothing was asked yet."
        )


def _asked(row: Sequence[Turn]) -> list[dict[str, str]]:
    """The turns to be asked. Raises ValueError where they cannot be."""
    said = list(row)
    spoken = [turn.role for turn in said if turn.role != "system"]
    if "user" not in spoken:
        raise ValueError("no message of role user")
    if spoken == ["user", "assistant"] and said[-1].role == "assistant":
        said.pop()
    elif said[-1].role != "user":
        raise ValueError(
            f"the last turn is not the user's but of role {said[-1].role}: leave it out to have it answered"
        )
    before = ""
    for number, turn in enumerate(said, 1):
        expected = (
            ("system", "user")
            if before in ("", "system")
            else ("assistant",)
            if before == "user"
            else ("user",)
        )
        if turn.role not in expected:
            raise ValueError(f"turn {number} is of role {turn.role}, where {' or '.join(expected)} should be")
        if not turn.content.strip():
            raise ValueError(f"turn {number}, of role {turn.role}, is blank")
        before = turn.role
    return [{"role": turn.role, "content": turn.content} for turn in said]


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        said = str(first["msg"]).removeprefix("Value error, ")
        return f"{place}: {said}" if place else said
    return str(error)
