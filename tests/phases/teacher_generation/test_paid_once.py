"""From the command line: what was paid for is the store's, whatever becomes of the run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fsm.cli import main
from fsm.journal import Journal, essence
from fsm.store import open_store

CONFIG = """
machine: teacher_generation
recovery: error_recovery
run: {{name: ask, seed: 1}}
teacher_generation:
  teacher: {{kind: bedrock, endpoint_url: "{url}"}}
  prompts: prompts.jsonl
  max_retries: 1
  backoff_base_s: 0.001
  workers: 4
  max_failed_share: {share}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Any) -> Path:
    monkeypatch.chdir(tmp_path)
    prompts = "".join(json.dumps({"prompt": f"Write function {n}."}) + "\n" for n in range(20))
    (tmp_path / "prompts.jsonl").write_text(prompts)
    return tmp_path


def run(server: Any, *arguments: str, share: float = 0.05) -> int:
    Path("ask.yaml").write_text(CONFIG.format(url=server.url, share=share))
    return main(["run", "ask.yaml", "--log", "none", *arguments])


def rows(name: str, run: str = "ask") -> list[dict[str, Any]]:
    found = open_store(".").run(run)
    text = found.artifact(Journal(found).load().files[name]["sha256"]).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def broken(replies: Any, *numbers: int) -> Any:
    def reply(prompt: str, attempt: int) -> Any:
        if int(re.findall(r"\d+", prompt)[0]) in numbers:
            return replies.failure(500, "InternalServerException")
        return replies.converse(f"int f(void);  /* {prompt} */")

    return reply


def test_begun_anew_or_under_another_name_nothing_is_paid_for_and_the_journal_is_the_same(
    server: Any, here: Path
) -> None:
    assert run(server) == 0
    before = [essence(record) for record in Journal(open_store(".").run("ask")).records()]
    assert run(server, "--fresh") == 0
    assert run(server, "--run", "other") == 0
    assert len(server.prompts) == 20
    for name in ("ask", "other"):
        assert [essence(record) for record in Journal(open_store(".").run(name)).records()] == before
    assert "ledger" not in (here / "runs/other/journal.jsonl").read_text()


def test_a_run_that_ended_within_its_share_is_asked_again_for_what_failed_and_pays_for_nothing_else(
    server: Any, replies: Any
) -> None:
    server.reply = broken(replies, 3, 7)
    assert run(server, share=0.1) == 0
    assert len(rows("teacher/outputs.jsonl")) == 18
    server.prompts.clear()
    server.reply = broken(replies)
    assert run(server, share=0.1) == 0  # it is done, and stays so
    assert server.prompts == []
    assert run(server, "--retry-failed", share=0.1) == 0
    assert sorted(server.prompts) == ["Write function 3.", "Write function 7."]
    assert len(rows("teacher/outputs.jsonl")) == 20
    records = Path("runs/ask/journal.jsonl").read_bytes()
    assert run(server, "--retry-failed", share=0.1) == 0  # nothing of it failed
    assert Path("runs/ask/journal.jsonl").read_bytes() == records


@pytest.mark.parametrize("again", [(), ("--retry-failed",)])
def test_a_run_that_stopped_over_its_share_goes_on_by_either_command(
    server: Any, replies: Any, again: tuple[str, ...]
) -> None:
    server.reply = broken(replies, 3, 7)
    assert run(server) == 3
    server.prompts.clear()
    server.reply = broken(replies)
    assert run(server, *again) == 0
    assert sorted(server.prompts) == ["Write function 3.", "Write function 7."]


def test_it_stops_resumable_with_one_paragraph_and_goes_on_where_it_stood(
    server: Any, replies: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = broken(replies)

    def spent(prompt: str, attempt: int) -> Any:
        if len(server.prompts) > 8:
            return replies.failure(429, "ThrottlingException", "Too many tokens per day, please wait.")
        return answers(prompt, attempt)

    server.reply = spent
    assert run(server) == 3
    assert len(server.prompts) <= 8 + 4
    before, said = capsys.readouterr().err.splitlines()
    assert "20 prompts for" in before  # what it will come to, said before it begins
    assert "Too many tokens per day" in said
    assert "give the same command again" in said
    assert "Traceback" not in said
    server.prompts.clear()
    server.reply = answers
    assert run(server) == 0
    assert len(server.prompts) == 12
    assert len(rows("teacher/outputs.jsonl")) == 20


def test_the_ledger_of_a_machine_that_was_lost_in_mid_write_is_read(server: Any, here: Path) -> None:
    assert run(server) == 0
    ledger = here / "teacher" / "entries.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-30])
    assert run(server, "--fresh") == 0
    assert len(server.prompts) == 21
    assert run(server, "--fresh") == 0
    assert len(server.prompts) == 21
