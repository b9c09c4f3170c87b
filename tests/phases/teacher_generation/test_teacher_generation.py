"""Diagram 3 from end to end, with the offline teacher and with Bedrock over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsm.engine import Stop, StopRequested
from phases.teacher_generation.offline.teacher import write_function

Finish = Callable[..., Any]
OFFLINE = {"teacher": {"kind": "offline"}}


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    """A file of 25 prompts, two of which are the same."""
    path = tmp_path / "prompts.jsonl"
    texts = [f"Write `gate_{n}` for TSN." for n in range(24)]
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in [*texts, texts[3]]))
    return str(path)


def bedrock(server: Any, prompts: str, **section: Any) -> dict[str, Any]:
    return {"teacher": {"endpoint_url": server.url}, "prompts": prompts, "backoff_base_s": 0.001, **section}


def test_the_offline_teacher_answers_all_prompts_in_their_order(finish: Finish, prompts: str) -> None:
    done = finish("teacher_generation", OFFLINE | {"prompts": prompts})
    assert done.outcome.outcome == "done"
    rows = done.rows("teacher/outputs.jsonl")
    assert [row["messages"][0]["content"] for row in rows] == [
        f"Write `gate_{n}` for TSN." for n in range(24)
    ]
    assert all(row["messages"][1]["content"] == write_function(row["messages"][0]["content"]) for row in rows)
    assert {row["teacher"] for row in rows} == {"offline-templates"}
    assert done.data["summary"]["answered"] == 24


def test_there_is_a_checkpoint_every_ten_results(finish: Finish, prompts: str) -> None:
    done = finish("teacher_generation", OFFLINE | {"prompts": prompts})
    assert done.visits["ParallelExecution.ProcessFuture"] == 3
    assert done.visits["ParallelExecution.CheckpointWrite"] == 2
    assert json.loads(done.text("teacher/checkpoint.json"))["done"] == 20
    batches = [len(done.rows(f"teacher/results/{number:05d}.jsonl")) for number in range(3)]
    assert batches == [10, 10, 4]


def test_the_offline_teacher_needs_no_credentials_and_says_what_it_is(finish: Finish, prompts: str) -> None:
    done = finish("teacher_generation", OFFLINE | {"prompts": prompts})
    assert "Authentication.CheckAPIKey" not in done.visits
    assert "no model" in done.data["note"]


def test_test_mode_makes_its_own_few_prompts(finish: Finish) -> None:
    done = finish("teacher_generation", OFFLINE | {"test": True, "prompts": "nowhere.jsonl"})
    assert done.visits["CreateTestPrompts"] == 1
    assert len(done.rows("teacher/outputs.jsonl")) == 4


def test_generated_prompts_come_after_those_of_the_file_and_the_limit_counts_all(
    finish: Finish, prompts: str
) -> None:
    done = finish("teacher_generation", OFFLINE | {"prompts": prompts, "generated": 10, "limit": 30})
    asked = [row["messages"][0]["content"] for row in done.rows("teacher/outputs.jsonl")]
    assert len(asked) == 30
    assert asked[23] == "Write `gate_23` for TSN."
    only = finish("teacher_generation", OFFLINE | {"prompts": None, "generated": 5}, name="only")
    assert only.data["prompts"] == 5


def test_throttling_is_waited_for_and_its_edges_are_counted(
    finish: Finish, server: Any, replies: Any, prompts: str
) -> None:
    server.reply = lambda prompt, attempt: (
        replies.failure(429, "ThrottlingException") if attempt == 0 else replies.converse("int x;")
    )
    done = finish("teacher_generation", bedrock(server, prompts))
    assert done.data["summary"] | {"input_tokens": 72, "retries": 24, "failed": 0} == done.data["summary"]
    counts = {edge.rsplit("ProcessFuture.", 2)[1].split(" --> ")[0]: n for edge, n in done.counts.items()}
    assert counts["RetryBackoff"] == counts["ParseResponse"] == counts["RecordSuccess"] == 24


def test_failures_are_recorded_with_their_reason_and_the_rest_goes_on(
    finish: Finish, server: Any, replies: Any, prompts: str
) -> None:
    server.reply = lambda prompt, attempt: (
        replies.failure(400, "ValidationException") if "_7`" in prompt else replies.converse("int x;")
    )
    done = finish("teacher_generation", bedrock(server, prompts))
    (failed,) = done.rows("teacher/failures.jsonl")
    assert failed["prompt"] == "Write `gate_7` for TSN."
    assert "ValidationException" in failed["reason"]
    assert len(done.rows("teacher/outputs.jsonl")) == 23


def test_no_answer_at_all_stops_with_the_first_reason(
    finish: Finish, server: Any, replies: Any, prompts: str
) -> None:
    server.reply = lambda prompt, attempt: replies.failure(400, "ValidationException")
    stopped = finish("teacher_generation", bedrock(server, prompts, limit=3)).outcome
    assert stopped.outcome == "stopped"
    assert "answered none of 3 prompts" in stopped.message
    assert "ValidationException" in stopped.message


def test_iam_and_api_key_lead_through_authentication(
    finish: Finish, server: Any, prompts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam = finish("teacher_generation", bedrock(server, prompts, limit=1), name="iam")
    assert "Authentication.RegisterEventHandler" not in iam.visits
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "key-of-the-test")
    key = finish("teacher_generation", bedrock(server, prompts, limit=2), name="key")
    assert key.visits["Authentication.RegisterEventHandler"] == 1
    assert server.headers[-1]["Authorization"] == "Bearer key-of-the-test"


def test_neither_iam_nor_api_key_says_what_to_set(
    finish: Finish, prompts: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    stopped = finish("teacher_generation", {"prompts": prompts}).outcome
    assert stopped.outcome == "stopped"
    assert "AWS_BEARER_TOKEN_BEDROCK" in stopped.message


@pytest.mark.parametrize(
    ("content", "said"), [("", "holds no prompt"), ('{"text": "x"}\n', "line 1: "), ("{\n", "not JSON")]
)
def test_a_bad_prompt_file_stops_before_anything_is_asked(
    finish: Finish, server: Any, tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(content)
    stopped = finish("teacher_generation", bedrock(server, str(path))).outcome
    assert stopped.outcome == "stopped"
    assert said in stopped.message
    assert server.prompts == []


def test_a_prompt_file_that_is_not_there_says_where_it_comes_from(finish: Finish) -> None:
    stopped = finish("teacher_generation", OFFLINE).outcome
    assert "data_preparation makes" in stopped.message


def test_an_interrupted_run_asks_nothing_twice_and_ends_with_the_same_bytes(
    finish: Finish, server: Any, prompts: str
) -> None:
    whole = finish("teacher_generation", bedrock(server, prompts), name="whole")
    server.prompts.clear()
    interrupted, reply = Stop(), server.reply

    def stop_at_the_fifteenth(prompt: str, attempt: int) -> Any:
        interrupted.requested = len(server.prompts) >= 15  # as a signal does while the batch defers it
        return reply(prompt, attempt)

    server.reply = stop_at_the_fifteenth
    with pytest.raises(StopRequested):
        finish("teacher_generation", bedrock(server, prompts, workers=2), name="cut", stop=interrupted)
    paid = set(server.prompts)
    assert 15 <= len(paid) < 24
    server.reply = reply
    resumed = finish("teacher_generation", bedrock(server, prompts, workers=2), name="cut")
    assert sorted(server.prompts) == sorted(set(server.prompts))
    assert len(server.prompts) == 24
    assert resumed.fold.files == whole.fold.files


def test_a_run_that_is_not_let_in_keeps_what_it_paid_for(
    finish: Finish, server: Any, replies: Any, prompts: str
) -> None:
    reply = server.reply
    server.reply = lambda prompt, attempt: (
        replies.failure(403, "AccessDeniedException") if len(server.prompts) > 5 else reply(prompt, attempt)
    )
    stopped = finish("teacher_generation", bedrock(server, prompts, workers=1))
    assert stopped.outcome.outcome == "stopped"
    assert "bedrock:InvokeModel" in stopped.outcome.message
    assert len(server.prompts) == 6
    server.reply = reply
    assert finish("teacher_generation", bedrock(server, prompts, workers=1)).outcome.outcome == "done"
    assert len(server.prompts) == 6 + 24 - 5
