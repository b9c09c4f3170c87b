"""Reading prompts: rows of a JSONL file, checked before the first of them is paid for."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from fsm.text import NotJsonText, blank, json_value, split_lines
from phases.errors import EmptyDataset, InvalidStructure

SHOWN = 5


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: str
    content: str


class PromptRow(BaseModel):
    """A row that holds a prompt: the first user message of `messages`, or `prompt` itself."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    prompt: str

    @model_validator(mode="before")
    @classmethod
    def _from_messages(cls, row: Any) -> Any:
        if isinstance(row, dict) and "prompt" not in row and "messages" in row:
            turns = [Message.model_validate(turn) for turn in row["messages"]]
            asked = [turn.content for turn in turns if turn.role == "user"]
            if not asked:
                raise ValueError("no message of role user")
            return {**row, "prompt": asked[0]}
        return row

    @model_validator(mode="after")
    def _not_blank(self) -> PromptRow:
        if not self.prompt.strip():
            raise ValueError("the prompt is blank")
        return self


def read_prompts(text: str, where: str) -> list[str]:
    """The prompts of a JSONL text, in order, each once. `where` names the text in messages.

    Raises:
        InvalidStructure: lines are not JSON as `fsm.text` takes it, or hold neither `messages` nor `prompt`.
        EmptyDataset: there is no prompt.
    """
    prompts: dict[str, None] = {}
    wrong: list[str] = []
    for number, line in enumerate(split_lines(text), 1):
        if not blank(line):
            try:
                prompts[PromptRow.model_validate(json_value(line)).prompt] = None
            except NotJsonText as error:
                wrong.append(f"line {number}: {error.why}")
            except (ValidationError, TypeError) as error:
                wrong.append(f"line {number}: {_reason(error)}")
    if wrong:
        shown = "; ".join(wrong[:SHOWN]) + (f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else "")
        raise InvalidStructure(
            f"{len(wrong)} rows of {where} hold no prompt: {shown}. A row is a JSON object with a `messages` list that "
            "has a message of role user, or with a `prompt`. Nothing was asked yet; correct the file."
        )
    if not prompts:
        raise EmptyDataset(
            f"{where} holds no prompt, so there is nothing to ask the teacher. Put one in each line."
        )
    return list(prompts)


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}" if place else str(first["msg"])
    return str(error)
