"""What a failure means, held against what the services themselves declare."""

from __future__ import annotations

import errno
import http.client
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import botocore
import botocore.exceptions as aws
import botocore.session
import openai
import pytest
from botocore.parsers import ResponseParserError
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker
from s3transfer.exceptions import RetriesExceededError  # type: ignore[import-untyped]

from fsm.faults import Kind, fault
from fsm.faults.table import ADVICE, CLASSES, CODES, MESSAGES

PASSING, ITEM, EVERYBODY, UNKNOWN = Kind.PASSING, Kind.ITEM, Kind.EVERYBODY, Kind.UNKNOWN

ASKED = {
    "bedrock-runtime": ("Converse", "InvokeModel"),
    "bedrock": ("GetFoundationModel", "GetInferenceProfile", "ListFoundationModels", "ListInferenceProfiles"),
    "sagemaker": ("CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob", "ListTrainingJobs"),
    "s3": (
        "AbortMultipartUpload", "CompleteMultipartUpload", "CreateMultipartUpload", "DeleteObject", "DeleteObjects",
        "GetBucketLocation", "GetObject", "HeadBucket", "HeadObject", "ListMultipartUploads", "ListObjectsV2",
        "ListParts", "PutObject", "UploadPart",
    ),
    "sts": ("GetCallerIdentity", "AssumeRole", "AssumeRoleWithWebIdentity"),
    "iam": ("GetRole", "SimulatePrincipalPolicy"),
    "service-quotas": ("GetServiceQuota", "ListServiceQuotas", "GetAWSDefaultServiceQuota"),
}  # fmt: skip
"""The operations that this project asks, or that signing in asks for it."""


def answered(code: str, message: str = "", status: int = 400, operation: str = "Converse") -> aws.ClientError:
    said = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return aws.ClientError(said, operation)


def declared() -> list[tuple[str, str]]:
    """(service, code) of every error that an asked operation declares, as its answers spell it."""
    session = botocore.session.get_session()
    found = set()
    for service, operations in ASKED.items():
        model = session.get_service_model(service)
        for operation in operations:
            for shape in model.operation_model(operation).error_shapes:
                found.add((service, shape.metadata.get("error", {}).get("code") or shape.name))
    return sorted(found)


@pytest.mark.parametrize(("service", "code"), declared())
def test_every_error_that_an_asked_operation_declares_is_in_the_table(service: str, code: str) -> None:
    assert code in CODES


def retried() -> list[tuple[str, int]]:
    """(code, status) of what botocore itself asks again for; an empty code where the status alone decides."""
    found: set[tuple[str, int]] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            response = node.get("response")
            if isinstance(response, dict) and "http_status_code" in response:
                found.add((response.get("service_error_code", ""), response["http_status_code"]))
            for below in node.values():
                walk(below)

    rules = json.loads((Path(botocore.__file__).parent / "data" / "_retry.json").read_text())
    walk(
        {
            "definitions": rules["definitions"],
            **{s: rules["retry"][s] for s in ("__default__", *_ours(rules))},
        }
    )
    found |= {(code, 400) for code in ThrottledRetryableChecker._THROTTLED_ERROR_CODES}
    found |= {(code, 400) for code in TransientRetryableChecker._TRANSIENT_ERROR_CODES}
    found |= {("", status) for status in TransientRetryableChecker._TRANSIENT_STATUS_CODES}
    return sorted(found)


def _ours(rules: Any) -> list[str]:
    """All services but DynamoDB, whose own two words mean nothing here."""
    return [service for service in rules["retry"] if service not in ("__default__", "dynamodb")]


@pytest.mark.parametrize(("code", "status"), retried())
def test_what_botocore_asks_again_for_is_passing(code: str, status: int) -> None:
    assert fault(answered(code or "Unheard", "no", status)).kind is PASSING


@pytest.mark.parametrize("cls", TransientRetryableChecker._TRANSIENT_EXCEPTION_CLS)
def test_what_botocore_counts_as_a_broken_connection_is_passing(cls: Any) -> None:
    assert fault(cls(error="reset")).kind is PASSING


