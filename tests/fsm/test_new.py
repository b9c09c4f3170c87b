"""`fsm new` makes a pipeline that runs, is killed, goes on, and is proved."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fsm import load
from fsm.cli import main
from fsm.testing import kill_at


@pytest.fixture
def dice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "dice"]) == 0
    return Path("dice")


def test_it_is_sound_runs_is_killed_and_goes_on(dice: Path) -> None:
    assert {p.name for p in dice.iterdir()} == {
        "dice.mmd",
        "dice.yaml",
        "errors.mmd",
        "handlers.py",
        "test_dice.py",
    }
    assert main(["check", "dice/dice.yaml"]) == 0
    run = load("dice/dice.yaml")
    kill_at(run, 7)
    assert main(["run", "dice/dice.yaml", "--log", "none"]) == 0
    records = run.history()
    assert [r["epoch"] for r in records[7:9]] == [1, 2]
    assert "TimeoutError" in [r["error"] for r in records if r["kind"] == "error"], (
        "its recovery is in the journal"
    )


def test_its_own_tests_pass(dice: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "dice"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.parametrize("name", ["json", "class", "Dice", "9lives", "a b", "", "a" * 41, "dice"])
def test_a_name_that_cannot_be_one_is_refused_and_nothing_is_written(
    dice: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", name]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert [p.name for p in Path().iterdir()] == ["dice"]
