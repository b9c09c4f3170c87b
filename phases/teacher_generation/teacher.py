"""What a teacher is, and how its response is read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol

from fsm.text import unspelt
from phases.teacher_generation.takes import Takes

Response = Mapping[str, Any]
"""What a model returns for a prompt, in the form of Bedrock's Converse API."""


CODE_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "The C code, and nothing else."}},
    "required": ["code"],
    "additionalProperties": False,
}
"""Of a structured answer."""


@dataclass(frozen=True)
class Answer:
    """The text of a response, and what it cost in tokens (0 where the teacher counts none)."""

    text: str
    input_tokens: int = 0
    output_tokens: int = 0


class Teacher(Protocol):
    """Whoever answers prompts. Called from several threads at once."""

    @property
    def name(self) -> str:
        """What goes into every record as its author: a model id, or what stands for one."""

    @property
    def note(self) -> str:
        """One sentence for the screen that says who answers."""

    @property
    def takes(self) -> Takes:
        """What its model takes, and has."""

    @property
    def credentials(self) -> Literal["aws", "key", "none"]:
        """By what it identifies itself: AWS's credentials or Bedrock's API key, a key of its own, or nothing."""

    def question(self, prompt: str) -> Mapping[str, Any] | None:
        """All that an answer depends on: who is asked, every turn, how the answer is drawn; JSON values.

        None where an answer costs nothing and is always the same.
        """

    def count(self, prompt: str) -> int | None:
        """The tokens that a prompt will be charged as input, by the service's own word, which costs nothing; None where it
        has none. It is asked where a bound on them would stop the run."""

    def invoke(self, prompt: str) -> Response:
        """The response to one prompt (`phases.turns` spells it), tried once.

        Raises:
            ThrottlingException, ModelStreamError: the same call may succeed later.
            Exception: any other failure; `policy.judged` says whose it is.
        """

    def check(self, lasting: timedelta) -> Sequence[str]:
        """Look, before a prompt is paid for, whether the teacher can be asked, and for as long as the run will last.

        Returns what somebody should know. Raises the error of Diagram 8 for what stops the run.
        """


class NoText(Exception):
    """A response that carries no text to learn from; the message says what it was instead, `cause` in one word.

    truncated   cut off at max_tokens or at the model's context       filtered   withheld by a guardrail or a filter
    refused     the model declined to answer                          unfinished another stop, such as a tool call
    empty       no text                                               malformed  not a Converse response at all
    """

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


_STOPS = {
    "max_tokens": "truncated",
    "model_context_window_exceeded": "truncated",
    "guardrail_intervened": "filtered",
    "content_filtered": "filtered",
    "refusal": "refused",
    "malformed_model_output": "malformed",
}
"""Stop reasons of https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, and the models' own."""

_DECLINED = re.compile(
    r"\s*(?:I['\u2019]?m sorry|I am sorry|Sorry|I apologi[sz]e|Unfortunately)?[\s,.:;-]*(?:but\s+|however,?\s+)?"
    r"I(?:['\u2019]m| am)?\s*(?:can(?:not|['\u2019]t| not)|won['\u2019]t|will not|(?:not |un)able to|must decline|decline|"
    r"have to decline|not going to)\b",
    re.IGNORECASE,
)


def parse_response(response: Response) -> Answer:
    """Read the text of a Converse response.

    Raises:
        NoText: the response is not of Converse's form, its text is empty or none that can be written down, or it was
            cut off, withheld or declined.
    """
    try:
        parts = response["output"]["message"]["content"]
        text = "".join(part["text"] for part in parts if "text" in part)
    except (KeyError, TypeError) as error:
        raise NoText(f"the response has no output.message.content list ({error!r})", "malformed") from None
    stop = response.get("stopReason", "end_turn")
    if stop not in ("end_turn", "stop_sequence"):
        # half a function teaches half functions
        cause = _STOPS.get(stop, "unfinished")
        advice = "; raise max_tokens if it was cut off" if cause == "truncated" else ""
        raise NoText(f"the answer is not whole (stop reason {stop}){advice}", cause)
    if not text.strip():
        raise NoText(f"the response holds no text (stop reason {stop})", "empty")
    if why := unspelt(text):
        # neither a journal nor a training row can hold it, and mended it would be another answer
        raise NoText(f"the answer is no text: it has {why}", "malformed")
    if _DECLINED.match(text) and not any(mark in text for mark in ("{", "```")):
        raise NoText(f"the teacher declines: {' '.join(text.split())[:120]}", "refused")
    usage = response.get("usage") or {}
    text = _code_in(text)
    return Answer(text, _count(usage, "inputTokens"), _count(usage, "outputTokens"))


def _code_in(text: str) -> str:
    """The code of a structured answer; any other text as it is, for no C is JSON."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        said = json.loads(text)
    except ValueError:
        return text
    code = said.get("code") if isinstance(said, dict) and said.keys() == {"code"} else None
    return code if isinstance(code, str) and code.strip() and not unspelt(code) else text


def is_response(response: Any) -> bool:
    """Whether it is an answer of a model at all, whatever it is worth: not what a proxy in between may say."""
    return isinstance(response, Mapping) and bool({"stopReason", "usage"} & response.keys())


def digest(prompt: str) -> str:
    """The name of a prompt: SHA-256 of it, all its turns, in hex."""
    return hashlib.sha256(prompt.encode()).hexdigest()


def _count(usage: Any, key: str) -> int:
    value = usage.get(key, 0) if isinstance(usage, Mapping) else 0
    return value if isinstance(value, int) else 0
