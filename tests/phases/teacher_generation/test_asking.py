"""Asking a teacher: retries, workers, order, answers paid for once, and whose a failure is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm.errors import StoreError
from fsm.store.local_shelf import LocalShelf
from phases.errors import AccessDenied, AttemptsSpent, ModelStreamError, PipelineError, ThrottlingException
from phases.teacher_generation import window
from phases.teacher_generation.asking import Call, Result, full_jitter
from phases.teacher_generation.config import AskingConfig
from phases.teacher_generation.desk import Desk
from phases.teacher_generation.ledger import Ledger
from phases.teacher_generation.policy import Everybodys
from phases.teacher_generation.takes import Takes
from phases.teacher_generation.teacher import NoText, parse_response
from tests.phases.teacher_generation.future import walk, way

ASKING = AskingConfig()
ask = partial(window.ask, way=way)


def at(directory: Path, workers: int = 10) -> Desk:
    """The desk of a run that begins now, in the store of a directory. Its answers are not checked."""
    return Desk(Ledger(LocalShelf(directory)), Everybodys(workers), "run/0")


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
    takes: Takes = field(default_factory=Takes)
    credentials: Literal["none"] = "none"

    def count(self, prompt: str) -> None:
        """No service counts for it."""

    def question(self, prompt: str) -> dict[str, Any]:
        return {"name": self.name, "prompt": prompt}

    def check(self, lasting: timedelta) -> list[str]:
        return []

    def invoke(self, prompt: str) -> dict[str, Any]:
        with self.lock:
            attempt = self.asked.count(prompt)
            self.asked.append(prompt)
        answer = self.do(prompt, attempt)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


def nobody(prompt: str, attempt: int) -> Any:
    raise AssertionError(f"{prompt} was asked")


def refused(code: str, message: str, status: int = 400) -> Exception:
    """An answer of the service that is an error, as botocore raises it."""
    from botocore.exceptions import ClientError

    said = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = ClientError(said, "Converse")
    return error


def called(teacher: Scripted, settings: AskingConfig = ASKING) -> tuple[Result, list[float]]:
    slept: list[float] = []
    call = Call("p", teacher, settings, slept.append, jitter=lambda bound: bound)
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
        (said("half \ud83d"), "half a character"),
    ],
)
def test_a_response_without_a_whole_text_is_a_failure(response: dict[str, Any], reason: str) -> None:
    with pytest.raises(NoText, match=reason):
        parse_response(response)
    result, _ = called(Scripted(lambda *_: response))
    assert not result.answered
    assert reason in result.reason
    assert result.text == ""


@pytest.mark.parametrize(
    ("text", "stop", "cause"),
    [
        ("int f(", "max_tokens", "truncated"),
        ("int f(void);", "model_context_window_exceeded", "truncated"),
        ("", "content_filtered", "filtered"),
        ("That is not allowed.", "guardrail_intervened", "filtered"),
        ("", "refusal", "refused"),
        ("I can't help with that.", "end_turn", "refused"),
        ("I\u2019m sorry, but I cannot write this function.", "end_turn", "refused"),
        ("Sorry, I am unable to answer.", "end_turn", "refused"),
        ("int f(void);", "tool_use", "unfinished"),
        ("", "end_turn", "empty"),
    ],
)
def test_why_an_answer_is_no_training_data_has_a_word_of_its_own(text: str, stop: str, cause: str) -> None:
    result, _ = called(Scripted(lambda *_: said(text) | {"stopReason": stop}))
    assert (result.cause, result.kind, result.answered) == (cause, "item", False)
    assert result.text == (text if cause == "refused" else "")  # to be looked at


@pytest.mark.parametrize(
    "text",
    ["int f(void)\n{\n    return 1; /* I can't be 0 */\n}", "I cannot be sure, but:\n```c\nint x;\n```"],
)
def test_code_is_no_refusal(text: str) -> None:
    assert called(Scripted(lambda *_: said(text)))[0].text == text


def test_the_parts_of_a_text_are_joined_and_other_parts_are_left_out() -> None:
    content = [{"reasoningContent": {}}, {"text": "int "}, {"text": "x;"}]
    assert parse_response({"output": {"message": {"content": content}}}).text == "int x;"


@given(st.lists(st.sampled_from("abcdefgh"), max_size=30), st.integers(1, 12))
def test_results_are_in_the_order_of_the_prompts_and_nothing_is_asked_twice(
    tmp_path_factory: pytest.TempPathFactory, prompts: list[str], workers: int
) -> None:
    teacher = Scripted()
    desk = at(tmp_path_factory.mktemp("store"))
    results = ask(teacher, prompts, asking=AskingConfig(workers=workers), desk=desk)
    assert [(result.prompt, result.text) for result in results] == [
        (prompt, prompt.upper()) for prompt in prompts
    ]
    assert sorted(teacher.asked) == sorted(set(prompts))


def test_ten_are_asked_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(10, timeout=5)  # breaks unless ten calls are under way at one time

    def wait(prompt: str, _: int) -> dict[str, Any]:
        together.wait()
        return said("ok")

    results = ask(Scripted(wait), [f"p{n}" for n in range(10)], asking=ASKING, desk=at(tmp_path))
    assert all(result.answered for result in results)


def test_what_was_answered_is_never_asked_again_and_failures_are(tmp_path: Path) -> None:
    first = Scripted(lambda prompt, _: ValueError("no") if prompt == "b" else said(prompt))
    once = ask(first, ["a", "b", "c"], asking=ASKING, desk=at(tmp_path))
    assert [result.answered for result in once] == [True, False, True]
    second = Scripted()
    again = ask(second, ["a", "b", "c"], asking=ASKING, desk=at(tmp_path))
    assert second.asked == ["b"]
    assert again[0] == once[0]
    assert again[0].input_tokens == 2


def test_another_teachers_answers_are_not_taken_for_this_ones(tmp_path: Path) -> None:
    ask(Scripted(), ["a"], asking=ASKING, desk=at(tmp_path))
    other = Scripted(name="other")
    ask(other, ["a"], asking=ASKING, desk=at(tmp_path))
    assert other.asked == ["a"]


def test_half_a_kept_answer_is_asked_again(tmp_path: Path) -> None:
    ask(Scripted(), ["a"], asking=ASKING, desk=at(tmp_path))
    path = tmp_path / "entries.jsonl"
    path.write_text(path.read_text()[:-20])
    teacher = Scripted()
    assert ask(teacher, ["a"], asking=ASKING, desk=at(tmp_path))[0].answered
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
        desk=at(tmp_path),
        stopping=stop.is_set,
    )
    assert teacher.asked == ["p0"]
    assert [result.prompt for result in results] == ["p0"]
    assert ask(Scripted(do=nobody), ["p0"], asking=ASKING, desk=at(tmp_path)) == results


def test_a_stop_ends_a_pause(tmp_path: Path) -> None:
    stop = threading.Event()

    def throttle(prompt: str, _: int) -> Exception:
        stop.set()
        return ThrottlingException("slow down")

    slow = AskingConfig(backoff_base_s=3600)
    assert ask(Scripted(throttle), ["a"], asking=slow, desk=at(tmp_path), stopping=stop.is_set) == []


def test_a_caller_who_is_not_let_in_asks_nothing_more(tmp_path: Path) -> None:
    teacher = Scripted(lambda prompt, _: said("ok") if prompt == "p0" else AccessDenied("not you"))
    with pytest.raises(AccessDenied):
        ask(teacher, [f"p{n}" for n in range(50)], asking=AskingConfig(workers=1), desk=at(tmp_path))
    assert len(teacher.asked) < 50
    assert ask(Scripted(do=nobody), ["p0"], asking=ASKING, desk=at(tmp_path))[0].text == "ok"


@given(st.floats(0, 100))
def test_a_pause_is_anything_up_to_the_drawn_one(bound: float) -> None:
    drawn = {full_jitter(bound) for _ in range(20)}
    assert all(0 <= pause <= bound for pause in drawn)
    assert bound == 0 or len(drawn) > 1


# The ledger


def test_what_was_paid_for_is_not_paid_for_again_though_it_is_of_no_use(tmp_path: Path) -> None:
    cut = said("int f(") | {"stopReason": "max_tokens"}
    once = ask(Scripted(lambda *_: cut), ["a"], asking=ASKING, desk=at(tmp_path))
    again = ask(Scripted(nobody), ["a"], asking=ASKING, desk=at(tmp_path))
    assert again == once
    assert (again[0].cause, again[0].answered) == ("truncated", False)


def test_a_refusal_that_is_the_prompts_own_is_not_asked_for_again_and_others_are(tmp_path: Path) -> None:
    own = refused("ValidationException", "Input is too long for requested model.")
    first = Scripted(
        lambda prompt, _: own if prompt == "long" else refused("ValidationException", f"Odd {prompt}.")
    )
    once = ask(first, ["long", "a", "b"], asking=ASKING, desk=at(tmp_path))
    assert [r.kind for r in once] == ["item", "unknown", "unknown"]
    second = Scripted()
    again = ask(second, ["long", "a", "b"], asking=ASKING, desk=at(tmp_path))
    assert sorted(second.asked) == ["a", "b"]
    assert again[0] == once[0]


def test_an_answer_from_the_ledger_goes_the_way_that_led_to_it_without_a_pause(tmp_path: Path) -> None:
    def stumbling(prompt: str, attempt: int) -> Any:
        return [ThrottlingException("slow"), ModelStreamError("cut"), said("ok")][attempt]

    quick = AskingConfig(backoff_base_s=0)
    once = ask(Scripted(stumbling), ["a"], asking=quick, desk=at(tmp_path))
    ways: list[list[str]] = []

    def follow(call: Call) -> tuple[()]:
        way = [label := call.invoke()]
        while label not in ("200 OK", "Other error", "MaxRetries exceeded"):
            call.back_off()
            way.append(label := call.invoke())
        call.parse()
        call.succeed()
        ways.append(way)
        return ()

    slept: list[float] = []
    again = window.ask(
        Scripted(nobody), ["a"], asking=ASKING, desk=at(tmp_path), way=follow, sleep=slept.append
    )
    assert again == once
    assert ways == [["ThrottlingException", "ModelStreamError", "200 OK"]]
    assert slept == []


def test_an_answer_is_in_the_ledger_before_it_is_used(tmp_path: Path) -> None:
    class Full(LocalShelf):
        def put(self, key: str, entry: bytes) -> bytes:
            raise StoreError("The disk is full.")

    desk = Desk(Ledger(Full(tmp_path)), Everybodys(2))
    teacher = Scripted()
    with pytest.raises(StoreError):
        ask(teacher, [f"p{n}" for n in range(9)], asking=AskingConfig(workers=1), desk=desk)
    assert teacher.asked == ["p0"]


def test_an_altered_answer_is_asked_again_and_said(tmp_path: Path) -> None:
    ask(Scripted(), ["a", "b"], asking=AskingConfig(workers=1), desk=at(tmp_path))
    path = tmp_path / "entries.jsonl"
    path.write_text(path.read_text().replace('"text": "A"', '"text": "X"'))
    told: list[tuple[str, int]] = []

    class Log:
        def info(self, event: str, **_: Any) -> None: ...

        def warning(self, event: str, entries: int, **_: Any) -> None:
            told.append((event, entries))

    teacher = Scripted()
    results = ask(teacher, ["a", "b"], asking=ASKING, desk=at(tmp_path), log=Log())
    assert [r.text for r in results] == ["A", "B"]
    assert teacher.asked == ["a"]
    assert told == [("entries of the ledger are altered, and are asked anew", 1)]


def test_two_runs_at_once_pay_once_for_what_both_ask(tmp_path: Path) -> None:
    under_way, go = threading.Event(), threading.Event()

    def slowly(prompt: str, _: int) -> Any:
        under_way.set()
        go.wait(5)
        return said(prompt.upper())

    one, other = Scripted(slowly), Scripted(nobody)
    found: list[list[Result]] = []

    def run(teacher: Scripted) -> None:
        found.append(ask(teacher, ["a"], asking=ASKING, desk=at(tmp_path)))

    first = threading.Thread(target=run, args=(one,))
    first.start()
    under_way.wait(5)
    second = threading.Thread(target=run, args=(other,))
    second.start()
    second.join(0.2)
    go.set()
    first.join(5)
    second.join(5)
    assert [r.text for results in found for r in results] == ["A", "A"]
    assert len(one.asked) == 1


def test_a_scope_knows_only_its_own_answers(tmp_path: Path) -> None:
    ask(Scripted(), ["a"], asking=ASKING, desk=at(tmp_path))
    teacher = Scripted()
    for scope in ("run-1", "run-1", "run-2"):
        ask(teacher, ["a"], asking=ASKING, desk=at(tmp_path), scope=scope)
    assert teacher.asked == ["a", "a"]


# Whose failure it is

MANY = [f"p{n}" for n in range(60)]


@pytest.mark.parametrize("workers", [1, 2, 4, 10])
@pytest.mark.parametrize(
    "error",
    [
        refused("ExpiredTokenException", "The security token included in the request is expired", 403),
        refused("ThrottlingException", "Too many tokens per day, please wait before trying again.", 429),
        refused("ValidationException", "The provided model identifier is invalid."),
    ],
    ids=["credentials", "quota", "model"],
)
def test_what_is_everybodys_is_asked_as_often_as_there_are_workers_at_most(
    tmp_path: Path, error: Exception, workers: int
) -> None:
    teacher = Scripted(lambda *_: error)
    with pytest.raises(PipelineError, match="is kept, and is not paid for again"):
        ask(teacher, MANY, asking=AskingConfig(workers=workers), desk=at(tmp_path, workers))
    assert len(teacher.asked) <= workers


@pytest.mark.parametrize("workers", [2, 4, 10])
def test_an_unknown_refusal_is_everybodys_once_it_repeats(tmp_path: Path, workers: int) -> None:
    """Each message carries an id of its own request, which is no reason of its own."""

    def odd(prompt: str, _: int) -> Exception:
        return refused("OddException", f"No. (request 0a1b2c3d-1111-2222-3333-{int(prompt[1:]):012x})")

    teacher = Scripted(odd)
    with pytest.raises(AccessDenied, match=f"{workers} prompts failed like that"):
        ask(teacher, MANY, asking=AskingConfig(workers=workers), desk=at(tmp_path, workers))
    assert workers <= len(teacher.asked) < 2 * workers


def test_calls_under_way_when_it_is_decided_end_and_their_answers_are_kept(tmp_path: Path) -> None:
    together = threading.Barrier(4, timeout=5)
    decided = threading.Event()

    def do(prompt: str, _: int) -> Any:
        together.wait()
        if prompt == "p0":
            decided.set()
            return refused("ExpiredTokenException", "It is expired.", 403)
        decided.wait(5)
        return said(prompt)

    teacher = Scripted(do)
    with pytest.raises(PipelineError):
        ask(teacher, MANY, asking=AskingConfig(workers=4), desk=at(tmp_path, 4))
    assert sorted(teacher.asked) == ["p0", "p1", "p2", "p3"]
    kept = ask(Scripted(nobody), ["p1", "p2", "p3"], asking=ASKING, desk=at(tmp_path))
    assert all(result.answered for result in kept)


def test_prompts_refused_each_for_a_reason_of_its_own_do_not_stop_a_run(tmp_path: Path) -> None:
    teacher = Scripted(
        lambda prompt, _: refused("ValidationException", f"{prompt} holds a word that is not taken.")
    )
    results = ask(teacher, MANY, asking=AskingConfig(workers=4), desk=at(tmp_path, 4))
    assert len(teacher.asked) == len(results) == 60
    assert {result.kind for result in results} == {"unknown"}


def test_refusals_that_are_the_prompts_own_do_not_stop_a_run_though_they_repeat(tmp_path: Path) -> None:
    teacher = Scripted(lambda *_: refused("ValidationException", "Input is too long for requested model."))
    results = ask(teacher, MANY, asking=AskingConfig(workers=4), desk=at(tmp_path, 4))
    assert {result.kind for result in results} == {"item"}


def test_the_same_refusal_with_answers_between_does_not_stop_a_run(tmp_path: Path) -> None:
    def do(prompt: str, _: int) -> Any:
        return said("ok") if int(prompt[1:]) % 4 == 3 else refused("OddException", "No.")

    results = ask(Scripted(do), MANY, asking=AskingConfig(workers=1), desk=at(tmp_path, 4))
    assert sum(result.answered for result in results) == 15


def test_one_refusal_does_not_stop_a_run_of_one_worker_and_the_second_alike_does(tmp_path: Path) -> None:
    teacher = Scripted(lambda prompt, _: refused("OddException", "No.") if prompt != "p1" else said("ok"))
    with pytest.raises(AccessDenied):
        ask(teacher, MANY, asking=AskingConfig(workers=1), desk=at(tmp_path, 1))
    assert teacher.asked == ["p0", "p1", "p2", "p3"]


def test_answers_of_the_ledger_do_not_show_that_the_teacher_answers(tmp_path: Path) -> None:
    ask(Scripted(), MANY[::2], asking=ASKING, desk=at(tmp_path))
    teacher = Scripted(lambda *_: refused("OddException", "No."))
    with pytest.raises(AccessDenied):
        ask(teacher, MANY, asking=AskingConfig(workers=1), desk=at(tmp_path, 3))
    assert teacher.asked == ["p1", "p3", "p5"]


def test_a_streak_goes_on_from_batch_to_batch(tmp_path: Path) -> None:
    teacher, desk = Scripted(lambda *_: refused("OddException", "No.")), at(tmp_path, 5)
    ask(teacher, MANY[:3], asking=AskingConfig(workers=5), desk=desk)
    with pytest.raises(AccessDenied):
        ask(teacher, MANY[3:], asking=AskingConfig(workers=1), desk=desk)
    assert len(teacher.asked) == 5


def test_a_service_that_is_away_for_as_many_prompts_as_workers_stops_the_run(tmp_path: Path) -> None:
    away = AskingConfig(workers=3, max_retries=1, backoff_base_s=0)
    teacher = Scripted(lambda prompt, _: ModelStreamError(f"cut off at {prompt}"))
    with pytest.raises(AttemptsSpent, match="3 prompts failed like that"):
        ask(teacher, MANY, asking=away, desk=at(tmp_path, 3))
    assert len(teacher.asked) <= 10  # three prompts in two attempts each, and what was under way
