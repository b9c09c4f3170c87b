"""Diagram 3 from end to end, with the offline teacher and with Bedrock over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fsm.engine import Stop, StopRequested
from phases.rehearsal.bedrock import SONNET, Model
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
    """Answers are taken as they come, where nothing else is said: the server's are not worth learning from."""
    asking = {"prompts": prompts, "backoff_base_s": 0.001, "check": "none", **section}
    return {"teacher": {"endpoint_url": server.url, "control_endpoint_url": server.url}, **asking}


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
    assert (
        done.data["summary"] | {"input_tokens": server.bill.input_tokens, "retries": 24, "failed": 0}
        == done.data["summary"]
    )
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


def test_iam_alone_leads_through_authentication(finish: Finish, server: Any, prompts: str) -> None:
    done = finish("teacher_generation", bedrock(server, prompts, limit=1))
    assert "Authentication.RegisterEventHandler" not in done.visits


def test_an_api_key_alone_leads_through_authentication(
    finish: Finish, bedrock_with_key: Any, prompts: str
) -> None:
    done = finish("teacher_generation", bedrock(bedrock_with_key, prompts, limit=1))
    assert done.visits["Authentication.RegisterEventHandler"] == 1
    assert bedrock_with_key.asked[-1].headers["authorization"] == "Bearer bedrock-api-key-1"


def test_a_model_that_ends_within_the_run_stops_it_before_a_prompt_is_asked(
    finish: Finish, server: Any, prompts: str
) -> None:
    server.models[SONNET] = Model(ends=datetime.now(UTC) + timedelta(seconds=15))
    stopped = finish("teacher_generation", bedrock(server, prompts, workers=1)).outcome
    assert stopped.outcome == "stopped"
    assert "Name a newer model" in stopped.message
    assert server.prompts == []
    server.models[SONNET] = Model(ends=datetime.now(UTC) + timedelta(days=30))
    assert finish("teacher_generation", bedrock(server, prompts, workers=1)).outcome.outcome == "done"


@pytest.mark.parametrize("key", ["", "sk-1"])
def test_a_server_of_openais_protocol_is_asked_with_its_key_or_without_one(
    finish: Finish, chat: Any, prompts: str, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    chat.keys = frozenset({key} if key else ())
    asked = {"kind": "openai", "model_id": "rehearsal", "endpoint_url": chat.url}
    done = finish("teacher_generation", {"teacher": asked, "prompts": prompts})
    assert done.outcome.outcome == "done"
    assert ("Authentication.RegisterEventHandler" in done.visits) == bool(key)
    assert {row["teacher"] for row in done.rows("teacher/outputs.jsonl")} == {"rehearsal"}
    assert chat.bill.paid.total() == 24


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


def test_a_prompt_that_cannot_fit_the_models_context_is_refused_by_its_line_before_any_is_asked(
    finish: Finish, server: Any, replies: Any, tmp_path: Path
) -> None:
    server.reply = lambda prompt, attempt: replies.converse("int x;")
    path = tmp_path / "long.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": text}) + "\n" for text in ("Write f.", "word " * 2000, "g."))
    )
    section = bedrock(server, str(path))
    section["teacher"] = section["teacher"] | {"max_tokens": 1000, "takes": {"context": 2000}}
    stopped = finish("teacher_generation", section).outcome
    assert stopped.outcome == "stopped"
    assert "line 2: 10,000 bytes" in stopped.message
    assert server.prompts == []
    section["teacher"]["takes"]["context"] = 200_000
    assert finish("teacher_generation", section).outcome.outcome == "done"


def test_a_prompt_file_that_is_not_there_says_where_it_comes_from(finish: Finish) -> None:
    stopped = finish("teacher_generation", OFFLINE).outcome
    assert "data_preparation makes" in stopped.message


def test_an_interrupted_run_asks_nothing_twice_and_ends_with_the_same_bytes(
    finish: Finish, server: Any, prompts: str
) -> None:
    """Each run pays for its own answers here, so that the second one has something to ask."""
    anew = bedrock(server, prompts, workers=2, reuse=False)
    whole = finish("teacher_generation", anew, name="whole")
    server.prompts.clear()
    interrupted, reply = Stop(), server.reply

    def stop_at_the_fifteenth(prompt: str, attempt: int) -> Any:
        interrupted.requested = len(server.prompts) >= 15  # as a signal does while the batch defers it
        return reply(prompt, attempt)

    server.reply = stop_at_the_fifteenth
    with pytest.raises(StopRequested):
        finish("teacher_generation", anew, name="cut", stop=interrupted)
    paid = set(server.prompts)
    assert 15 <= len(paid) < 24
    server.reply = reply
    resumed = finish("teacher_generation", anew, name="cut")
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