@pytest.mark.parametrize(
    ("service", "code", "kind", "cause"),
    [
        ("bedrock-runtime", "ThrottlingException", PASSING, "throttling"),
        ("bedrock-runtime", "ModelNotReadyException", PASSING, "service"),
        ("bedrock-runtime", "ModelTimeoutException", PASSING, "service"),
        ("bedrock-runtime", "InternalServerException", PASSING, "service"),
        ("bedrock-runtime", "ServiceUnavailableException", PASSING, "service"),
        ("bedrock-runtime", "AccessDeniedException", EVERYBODY, "access"),
        ("bedrock-runtime", "ResourceNotFoundException", EVERYBODY, "model"),
        ("bedrock-runtime", "ServiceQuotaExceededException", EVERYBODY, "quota"),
        ("bedrock-runtime", "ExpiredTokenException", EVERYBODY, "credentials"),
        ("bedrock-runtime", "UnrecognizedClientException", EVERYBODY, "credentials"),
        ("bedrock-runtime", "InvalidSignatureException", EVERYBODY, "credentials"),
        ("bedrock-runtime", "IncompleteSignatureException", EVERYBODY, "credentials"),
        ("bedrock-runtime", "OptInRequired", EVERYBODY, "account"),
        ("bedrock-runtime", "ValidationException", UNKNOWN, "request"),
        ("sagemaker", "ResourceLimitExceeded", EVERYBODY, "quota"),
        ("sagemaker", "ResourceNotFound", ITEM, "missing"),
        ("sagemaker", "ResourceInUse", ITEM, "conflict"),
        ("sagemaker", "InternalFailure", PASSING, "service"),
        ("sagemaker", "MissingAuthenticationToken", EVERYBODY, "credentials"),
        ("s3", "SlowDown", PASSING, "throttling"),
        ("s3", "RequestTimeout", PASSING, "network"),
        ("s3", "ConditionalRequestConflict", PASSING, "conflict"),
        ("s3", "RequestTimeTooSkewed", EVERYBODY, "clock"),
        ("s3", "ExpiredToken", EVERYBODY, "credentials"),
        ("s3", "InvalidToken", EVERYBODY, "credentials"),
        ("s3", "InvalidAccessKeyId", EVERYBODY, "credentials"),
        ("s3", "SignatureDoesNotMatch", EVERYBODY, "credentials"),
        ("s3", "NoSuchBucket", EVERYBODY, "bucket"),
        ("s3", "PermanentRedirect", EVERYBODY, "region"),
        ("s3", "KMS.DisabledException", EVERYBODY, "key"),
        ("s3", "AccountProblem", EVERYBODY, "account"),
        ("s3", "NoSuchKey", ITEM, "missing"),
        ("s3", "InvalidObjectState", ITEM, "archived"),
        ("sts", "InvalidClientTokenId", EVERYBODY, "credentials"),
        ("sts", "RequestExpired", EVERYBODY, "credentials"),
        ("sts", "IDPCommunicationError", PASSING, "service"),
        ("iam", "NoSuchEntity", ITEM, "missing"),
        ("iam", "ServiceFailure", PASSING, "service"),
        ("service-quotas", "TooManyRequestsException", PASSING, "throttling"),
    ],
)
def test_a_code_says_whose_failure_it_is(service: str, code: str, kind: Kind, cause: str) -> None:
    found = fault(answered(code, "no"))
    assert (found.kind, found.cause, found.code) == (kind, cause, code)
    assert found.advice == ADVICE[cause]


VALIDATION, ABSENT, DENIED = "ValidationException", "ResourceNotFoundException", "AccessDeniedException"


