"""`fsm resume-due`: only what is due is gone on with, however its runner ended."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from fsm.store import open_store
from fsm.upkeep import due, going
from tests.fsm.upkeep.conftest import Office


def seq(office: Office, name: str) -> int:
    return int(office.status(name)["records"])


def test_what_waits_longer_is_left_alone(office: Office) -> None:
    office.run("late", seconds=3600)
    office.run_until_due("soon")
    before = seq(office, "late")
    rows = office.resume_due("--json").rows
    assert [(r["run"], r["outcome"]) for r in rows] == [("soon", "waiting")]
    assert seq(office, "late") == before


def test_nothing_due_is_said(office: Office) -> None:
    office.run("late", seconds=3600)
    said = office.resume_due()
    assert (said.code, said.out) == (0, "")
    assert "nothing is due" in said.err


def test_a_store_without_runs_has_nothing_due(office: Office) -> None:
    assert "nothing is due" in office.resume_due().err


def test_a_dry_run_says_what_is_due_and_leaves_it(office: Office) -> None:
    office.run()
    office.of("answer", "r", "Yes")
    before = seq(office, "r")
    assert office.resume_due("--dry-run").out == "r  it is answered\n"
    assert seq(office, "r") == before


def test_a_run_whose_runner_was_killed_while_it_waited_is_found_by_its_journal(office: Office) -> None:
    office.run_until_due("r")
    live = Path(office.store) / "runs" / "r" / "live.json"
    said = json.loads(live.read_text())
    live.write_text(json.dumps(said | {"status": "running", "waiting": None}))
    assert office.resume_due("--json").row["outcome"] == "waiting"


def test_a_run_without_its_note_is_due_and_needs_its_configuration(office: Office) -> None:
    office.run_until_due("r")
    (Path(office.store) / "runs" / "r" / "live.json").unlink()
    said = office.resume_due("--json")
    assert said.code == 2
    assert "Give it with --config." in said.row["message"]
    config = str(office.directory / "r.yaml")
    assert office.resume_due("--json", "--config", config).row["outcome"] == "waiting"


def test_a_configuration_that_is_gone_is_named(office: Office) -> None:
    office.run_until_due("r")
    (office.directory / "r.yaml").unlink()
    assert "which is not on this machine" in office.resume_due("--json").row["message"]


def test_another_runs_trouble_does_not_hold_up_the_rest(office: Office) -> None:
    office.run_until_due("a", "b")
    live = Path(office.store) / "runs" / "a" / "live.json"
    live.write_text(json.dumps(json.loads(live.read_text()) | {"again": None}))
    said = office.resume_due("--json")
    assert said.code == 2
    assert {r["run"]: r["outcome"] for r in said.rows} == {"a": "refused", "b": "waiting"}


def test_the_exit_code_tells_a_failure_edge_from_trouble(office: Office) -> None:
    """A run that ends by a failure edge has been gone on with."""
    office.run()
    office.of("answer", "r", "No")
    said = office.resume_due("--json")
    assert (said.code, said.row["outcome"]) == (0, "failed")


def test_a_process_that_dies_is_told(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.run_until_due("r")
    monkeypatch.setattr(going, "_go_on", lambda by, log: os.kill(os.getpid(), 9))
    said = office.resume_due("--json")
    assert (said.code, said.row["outcome"]) == (-9, "lost")


def test_at_least_one_at_once(office: Office) -> None:
    assert office.resume_due("--at-once", "0").code == 2


def test_of_many_runs_only_those_that_are_due_are_opened(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journals are read of none; what is not due is told by the note that its runner has left."""
    office.run("r", seconds=3600)
    runs = Path(office.store) / "runs"
    note = json.loads((runs / "r" / "live.json").read_text())
    soon = note | {"waiting": [note["waiting"][0] | {"until": time.time() - 1}]}
    for n in range(50):
        (runs / f"n{n:02}").mkdir()
        (runs / f"n{n:02}" / "run.json").write_text("{}")
        (runs / f"n{n:02}" / "live.json").write_text(json.dumps(soon if n % 10 == 0 else note))

    def read(*_: object) -> None:
        raise AssertionError("a journal was read")

    monkeypatch.setattr(due, "_by_journal", read)
    found = [one.name for one in due.due(open_store(office.store), time.time())]
    assert found == ["n00", "n10", "n20", "n30", "n40"]
