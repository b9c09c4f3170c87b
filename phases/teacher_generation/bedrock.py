"""The teacher on Bedrock: one prompt, one call of the Converse API.

Retries are drawn in Diagram 3, so the client does none of its own: two layers of retries multiply, and hide
from the run what it paid for.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from fsm.errors import ConfigError
from fsm.faults import Fault, Kind, fault
from phases.errors import AccessDenied, ModelStreamError, NoCredentials
from phases.services import entered
from phases.teacher_generation.config import PROFILED, TeacherConfig
from phases.teacher_generation.policy import named
from phases.teacher_generation.takes import Takes, takes
from phases.teacher_generation.teacher import CODE_SCHEMA, Response
from phases.turns import turns

API_KEY_VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"
"""Where Bedrock's documentation has API keys put, and boto3 looks for one by itself."""
_BYTES_A_TOKEN = 3  # at least, of a text that is worth a cache
_STRUCTURED = {
    "outputConfig": {
        "textFormat": {
            "type": "json_schema",
            "structure": {"jsonSchema": {"name": "answer", "schema": json.dumps(CODE_SCHEMA)}},
        }
    }
}


@dataclass(frozen=True)
class BedrockTeacher:
    """Asks a model on Bedrock. `client` is a bedrock-runtime client, which threads may share; without one it has its questions."""

    settings: TeacherConfig
    client: Any = field(default=None, repr=False)
    credentials: Literal["aws"] = "aws"
    _shared: set[int] = field(default_factory=set, repr=False, compare=False)
    """System turns that were sent before, by their hash."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.settings.model

    @property
    def note(self) -> str:
        said = f"The teacher is {self.name} on Bedrock in {self.settings.region}."
        if left := sorted(
            self.settings.model_fields_set & {"temperature", "top_p"} - self._sampling().keys()
        ):
            said += f" It takes no {' and no '.join(left)}, so none is sent."
        return said

    @cached_property
    def takes(self) -> Takes:
        return takes(self.name, self.settings.takes).model_copy(update={"tokens_a_minute": True})

    def question(self, prompt: str) -> dict[str, Any]:
        """The model, the system turns, the turns, and how the answer is drawn."""
        return {"kind": "bedrock", "model": self.name, **self.asked(prompt)}

    def asked(self, prompt: str) -> dict[str, Any]:
        """What Converse is asked. A prompt's own system turns stand in the place of the configured one."""
        said = turns(prompt)
        system = [t["content"] for t in said if t["role"] == "system"] or [self.settings.system]
        asked = {
            "system": [{"text": text} for text in system if text],
            "messages": [
                {"role": t["role"], "content": [{"text": t["content"]}]}
                for t in said
                if t["role"] != "system"
            ],
            "inferenceConfig": {"maxTokens": self.settings.max_tokens, **self._sampling()},
        }
        return asked | _STRUCTURED if self.settings.structured else asked

    def _sampling(self) -> dict[str, float]:
        """Temperature and top_p, as far as the model takes them."""
        said = {"temperature": self.settings.temperature}
        if self.settings.top_p is not None:
            said["topP"] = self.settings.top_p
        kind = self.takes.sampling
        if kind == "one" and "topP" in said:
            del said["temperature"]
        return {} if kind == "none" else said

    def _with_cache_point(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The same with a mark behind system turns that other prompts have too, where the model keeps so long a text.

        No part of the question: an answer does not depend on it.
        """
        least, system = self.takes.cache_from, asked["system"]
        if least is None or sum(len(part["text"].encode()) for part in system) < _BYTES_A_TOKEN * least:
            return asked
        if system != [{"text": self.settings.system}]:
            name = hash(tuple(part["text"] for part in system))
            with self._lock:
                if name not in self._shared:
                    self._shared.add(name)
                    return asked  # to write a text to the cache that nobody reads costs more than to send it
        return asked | {"system": [*system, {"cachePoint": {"type": "default"}}]}

    def count(self, prompt: str) -> int | None:
        """By CountTokens, which knows models by their own ids; None where it does not say.

        (https://docs.aws.amazon.com/bedrock/latest/userguide/count-tokens.html)
        """
        if self.settings.structured:
            return None  # it takes no schema, which is charged too
        asked = self.asked(prompt)
        converse = {"system": asked["system"], "messages": asked["messages"]}
        try:
            found = self.client.count_tokens(modelId=_bare(self.name), input={"converse": converse})
            return int(found["inputTokens"])
        except Exception:  # it is not vital: the bound stands
            return None

    def invoke(self, prompt: str) -> Response:
        """The Converse response to one prompt.

        Raises:
            ThrottlingException: 429, or the service or model is not ready.
            ModelStreamError: the model or the connection broke off.
            NoCredentials, AccessDenied: nothing else can be asked either.
            botocore.exceptions.BotoCoreError, ClientError: this prompt failed for its own reason, or an unknown one.

        Each is raised from what botocore raised, so that `fsm.faults.fault` says the kind and the cause of it.
        """
        asked = self._with_cache_point(self.asked(prompt))
        try:
            response: Response = self.client.converse(modelId=self.name, **asked)
        except Exception as error:
            own = named(error, lambda found, own: _said(found, own, self.settings))
            if own is error:
                raise
            raise own from error
        return response

    def check(self, lasting: timedelta) -> list[str]:
        """Ask for the model's life: one that ends within `lasting` from now stops the run, one that ends at all is said.

        The runtime at an endpoint of its own has no control plane that is known, and nothing is asked.

        (https://docs.aws.amazon.com/bedrock/latest/userguide/model-lifecycle.html)
        """
        if self.settings.max_tokens > (self.takes.output or self.settings.max_tokens):
            raise ConfigError(
                f"{self.name} writes {self.takes.output} tokens at most, and teacher_generation.teacher.max_tokens is "
                f"{self.settings.max_tokens}: lower it. Nothing was asked yet."
            )
        if self.settings.endpoint_url and not self.settings.control_endpoint_url:
            return []
        try:
            life = _lifecycle(control_client(self.settings), self.name)
        except Exception as error:
            found = fault(error)
            if entered(found) is NoCredentials:
                raise NoCredentials(_said(found, NoCredentials, self.settings)) from error
            if found.cause == "model":
                raise AccessDenied(_said(found, AccessDenied, self.settings)) from error
            return [f"How long {self.name} will be offered could not be asked: {found.message.rstrip('.')}."]
        end = life.get("endOfLifeTime")
        if end is None:
            return (
                [f"{self.name} is in its legacy state: a newer model should be chosen."]
                if life.get("status") == "LEGACY"
                else []
            )
        left = end - datetime.now(UTC)
        if left <= lasting:
            raise AccessDenied(
                f"{self.name} is offered until {end:%Y-%m-%d} only, and this run may take {_long(lasting)}: it would end without "
                "its teacher. Name a newer model in teacher_generation.teacher.model_id. Nothing was asked yet."
            )
        return [
            f"{self.name} is offered until {end:%Y-%m-%d} ({left.days} days from now). A newer model should be chosen by then."
        ]


def _bare(model: str) -> str:
    """The foundation model's id in that of a profile or in an ARN."""
    return PROFILED.sub("", model.rpartition("/")[2])


def _long(lasting: timedelta) -> str:
    hours = lasting.total_seconds() / 3600
    return f"{hours / 24:.1f} days" if hours > 48 else f"{max(hours, 0.1):.1f} hours"


def _lifecycle(control: Any, model: str) -> dict[str, Any]:
    """modelLifecycle of the foundation model that an id, a profile, or the ARN of either stands for."""
    if "inference-profile/" in model:
        profile = control.get_inference_profile(inferenceProfileIdentifier=model)
        model = profile["models"][0]["modelArn"]
    bare = _bare(model)
    found: dict[str, Any] = control.get_foundation_model(modelIdentifier=bare)["modelDetails"].get(
        "modelLifecycle", {}
    )
    return found


def _said(found: Fault, own: type[Exception], settings: TeacherConfig) -> str:
    model, why = settings.model, found.message.rstrip(".")
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
    return (
        f"{model} broke off: {why}"
        if issubclass(own, ModelStreamError)
        else f"Bedrock throttles {model}: {why}"
    )


def has_iam_credentials() -> bool:
    """Whether boto3 finds credentials (environment, profile, role of this machine). Bedrock is not asked."""
    import boto3

    return boto3.Session().get_credentials() is not None


def api_key() -> str | None:
    """The Bedrock API key of the environment, if there is one."""
    return os.environ.get(API_KEY_VARIABLE) or None


def runtime_client(settings: TeacherConfig, workers: int, key: str | None = None) -> Any:
    """A bedrock-runtime client for so many threads. With an API key in the environment boto3 sends that, by https alone,
    instead of signing; that it does is checked of every request."""
    import boto3
    import botocore
    from botocore.config import Config

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
            tcp_keepalive=True,  # an answer may take longer than a gateway keeps a silent connection
            # a request is made of checked settings and checked turns: boto3's look at it costs 3% of a call for nothing
            parameter_validation=False,
            # and the name that it makes of its parts anew for every request costs three times that
            user_agent=f"fsm Boto3/{boto3.__version__} Botocore/{botocore.__version__}",
        ),
    )
    client.meta.events.register("before-parse.bedrock-runtime.Converse", _whole)
    if key:
        client.meta.events.register("before-send.bedrock-runtime", header_hook(key))
    return client


def _whole(response_dict: Any, **_: Any) -> None:
    """Raise for a body of which a part is missing: botocore takes what is left for an empty answer."""
    from botocore.exceptions import IncompleteReadError

    told, there = response_dict["headers"].get("content-length"), len(response_dict["body"])
    if told and told.isdecimal() and there < int(told):
        raise IncompleteReadError(actual_bytes=there, expected_bytes=int(told))


def control_client(settings: TeacherConfig) -> Any:
    """A client of Bedrock's control plane, which is asked before anything is paid for."""
    from phases.services import client

    return client("bedrock", region=settings.region, endpoint_url=settings.control_endpoint_url)


def header_hook(key: str) -> Callable[..., None]:
    """The event handler of RegisterEventHandler: sees to it that the API key goes out in each request's header.

    boto3 from 1.39 on puts it there; one that does not would ask as somebody else, or as nobody.
    """

    def sent(request: Any, **_: Any) -> None:
        given = request.headers.get("Authorization") or b""
        given = given if isinstance(given, bytes) else given.encode()
        if given != f"Bearer {key}".encode():
            raise NoCredentials(
                f"{API_KEY_VARIABLE} is set, and boto3 did not send it. Take boto3 1.39 or newer, and see whether "
                "AWS_AUTH_SCHEME_PREFERENCE names another way; or unset the variable to sign by IAM credentials."
            )

    return sent