@pytest.mark.parametrize(
    ("code", "message", "kind", "cause"),
    [
        ("ThrottlingException", "Too many tokens per day, please wait before trying again.", EVERYBODY, "quota"),
        ("ThrottlingException", "Your daily limit of requests is reached.", EVERYBODY, "quota"),
        ("ThrottlingException", "Too many tokens, please wait before trying again.", PASSING, "throttling"),
        (VALIDATION, "The provided model identifier is invalid.", EVERYBODY, "model"),
        (VALIDATION, "Invocation of model ID a.b with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model.", EVERYBODY, "model"),
        (VALIDATION, "The model is not supported in this Region.", EVERYBODY, "model"),
        (ABSENT, "This model version has reached the end of its life.", EVERYBODY, "model"),
        (ABSENT, "Could not resolve the foundation model from the provided model identifier.", EVERYBODY, "model"),
        (ABSENT, "Model use case details have not been submitted for this account.", EVERYBODY, "access"),
        (DENIED, "You don't have access to the model with the specified model ID.", EVERYBODY, "access"),
        (DENIED, "Authentication failed: Please make sure your API Key is valid.", EVERYBODY, "credentials"),
        (DENIED, "Bearer Token has expired", EVERYBODY, "credentials"),
        (DENIED, "Model access is denied due to INVALID_PAYMENT_INSTRUMENT", EVERYBODY, "account"),
        (VALIDATION, "Your account is currently suspended.", EVERYBODY, "account"),
        (VALIDATION, "Operation not allowed", EVERYBODY, "account"),
        ("AccessDenied", "User: arn is not authorized to perform: kms:Decrypt on the resource", EVERYBODY, "key"),
        ("SignatureDoesNotMatch", "Signature expired: 20240101T000000Z is now earlier than 20240101T000500Z", EVERYBODY, "clock"),
        (VALIDATION, "Malformed input request: extraneous key [topk] is not permitted", EVERYBODY, "request"),
        (VALIDATION, "`temperature` and `top_p` cannot both be specified for this model.", EVERYBODY, "request"),
        (VALIDATION, "This model doesn’t support the latency field.", EVERYBODY, "request"),
        (VALIDATION, "temperature is not supported with this model", EVERYBODY, "request"),
        (VALIDATION, "1 validation error detected: Value '9' at 'inferenceConfig.temperature' failed to satisfy constraint", EVERYBODY, "request"),
        (VALIDATION, "The maximum tokens you requested exceeds the model limit of 8192.", EVERYBODY, "request"),
        (VALIDATION, "The text field in the ContentBlock object at system.0 is blank.", EVERYBODY, "request"),
        (VALIDATION, "Input is too long for requested model.", ITEM, "length"),
        (VALIDATION, "prompt is too long: 210000 tokens > 200000 maximum", ITEM, "length"),
        (VALIDATION, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", ITEM, "length"),
        (VALIDATION, "Malformed input request: #/texts/0: expected maxLength: 2048, actual: 19882", ITEM, "length"),
        (VALIDATION, "Output blocked by content filtering policy", ITEM, "content"),
        (VALIDATION, "The input was blocked by the guardrail", ITEM, "content"),
        (VALIDATION, "The text field in the ContentBlock object at messages.0.content.0 is blank.", ITEM, "content"),
        (VALIDATION, "A conversation must start with a user message.", UNKNOWN, "request"),
    ],
)  # fmt: skip
def test_a_message_says_it_more_exactly_than_its_code(
    code: str, message: str, kind: Kind, cause: str
) -> None:
    found = fault(answered(code, message))
    assert (found.kind, found.cause) == (kind, cause)
    assert message.split()[0] in found.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, EVERYBODY),
        (403, EVERYBODY),
        (404, ITEM),
        (408, PASSING),
        (409, UNKNOWN),
        (412, ITEM),
        (418, UNKNOWN),
        (429, PASSING),
        (500, PASSING),
        (503, PASSING),
        (520, PASSING),
        (599, PASSING),
    ],
)
def test_a_code_nobody_heard_of_is_told_by_its_status(status: int, kind: Kind) -> None:
    assert fault(answered("Weather", "rain", status)).kind is kind


def test_an_answer_to_a_head_has_its_status_for_a_code() -> None:
    assert fault(answered("404", "Not Found", 404, "HeadObject")).cause == "missing"
    assert fault(answered("403", "Forbidden", 403, "HeadObject")).cause == "access"
    assert fault(answered("503", "", 503, "HeadObject")).kind is PASSING


def verify_failed() -> ssl.SSLCertVerificationError:
    return ssl.SSLCertVerificationError(
        1, "certificate verify failed: unable to get local issuer certificate"
    )


