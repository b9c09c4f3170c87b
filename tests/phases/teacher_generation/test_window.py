"""A window that slides: nobody waits for the slowest of ten, and what is committed is the same whatever comes first."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fsm.store.local_shelf import LocalShelf
from phases.errors import AccessDenied, BudgetReached, ModelStreamError, ThrottlingException
from phases.quality_scoring import SandboxMissing
from phases.quality_scoring.scoring import DEFAULT
from phases.teacher_generation.checking import Checker
from phases.teacher_generation.config import AskingConfig
from phases.teacher_generation.desk import Desk
from phases.teacher_generation.ledger import Ledger
from phases.teacher_generation.policy import Everybodys
from phases.teacher_generation.prices import Price
from phases.teacher_generation.takes import Takes
from phases.teacher_generation.window import Window, ask
from tests.needs import needing
from tests.phases.teacher_generation.future import way
from tests.phases.teacher_generation.test_asking import Scripted, nobody, said

PRICE = {"scripted": Price(input=1000, output=1000)}  # a tenth of a cent a token
CODE = "int add(int a, int b)\n{\n    return a + b;\n}\n"


def at(directory: Path, workers: int = 10, **more: Any) -> Desk:
    return Desk(Ledger(LocalShelf(directory)), Everybodys(workers), "run/0", **more)


def prompts(number: int) -> list[str]:
    return [f"p{n}" for n in range(number)]


def opened(teacher: Scripted, desk: Desk, asked: Any, **asking: Any) -> Window:
    return Window(teacher, asked, asking=AskingConfig(**asking), desk=desk, way=way)


def test_a_slow_answer_holds_nobody_up_but_the_results_behind_it(tmp_path: Path) -> None:
    go = threading.Event()

    def do(prompt: str, _: int) -> Any:
        if prompt == "p0":
            go.wait(10)
        return said(prompt)

    teacher = Scripted(do)
    window = opened(teacher, at(tmp_path, 2), prompts(50), workers=2)
    taken: list[Any] = []
    taker = threading.Thread(target=lambda: taken.extend(window.take(10)))
    taker.start()
    deadline = time.monotonic() + 10
    while len(teacher.asked) < 50 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(teacher.asked) == 50  # the other worker has done all the rest
    assert taken == []  # and yet nothing comes before the first
    go.set()
    taker.join(10)
    assert [done.result.prompt for done in taken] == prompts(10)
    assert [done.result.prompt for done in window.take(100)] == prompts(50)[10:]


def test_calls_go_on_while_what_was_taken_is_committed(tmp_path: Path) -> None:
    teacher = Scripted()
    window = opened(teacher, at(tmp_path), prompts(40))
    window.take(10)
    deadline = time.monotonic() + 10
    while len(teacher.asked) < 40 and time.monotonic() < deadline:
        time.sleep(0.01)  # nobody takes
    assert len(teacher.asked) == 40
    window.close()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(1, 40), st.integers(0, 150))
def test_whatever_the_order_of_answers_results_and_edges_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, seed: int, workers: int, every: int, number: int
) -> None:
    """Answers come at seeded times, some after throttling; they are taken so many at a time, and once more from the ledger."""

    def do(prompt: str, attempt: int) -> Any:
        chance = (hash((seed, prompt, attempt)) & 0xFF) / 256
        time.sleep(chance / 2000)
        if int(prompt[1:]) % 5 == 0 and attempt == 0:
            return ThrottlingException("slow down")
        return said(prompt.upper())

    directory = tmp_path_factory.mktemp("store")
    seen = []
    for teacher in (Scripted(do), Scripted(nobody)):
        window = opened(teacher, at(directory), iter(prompts(number)), workers=workers, backoff_base_s=0)
        done = [one for _ in range(0, number, every) for one in window.take(every)]
        assert [one.result.prompt for one in done] == prompts(number)
        seen.append([(one.result, one.way) for one in done])
    assert seen[0] == seen[1]
    assert all(one.retries == (int(one.prompt[1:]) % 5 == 0) for one, _ in seen[0])


def test_prompts_are_read_as_they_are_needed(tmp_path: Path) -> None:
    read: list[str] = []

    def endless() -> Any:
        n = 0
        while True:
            read.append(f"p{n}")
            yield f"p{n}"
            n += 1

    big = "x" * 100_000
    window = opened(Scripted(lambda *_: said(big)), at(tmp_path, 2), endless(), workers=2)
    assert len(window.take(20)) == 20
    time.sleep(0.3)
    window.close()
    assert len(read) < 400  # as many as may wait for an earlier one, and no more


def test_what_is_done_is_taken_before_what_stopped_the_window_is_raised(tmp_path: Path) -> None:
    teacher = Scripted(lambda prompt, _: AccessDenied("not you") if prompt == "p25" else said(prompt))
    window = opened(teacher, at(tmp_path, 1), prompts(60), workers=1)
    assert len(window.take(10)) == len(window.take(10)) == 10
    with pytest.raises(AccessDenied):
        window.take(10)
    assert window.over
    assert len(teacher.asked) == 26


def test_leaving_the_desk_awaits_what_is_under_way_and_keeps_it(tmp_path: Path) -> None:
    begun, go = threading.Event(), threading.Event()

    def do(prompt: str, _: int) -> Any:
        begun.set()
        go.wait(10)
        return said(prompt)

    teacher = Scripted(do)
    with at(tmp_path, 1) as desk:
        desk.window = opened(teacher, desk, prompts(5), workers=1)
        threading.Thread(target=desk.window.take, args=(5,), daemon=True).start()
        begun.wait(10)
        threading.Timer(0.2, go.set).start()
    assert teacher.asked == ["p0"]
    again = Scripted(nobody)
    assert ask(again, ["p0"], asking=AskingConfig(), desk=at(tmp_path), way=way)[0].text == "p0"


# Retries


def test_throttling_and_errors_are_counted_apart(tmp_path: Path) -> None:
    def do(prompt: str, attempt: int) -> Any:
        if attempt < 10:
            return (ThrottlingException if attempt % 2 else ModelStreamError)("no")
        return said("ok")

    (result,) = ask(Scripted(do), ["a"], asking=AskingConfig(backoff_base_s=0), desk=at(tmp_path), way=way)
    assert (result.text, result.retries) == ("ok", 10)  # five of each


class ReadTimeoutError(Exception):
    """As botocore's is called."""


