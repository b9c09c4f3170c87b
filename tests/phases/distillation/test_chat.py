"""`fsm chat` answers as Generate did, from the run's own artifacts alone."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from fsm.cli import main
from fsm.store import open_store
from phases.distillation import chat, revived, stored
from phases.quality_scoring import score
from tests.phases.distillation.store import CLAIM, step, write

NAME = "distillation-local"


def test_a_prompt_of_the_frozen_set_gets_the_answer_that_was_recorded(learned: Path) -> None:
    found = stored.find(open_store(str(learned)), "local")
    recorded = found.rows("distillation/epoch-1/held_out_outputs.jsonl")
    assert len({o["text"] for o in recorded}) == len(recorded)
    assert chat.chat(found, recorded[2]["prompt"])["answer"] == recorded[2]


def test_the_command_prints_the_answer_and_scores_it(
    learned: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Write add_99 for a TSN gate."))
    assert main(["chat", NAME, "--store", str(learned), "--prompt", "-", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["answer"]["prompt"] == "Write add_99 for a TSN gate."
    expected = score(said["answer"]["text"], said["answer"]["prompt"]).as_dict()
    assert said["score"] == json.loads(json.dumps(expected))
    assert main(["chat", NAME, "--store", str(learned), "--prompt", "Write add_99 for a TSN gate."]) == 0
    shown = capsys.readouterr()
    assert shown.out == said["answer"]["text"] + "\n"
    assert f"score {said['score']['overall']:.2f}" in shown.err
    assert "student of epoch 1" in shown.err


def test_another_kind_of_machine_is_told(learned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from phases.student import processor

    found = stored.find(open_store(str(learned)), NAME)
    assert revived.trained_elsewhere(found) is None
    monkeypatch.setattr(processor, "kind", lambda: "abacus")
    assert "abacus" in (revived.trained_elsewhere(found) or "")


# Bad input


def test_an_empty_prompt_is_refused(learned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", NAME, "--store", str(learned), "--prompt", " "]) == 2
    assert "--prompt is empty" in capsys.readouterr().err


def test_a_model_that_lies_on_another_machine_is_named_and_may_be_given(
    learned: Path, micro: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = stored.find(open_store(str(learned)), NAME)
    content = {n: found.open(n) for n in found.fold.files if "/base/" not in n}
    section = {**found.header["config"]["qlora_training"], "model": "/opt/ml/granite"}
    config = {**found.header["config"], "qlora_training": section}
    whole = step("distillation", "Setup.CreateDirs", ["SaveMetrics"], files=sorted(content))
    write(tmp_path, "it", [CLAIM, whole], content, config=config)
    args = ["chat", "it", "--store", str(tmp_path), "--json", "--prompt"]
    assert main([*args, "x"]) == 2
    shown = capsys.readouterr()
    assert "/opt/ml/granite, and that directory is not on this machine" in shown.err
    assert json.loads(shown.out)["code"] == "P102"
    recorded = found.rows("distillation/epoch-1/held_out_outputs.jsonl")[0]
    assert main([*args, recorded["prompt"], "--base", str(micro)]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] == recorded


def test_a_tiny_student_that_its_run_has_lost_is_missed(
    learned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = stored.find(open_store(str(learned)), NAME)
    content = {n: found.open(n) for n in found.fold.files if "/base/" not in n}
    whole = step("distillation", "Setup.CreateDirs", ["SaveMetrics"], files=sorted(content))
    write(tmp_path, "it", [CLAIM, whole], content, config=found.header["config"])
    assert main(["chat", "it", "--store", str(tmp_path), "--prompt", "x"]) == 2
    assert "--base" in capsys.readouterr().err