@pytest.mark.parametrize(
    ("error", "kind", "cause"),
    [
        (aws.NoCredentialsError(), EVERYBODY, "credentials"),
        (aws.PartialCredentialsError(provider="env", cred_var="x"), EVERYBODY, "credentials"),
        (aws.CredentialRetrievalError(provider="process", error_msg="rc 1"), EVERYBODY, "credentials"),
        (aws.UnauthorizedSSOTokenError(), EVERYBODY, "credentials"),
        (aws.SSOTokenLoadError(error_msg="none"), EVERYBODY, "credentials"),
        (aws.TokenRetrievalError(provider="sso", error_msg="expired"), EVERYBODY, "credentials"),
        (aws.LoginRefreshRequired(), EVERYBODY, "credentials"),
        (aws.MetadataRetrievalError(error_msg="404"), EVERYBODY, "credentials"),
        (aws.NoAuthTokenError(), EVERYBODY, "credentials"),
        (aws.ParamValidationError(report="Unknown parameter"), EVERYBODY, "request"),
        (aws.NoRegionError(), EVERYBODY, "configuration"),
        (aws.InvalidRegionError(region_name="x y"), EVERYBODY, "configuration"),
        (aws.ProfileNotFound(profile="nobody"), EVERYBODY, "configuration"),
        (aws.EndpointResolutionError(msg="no"), EVERYBODY, "configuration"),
        (aws.SSLError(endpoint_url="https://x", error=verify_failed()), EVERYBODY, "certificate"),
        (verify_failed(), EVERYBODY, "certificate"),
        (aws.SSLError(endpoint_url="https://x", error="EOF occurred"), PASSING, "network"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), PASSING, "network"),
        (aws.EndpointConnectionError(endpoint_url="https://x"), PASSING, "network"),
        (aws.ConnectTimeoutError(endpoint_url="https://x"), PASSING, "network"),
        (aws.ReadTimeoutError(endpoint_url="https://x"), PASSING, "network"),
        (aws.ConnectionClosedError(endpoint_url="https://x"), PASSING, "network"),
        (aws.IncompleteReadError(actual_bytes=1, expected_bytes=2), PASSING, "network"),
        (aws.ResponseStreamingError(error="cut"), PASSING, "network"),
        (aws.FlexibleChecksumError(error_msg="differs"), PASSING, "network"),
        (aws.CapacityNotAvailableError(), PASSING, "throttling"),
        (RetriesExceededError(TimeoutError("cut")), PASSING, "network"),
        (ResponseParserError("<html>"), PASSING, "service"),
        (aws.EventStreamError({"Error": {"Code": "modelStreamErrorException"}}, "ConverseStream"), PASSING, "service"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), PASSING, "network"),
        (TimeoutError("timed out"), PASSING, "network"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), PASSING, "network"),
        (BrokenPipeError(errno.EPIPE, "pipe"), PASSING, "network"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), PASSING, "network"),
        (http.client.RemoteDisconnected("closed"), PASSING, "network"),
        (OSError(errno.ENOSPC, "No space left on device"), UNKNOWN, "unknown"),
        (FileNotFoundError(errno.ENOENT, "No such file"), UNKNOWN, "unknown"),
        (ZeroDivisionError("division by zero"), UNKNOWN, "unknown"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)  # fmt: skip
def test_an_exception_without_an_answer_is_told_by_its_class(
    error: Exception, kind: Kind, cause: str
) -> None:
    found = fault(error)
    assert (found.kind, found.cause, found.code) == (
        kind,
        cause,
        "modelStreamErrorException" if isinstance(error, aws.EventStreamError) else type(error).__name__,
    )


def test_what_says_nothing_itself_means_what_it_was_raised_from() -> None:
    error = RuntimeError("the job cannot be followed")
    error.__cause__ = answered("SlowDown", "no", 503)
    found = fault(error)
    assert (found.kind, found.code, found.message) == (PASSING, "SlowDown", "the job cannot be followed")


def test_what_it_says_is_one_line_and_never_empty() -> None:
    assert fault(RuntimeError("one\n  two")).message == "one two"
    assert fault(TimeoutError()).message == "TimeoutError"


@pytest.mark.parametrize(
    "response", [None, "text", {}, {"Error": None}, {"Error": {}}, {"Error": {"Code": None}}]
)
def test_an_answer_of_a_strange_form_is_unknown_and_no_crash(response: object) -> None:
    error = RuntimeError("odd")
    error.response = response  # type: ignore[attr-defined]
    assert fault(error).kind is UNKNOWN


def test_every_cause_has_advice_and_every_advice_a_cause() -> None:
    used = {cause for _, cause in (*CODES.values(), *CLASSES.values(), *(meant for _, _, meant in MESSAGES))}
    assert used | {"certificate", "network", "unknown"} == set(ADVICE)
    assert all(text.endswith(".") for text in ADVICE.values())


def test_every_message_is_of_codes_that_are_in_the_table() -> None:
    assert {code for codes, _, _ in MESSAGES for code in codes} <= set(CODES)


def test_every_class_named_of_botocore_or_openai_is_one() -> None:
    """A name that botocore gave up would never be told again; nor one that openai did."""
    ours = {name for name in CLASSES if not hasattr(aws, name) and not hasattr(openai, name)}
    assert ours == {
        "ResponseParserError", "TimeoutError", "gaierror", "herror", "HTTPException", "ProtocolError", "IncompleteRead",
        "NewConnectionError", "MaxRetryError", "NameResolutionError", "RetriesExceededError", "TransportError",
    }  # fmt: skip