def timed_out(*_: Any) -> Exception:
    error = ModelStreamError("The connection to Bedrock broke off: Read timeout")
    error.__cause__ = ReadTimeoutError()
    return error


def test_a_read_that_we_gave_up_is_tried_again_once_and_counted_as_paid_each_time(tmp_path: Path) -> None:
    teacher, desk = Scripted(timed_out), at(tmp_path)
    quick = AskingConfig(backoff_base_s=0, prices=PRICE, max_cost_usd=100)
    (result,) = ask(teacher, ["a"], asking=quick, desk=desk, way=way)
    assert len(teacher.asked) == 2
    assert "tried again once" in result.reason
    assert result.passing
    assert desk.purse is not None
    assert desk.purse.paid > 0
    assert [e.paid.what for _, e in desk.ledger.all() if e.paid and e.paid.what == "lost"] == ["lost", "lost"]


# The budget


def costly(prompt: str, attempt: int) -> Any:
    return said(CODE) | {"usage": {"inputTokens": 5, "outputTokens": 5}}


def test_a_run_stops_before_a_call_that_could_go_over_its_budget_and_goes_on_with_a_larger_one(
    tmp_path: Path,
) -> None:
    teacher = Scripted(costly)
    asking = {"prices": PRICE, "workers": 4, "best_of": 1}
    with at(tmp_path) as desk:
        desk.window = opened(teacher, desk, prompts(60), max_cost_usd=0.3, **asking)
        with pytest.raises(BudgetReached, match="are left"):
            desk.window.take(60)
    paid = len(teacher.asked)
    assert 0 < paid * 0.01 <= 0.3
    with at(tmp_path) as desk:
        desk.window = opened(teacher, desk, prompts(60), max_cost_usd=10, **asking)
        assert len(desk.window.take(60)) == 60
        assert desk.purse is not None
        assert float(desk.purse.spent) == pytest.approx(0.6)
    assert len(teacher.asked) == len(set(teacher.asked)) == 60