# What is paid for, and what fails


def unanswered(replies: Any, broken: dict[int, tuple[int, str, str]]) -> Callable[[str, int], Any]:
    """Refuses the prompts of some numbers: status, code, message; those of no status are cut off at max_tokens."""

    def reply(prompt: str, attempt: int) -> Any:
        said = broken.get(int(prompt.split("_")[1].split("`")[0]))
        if said is None:
            return replies.converse(f"int f(void);  /* {prompt} */")
        return replies.failure(*said) if said[0] else replies.converse("int f(", "max_tokens")

    return reply


DOWN, LONG, CUT = (
    (500, "InternalServerException", "boo"),
    (400, "ValidationException", "Input is too long for requested model."),
    (0, "", ""),
)


def test_a_renamed_run_pays_for_nothing_and_leaves_the_same_bytes(
    finish: Finish, server: Any, replies: Any, prompts: str
) -> None:
    """Also of what it took to get an answer, so that a run killed in mid-batch is resumed to the same journal."""
    reply = server.reply
    server.reply = lambda prompt, attempt: (
        replies.failure(429, "ThrottlingException")
        if attempt == 0 and "_7`" in prompt
        else reply(prompt, attempt)
    )
    first = finish("teacher_generation", bedrock(server, prompts), name="first")
    assert len(server.prompts) == 25
    second = finish("teacher_generation", bedrock(server, prompts, workers=3), name="second")
    assert len(server.prompts) == 25
    assert second.data["summary"]["retries"] == 1
    assert second.fold.files == first.fold.files
    assert second.data | {"workers": 10} == first.data
    assert second.counts == first.counts


def test_where_answers_are_not_to_be_reused_each_run_asks_for_its_own(
    finish: Finish, server: Any, prompts: str
) -> None:
    anew = bedrock(server, prompts, reuse=False)
    for name in ("first", "second"):
        finish("teacher_generation", anew, name=name)
    assert len(server.prompts) == 48
    finish("teacher_generation", bedrock(server, prompts), name="third")
    assert len(server.prompts) == 72  # theirs are no answers for others


def test_the_offline_teacher_has_no_ledger(finish: Finish, prompts: str, tmp_path: Path) -> None:
    finish("teacher_generation", OFFLINE | {"prompts": prompts})
    assert not (tmp_path / "store" / "teacher").exists()


