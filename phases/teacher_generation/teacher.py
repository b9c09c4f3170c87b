"""What a teacher is, and how its response is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fsm.text import unspelt

Response = Mapping[str, Any]
"""What a model returns for a prompt, in the form of Bedrock's Converse API."""


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

    def invoke(self, prompt: str) -> Response:
        """The response to one prompt, tried once.

        Raises:
            ThrottlingException, ModelStreamError: the same call may succeed later.
            Exception: any other failure is this prompt's own.
        """


class NoText(Exception):
    """A response that carries no text to learn from; the message says what it was instead."""


def parse_response(response: Response) -> Answer:
    """Read the text of a Converse response.

    Raises:
        NoText: the response is not of Converse's form, its text is empty or none that can be written down, or it was
            cut off or withheld.
    """
    try:
        parts = response["output"]["message"]["content"]
        text = "".join(part["text"] for part in parts if "text" in part)
    except (KeyError, TypeError) as error:
        raise NoText(f"the response has no output.message.content list ({error!r})") from None
    stop = response.get("stopReason", "end_turn")
    if not text.strip():
        raise NoText(f"the response holds no text (stop reason {stop})")
    if stop not in ("end_turn", "stop_sequence"):
        # half a function teaches half functions
        raise NoText(f"the answer is not whole (stop reason {stop}); raise max_tokens if it was cut off")
    if why := unspelt(text):
        # neither a journal nor a training row can hold it, and mended it would be another answer
        raise NoText(f"the answer is no text: it has {why}")
    usage = response.get("usage") or {}
    return Answer(text, _count(usage, "inputTokens"), _count(usage, "outputTokens"))


def digest(prompt: str) -> str:
    """The name under which a prompt's answer is kept: SHA-256 of its text, in hex."""
    return hashlib.sha256(prompt.encode()).hexdigest()


def _count(usage: Any, key: str) -> int:
    value = usage.get(key, 0) if isinstance(usage, Mapping) else 0
    return value if isinstance(value, int) else 0