def test_an_answer_without_usage_costs_all_that_was_reserved_for_it(tmp_path: Path) -> None:
    desk = at(tmp_path)
    bare = {"output": {"message": {"content": [{"text": "x"}]}}, "stopReason": "end_turn"}
    ask(
        Scripted(lambda *_: bare),
        ["a"],
        asking=AskingConfig(prices=PRICE, max_cost_usd=5),
        desk=desk,
        way=way,
    )
    assert desk.purse is not None
    assert desk.purse.paid > 0


# Answers are checked


def checked(tmp_path: Path, answer: str, check: str = "compiles") -> Any:
    desk = at(tmp_path, checker=Checker.of(AskingConfig(check=check)))  # type: ignore[arg-type]
    (result,) = ask(
        Scripted(lambda *_: said(answer)), ["Add two numbers."], asking=AskingConfig(), desk=desk, way=way
    )
    return result


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ("Certainly! Addition is a fine thing, and a function can do it.", "prose"),
        ("/* no code at all */", "prose"),
        ("void add(void)\n{\n}\n", "stub"),
        ("int add(int a, int b)\n{\n    return a + ;\n}\n", "uncompiled"),
        ("x" * (DEFAULT.max_chars + 1), "oversized"),
        ("I cannot help with that.", "refused"),
    ],
)
def test_an_answer_that_is_nothing_to_learn_from_is_turned_away_with_its_reason(
    tmp_path: Path, answer: str, cause: str
) -> None:
    result = checked(tmp_path, answer)
    assert (result.cause, result.turned_away, result.answered, result.kind) == (cause, True, False, "item")
    assert result.reason.startswith("turned away: ")
    assert answer.startswith(result.text)
    assert result.text


def test_code_passes_fenced_or_bare_and_what_its_project_has_may_be_missing(tmp_path: Path) -> None:
    for number, answer in enumerate(
        (CODE, f"Here it is:\n```c\n{CODE}```\n", f'#include "project.h"\n{CODE}')
    ):
        assert checked(tmp_path / str(number), answer).text == answer


def test_less_can_be_asked_of_an_answer(tmp_path: Path) -> None:
    broken = "int add(int a, int b)\n{\n    return a + undeclared(;\n}\n"
    assert checked(tmp_path / "a", broken).turned_away
    assert checked(tmp_path / "b", broken, "code").answered
    assert checked(tmp_path / "c", "Prose.", "code").turned_away
    assert checked(tmp_path / "d", "Prose.", "none").answered


def test_of_several_answers_the_best_is_taken_and_all_are_paid_for_once(tmp_path: Path) -> None:
    better = f"/** @brief Adds.\n * @param a one\n * @param b other\n * @return sum\n */\n{CODE}"
    answers = ["No code.", CODE, better]

    def do(_: str, attempt: int) -> Any:
        return said(answers[attempt]) | {"usage": {"inputTokens": 1, "outputTokens": 2}}

    asking = AskingConfig(best_of=3, prices=PRICE)
    for teacher in (Scripted(do), Scripted(nobody)):
        desk = at(tmp_path, checker=Checker.of(asking))
        (result,) = ask(teacher, ["Add two numbers."], asking=asking, desk=desk, way=way)
        assert result.text == better
        assert (result.input_tokens, result.output_tokens, result.dollars) == (3, 6, "0.009")
        assert len(result.entries) == 3