def test_a_run_within_the_share_ends_and_says_how_many_failed_for_which_reason(
    finish: Finish, server: Any, replies: Any, prompts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.reply = unanswered(replies, {7: LONG, 8: CUT, 9: CUT})
    done = finish("teacher_generation", bedrock(server, prompts, max_failed_share=0.125))
    assert done.outcome.outcome == "done"
    summary = json.loads(done.text("teacher/summary.json"))
    assert summary == done.data["summary"]
    assert (summary["failed"], summary["failures"]) == (3, {"truncated": 2, "length": 1})
    assert "3 of 24 prompts have no answer (truncated 2, length 1)" in capsys.readouterr().out
    assert [row["cause"] for row in done.rows("teacher/failures.jsonl")] == [
        "length",
        "truncated",
        "truncated",
    ]


def test_over_the_share_it_stops_and_a_resume_asks_what_failed_in_passing_and_only_that(
    finish: Finish, server: Any, replies: Any, prompts: str
) -> None:
    section = bedrock(server, prompts, max_failed_share=0.05, max_retries=1)
    server.reply = unanswered(replies, {3: DOWN, 7: LONG, 12: DOWN, 23: DOWN})
    stopped = finish("teacher_generation", section)
    assert stopped.outcome.outcome == "stopped"
    assert "answered 20 of 24 prompts; 4 have no answer" in stopped.outcome.message
    assert "service 3, length 1" in stopped.outcome.message
    assert "lines 4, 8, 13, 24 of" in stopped.outcome.message
    assert [row["kind"] for row in stopped.rows("teacher/failures.jsonl")] == [
        "passing",
        "item",
        "passing",
        "passing",
    ]
    assert json.loads(stopped.text("teacher/summary.json"))["failed"] == 4
    server.prompts.clear()
    server.reply = unanswered(replies, {7: LONG})
    done = finish("teacher_generation", section)
    assert sorted(server.prompts) == [f"Write `gate_{n}` for TSN." for n in (12, 23, 3)]
    assert done.outcome.outcome == "done"
    rows = done.rows("teacher/outputs.jsonl")
    assert [row["messages"][0]["content"] for row in rows] == [
        f"Write `gate_{n}` for TSN." for n in range(24) if n != 7
    ]


def test_where_the_prompts_own_failures_are_too_many_a_resume_asks_nothing_and_names_their_lines(
    finish: Finish, server: Any, replies: Any, prompts: str
) -> None:
    section = bedrock(server, prompts)
    server.reply = unanswered(replies, {3: CUT, 7: LONG, 12: DOWN})
    assert finish("teacher_generation", section).outcome.outcome == "stopped"
    server.reply = unanswered(replies, {3: CUT, 7: LONG})
    server.prompts.clear()
    for _ in range(2):
        stopped = finish("teacher_generation", section)
        assert stopped.outcome.outcome == "stopped"
        assert "lines 4, 8 of" in stopped.outcome.message
        assert "raise teacher_generation.max_failed_share" in stopped.outcome.message
        assert server.prompts == ["Write `gate_12` for TSN."]


def test_the_number_that_may_fail_is_exact(finish: Finish, server: Any, replies: Any, prompts: str) -> None:
    server.reply = unanswered(replies, {3: CUT, 7: LONG, 20: LONG})
    assert (
        finish("teacher_generation", bedrock(server, prompts, max_failed_share=0.125)).outcome.outcome
        == "done"
    )
    stricter = bedrock(server, prompts, max_failed_share=0.124)
    assert finish("teacher_generation", stricter, name="stricter").outcome.outcome == "stopped"


def test_all_turns_are_asked_and_stay_in_the_training_row(
    finish: Finish, server: Any, replies: Any, tmp_path: Path
) -> None:
    said = [
        {"role": "system", "content": "Answer in C99."},
        {"role": "user", "content": "Write a ring buffer."},
        {"role": "assistant", "content": "struct ring { int n; };"},
        {"role": "user", "content": "Now make it lock-free."},
    ]
    other = [said[1], said[2], {"role": "user", "content": "Now make it larger."}]
    path = tmp_path / "turns.jsonl"
    path.write_text("".join(json.dumps({"messages": turns}) + "\n" for turns in (said, other, said)))
    server.reply = lambda prompt, attempt: replies.converse("int f(void);")
    done = finish("teacher_generation", bedrock(server, str(path)))
    assert len(server.asked) == 2
    assert {json.dumps(asked.body["messages"][-1]["content"]) for asked in server.asked} == {
        json.dumps([{"text": turns[-1]["content"]}]) for turns in (said, other)
    }
    rows = done.rows("teacher/outputs.jsonl")
    assert [row["messages"] for row in rows] == [
        [*turns, {"role": "assistant", "content": "int f(void);"}] for turns in (said, other)
    ]
    assert len({row["digest"] for row in rows}) == 2
    assert done.rows("teacher/prompts.jsonl") == [{"messages": said}, {"messages": other}]


def test_a_prompt_of_several_turns_that_failed_can_be_asked_as_its_row_stands(
    finish: Finish, server: Any, replies: Any, tmp_path: Path
) -> None:
    said = [{"role": "system", "content": "C99."}, {"role": "user", "content": "A ring."}]
    path = tmp_path / "turns.jsonl"
    path.write_text(json.dumps({"messages": said}) + "\n" + json.dumps({"prompt": "A queue."}) + "\n")
    server.reply = lambda prompt, attempt: (
        replies.converse("", "content_filtered") if prompt == "A ring." else replies.converse("int x;")
    )
    done = finish("teacher_generation", bedrock(server, str(path), max_failed_share=0.5))
    (row,) = done.rows("teacher/failures.jsonl")
    assert (row["messages"], row["cause"]) == (said, "filtered")
