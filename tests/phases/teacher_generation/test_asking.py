"""Asking a teacher: retries, workers, order, answers kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.errors import AccessDenied, ModelStreamError, ThrottlingException
from phases.teacher_generation import asking
from phases.teacher_generation.asking import Call, Kept, Result
from phases.teacher_generation.config import AskingConfig
from phases.teacher_generation.teacher import NoText, parse_response
from tests.phases.teacher_generation.future import walk

ASKING = AskingConfig()
ask = partial(asking.ask, walk=walk)


def said(text: str) -> dict[str, Any]:
    return {
        "output": {"message": {"content": [{"text": text}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 2},
    }


@dataclass
class Scripted:
    """A teacher that does for each prompt what a function says, and remembers what it was asked."""

    do: Callable[[str, int], Any] = lambda prompt, attempt: said(prompt.upper())
    asked: list[str] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)
    name: str = "scripted"
    note: str = "A teacher for tests."

    def invoke(self, prompt: str) -> dict[str, Any]:
        with self.lock:
            attempt = self.asked.count(prompt)
            self.asked.append(prompt)
        answer = self.do(prompt, attempt)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


def called(teacher: Scripted, settings: AskingConfig = ASKING) -> tuple[Result, list[float]]:
    slept: list[float] = []
    call = Call("p", teacher, settings, slept.append)
    walk(call)
    return call.result, slept


def test_a_throttled_call_is_tried_again_after_pauses_that_double() -> None:
    teacher = Scripted(lambda _, attempt: ThrottlingException("slow down") if attempt < 4 else said("ok"))
    result, slept = called(teacher)
    assert slept == [1, 2, 4, 8]
    assert (result.text, result.retries, result.reason) == ("ok", 4, "")


def test_a_broken_stream_is_tried_again() -> None:
    teacher = Scripted(lambda _, attempt: ModelStreamError("broken") if attempt == 0 else said("ok"))
    assert called(teacher)[0].answered


def test_after_five_retries_it_is_a_failure_with_its_reason() -> None:
    teacher = Scripted(lambda *_: ThrottlingException("slow down"))
    result, slept = called(teacher)
    assert len(teacher.asked) == 6
    assert slept == [1, 2, 4, 8, 16]
    assert result.reason == "ThrottlingException after 5 retries: slow down"


def test_the_numbers_of_retries_are_the_configurations() -> None:
    teacher = Scripted(lambda *_: ThrottlingException("slow down"))
    _, slept = called(teacher, AskingConfig(max_retries=2, backoff_base_s=0.5))
    assert slept == [0.5, 1.0]


def test_any_other_error_is_a_failure_at_once() -> None:
    teacher = Scripted(lambda *_: KeyError("odd"))
    result, slept = called(teacher)
    assert (len(teacher.asked), slept, result.reason) == (1, [], "KeyError: 'odd'")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({}, "no output.message.content"),
        ({"output": {"message": {"content": None}}}, "no output.message.content"),
        (said("  \n"), "holds no text"),
        (said("int f(") | {"stopReason": "max_tokens"}, "raise max_tokens"),
        (said("I will not.") | {"stopReason": "guardrail_intervened"}, "guardrail_intervened"),
    ],
)
def test_a_response_without_a_whole_text_is_a_failure(response: dict[str, Any], reason: str) -> None:
    with pytest.raises(NoText, match=reason):
        parse_response(response)
    result, _ = called(Scripted(lambda *_: response))
    assert not result.answered
    assert reason in result.reason
    assert result.text == ""


def test_the_parts_of_a_text_are_joined_and_other_parts_are_left_out() -> None:
    content = [{"reasoningContent": {}}, {"text": "int "}, {"text": "x;"}]
    assert parse_response({"output": {"message": {"content": content}}}).text == "int x;"


@given(st.lists(st.sampled_from("abcdefgh"), max_size=30), st.integers(1, 12))
def test_results_are_in_the_order_of_the_prompts_and_nothing_is_asked_twice(
    tmp_path_factory: pytest.TempPathFactory, prompts: list[str], workers: int
) -> None:
    teacher = Scripted()
    kept = Kept(tmp_path_factory.mktemp("kept"))
    results = ask(teacher, prompts, asking=AskingConfig(workers=workers), kept=kept)
    assert [(result.prompt, result.text) for result in results] == [
        (prompt, prompt.upper()) for prompt in prompts
    ]
    assert sorted(teacher.asked) == sorted(set(prompts))


def test_ten_are_asked_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(10, timeout=5)  # breaks unless ten calls are under way at one time

    def wait(prompt: str, _: int) -> dict[str, Any]:
        together.wait()
        return said("ok")

    results = ask(Scripted(wait), [f"p{n}" for n in range(10)], asking=ASKING, kept=Kept(tmp_path))
    assert all(result.answered for result in results)


def test_what_was_answered_is_never_asked_again_and_failures_are(tmp_path: Path) -> None:
    first = Scripted(lambda prompt, _: ValueError("no") if prompt == "b" else said(prompt))
    once = ask(first, ["a", "b", "c"], asking=ASKING, kept=Kept(tmp_path))
    assert [result.answered for result in once] == [True, False, True]
    second = Scripted()
    again = ask(second, ["a", "b", "c"], asking=ASKING, kept=Kept(tmp_path))
    assert second.asked == ["b"]
    assert again[0] == once[0]
    assert again[0].input_tokens == 2


def test_another_teachers_answers_are_not_taken_for_this_ones(tmp_path: Path) -> None:
    ask(Scripted(), ["a"], asking=ASKING, kept=Kept(tmp_path))
    other = Scripted(name="other")
    ask(other, ["a"], asking=ASKING, kept=Kept(tmp_path))
    assert other.asked == ["a"]


def test_half_a_kept_answer_is_asked_again(tmp_path: Path) -> None:
    ask(Scripted(), ["a"], asking=ASKING, kept=Kept(tmp_path))
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text()[:20])
    teacher = Scripted()
    assert ask(teacher, ["a"], asking=ASKING, kept=Kept(tmp_path))[0].answered
    assert teacher.asked == ["a"]


def test_a_stop_lets_calls_under_way_end_and_begins_no_other(tmp_path: Path) -> None:
    stop = threading.Event()

    def answer(prompt: str, _: int) -> dict[str, Any]:
        stop.set()
        return said("ok")

    teacher = Scripted(answer)
    results = ask(
        teacher,
        [f"p{n}" for n in range(20)],
        asking=AskingConfig(workers=1),
        kept=Kept(tmp_path),
        stopping=stop.is_set,
    )
    assert teacher.asked == ["p0"]
    assert [result.prompt for result in results] == ["p0"]
    assert Kept(tmp_path).find("scripted", "p0") == results[0]


def test_a_stop_ends_a_pause(tmp_path: Path) -> None:
    stop = threading.Event()

    def throttle(prompt: str, _: int) -> Exception:
        stop.set()
        return ThrottlingException("slow down")

    slow = AskingConfig(backoff_base_s=3600)
    assert ask(Scripted(throttle), ["a"], asking=slow, kept=Kept(tmp_path), stopping=stop.is_set) == []


def test_a_caller_who_is_not_let_in_asks_nothing_more(tmp_path: Path) -> None:
    teacher = Scripted(lambda prompt, _: said("ok") if prompt == "p0" else AccessDenied("not you"))
    with pytest.raises(AccessDenied):
        ask(teacher, [f"p{n}" for n in range(50)], asking=AskingConfig(workers=1), kept=Kept(tmp_path))
    assert len(teacher.asked) < 50
    assert Kept(tmp_path).find("scripted", "p0") is not None
