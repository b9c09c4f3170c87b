"""The teacher on Bedrock: one prompt, one call of the Converse API.

Retries are drawn in Diagram 3, so the client does none of its own: two layers of retries multiply, and hide
from the run what it paid for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fsm.faults import Fault, Kind, fault
from phases.errors import AccessDenied, ModelStreamError, NoCredentials
from phases.services import entered
from phases.teacher_generation.config import TeacherConfig
from phases.teacher_generation.teacher import Response
from phases.turns import turns

API_KEY_VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"
"""Where Bedrock's documentation has API keys put."""


@dataclass(frozen=True)
class BedrockTeacher:
    """Asks a model on Bedrock. `client` is a bedrock-runtime client, which threads may share."""

    settings: TeacherConfig
    client: Any = field(repr=False)

    @property
    def name(self) -> str:
        return self.settings.model_id

    @property
    def note(self) -> str:
        return f"The teacher is {self.settings.model_id} on Bedrock in {self.settings.region}."

    def question(self, prompt: str) -> dict[str, Any]:
        """The model, the system turns, the turns, and how the answer is drawn."""
        return {"kind": "bedrock", "model": self.settings.model_id, **self._asked(prompt)}

    def _asked(self, prompt: str) -> dict[str, Any]:
        """What Converse is asked. A prompt's own system turns stand in the place of the configured one."""
        said = turns(prompt)
        system = [t["content"] for t in said if t["role"] == "system"] or [self.settings.system]
        return {
            "system": [{"text": text} for text in system if text],
            "messages": [
                {"role": t["role"], "content": [{"text": t["content"]}]}
                for t in said
                if t["role"] != "system"
            ],
            "inferenceConfig": {
                "maxTokens": self.settings.max_tokens,
                "temperature": self.settings.temperature,
            },
        }

    def invoke(self, prompt: str) -> Response:
        """The Converse response to one prompt.

        Raises:
            ThrottlingException: 429, or the service or model is not ready.
            ModelStreamError: the model or the connection broke off.
            NoCredentials, AccessDenied: nothing else can be asked either.
            botocore.exceptions.BotoCoreError, ClientError: this prompt failed for its own reason, or an unknown one.

        Each is raised from what botocore raised, so that `fsm.faults.fault` says the kind and the cause of it.
        """
        try:
            response: Response = self.client.converse(modelId=self.settings.model_id, **self._asked(prompt))
        except Exception as error:
            named = _named(error, self.settings)
            if named is error:
                raise
            raise named from error
        return response


def _named(error: Exception, settings: TeacherConfig) -> Exception:
    """A failure as the error of the entry state of Diagram 8 that it belongs to, or itself where there is none."""
    found = fault(error)
    own = entered(found)
    if own is None:
        return error
    if (
        found.kind is Kind.EVERYBODY
    ):  # the teacher has no bucket: whatever is not the caller's own is its access
        own = own if own is NoCredentials else AccessDenied
    return own(_said(found, own, settings))


def _said(found: Fault, own: type[Exception], settings: TeacherConfig) -> str:
    model, why = settings.model_id, found.message.rstrip(".")
    if found.cause == "credentials":
        return f"Bedrock refuses the credentials, or there are none: {why}. {found.advice}"
    if found.cause == "access":
        return (
            f"Bedrock does not let these credentials use {model} in {settings.region}: {why}. Allow bedrock:InvokeModel on the "
            "model and its inference profile, and request access to the model."
        )
    if found.kind is Kind.EVERYBODY:
        return f"Bedrock does not answer any request to {model} in {settings.region}: {why}. {found.advice}"
    if found.cause == "network":
        return f"The connection to Bedrock broke off: {why}"
    return f"{model} broke off: {why}" if own is ModelStreamError else f"Bedrock throttles {model}: {why}"


def has_iam_credentials() -> bool:
    """Whether boto3 finds credentials (environment, profile, role of this machine). Bedrock is not asked."""
    import boto3

    return boto3.Session().get_credentials() is not None


def api_key() -> str | None:
    """The Bedrock API key of the environment, if there is one."""
    return os.environ.get(API_KEY_VARIABLE) or None


def runtime_client(settings: TeacherConfig, workers: int, key: str | None = None) -> Any:
    """A bedrock-runtime client for so many threads; with an API key, one that sends it instead of signing."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    options: dict[str, Any] = {"signature_version": UNSIGNED} if key else {}
    # a session of its own: boto3's default one keeps the credentials of whoever asked first
    client = boto3.Session().client(
        "bedrock-runtime",
        region_name=settings.region,
        endpoint_url=settings.endpoint_url,
        config=Config(
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=workers,
            connect_timeout=settings.connect_timeout_s,
            read_timeout=settings.read_timeout_s,
            **options,
        ),
    )
    if key:
        client.meta.events.register("before-send.bedrock-runtime", header_hook(key))
    return client


def header_hook(key: str) -> Callable[..., None]:
    """The event handler of RegisterEventHandler: puts the API key into each request's header."""

    def add_bearer(request: Any, **_: Any) -> None:
        request.headers["Authorization"] = f"Bearer {key}"

    return add_bearer
