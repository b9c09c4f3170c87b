"""A teacher behind OpenAI's protocol of chat completions: OpenAI itself, vLLM, Ollama, llama.cpp, a gateway.

The `openai` package asks; its own retries are off, for the same reason as boto3's (bedrock.py). What it returns is put in
the form of a Converse response, so that one reader serves all teachers, and stays beside it as it came.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from fsm.errors import ConfigError
from fsm.faults import Fault, Kind, fault
from phases.errors import AccessDenied, NoCredentials
from phases.services import entered
from phases.teacher_generation.config import TeacherConfig
from phases.teacher_generation.policy import named
from phases.teacher_generation.takes import Takes, takes
from phases.teacher_generation.teacher import CODE_SCHEMA, Response
from phases.turns import turns

API_KEY_VARIABLE = "OPENAI_API_KEY"
NOBODY = "none"
"""What stands for a key where a server wants none: the package insists on one."""
OFFICIAL = "https://api.openai.com/v1"

_STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "content_filtered",
    "tool_calls": "tool_use",
}
_STRUCTURED = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "strict": True, "schema": CODE_SCHEMA},
}


@dataclass(frozen=True)
class OpenAITeacher:
    """Asks a model by chat completions. `client` is an `openai.OpenAI`, which threads may share; without one it has its questions."""

    settings: TeacherConfig
    client: Any = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return self.settings.model

    @property
    def note(self) -> str:
        return f"The teacher is {self.name} at {self.server}."

    @property
    def server(self) -> str:
        """The base of the URLs that are asked."""
        return (self.settings.endpoint_url or os.environ.get("OPENAI_BASE_URL") or OFFICIAL).rstrip("/")

    @property
    def credentials(self) -> Literal["key", "none"]:
        return "key" if key(self.settings) or self.server == OFFICIAL else "none"

    @property
    def takes(self) -> Takes:
        return takes(self.name, self.settings.takes)

    def question(self, prompt: str) -> dict[str, Any]:
        """The server, the model, every turn, and how the answer is drawn.

        The server too: what two of them call by one name need not be one model.
        """
        return {"kind": "openai", "server": self.server, **self.asked(prompt)}

    def asked(self, prompt: str) -> dict[str, Any]:
        """What is asked. A prompt's own system turns stand in the place of the configured one."""
        said = turns(prompt)
        if self.settings.system and not any(turn["role"] == "system" for turn in said):
            said = [{"role": "system", "content": self.settings.system}, *said]
        # OpenAI's own models refuse the older name, and servers of one's own do not know the newer
        most = "max_completion_tokens" if self.server == OFFICIAL else "max_tokens"
        sampling: dict[str, float] = {"temperature": self.settings.temperature}
        if self.settings.top_p is not None:
            sampling["top_p"] = self.settings.top_p
        if self.takes.sampling == "none":
            sampling = {}
        structured = {"response_format": _STRUCTURED} if self.settings.structured else {}
        return {
            "model": self.name,
            "messages": said,
            most: self.settings.max_tokens,
            **sampling,
            **structured,
        }

    def count(self, prompt: str) -> None:
        """The protocol has no such call."""

    def invoke(self, prompt: str) -> Response:
        """The completion of one prompt, in the form of a Converse response.

        Raises:
            ThrottlingException, ModelStreamError, NoCredentials, AccessDenied: see `phases.teacher_generation.bedrock`.
            openai.OpenAIError: this prompt failed for its own reason, or an unknown one.
        """
        try:
            completion = self.client.chat.completions.create(**self.asked(prompt))
        except Exception as error:
            own = named(error, lambda found, own: _said(found, self))
            if own is error:
                raise
            raise own from error
        return as_converse(completion)

    def check(self, lasting: timedelta) -> list[str]:
        """Ask for the names of the server's models: one that is not there stops the run. A server without a list may be."""
        if self.settings.max_tokens > (self.takes.output or self.settings.max_tokens):
            raise ConfigError(
                f"{self.name} writes {self.takes.output} tokens at most, and teacher_generation.teacher.max_tokens is "
                f"{self.settings.max_tokens}: lower it. Nothing was asked yet."
            )
        try:
            there = sorted(model.id for model in self.client.models.list())
        except Exception as error:
            found = fault(error)
            if found.kind is Kind.EVERYBODY and entered(found) is NoCredentials:
                raise NoCredentials(_said(found, self)) from error
            return [f"Which models {self.server} has could not be asked: {found.message.rstrip('.')}."]
        if there and self.name not in there:
            shown = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "")
            raise AccessDenied(
                f"{self.server} has no model {self.name}; it has {shown}. Name one of them in "
                "teacher_generation.teacher.model_id. Nothing was asked yet."
            )
        return []


def as_converse(completion: Any) -> Response:
    """A chat completion in the form of a Converse response; what is none, as it came, for its reader to refuse."""
    choices = getattr(completion, "choices", None)
    if not choices:
        return completion if isinstance(completion, Mapping) else {"openai": str(completion)[:1000]}
    choice = choices[0]
    refused = getattr(choice.message, "refusal", None)
    text = choice.message.content or refused or ""
    stop = "refusal" if refused else _STOPS.get(choice.finish_reason or "stop", choice.finish_reason)
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": text}] if text else []}},
        "stopReason": stop,
        "usage": _usage(completion.usage),
        "openai": completion.model_dump(
            mode="json", exclude_none=True, exclude={"choices": {"__all__": {"message": {"content"}}}}
        ),
    }


def _usage(usage: Any) -> dict[str, int]:
    """The tokens by the names that Converse has for them; what was read from a cache is counted apart from the input."""
    if usage is None:
        return {}
    cached = getattr(getattr(usage, "prompt_tokens_details", None), "cached_tokens", None) or 0
    said = {
        "inputTokens": usage.prompt_tokens - cached,
        "outputTokens": usage.completion_tokens,
        "totalTokens": usage.total_tokens,
    }
    return said | ({"cacheReadInputTokens": cached} if cached else {})


def _said(found: Fault, teacher: OpenAITeacher) -> str:
    where, why = teacher.server, found.message.rstrip(".")
    if found.kind is Kind.EVERYBODY and found.cause == "credentials":
        return f"{where} refuses the key, or there is none: {why}. Set {API_KEY_VARIABLE} or teacher_generation.teacher.api_key."
    if found.kind is Kind.EVERYBODY:
        return f"{where} does not answer any request to {teacher.name}: {why}. {found.advice}"
    if found.cause == "network":
        return f"The connection to {where} broke off: {why}"
    return (
        f"{where} throttles {teacher.name}: {why}"
        if found.cause == "throttling"
        else f"{where} failed: {why}"
    )


def key(settings: TeacherConfig) -> str:
    """The key that is sent: the configuration's, or the environment's; empty where there is none."""
    return settings.api_key.get_secret_value() or os.environ.get(API_KEY_VARIABLE, "")


def client(settings: TeacherConfig, workers: int) -> Any:
    """A client for so many threads. Raises ConfigError where the package is not installed."""
    try:
        import openai
    except ImportError:
        raise ConfigError(
            "A teacher of kind openai is asked by the package openai, which is not installed: pip install 'fsm-pipelines[openai]'."
        ) from None
    return openai.OpenAI(
        api_key=key(settings) or NOBODY,
        base_url=OpenAITeacher(settings).server,
        max_retries=0,
        timeout=openai.Timeout(settings.read_timeout_s, connect=settings.connect_timeout_s),
    )
