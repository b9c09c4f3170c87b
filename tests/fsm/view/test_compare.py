"""`fsm compare` says where two runs part, and what differs after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsm.cli import main
from fsm.new import make


@pytest.fixture
def dice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """Three runs of one pipeline: two alike, and one with another seed."""
    monkeypatch.chdir(tmp_path)
    make("dice")
    for words in ([], ["--run", "again"], ["--run", "other", "--seed", "7"]):
        assert main(["run", "dice/dice.yaml", "--log", "none", *words]) == 0
    capsys.readouterr()
    return tmp_path


def test_runs_that_did_the_same_are_said_to(dice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "dice", "again"]) == 0
    *settings, last = capsys.readouterr().out.splitlines()
    assert last == "dice and again did the same"
    assert [line.split() for line in settings] == [["settings"], ["config.run.name", "dice", "again"]]


def test_where_two_runs_part_and_what_differs_after_it(
    dice: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "dice", "other", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["settings"]["seed"] == [42, 7]
    parted = said["parted"]
    assert (parted["machine"], parted["from"]) == ("dice", "Measure.Throw")
    assert parted["seq"][0] == parted["seq"][1] == 2, "behind the claim and Prepare"
    assert set(said["artifacts"]) == {"report.json"}
    assert set(said["numbers"]["report.json"]) <= {"mean", "error", "throws"}
    assert said["ended"] is None
    assert main(["compare", "dice", "other"]) == 1
    shown = capsys.readouterr().out
    assert "they part at record 2 and record 2, in dice: Measure.Throw" in shown
    assert "report.json" in shown


def test_a_run_that_is_not_there_is_told(dice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "dice", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err


def test_one_that_has_gone_less_far_differs_by_its_end(
    dice: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = next((dice / "runs" / "again").glob("journal*"))
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))
    assert main(["compare", "again", "dice", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["parted"]["what"] == "the journal"
    assert said["ended"][0] is None
    assert said["artifacts"]["report.json"][0] is None
