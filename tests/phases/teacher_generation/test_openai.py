"""The teacher behind OpenAI's protocol, over HTTP, by the unmodified `openai` package."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

import pytest

from fsm.errors import ConfigError
from fsm.faults import Kind, fault
from phases.errors import AccessDenied, ModelStreamError, NoCredentials, ThrottlingException
from phases.rehearsal.model import Said
from phases.rehearsal.openai import error
from phases.rehearsal.wire import Reply
from phases.teacher_generation.asking import Call
from phases.teacher_generation.config import AskingConfig, TeacherConfig
from phases.teacher_generation.openai import OpenAITeacher, client
from phases.teacher_generation.takes import Takes
from phases.teacher_generation.teacher import parse_response
from phases.turns import spell
from tests.phases.teacher_generation.future import walk
from tests.servers.rehearsed import ServedOpenAI

PASSING, ITEM, EVERYBODY, UNKNOWN = Kind.PASSING, Kind.ITEM, Kind.EVERYBODY, Kind.UNKNOWN


def teacher(url: str, **settings: Any) -> OpenAITeacher:
    config = TeacherConfig(**{"kind": "openai", "model_id": "rehearsal", "endpoint_url": url, **settings})
    return OpenAITeacher(config, client(config, 2))


def called(service: ServedOpenAI, **settings: Any) -> tuple[Call, list[float]]:
    slept: list[float] = []
    call = Call("gate?", teacher(service.url, **settings), AskingConfig(), slept.append, lambda bound: bound)
    walk(call)
    return call, slept


def test_all_turns_are_sent_with_the_key_and_the_answer_is_read_as_any_other(chat: ServedOpenAI) -> None:
    chat.answer = lambda asked: "int f(void);"
    asked = teacher(chat.url, system="C only.", max_tokens=77, temperature=0.5)
    response = asked.invoke("gate?")
    answer = parse_response(response)
    assert (answer.text, answer.input_tokens, answer.output_tokens) == ("int f(void);", 12, 3)
    assert response["openai"]["model"] == "rehearsal"
    [sent] = chat.asked
    assert sent.headers["authorization"] == "Bearer sk-1"
    assert sent.body == {
        "model": "rehearsal",
        "messages": [{"role": "system", "content": "C only."}, {"role": "user", "content": "gate?"}],
        "max_tokens": 77,
        "temperature": 0.5,
    }
    own = [{"role": "system", "content": "C99."}, {"role": "user", "content": "A ring."}]
    asked.invoke(spell(own))
    assert chat.asked[-1].body["messages"] == own


def test_a_structured_answer_is_its_code(chat: ServedOpenAI) -> None:
    chat.answer = lambda asked: json.dumps({"code": "int f(void);"})
    asked = teacher(chat.url, structured=True, takes=Takes(structured=True))
    assert parse_response(asked.invoke("gate?")).text == "int f(void);"
    assert chat.asked[0].body["response_format"]["json_schema"]["schema"]["required"] == ["code"]


def test_a_question_names_the_server_for_two_of_them_may_call_other_models_by_one_name() -> None:
    here, there = (
        OpenAITeacher(TeacherConfig(kind="openai", model_id="m", endpoint_url=url))
        for url in ("http://a", "http://b")
    )
    assert here.question("gate?") != there.question("gate?")
    assert here.question("gate?") == here.question("gate?")


def test_openai_itself_is_asked_by_its_newer_name_for_max_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    asked = OpenAITeacher(TeacherConfig(kind="openai", model_id="gpt-5.2")).asked("gate?")
    assert asked["max_completion_tokens"] == 1024
    assert not {"max_tokens", "temperature", "top_p"} & asked.keys()


def test_a_server_of_ones_own_needs_no_key_and_openai_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    own = TeacherConfig(kind="openai", model_id="m", endpoint_url="http://localhost:8000/v1")
    assert OpenAITeacher(own).credentials == "none"
    assert OpenAITeacher(own.model_copy(update={"endpoint_url": None})).credentials == "key"
    with pytest.raises(ValueError, match="needs a model_id"):
        TeacherConfig(kind="openai")


def test_a_model_that_the_server_has_not_stops_before_anything_is_asked(chat: ServedOpenAI) -> None:
    assert teacher(chat.url).check(timedelta(0)) == []
    with pytest.raises(AccessDenied, match="it has rehearsal"):
        teacher(chat.url, model_id="other").check(timedelta(0))
    with pytest.raises(NoCredentials, match="OPENAI_API_KEY"):
        teacher(chat.url, api_key="wrong").check(timedelta(0))
    assert "could not be asked" in teacher("http://127.0.0.1:1/v1").check(timedelta(0))[0]
    assert not chat.asked


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Said("int x; " * 2000), "truncated"),
        (Said("Not that.", "content_filtered"), "filtered"),
        (Said("I won't.", "refusal"), "refused"),
        (Said("int x;", "tool_use"), "unfinished"),
        (Said(""), "empty"),
    ],
)
def test_an_answer_that_is_not_whole_is_no_training_data_and_says_why(
    chat: ServedOpenAI, answer: Said, cause: str
) -> None:
    chat.answer = lambda asked: answer
    call, slept = called(chat)
    assert (call.result.answered, call.result.cause, call.result.kind, slept) == (False, cause, "item", [])


@pytest.mark.parametrize(
    "trouble",
    [
        error(429, "rate_limit_exceeded"),
        error(503, "overloaded_error"),
        Said("int x;", cut=0),
        Said("int x;" * 100, cut=300),
        Reply(status=502, body=b"<html>bad gateway</html>", kind="text/html"),
    ],
    ids=["throttled", "overloaded", "closed", "cut", "gateway"],
)
def test_what_is_passing_is_tried_again_by_the_drawing_and_not_by_the_package(
    chat: ServedOpenAI, trouble: Said | Reply
) -> None:
    chat.answer = lambda asked: trouble if asked.attempt < 2 else Said("int x;")
    call, slept = called(chat)
    assert slept == [1, 2]
    assert call.result.text == "int x;"
    assert len(chat.asked) == 3


def test_as_long_as_the_server_asks_for_is_waited(chat: ServedOpenAI) -> None:
    throttled = error(429, "rate_limit_exceeded", headers={"Retry-After": "7"})
    chat.answer = lambda asked: throttled if asked.attempt < 2 else Said("int x;")
    call, slept = called(chat)
    assert (slept, call.result.retries) == ([7, 7], 2)


def test_an_answer_that_takes_too_long_is_a_broken_connection(chat: ServedOpenAI) -> None:
    chat.answer = lambda asked: Said("int x;", after=0.5)
    with pytest.raises(ModelStreamError, match="broke off"):
        teacher(chat.url, read_timeout_s=0.1).invoke("gate?")


@pytest.mark.parametrize("body", [b"{not json", b"", b"[]", b'{"choices": []}', b'{"object": "list"}'])
def test_garbage_is_a_failure_and_no_crash(chat: ServedOpenAI, body: bytes) -> None:
    chat.answer = lambda asked: Reply(body=body)
    call, _ = called(chat)
    assert not call.result.answered
    assert call.result.reason


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "cause"),
    [
        (401, "invalid_api_key", "Incorrect API key provided.", EVERYBODY, "credentials"),
        (403, None, "Country, region, or territory not supported", EVERYBODY, "access"),
        (404, "model_not_found", "The model `x` does not exist.", EVERYBODY, "model"),
        (404, 404, "The model `x` does not exist.", EVERYBODY, "model"),  # vLLM
        (404, None, 'model "x" not found, try pulling it first', EVERYBODY, "model"),  # Ollama
        (400, None, 'model "x" does not exist', EVERYBODY, "model"),
        (429, "rate_limit_exceeded", "Rate limit reached on tokens per min.", PASSING, "throttling"),
        (429, "insufficient_quota", "You exceeded your current quota.", EVERYBODY, "quota"),
        (429, None, "You exceeded your current quota, please check your plan.", EVERYBODY, "quota"),
        (400, "context_length_exceeded", "This model's maximum context length is 8", ITEM, "length"),
        (400, 400, "This model's maximum context length is 8 tokens.", ITEM, "length"),  # vLLM
        (400, None, "the request exceeds the available context size", ITEM, "length"),  # llama.cpp
        (400, "content_filter", "The response was filtered.", ITEM, "content"),
        (400, "unsupported_parameter", "Unsupported parameter: 'max_tokens'", EVERYBODY, "request"),
        (422, None, "temperature must be less than 2", EVERYBODY, "request"),
        (400, None, "Something odd.", UNKNOWN, "request"),
        (409, None, "Conflict", PASSING, "conflict"),
        (500, "server_error", "The server had an error.", PASSING, "service"),
        (503, None, "", PASSING, "service"),
        (529, "overloaded_error", "Overloaded", PASSING, "service"),
    ],
)
def test_an_error_is_told_by_the_one_table(
    chat: ServedOpenAI, status: int, code: Any, message: str, kind: Kind, cause: str
) -> None:
    chat.answer = lambda asked: error(status, code, message)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        teacher(chat.url).invoke("gate?")
    found = fault(caught.value.__cause__ or caught.value)
    assert (found.kind, found.cause) == (kind, cause)
    assert message.rstrip(".") in str(caught.value)
    named = {"credentials": NoCredentials, "throttling": ThrottlingException, "service": ModelStreamError}
    if kind is EVERYBODY:
        assert isinstance(caught.value, named.get(cause, AccessDenied))
    assert len(chat.asked) == 1


def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ConfigError, match=r"pip install 'fsm-pipelines\[openai\]'"):
        client(TeacherConfig(kind="openai", model_id="m"), 1)
