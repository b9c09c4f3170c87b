"""Two runs of one store in a bucket that ask the same prompts at once: one of them pays, and an answer costs one put."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from fsm.store.s3_shelf import S3Shelf
from phases.teacher_generation.asking import Result
from phases.teacher_generation.config import AskingConfig
from phases.teacher_generation.desk import Desk
from phases.teacher_generation.ledger import Ledger
from phases.teacher_generation.policy import Everybodys
from phases.teacher_generation.window import READ_AT_ONCE, ask
from tests.fsm.store.counted import Counted
from tests.phases.teacher_generation.future import way
from tests.phases.teacher_generation.test_asking import Scripted, said

ASKING = AskingConfig(check="none", backoff_base_s=0.001)
NUMBER = 200
PROMPTS = [f"prompt {n}" for n in range(NUMBER)]


def asked_by(shelf: S3Shelf, teacher: Scripted, prompts: list[str]) -> list[Result]:
    with Desk(Ledger(shelf), Everybodys(ASKING.workers), "run/0") as desk:
        return ask(teacher, prompts, asking=ASKING, desk=desk, way=way)


def test_an_answer_is_one_put_and_claims_are_one_for_many() -> None:
    bucket = Counted({})
    assert len(asked_by(bucket.shelf("one"), Scripted(), PROMPTS)) == NUMBER
    claims = -(-NUMBER // READ_AT_ONCE)
    assert bucket.asked.count("put") == NUMBER + claims + 1  # and the segment that they are packed in
    bucket.asked.clear()
    assert len(asked_by(bucket.shelf("other"), Scripted(), PROMPTS)) == NUMBER
    assert bucket.asked.count("put") == 0


@pytest.mark.parametrize("backwards", [False, True])
def test_whichever_way_two_runs_go_through_the_prompts_each_is_paid_once(
    backwards: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsm.store.s3_shelf.LOOK_AGAIN", 0.005)
    bucket, teacher = Counted({}), Scripted(_mostly)
    orders = [PROMPTS, PROMPTS[::-1] if backwards else PROMPTS[5:] + PROMPTS[:5]]
    found: dict[int, list[Result]] = {}
    begin = threading.Barrier(2)

    def run(number: int) -> None:
        shelf = bucket.shelf(f"run {number}")
        begin.wait(5)
        found[number] = asked_by(shelf, teacher, orders[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    answered = [prompt for prompt in teacher.asked if prompt != FAILS]
    assert sorted(answered) == sorted(set(answered)) == sorted(p for p in PROMPTS if p != FAILS)
    for number in (0, 1):
        assert [r.prompt for r in found[number]] == orders[number]
        assert [r.prompt for r in found[number] if not r.answered] == [FAILS]


FAILS = "prompt 70"


def _mostly(prompt: str, attempt: int) -> Any:
    """One prompt gets no answer: the other run may ask it too."""
    return ValueError("no") if prompt == FAILS else said(prompt.upper())
