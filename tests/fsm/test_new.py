"""`fsm new` makes a pipeline that runs, is killed, goes on, and is proved."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fsm.cli import main
from fsm.journal import Journal
from fsm.store import open_store


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
    killing = (
        "import os, signal, sys\nfrom fsm.store.local import LocalRun\nappend = LocalRun.append\n"
        "def deadly(self, seq, line):\n    append(self, seq, line)\n    if seq == 7: os.kill(os.getpid(), signal.SIGKILL)\n"
        "LocalRun.append = deadly\nfrom fsm.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    words = [sys.executable, "-c", killing, "run", "dice/dice.yaml", "--log", "none"]
    died = subprocess.run(words, env=os.environ, check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert main(["run", "dice/dice.yaml", "--log", "none"]) == 0
    records = list(Journal(open_store(".").run("dice")).records())
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
