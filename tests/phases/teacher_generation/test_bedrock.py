"""The teacher on Bedrock, over HTTP."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fsm.faults import Kind, fault
from phases.errors import AccessDenied, ModelStreamError, NoCredentials, ThrottlingException
from phases.teacher_generation.asking import Call
from phases.teacher_generation.bedrock import BedrockTeacher, runtime_client
from phases.teacher_generation.config import AskingConfig, TeacherConfig
from phases.teacher_generation.teacher import parse_response
from phases.turns import spell
from tests.phases.teacher_generation.future import walk


def teacher(url: str, key: str | None = None, **settings: Any) -> BedrockTeacher:
    config = TeacherConfig(endpoint_url=url, **settings)
    return BedrockTeacher(config, runtime_client(config, 2, key))


def test_a_prompt_is_sent_as_converse_wants_it_and_the_answer_read(server: Any) -> None:
    asked = teacher(server.url, max_tokens=77, temperature=0.5, system="C only.")
    answer = parse_response(asked.invoke("gate?"))
    assert (answer.text, answer.input_tokens, answer.output_tokens) == ("int f(void);  /* gate? */", 3, 5)
    assert server.paths == ["/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"]
    assert server.bodies == [
        {
            "messages": [{"role": "user", "content": [{"text": "gate?"}]}],
            "system": [{"text": "C only."}],
            "inferenceConfig": {"maxTokens": 77, "temperature": 0.5},
        }
    ]
    assert server.headers[0]["Authorization"].startswith("AWS4-HMAC-SHA256")


def test_all_turns_are_sent_and_a_prompts_own_system_turn_in_the_place_of_the_configured_one(
    server: Any,
) -> None:
    said = [
        {"role": "system", "content": "Answer in C99."},
        {"role": "user", "content": "A ring."},
        {"role": "assistant", "content": "struct ring;"},
        {"role": "user", "content": "Lock-free."},
    ]
    asked = teacher(server.url, system="C only.")
    asked.invoke(spell(said))
    assert server.bodies[0]["system"] == [{"text": "Answer in C99."}]
    assert server.bodies[0]["messages"] == [
        {"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in said[1:]
    ]


def test_a_question_is_all_that_an_answer_depends_on_and_nothing_else() -> None:
    one = TeacherConfig(max_tokens=77)
    asked = BedrockTeacher(one, None).question("gate?")
    for same in ({"region": "eu-west-1"}, {"read_timeout_s": 5.0}, {"endpoint_url": "http://x"}):
        assert BedrockTeacher(one.model_copy(update=same), None).question("gate?") == asked
    for other in ({"model_id": "m"}, {"max_tokens": 78}, {"temperature": 0.3}, {"system": ""}):
        assert BedrockTeacher(one.model_copy(update=other), None).question("gate?") != asked
    assert BedrockTeacher(one, None).question("Gate?") != asked


def test_as_long_as_the_service_asks_for_is_waited(server: Any, replies: Any) -> None:
    server.reply = lambda prompt, attempt: (
        replies.failure(429, "ThrottlingException") if attempt < 2 else replies.converse("int x;")
    )
    server.extra = {"Retry-After": "7"}
    call, slept = called(server)
    assert slept == [7, 7]
    assert call.result.retries == 2


def test_who_asks_to_wait_for_an_hour_is_asked_another_time(server: Any, replies: Any) -> None:
    server.reply = lambda prompt, attempt: replies.failure(503, "ServiceUnavailableException")
    server.extra = {"Retry-After": "3600"}
    call, slept = called(server)
    assert (slept, call.result.kind) == ([], "passing")
    assert "asks to wait 3600 seconds" in call.result.reason


def test_an_api_key_goes_into_the_header_and_needs_no_iam(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    teacher(server.url, key="bedrock-api-key-1").invoke("gate?")
    assert server.headers[0]["Authorization"] == "Bearer bedrock-api-key-1"


@pytest.mark.parametrize(
    ("status", "code", "raised"),
    [
        (429, "ThrottlingException", ThrottlingException),
        (503, "ServiceUnavailableException", ThrottlingException),
        (429, "ModelNotReadyException", ThrottlingException),
        (424, "ModelErrorException", ModelStreamError),
        (424, "ModelStreamErrorException", ModelStreamError),
        (408, "ModelTimeoutException", ModelStreamError),
        (500, "InternalServerException", ModelStreamError),
        (403, "AccessDeniedException", AccessDenied),
        (403, "UnrecognizedClientException", NoCredentials),
        (403, "ExpiredTokenException", NoCredentials),
    ],
)
def test_an_error_is_named_as_diagram_8_names_it_and_the_client_tries_once(
    server: Any, replies: Any, status: int, code: str, raised: type[Exception]
) -> None:
    server.reply = lambda prompt, attempt: replies.failure(status, code)
    with pytest.raises(raised, match=code):
        teacher(server.url).invoke("gate?")
    assert len(server.prompts) == 1


def called(server: Any, **settings: Any) -> tuple[Call, list[float]]:
    slept: list[float] = []
    call = Call("gate?", teacher(server.url, **settings), AskingConfig(), slept.append, lambda bound: bound)
    walk(call)
    return call, slept


def test_throttled_then_answered(server: Any, replies: Any) -> None:
    server.reply = lambda prompt, attempt: (
        replies.failure(429, "ThrottlingException") if attempt < 2 else replies.converse("int x;")
    )
    call, slept = called(server)
    assert slept == [1, 2]
    assert call.result.text == "int x;"


def test_a_prompt_that_the_model_refuses_is_a_failure_with_its_reason(server: Any, replies: Any) -> None:
    server.reply = lambda prompt, attempt: replies.failure(400, "ValidationException")
    call, slept = called(server)
    assert slept == []
    assert "ValidationException it is" in call.result.reason


@pytest.mark.parametrize("body", [b"{not json", b"", b"<html>gateway</html>", b"[]", b'{"output": {}}'])
def test_garbage_is_a_failure_and_no_crash(server: Any, body: bytes) -> None:
    server.reply = lambda prompt, attempt: (200, "", body)
    call, _ = called(server)
    assert not call.result.answered
    assert call.result.reason


def test_an_empty_text_is_a_failure(server: Any, replies: Any) -> None:
    server.reply = lambda prompt, attempt: replies.converse("")
    call, _ = called(server)
    assert "holds no text" in call.result.reason


def test_an_answer_that_takes_too_long_is_tried_again(server: Any, replies: Any) -> None:
    import time

    def slow(prompt: str, attempt: int) -> Any:
        time.sleep(0.5 if attempt == 0 else 0)
        return replies.converse("int x;")

    server.reply = slow
    call, slept = called(server, read_timeout_s=0.1)
    assert slept == [1]
    assert call.result.text == "int x;"


def test_a_server_that_is_not_there_is_a_broken_connection() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    asked = teacher(url, key="k")
    with pytest.raises(ModelStreamError, match="broke off"):
        asked.invoke("gate?")


def test_without_credentials_the_first_call_says_what_to_set(
    server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(NoCredentials, match="AWS_ACCESS_KEY_ID"):
        teacher(server.url).invoke("gate?")


@pytest.mark.parametrize(
    ("status", "code", "message", "raised", "said"),
    [
        (429, "ThrottlingException", "Too many tokens per day, please wait.", AccessDenied, "Wait until the quota"),
        (400, "ServiceQuotaExceededException", "Over the account's quota.", AccessDenied, "Wait until the quota"),
        (404, "ResourceNotFoundException", "This model version has reached the end of its life.", AccessDenied, "Name a model"),
        (400, "ValidationException", "The provided model identifier is invalid.", AccessDenied, "Name a model"),
        (400, "ValidationException", "Malformed input request: extraneous key [topk] is not permitted", AccessDenied, "Correct what"),
        (403, "InvalidSignatureException", "Signature expired: 1 is now earlier than 2", NoCredentials, "clock"),
        (403, "AccessDeniedException", "Authentication failed: Please make sure your API Key is valid.", NoCredentials, "AWS_BEARER_TOKEN"),
    ],
)  # fmt: skip
def test_what_no_prompt_would_be_answered_for_says_so_with_what_to_do(
    server: Any, status: int, code: str, message: str, raised: type[Exception], said: str
) -> None:
    server.reply = lambda prompt, attempt: (status, code, json.dumps({"message": message}).encode())
    with pytest.raises(raised, match=said) as caught:
        teacher(server.url).invoke("gate?")
    assert message.rstrip(".") in str(caught.value)
    assert fault(caught.value).kind is Kind.EVERYBODY
    assert len(server.prompts) == 1


def test_a_prompt_that_is_too_long_is_that_prompts_own(server: Any) -> None:
    words = b'{"message": "Input is too long for requested model."}'
    server.reply = lambda prompt, attempt: (400, "ValidationException", words)
    call, slept = called(server)
    assert slept == []
    assert "Input is too long" in call.result.reason
    with pytest.raises(ClientError) as caught:
        teacher(server.url).invoke("gate?")
    assert fault(caught.value).kind is Kind.ITEM
