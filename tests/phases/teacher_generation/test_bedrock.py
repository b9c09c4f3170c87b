"""The teacher on Bedrock, over HTTP: what is sent, what is read, and what becomes of each kind of failure."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fsm.errors import ConfigError
from fsm.faults import Kind, fault
from phases.errors import AccessDenied, ModelStreamError, NoCredentials, ThrottlingException
from phases.rehearsal.bedrock import SONNET, Model
from phases.rehearsal.model import Asked, Said
from phases.rehearsal.wire import Reply, refusal
from phases.teacher_generation.asking import Call
from phases.teacher_generation.bedrock import BedrockTeacher, api_key, runtime_client
from phases.teacher_generation.config import AskingConfig, TeacherConfig
from phases.teacher_generation.prices import input_bound
from phases.teacher_generation.takes import Takes
from phases.teacher_generation.teacher import parse_response
from phases.turns import spell
from tests.phases.teacher_generation.future import walk
from tests.servers.rehearsed import ServedBedrock

LONG = "C only, and with care. " * 300
OPUS = "anthropic.claude-opus-4-8-v1:0"


def teacher(url: str, **settings: Any) -> BedrockTeacher:
    config = TeacherConfig(endpoint_url=url, **({"control_endpoint_url": url} | settings))
    return BedrockTeacher(config, runtime_client(config, 2, api_key()))


def called(service: ServedBedrock, **settings: Any) -> tuple[Call, list[float]]:
    slept: list[float] = []
    call = Call("gate?", teacher(service.url, **settings), AskingConfig(), slept.append, lambda bound: bound)
    walk(call)
    return call, slept


def at_first(trouble: Said | Reply, times: int = 1) -> Callable[[Asked], Said | Reply]:
    """Trouble so often, and then an answer."""
    return lambda asked: trouble if asked.attempt < times else Said("int x;")


# What is sent


def test_a_structured_answer_is_its_code_and_a_question_of_its_own(bedrock: ServedBedrock) -> None:
    bedrock.answer = lambda asked: json.dumps({"code": "int f(void);"})
    asked = teacher(bedrock.url, structured=True)
    assert parse_response(asked.invoke("gate?")).text == "int f(void);"
    form = bedrock.asked[0].body["outputConfig"]["textFormat"]
    assert json.loads(form["structure"]["jsonSchema"]["schema"])["required"] == ["code"]
    assert asked.question("gate?") != teacher(bedrock.url).question("gate?")
    assert input_bound(asked.question("gate?")) > input_bound(teacher(bedrock.url).question("gate?"))


@pytest.mark.parametrize("text", ['{"code": 1}', '{"code": "x", "more": 1}', "{ int x; }", '{"code": " "}'])
def test_what_is_no_structured_answer_is_read_as_it_stands(text: str, bedrock: ServedBedrock) -> None:
    bedrock.answer = lambda asked: text
    assert parse_response(teacher(bedrock.url).invoke("gate?")).text == text


def test_tokens_are_counted_by_the_models_own_name_at_no_cost(bedrock: ServedBedrock) -> None:
    asked = teacher(bedrock.url)
    assert (
        asked.count("gate?") == bedrock.bill.input_tokens + parse_response(asked.invoke("gate?")).input_tokens
    )
    assert bedrock.bill.calls == 1
    assert teacher(bedrock.url, model_id="who.knows").count("gate?") is None


def test_a_prompt_is_sent_as_converse_wants_it_and_the_answer_read(bedrock: ServedBedrock) -> None:
    bedrock.answer = lambda asked: "int f(void);"
    asked = teacher(bedrock.url, max_tokens=77, temperature=0.5, system="C only.")
    answer = parse_response(asked.invoke("gate?"))
    assert (answer.text, answer.input_tokens, answer.output_tokens) == ("int f(void);", 12, 3)
    [sent] = bedrock.asked
    assert sent.model == "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    assert sent.body == {
        "messages": [{"role": "user", "content": [{"text": "gate?"}]}],
        "system": [{"text": "C only."}],
        "inferenceConfig": {"maxTokens": 77, "temperature": 0.5},
    }
    assert sent.headers["authorization"].startswith("AWS4-HMAC-SHA256")


def test_all_turns_are_sent_and_a_prompts_own_system_turn_in_the_place_of_the_configured_one(
    bedrock: ServedBedrock,
) -> None:
    said = [
        {"role": "system", "content": "Answer in C99."},
        {"role": "user", "content": "A ring."},
        {"role": "assistant", "content": "struct ring;"},
        {"role": "user", "content": "Lock-free."},
    ]
    teacher(bedrock.url, system="C only.").invoke(spell(said))
    [sent] = bedrock.asked
    assert sent.body["system"] == [{"text": "Answer in C99."}]
    assert sent.body["messages"] == [
        {"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in said[1:]
    ]


def test_a_question_is_all_that_an_answer_depends_on_and_nothing_else() -> None:
    one = TeacherConfig(max_tokens=77)
    asked = BedrockTeacher(one).question("gate?")
    for same in ({"region": "eu-west-1"}, {"read_timeout_s": 5.0}, {"endpoint_url": "http://x"}):
        assert BedrockTeacher(one.model_copy(update=same)).question("gate?") == asked
    for other in (
        {"model_id": "m"},
        {"max_tokens": 78},
        {"temperature": 0.3},
        {"system": ""},
        {"profile": "eu"},
    ):
        assert BedrockTeacher(one.model_copy(update=other)).question("gate?") != asked
    assert BedrockTeacher(one).question("Gate?") != asked


@pytest.mark.parametrize(
    ("model", "profile", "asked"),
    [
        (f"us.{SONNET}", "global", f"global.{SONNET}"),
        (SONNET, "eu", f"eu.{SONNET}"),
        (f"us-gov.{SONNET}", "jp", f"jp.{SONNET}"),
        (f"us.{SONNET}", None, f"us.{SONNET}"),
        ("arn:aws:bedrock:us-east-1:0:application-inference-profile/x", "eu", "arn:aws:bedrock:us-east-1:0:application-inference-profile/x"),
    ],
)  # fmt: skip
def test_the_inference_profiles_region_is_the_configurations(model: str, profile: Any, asked: str) -> None:
    assert TeacherConfig(model_id=model, profile=profile).model == asked


def test_what_a_model_does_not_take_is_not_sent_and_the_table_can_be_told_otherwise(
    bedrock: ServedBedrock,
) -> None:
    bedrock.models[OPUS] = Model(sampling=False)
    newer = teacher(bedrock.url, model_id=f"us.{OPUS}", temperature=0.2)
    newer.invoke("gate?")
    assert bedrock.asked[-1].body["inferenceConfig"] == {"maxTokens": 1024}
    assert "takes no temperature" in newer.note
    told = {"model_id": f"us.{OPUS}", "takes": Takes(sampling="both")}
    with pytest.raises(AccessDenied, match="deprecated"):
        teacher(bedrock.url, **told).invoke("gate?")
    teacher(bedrock.url, top_p=0.9).invoke("gate?")  # of two that the model takes one of
    assert bedrock.asked[-1].body["inferenceConfig"] == {"maxTokens": 1024, "topP": pytest.approx(0.9)}
    with pytest.raises(ValueError, match="not both"):
        TeacherConfig(temperature=0.2, top_p=0.9)


def test_a_long_system_turn_that_prompts_share_is_cached(bedrock: ServedBedrock) -> None:
    asked = teacher(bedrock.url, system=LONG)
    usages = [asked.invoke(prompt)["usage"] for prompt in ("a", "b")]
    assert usages[0]["cacheWriteInputTokens"] == usages[1]["cacheReadInputTokens"] > 1024
    assert "cachePoint" not in json.dumps(asked.question("a"))
    teacher(bedrock.url).invoke("c")  # the default is too short to be kept
    assert "cachePoint" not in json.dumps(bedrock.asked[-1].body)


def test_a_prompts_own_long_system_turn_is_cached_once_another_prompt_has_it_too(
    bedrock: ServedBedrock,
) -> None:
    asked = teacher(bedrock.url)
    for question in ("a", "b", "c"):
        asked.invoke(spell([{"role": "system", "content": LONG}, {"role": "user", "content": question}]))
    assert ["cachePoint" in json.dumps(sent.body) for sent in bedrock.asked] == [False, True, True]


def test_an_api_key_of_the_environment_is_sent_by_boto3_itself_and_needs_no_iam(
    bedrock_with_key: ServedBedrock,
) -> None:
    teacher(bedrock_with_key.url).invoke("gate?")
    assert bedrock_with_key.asked[-1].headers["authorization"] == "Bearer bedrock-api-key-1"


def test_a_key_that_boto3_does_not_send_stops_before_anything_is_sent(
    bedrock: ServedBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TeacherConfig(endpoint_url=bedrock.url)
    client = runtime_client(config, 2, "another-key")  # which is not where boto3 looks
    with pytest.raises(NoCredentials, match="boto3 did not send it"):
        BedrockTeacher(config, client).invoke("gate?")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "by-http")
    with pytest.raises(NoCredentials, match="HTTPS"):
        teacher(bedrock.url).invoke("gate?")
    assert not bedrock.asked


# How long there will be such a model


def ending(days: float) -> Model:
    return Model(ends=datetime.now(UTC) + timedelta(days=days))


def test_a_model_that_ends_within_the_run_stops_it_and_one_that_ends_later_is_said(
    bedrock: ServedBedrock,
) -> None:
    asked = teacher(bedrock.url)
    assert asked.check(timedelta(days=5)) == []
    bedrock.models[SONNET] = ending(3)
    with pytest.raises(AccessDenied, match=r"this run may take 5\.0 days.*model_id"):
        asked.check(timedelta(days=5))
    [warning] = asked.check(timedelta(days=2))
    assert "2 days from now" in warning
    bedrock.models[SONNET] = ending(-1)
    with pytest.raises(AccessDenied, match="offered until"):
        asked.check(timedelta(0))
    with pytest.raises(AccessDenied, match="end of its life"):
        asked.invoke("gate?")


def test_a_model_that_is_not_there_stops_and_what_may_not_be_asked_is_said(bedrock: ServedBedrock) -> None:
    with pytest.raises(AccessDenied, match="Name a model"):
        teacher(bedrock.url, model_id="us.anthropic.claude-none").check(timedelta(0))
    [warning] = teacher("http://127.0.0.1:1").check(timedelta(0))
    assert "could not be asked" in warning
    bedrock.expired = True
    with pytest.raises(NoCredentials, match="expired"):
        teacher(bedrock.url).check(timedelta(0))


def test_a_runtime_at_an_endpoint_of_its_own_is_asked_for_nothing_but_answers(bedrock: ServedBedrock) -> None:
    bedrock.models[SONNET] = ending(3)
    assert teacher(bedrock.url, control_endpoint_url=None).check(timedelta(days=5)) == []
    assert not bedrock.asked


def test_more_tokens_than_the_model_writes_are_refused_before_anything_is_asked(
    bedrock: ServedBedrock,
) -> None:
    with pytest.raises(ConfigError, match="64000 tokens at most"):
        teacher(bedrock.url, max_tokens=100_000).check(timedelta(0))


# What goes wrong


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
    bedrock: ServedBedrock, status: int, code: str, raised: type[Exception]
) -> None:
    bedrock.answer = lambda asked: refusal(status, code)
    with pytest.raises(raised, match=code):
        teacher(bedrock.url).invoke("gate?")
    assert len(bedrock.asked) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        refusal(429, "ThrottlingException"),
        refusal(424, "ModelStreamErrorException"),
        Said("int x;", cut=0),
        Said("int x;" * 100, cut=200),  # which botocore takes for an empty answer
        Reply(status=502, body=b"<html>bad gateway</html>", kind="text/html"),
    ],
    ids=["throttled", "broken", "closed", "cut", "gateway"],
)
def test_what_is_passing_is_tried_again_after_pauses_that_double(
    bedrock: ServedBedrock, trouble: Said | Reply
) -> None:
    bedrock.answer = at_first(trouble, times=2)
    call, slept = called(bedrock)
    assert slept == [1, 2]
    assert call.result.text == "int x;"


def test_an_answer_that_takes_too_long_is_tried_again(bedrock: ServedBedrock) -> None:
    bedrock.answer = at_first(Said("int x;", after=0.5))
    call, slept = called(bedrock, read_timeout_s=0.1)
    assert slept == [1]
    assert call.result.text == "int x;"
    assert bedrock.bill.dollars > Decimal(0)


def test_as_long_as_the_service_asks_for_is_waited(bedrock: ServedBedrock) -> None:
    bedrock.answer = at_first(refusal(429, "ThrottlingException", headers={"Retry-After": "7"}), times=2)
    call, slept = called(bedrock)
    assert slept == [7, 7]
    assert call.result.retries == 2


def test_who_asks_to_wait_for_an_hour_is_asked_another_time(bedrock: ServedBedrock) -> None:
    bedrock.answer = lambda asked: refusal(
        503, "ServiceUnavailableException", headers={"Retry-After": "3600"}
    )
    call, slept = called(bedrock)
    assert (slept, call.result.kind) == ([], "passing")
    assert "asks to wait 3600 seconds" in call.result.reason


def test_a_prompt_that_the_model_refuses_is_a_failure_with_its_reason(bedrock: ServedBedrock) -> None:
    bedrock.answer = lambda asked: refusal(400, "ValidationException")
    call, slept = called(bedrock)
    assert slept == []
    assert "ValidationException it is" in call.result.reason


@pytest.mark.parametrize("body", [b"{not json", b"", b"<html>gateway</html>", b"[]", b'{"output": {}}'])
def test_garbage_is_a_failure_and_no_crash(bedrock: ServedBedrock, body: bytes) -> None:
    bedrock.answer = lambda asked: Reply(body=body)
    call, _ = called(bedrock)
    assert not call.result.answered
    assert call.result.reason


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Said("int x; " * 2000), "truncated"),
        (Said("int f(", "model_context_window_exceeded"), "truncated"),
        (Said("That is not allowed.", "guardrail_intervened"), "filtered"),
        (Said("", "content_filtered"), "filtered"),
        (Said("", "refusal"), "refused"),
        (Said("I cannot help with that."), "refused"),
        (Said("", "malformed_model_output"), "malformed"),
        (Said(""), "empty"),
    ],
)
def test_an_answer_that_is_not_whole_is_no_training_data_and_says_why(
    bedrock: ServedBedrock, answer: Said, cause: str
) -> None:
    bedrock.answer = lambda asked: answer
    call, slept = called(bedrock)
    assert (call.result.answered, call.result.cause, call.result.kind, slept) == (False, cause, "item", [])


def test_an_answer_of_ten_megabytes_is_read(bedrock: ServedBedrock) -> None:
    whole = {
        "output": {"message": {"role": "assistant", "content": [{"text": "int x; " * 1_500_000}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 2_600_000, "totalTokens": 2_600_001},
    }
    bedrock.answer = lambda asked: Reply(body=json.dumps(whole).encode())
    assert len(teacher(bedrock.url).invoke("gate?")["output"]["message"]["content"][0]["text"]) == 10_500_000


def test_a_server_that_is_not_there_is_a_broken_connection(bedrock: ServedBedrock) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ModelStreamError, match="broke off"):
        teacher(url).invoke("gate?")


def test_without_credentials_the_first_call_says_what_to_set(
    bedrock: ServedBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(NoCredentials, match="AWS_ACCESS_KEY_ID"):
        teacher(bedrock.url).invoke("gate?")


@pytest.mark.parametrize("offset", [3600, -3600])
def test_a_clock_that_is_off_by_an_hour_says_so(bedrock: ServedBedrock, offset: float) -> None:
    bedrock.offset = offset
    with pytest.raises(NoCredentials, match="clock"):
        teacher(bedrock.url).invoke("gate?")
    assert not bedrock.asked


@pytest.mark.parametrize(
    ("status", "code", "message", "raised", "said"),
    [
        (429, "ThrottlingException", "Too many tokens per day, please wait.", AccessDenied, "Wait until the quota"),
        (400, "ServiceQuotaExceededException", "Over the account's quota.", AccessDenied, "Wait until the quota"),
        (404, "ResourceNotFoundException", "This model version has reached the end of its life.", AccessDenied, "Name a model"),
        (400, "ValidationException", "The provided model identifier is invalid.", AccessDenied, "Name a model"),
        (400, "ValidationException", "Malformed input request: extraneous key [topk] is not permitted", AccessDenied, "Correct what"),
        (403, "AccessDeniedException", "Authentication failed: Please make sure your API Key is valid.", NoCredentials, "AWS_BEARER_TOKEN"),
    ],
)  # fmt: skip
def test_what_no_prompt_would_be_answered_for_says_so_with_what_to_do(
    bedrock: ServedBedrock, status: int, code: str, message: str, raised: type[Exception], said: str
) -> None:
    bedrock.answer = lambda asked: refusal(status, code, message)
    with pytest.raises(raised, match=said) as caught:
        teacher(bedrock.url).invoke("gate?")
    assert message.rstrip(".") in str(caught.value)
    assert fault(caught.value).kind is Kind.EVERYBODY
    assert len(bedrock.asked) == 1


def test_a_prompt_that_is_too_long_is_that_prompts_own(bedrock: ServedBedrock) -> None:
    bedrock.answer = lambda asked: refusal(
        400, "ValidationException", "Input is too long for requested model."
    )
    call, slept = called(bedrock)
    assert slept == []
    assert "Input is too long" in call.result.reason
    with pytest.raises(ClientError) as caught:
        teacher(bedrock.url).invoke("gate?")
    assert fault(caught.value).kind is Kind.ITEM