@needing("behaviour")
def test_of_several_answers_the_one_that_most_behave_like_is_taken_however_it_looks(tmp_path: Path) -> None:
    head = "/** @brief Adds.\n * @param a one\n * @param b other\n * @return sum\n */\n"
    wrong, slow = head + CODE.replace("a + b", "a - b"), CODE.replace("a + b", "b + a")
    for by, taken in (("score", wrong), ("behaviour", CODE)):
        asking = AskingConfig(best_of=3, best_by=by, prices=PRICE)  # type: ignore[arg-type]
        desk = at(tmp_path / by, checker=Checker.of(asking))
        teacher = Scripted(lambda _, attempt: said([wrong, CODE, slow][attempt]))
        (result,) = ask(teacher, ["Add two numbers."], asking=asking, desk=desk, way=way)
        assert result.text == taken


def test_one_answer_or_no_sandbox_is_nothing_to_choose_by(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="set best_of to 3 or more"):
        AskingConfig(best_by="behaviour")
    monkeypatch.setattr("phases.quality_scoring.behaviour.judging.find_toolchain", lambda: None)
    with pytest.raises(SandboxMissing, match=r"teacher_generation\.best_by is behaviour"):
        Checker.of(AskingConfig(best_of=3, best_by="behaviour"))


def test_what_answers_need_is_reserved_where_that_is_wanted_and_what_is_cut_off_is_asked_in_full(
    tmp_path: Path,
) -> None:
    import dataclasses

    from pydantic import BaseModel

    class Settings(BaseModel):
        max_tokens: int = 1000

    most: list[int] = []

    @dataclasses.dataclass(frozen=True)
    class Measured:
        settings: Settings
        takes: Takes = dataclasses.field(default_factory=Takes)
        name: str = "scripted"
        note: str = ""

        def count(self, prompt: str) -> None:
            """No service counts for it."""

        def question(self, prompt: str) -> dict[str, Any]:
            return {"prompt": prompt, "max_tokens": self.settings.max_tokens}

        def invoke(self, prompt: str) -> dict[str, Any]:
            most.append(self.settings.max_tokens)
            need = 900 if prompt == "p99" else 100
            cut = need > self.settings.max_tokens
            used = {"inputTokens": 1, "outputTokens": min(need, self.settings.max_tokens)}
            return said(CODE) | {"usage": used, "stopReason": "max_tokens" if cut else "end_turn"}

    asking = AskingConfig(fit_max_tokens=True, workers=1, prices=PRICE)
    desk = at(tmp_path)
    results = ask(Measured(Settings()), prompts(100), asking=asking, desk=desk, way=way)  # type: ignore[arg-type]
    assert [result.answered for result in results] == [True] * 100
    assert most[:32] == [1000] * 32
    assert most[32:100] == [256] * 68
    assert most[100:] == [1000]
    assert [e.paid.output for _, e in desk.ledger.all() if e.paid and e.paid.what == "cut"] == [256]


def test_progress_says_how_it_goes(tmp_path: Path) -> None:
    ask(Scripted(costly), prompts(5), asking=AskingConfig(), desk=at(tmp_path), way=way)
    notes: list[str] = []

    def do(prompt: str, attempt: int) -> Any:
        time.sleep(0.3)
        return costly(prompt, attempt)

    asking = AskingConfig(prices=PRICE, max_cost_usd=50, workers=3)
    ask(
        Scripted(do),
        prompts(20),
        asking=asking,
        desk=at(tmp_path),
        way=way,
        progress=lambda done, total, note: notes.append(f"{done}/{total} {note}"),
    )
    last = notes[-1]
    assert last.startswith("20/20 5 from the ledger, ")
    assert "75 tokens in, 75 out, $0.15 of $50.00" in last
    assert any("calls/s" in note and " left" in note and "at once" in note for note in notes)
