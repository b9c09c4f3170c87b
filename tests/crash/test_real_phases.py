"""Real phases killed at every record, before its put, after it, and in the middle of the handler."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.crash_matrix import matrix
from tests.crash import harness
from tests.crash.distilling import BY_ITSELF, configuration
from tests.needs import needing
from tests.phases.distillation.answering import able

HEAVY = ("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets")  # imported once, before forking
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("machine", ["data_preparation", "teacher_generation"])
def test_a_real_phase_killed_at_every_record_comes_to_the_same_journal_and_bytes(
    machine: str, tmp_path: Path
) -> None:
    words = {
        "machine": machine,
        "recovery": "error_recovery",
        "data_preparation": {"source": str(ROOT / "configs" / "corpus")},
        "teacher_generation": {"teacher": {"kind": "offline"}, "prompts": None, "generated": 12},
    }
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump(words))
    result = matrix(file, {"run.name": machine})
    assert result["points"] >= 36
    assert result["different"] == {}


@pytest.mark.long
def test_the_epoch_loop_killed_all_over_comes_to_the_same_journal_and_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also within QLoRA training between checkpoints; every point of it is the benchmark's."""
    monkeypatch.setenv("FSM_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump(configuration(tmp_path)))
    result = matrix(file, {}, every=19, modules=HEAVY)
    assert result["records_by_machine"].keys() == {"distillation", "qlora_training", "convergence"}
    assert result["points"] >= 10
    assert result["different"] == {}


@needing("behaviour")
def test_killed_while_it_judges_itself_or_learns_preferences_it_comes_to_the_same_journal_and_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The student answers by a table, for one of this size has no right answer; all else is real, DPO too."""
    monkeypatch.setenv("FSM_CACHE", str(tmp_path / "cache"))
    able(monkeypatch)
    words = configuration(tmp_path)
    words["distillation"] |= BY_ITSELF
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump(words))

    def own(record: Mapping[str, Any]) -> bool:
        at, state = record["at"], record["from"]
        return state == "EpochN.SelfTraining.JudgeSamples" or (at, state) == (
            ["EpochN.Prefer"],
            "TrainingLoop",
        )

    result = matrix(file, {}, wheres=(harness.MIDDLE,), modules=HEAVY, of=own)
    assert result["points"] == 2
    assert result["different"] == {}
