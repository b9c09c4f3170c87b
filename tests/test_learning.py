"""The configuration that a newcomer runs: the tiny student learns to answer what it is asked, and the loop ends by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`fsm report --json` of the distillation of configs/local.yaml."""
    home = tmp_path_factory.mktemp("learning")
    words = yaml.safe_load((ROOT / "configs" / "local.yaml").read_text())
    words["data_preparation"]["source"] = str(ROOT / "configs" / "corpus")
    (home / "local.yaml").write_text(yaml.safe_dump(words))
    environment = os.environ | {
        "FSM_CACHE": str(home / "cache"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }

    def fsm(*arguments: str) -> str:
        command = [sys.executable, "-m", "fsm.cli", *arguments]
        done = subprocess.run(
            command, cwd=home, env=environment, capture_output=True, text=True, timeout=1200, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    fsm("run", "local.yaml", "--log", "none")
    return json.loads(fsm("report", "local", "--json"))


def test_the_loop_ends_by_the_drawn_rule_unaided(report: Any) -> None:
    assert (report["ended"]["outcome"], report["ended"]["rule"]) == ("converged", "avg_score")
    assert report["ended"]["lag"] is None
    assert report["totals"]["epochs"] < 10


def test_prompts_in_words_never_trained_on_are_answered(report: Any) -> None:
    """Bits, and so scores, differ between kinds of processor: the thresholds leave room for that."""
    first, last = (report["epochs"][place]["held_out"] for place in (0, -1))
    assert first["overall"]["mean"] < 6.5
    assert last["overall"]["mean"] > 7.5
    assert last["syntax"]["mean"] > 6.0  # 0 for an answer to another question
    assert last["overall"]["low"] > first["overall"]["high"]


def test_what_is_corrected_enters_the_training_set_and_nothing_is_asked_twice(report: Any) -> None:
    before = 195
    assert report["epochs"][0]["examples"]["before"] == before
    assert report["epochs"][-1]["examples"]["after"] == before + report["totals"]["corrections"]["accepted"]
    assert 0 < report["totals"]["corrections"]["asked"] <= 40
