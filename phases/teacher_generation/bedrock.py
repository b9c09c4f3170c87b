"""The teacher on Bedrock: one prompt, one call of the Converse API.

Retries are drawn in Diagram 3, so the client does none of its own: two layers of retries multiply, and hide
from the run what it paid for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from phases.errors import AccessDenied, ModelStreamError, NoCredentials, ThrottlingException
from phases.teacher_generation.config import TeacherConfig
from phases.teacher_generation.teacher import Response

API_KEY_VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"
"""Where Bedrock's documentation has API keys put."""

# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors
_THROTTLED = frozenset(
    {
        "ThrottlingException",
        "TooManyRequestsException",
        "ModelNotReadyException",
        "ServiceUnavailableException",
    }
)
_BROKEN_OFF = frozenset(
    {"ModelStreamErrorException", "ModelErrorException", "ModelTimeoutException", "InternalServerException"}
)
_DENIED = frozenset({"AccessDeniedException", "AccessDenied"})
_UNKNOWN_CALLER = frozenset(
    {"UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException", "ExpiredToken"}
    | {"MissingAuthenticationTokenException", "InvalidClientTokenId", "IncompleteSignature"}
)


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

    def invoke(self, prompt: str) -> Response:
        """The Converse response to one prompt.

        Raises:
            ThrottlingException: 429, or the service or model is not ready.
            ModelStreamError: the model or the connection broke off.
            NoCredentials, AccessDenied: nothing else can be asked either.
            botocore.exceptions.BotoCoreError, ClientError: this prompt failed for its own reason.
        """
        from botocore import exceptions as aws

        try:
            response: Response = self.client.converse(
                modelId=self.settings.model_id,
                system=[{"text": self.settings.system}] if self.settings.system else [],
                messages=[{"role": "user", "content": [{"text": prompt}]}],
                inferenceConfig={
                    "maxTokens": self.settings.max_tokens,
                    "temperature": self.settings.temperature,
                },
            )
        except aws.ClientError as error:
            raise _named(error, self.settings) from error
        except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.TokenRetrievalError) as error:
            raise NoCredentials(f"Bedrock cannot be asked without credentials: {error}. {_SET}") from error
        except (aws.HTTPClientError, aws.ConnectionError, aws.IncompleteReadError) as error:  # and timeouts
            raise ModelStreamError(f"The connection to Bedrock broke off: {error}") from error
        return response


_SET = f"Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or {API_KEY_VARIABLE}."


def _named(error: Any, settings: TeacherConfig) -> Exception:
    """A ClientError as the entry state of Diagram 8 that it belongs to, or itself where there is none."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _THROTTLED or status == 429:
        return ThrottlingException(f"Bedrock throttles {settings.model_id}: {error}")
    if code in _BROKEN_OFF or status in (500, 502, 503, 504):
        return ModelStreamError(f"{settings.model_id} broke off: {error}")
    if code in _UNKNOWN_CALLER:
        return NoCredentials(f"Bedrock refuses the credentials: {error}. {_SET}")
    if code in _DENIED:
        return AccessDenied(
            f"Bedrock does not let these credentials use {settings.model_id} in {settings.region}: {error}. Allow "
            "bedrock:InvokeModel on the model and its inference profile, and request access to the model."
        )
    return error if isinstance(error, Exception) else RuntimeError(str(error))


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
