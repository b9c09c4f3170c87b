"""Many prompts as one batch inference job of the rehearsed Bedrock, whose records and answers lie on an S3 server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fsm.store.local_shelf import LocalShelf
from phases.rehearsal.model import Asked
from phases.rehearsal.wire import Reply, refusal
from phases.teacher_generation import batch
from phases.teacher_generation.ledger import Ledger
from phases.teacher_generation.window import Window
from tests.servers.fixtures import S3
from tests.servers.rehearsed import ServedBedrock

Finish = Callable[..., Any]
NUMBER = 40


def code(asked: Asked) -> str:
    """The function that a prompt names."""
    name = asked.prompt.split("`")[1]
    return f"int {name}(int value)\n{{\n    return 2 * value;\n}}\n"


@pytest.fixture
def section(bedrock: ServedBedrock, s3: S3, tmp_path: Path) -> dict[str, Any]:
    """The configuration of a run of 40 prompts, where a job must have 30."""
    bedrock.answer, bedrock.minimum, bedrock.s3 = code, 30, s3.client
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Write `gate_{n}`."}) + "\n" for n in range(NUMBER)))
    job = {
        "place": s3.url,
        "role": "arn:aws:iam::000000000000:role/batch",
        "poll_seconds": 0.001,
        "endpoint_url": s3.server.url,
    }
    teacher = {
        "kind": "bedrock-batch",
        "endpoint_url": bedrock.url,
        "control_endpoint_url": bedrock.url,
        "batch": job,
    }
    return {"teacher": teacher, "prompts": str(path), "backoff_base_s": 0.001}


def operations(bedrock: ServedBedrock) -> list[str]:
    return [asked.operation for asked in bedrock.asked]


def rejecting(asked: Asked) -> str | Reply:
    """A record that the job rejects and a call does not."""
    if asked.operation == "batch" and "gate_7`" in asked.prompt:
        return refusal(400, "ValidationException", "rejected")
    return code(asked)


def killed_while_it_waits(finish: Finish, section: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def kill(seconds: float) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("phases.teacher_generation.batch.time.sleep", kill)
        with pytest.raises(Killed):
            finish("teacher_generation", section)


def test_a_job_answers_at_half_the_price_and_what_it_rejects_is_asked_by_itself(
    finish: Finish, bedrock: ServedBedrock, section: dict[str, Any]
) -> None:
    bedrock.answer = rejecting
    done = finish("teacher_generation", section)
    assert done.outcome.outcome == "done"
    prompts = [row["messages"][-2]["content"] for row in done.rows("teacher/outputs.jsonl")]
    assert prompts == [f"Write `gate_{n}`." for n in range(NUMBER)]
    assert len(bedrock.batches.jobs) == 1
    assert operations(bedrock) == ["converse"]
    assert bedrock.bill.paid.total() == NUMBER
    entered, left = bedrock.bill.input_tokens, bedrock.bill.output_tokens
    [call] = bedrock.asked
    assert "gate_7" in call.prompt
    whole = Decimal("1.1") * (3 * entered + 15 * left) / 1_000_000
    assert whole / 2 < bedrock.bill.dollars < whole * Decimal("0.53")
    other = finish("teacher_generation", section, name="other")
    assert other.rows("teacher/outputs.jsonl") == done.rows("teacher/outputs.jsonl")
    assert (len(bedrock.batches.jobs), bedrock.bill.paid.total()) == (1, NUMBER)


def test_a_run_that_was_killed_while_it_waited_finds_its_job_again(
    finish: Finish, bedrock: ServedBedrock, section: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_while_it_waits(finish, section, monkeypatch)
    assert len(bedrock.batches.jobs) == 1
    done = finish("teacher_generation", section)
    assert done.outcome.outcome == "done"
    assert len(bedrock.batches.jobs) == 1
    assert (bedrock.bill.paid.total(), operations(bedrock)) == (NUMBER, [])


def test_the_job_of_a_run_that_died_is_awaited_by_another_run_that_asks_the_same(
    finish: Finish,
    bedrock: ServedBedrock,
    section: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed_while_it_waits(finish, section, monkeypatch)
    second = finish("teacher_generation", section, name="second")
    assert second.outcome.outcome == "done"
    assert (len(bedrock.batches.jobs), bedrock.bill.paid.total(), operations(bedrock)) == (1, NUMBER, [])
    first = finish("teacher_generation", section)
    assert first.rows("teacher/outputs.jsonl") == second.rows("teacher/outputs.jsonl")
    assert (len(bedrock.batches.jobs), bedrock.bill.paid.total()) == (1, NUMBER)
    entries = [entry for _, entry in Ledger(LocalShelf(tmp_path / "store" / "teacher")).all()]
    paid = [entry.paid for entry in entries if entry.paid]
    assert [p.what for p in paid if p.what] == ["open", "closed"]
    assert len({p.run for p in paid}) == 1  # who sent it
    assert sum(p.dollars for p in paid) == bedrock.bill.dollars


def test_where_the_job_of_a_run_that_died_fails_another_run_sends_its_own(
    finish: Finish, bedrock: ServedBedrock, section: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_while_it_waits(finish, section, monkeypatch)
    real = bedrock.batches._further

    def first_fails(job: Any) -> None:
        if job.id == "job000000000":
            job.status, job.message = "Failed", "The role cannot read the input."
        real(job)

    monkeypatch.setattr(bedrock.batches, "_further", first_fails)
    assert finish("teacher_generation", section, name="second").outcome.outcome == "done"
    assert (len(bedrock.batches.jobs), bedrock.bill.paid.total(), operations(bedrock)) == (2, NUMBER, [])


def test_fewer_prompts_than_a_job_must_have_are_asked_one_by_one(
    finish: Finish, bedrock: ServedBedrock, section: dict[str, Any]
) -> None:
    done = finish("teacher_generation", section | {"limit": 29})
    assert done.outcome.outcome == "done"
    assert (len(bedrock.batches.jobs), operations(bedrock)) == (0, ["converse"] * 29)
    finish("teacher_generation", section, name="second")  # the rest alone are fewer as well
    assert (len(bedrock.batches.jobs), bedrock.bill.paid.total()) == (0, NUMBER)


def test_auto_asks_one_by_one_where_the_answers_are_wanted_soon(
    finish: Finish, bedrock: ServedBedrock, section: dict[str, Any]
) -> None:
    section["teacher"] |= {"mode": "auto", "fast": True}
    assert finish("teacher_generation", section).outcome.outcome == "done"
    assert (len(bedrock.batches.jobs), len(bedrock.asked)) == (0, NUMBER)
    section["teacher"]["fast"] = False
    assert finish("teacher_generation", section | {"reuse": False}, name="two").outcome.outcome == "done"
    assert (len(bedrock.batches.jobs), len(bedrock.asked)) == (1, NUMBER)


def test_a_job_that_fails_stops_the_run_with_its_reason_and_the_next_attempt_makes_another(
    finish: Finish, bedrock: ServedBedrock, section: dict[str, Any]
) -> None:
    bedrock.batches.fate = ("Failed", "The role cannot read the input.")
    stopped = finish("teacher_generation", section).outcome
    assert stopped.outcome == "stopped"
    assert "The role cannot read the input" in stopped.message
    bedrock.batches.fate = None
    assert finish("teacher_generation", section).outcome.outcome == "done"
    assert len({job.asked["jobName"] for job in bedrock.batches.jobs.values()}) == 2
    assert bedrock.bill.paid.total() == NUMBER


def test_a_job_that_could_go_over_the_budget_is_not_sent_and_what_it_reserved_is_given_back(
    finish: Finish, bedrock: ServedBedrock, section: dict[str, Any], tmp_path: Path
) -> None:
    stopped = finish("teacher_generation", section | {"max_cost_usd": 0.1}).outcome
    assert (stopped.outcome, len(bedrock.batches.jobs)) == ("stopped", 0)
    assert "Nothing was sent" in stopped.message
    assert finish("teacher_generation", section | {"max_cost_usd": 1.0}).outcome.outcome == "done"
    assert bedrock.bill.paid.total() == NUMBER
    entries = [entry for _, entry in Ledger(LocalShelf(tmp_path / "store" / "teacher")).all()]
    paid = [entry.paid for entry in entries if entry.paid]
    assert [p.what for p in paid if p.what] == ["open", "closed"]
    assert sum(p.dollars for p in paid) == bedrock.bill.dollars


@pytest.mark.parametrize(
    ("model", "least"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 45),
        ("anthropic.claude-sonnet-4-20250514-v1:0", 40),
        ("us.meta.llama3-3-70b-instruct-v1:0", batch.MINIMUM),
    ],
)
def test_the_least_number_of_records_is_that_of_the_models_own_quota(model: str, least: int) -> None:
    kind = "Minimum number of records per batch inference job for"
    quotas = [
        {"QuotaName": "Records per batch inference job for Claude Sonnet 4.5", "Value": 50_000.0},
        {"QuotaName": f"{kind} Claude Sonnet 4.5", "Value": 45.0},
        {"QuotaName": f"{kind} Claude Sonnet 4", "Value": 40.0},
        {"QuotaName": f"{kind} Claude 3 Haiku", "Value": 30.0},
    ]
    assert batch.least_of(quotas, model) == least


@pytest.mark.parametrize("store", ["local", "s3"])
def test_of_two_runs_that_batch_the_same_prompts_at_once_one_pays(
    store: str,
    finish: Finish,
    bedrock: ServedBedrock,
    section: dict[str, Any],
    s3: S3,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second begins while the first one's job is at work: it sends none of its own, and waits for those answers."""
    monkeypatch.setattr("fsm.store.s3_shelf.LOOK_AGAIN", 0.02)
    where = {"store": s3.store()} if store == "s3" else {}
    found: dict[str, Any] = {}

    def second() -> None:
        found["second"] = finish("teacher_generation", section, name="second", **where)

    waits = threading.Event()
    real = Window.take

    def take(window: Window, *rest: Any) -> Any:
        if threading.current_thread() is thread:
            waits.set()
        return real(window, *rest)

    def poll(seconds: float) -> None:
        if not thread.ident:
            thread.start()
            assert waits.wait(20)

    thread = threading.Thread(target=second)
    monkeypatch.setattr(Window, "take", take)
    monkeypatch.setattr("phases.teacher_generation.batch.time.sleep", poll)
    first = finish("teacher_generation", section, name="first", **where)
    thread.join(30)
    assert first.outcome.outcome == found["second"].outcome.outcome == "done"
    assert first.rows("teacher/outputs.jsonl") == found["second"].rows("teacher/outputs.jsonl")
    assert (len(bedrock.batches.jobs), bedrock.bill.paid.total(), operations(bedrock)) == (1, NUMBER, [])
