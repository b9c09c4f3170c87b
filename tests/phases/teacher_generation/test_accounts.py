"""What a store's ledger holds, what it cost, what reuse saved; and what a run says before it asks."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fsm.cli import main
from fsm.journal import Journal
from fsm.store import open_store
from phases.rehearsal.bedrock import Model
from phases.teacher_generation.bedrock import BedrockTeacher

CONFIG = """
machine: teacher_generation
recovery: error_recovery
run: {{name: ask, seed: 1}}
teacher_generation:
  teacher: {{kind: bedrock, endpoint_url: "{url}"{teacher}}}
  prompts: prompts.jsonl
  backoff_base_s: 0.001
  workers: 4
  check: {check}
{more}
"""
GOOD = "uint32_t f(uint32_t a)\n{{\n    return a + 1U; /* {0} */\n}}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Any) -> Path:
    monkeypatch.chdir(tmp_path)
    prompts = "".join(json.dumps({"prompt": f"Write something, number {n}."}) + "\n" for n in range(30))
    (tmp_path / "prompts.jsonl").write_text(prompts)
    return tmp_path


def configured(server: Any, **more: Any) -> str:
    check, teacher = more.pop("check", "none"), more.pop("teacher", "")
    lines = "\n".join(f"  {key}: {json.dumps(value)}" for key, value in more.items())
    Path("ask.yaml").write_text(CONFIG.format(url=server.url, check=check, teacher=teacher, more=lines))
    return "ask.yaml"


def run(server: Any, *arguments: str, **more: Any) -> int:
    return main(["run", configured(server, **more), "--log", "none", *arguments])


def file_of(name: str, run: str = "ask") -> str:
    found = open_store(".").run(run)
    return found.artifact(Journal(found).load().files[name]["sha256"]).read_text("utf-8")


def said(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    capsys.readouterr()
    assert main(list(command)) == 0
    return capsys.readouterr().out


def test_the_accounts_tell_who_paid_and_what_reuse_saved(
    server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(server) == 0
    assert run(server, "--run", "other") == 0
    found = [json.loads(line) for line in said(capsys, "teacher", ".", "--json").splitlines()]
    paid, saved, total = found
    assert total == {"answers": 30, "dollars": paid["dollars"], "altered": 0}
    read, written = server.bill.input_tokens, server.bill.output_tokens
    assert paid["dollars"] == pytest.approx((read * 3.3 + written * 16.5) / 1e6)
    assert (
        paid.items()
        >= {"run": "ask/0", "answers": 30, "input_tokens": read, "output_tokens": written}.items()
    )
    assert saved == {k: v for k, v in paid.items() if k not in ("model", "run", "useless")} | {
        "reused_by": "other"
    }
    text = said(capsys, "teacher", ".")
    assert "claude-sonnet-4-5" in text
    assert "other: reuse saved 30 answers" in text


def test_answers_are_exported_as_rows_that_can_be_trained_on(
    server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(server) == 0
    assert "30 answers" in said(capsys, "teacher", "--export", "out.jsonl")
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert {row["messages"][-2]["content"] for row in rows} == {
        f"Write something, number {n}." for n in range(30)
    }
    assert all([turn["role"] for turn in row["messages"]] == ["system", "user", "assistant"] for row in rows)
    assert all(row["messages"][-2]["content"] in row["messages"][-1]["content"] for row in rows)


def test_a_store_without_a_ledger_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no answer yet" in said(capsys, "teacher", ".")


def test_an_estimate_is_said_by_check_and_before_the_run_and_knows_the_ledger(
    server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(server)
    before = said(capsys, "check", config)
    assert "30 prompts for us.anthropic.claude-sonnet-4-5" in before
    assert "tokens in and" in before
    assert "never more than $" in before
    assert server.prompts == []
    assert run(server) == 0
    assert capsys.readouterr().err.startswith("fsm: 30 prompts for ")
    assert "30 of them answered in the ledger already." in said(capsys, "check", config)
    assert "at the quota" in said(capsys, "check", configured(server, tokens_per_minute=1000, reuse=False))


def test_a_budget_without_a_price_asks_nothing_and_names_what_to_write(
    server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    more: dict[str, Any] = {"teacher": ", model_id: my.own-model", "max_cost_usd": 1}
    for command in ("check", "run"):
        assert main([command, configured(server, **more)]) == 2
        assert 'teacher_generation.prices: {"my.own-model"' in capsys.readouterr().err
    assert server.prompts == []
    server.models["my.own-model"] = Model(profile_only=False)
    assert run(server, **more, prices={"my.own-model": {"input": 1, "output": 1}}) == 0


@pytest.mark.parametrize("budget", [0, -1, "none"])
def test_a_budget_of_nothing_is_refused_with_its_line(
    server: Any, capsys: pytest.CaptureFixture[str], budget: Any
) -> None:
    assert main(["check", configured(server, max_cost_usd=budget)]) == 2
    assert "ask.yaml:11:17: error" in (told := capsys.readouterr().out)
    assert "max_cost_usd" in told


def test_a_budget_stops_a_run_and_a_larger_one_goes_on_with_it_and_pays_for_nothing_twice(
    server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(server, max_cost_usd=0.02) == 3
    told = capsys.readouterr().err
    assert "teacher_generation.max_cost_usd $0.02" in told
    assert "are left" in told
    paid = len(server.prompts)
    assert 0 < paid < 30
    assert server.bill.dollars <= Decimal("0.02")
    assert run(server, max_cost_usd=0.02) == 3  # it is what it is
    assert len(server.prompts) <= paid + 1
    assert run(server, max_cost_usd=1) == 0
    assert sorted(server.prompts) == sorted(set(server.prompts))
    assert len(server.prompts) == 30


def test_where_the_bound_on_a_long_prompt_is_over_the_budget_its_tokens_are_counted(
    server: Any, replies: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token a byte is four times what it is: by the bound alone not one of these prompts could be asked."""
    texts = [f"Write {n}: " + "words that are long enough " * 100 for n in range(3)]
    (here / "prompts.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    server.reply = lambda prompt, attempt: replies.converse("int x;")
    settings = {"max_cost_usd": 0.012, "teacher": ", max_tokens: 16"}
    with monkeypatch.context() as patch:
        patch.setattr(BedrockTeacher, "count", lambda self, prompt: None)
        assert run(server, **settings) == 3
    assert server.prompts == []
    assert run(server, **settings) == 0
    assert len(server.prompts) == 3
    assert server.bill.dollars <= Decimal("0.012")


def test_a_teacher_that_answers_prose_stops_the_run_and_what_it_said_is_kept(
    server: Any, replies: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    server.reply = lambda prompt, attempt: replies.converse("A ring buffer is a fine data structure.")
    assert run(server, check="compiles") == 3
    told = capsys.readouterr().err
    assert "answers to 30 prompts 30 are nothing to learn from (prose 30)" in told
    assert "See teacher/turned_away.jsonl" in told
    rows = [json.loads(line) for line in file_of("teacher/turned_away.jsonl").splitlines()]
    assert len(rows) == 30
    assert rows[0]["prompt"] == "Write something, number 0."
    assert rows[0]["answer"] == "A ring buffer is a fine data structure."
    assert (rows[0]["cause"], rows[0]["reason"].startswith("turned away: ")) == ("prose", True)
    summary = json.loads(file_of("teacher/summary.json"))
    assert (summary["turned_away"], summary["turned_away_share"], summary["failed"]) == (30, 1.0, 0)


def test_few_answers_may_be_turned_away_and_the_summary_is_a_table(
    server: Any, replies: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(prompt: str, attempt: int) -> Any:
        return replies.converse("Certainly." if "number 7." in prompt else GOOD.format(prompt))

    server.reply = reply
    assert main(["run", configured(server, check="compiles"), "--log", "console"]) == 0
    told = capsys.readouterr()
    table = [line for line in (told.out + told.err).splitlines() if "PrintSummary" in line]
    assert any("answered" in line and "29 (96.7%)" in line for line in table)
    assert any("prose" in line and line.rstrip().endswith("1") for line in table) or "prose" in "".join(table)
    assert "| turned away | 1 (3.3%) |" in file_of("teacher/summary.md")
    assert len(file_of("teacher/outputs.jsonl").splitlines()) == 29
    assert json.loads(file_of("teacher/summary.json"))["turned_away_for"] == {"prose": 1}


def test_the_checkpoint_is_a_record_of_the_run_that_names_entries_of_the_ledger(server: Any) -> None:
    assert run(server) == 0
    checkpoint = json.loads(file_of("teacher/checkpoint.json"))
    rows = [json.loads(line) for line in file_of(checkpoint["newest"]).splitlines()]
    names = [name for row in rows for name in row["entries"]]
    assert len(names) == 10
    assert set(open_store(".").shelf("teacher").read(names)) == set(names)
