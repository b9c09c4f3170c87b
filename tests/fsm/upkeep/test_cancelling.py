"""`fsm cancel`: a run that is at rest, one whose runner is alive, one that cannot be ended, one that is over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.fsm.upkeep.conftest import Office


def test_a_run_at_rest_is_ended_with_what_it_holds_outside(office: Office) -> None:
    office.run()
    assert len(list(office.leases.iterdir())) == 1
    said = office.of("cancel", "r", "--by", "ada", "--why", "not needed")
    assert (said.code, said.err) == (0, "fsm: run r is cancelled, by ada, for: not needed.\n")
    assert list(office.leases.iterdir()) == []
    status = office.status()
    assert (status["status"], status["waiting"]) == ("cancelled", [])
    assert "cancelled by ada: not needed" in office.of("status", "r").out


def test_a_cancelled_run_is_over(office: Office) -> None:
    office.run()
    office.of("cancel", "r", "--by", "ada")
    again = office.run()
    assert again.code == 5
    assert "run r is cancelled, by ada. --fresh begins it anew." in again.err
    said = office.of("cancel", "r")
    assert said.code == 2
    assert "is over already (cancelled by ada, after Ask)" in said.err
    assert office.of("answer", "r", "Yes").code == 2
    assert office.resume_due().out == ""
    assert office.run("r", "--fresh").code == 4


def test_a_run_whose_hold_cannot_be_ended_is_not_cancelled_until_it_can_or_anyway(office: Office) -> None:
    office.run()
    (lease,) = office.leases.iterdir()
    stuck = lease.with_suffix(".stuck")
    stuck.touch()
    said = office.of("cancel", "r", "--by", "ada")
    assert said.code == 3
    assert "cannot be ended: PermissionError: the lease is not ours to end" in said.err
    assert office.status()["status"] == "waiting"
    again = office.of("cancel", "r", "--by", "bob")
    assert "ada has asked for it before" in again.err
    assert office.of("cancel", "r", "--anyway", "--by", "bob").code == 0
    last = office.of("history", "r", "--json").rows[-1]
    assert last["left"] == ["PermissionError: the lease is not ours to end"]
    assert last["end"]["by"] == "ada"


def test_what_was_not_ended_is_ended_by_whoever_opens_the_run_next(office: Office) -> None:
    office.run()
    (lease,) = office.leases.iterdir()
    stuck = lease.with_suffix(".stuck")
    stuck.touch()
    assert office.of("cancel", "r").code == 3
    stuck.unlink()
    assert office.resume_due("--json").row["outcome"] == "cancelled"


def test_without_its_configuration_the_request_waits_for_whoever_opens_the_run(office: Office) -> None:
    office.run()
    config = office.directory / "r.yaml"
    text = config.read_text()
    config.unlink()
    said = office.of("cancel", "r")
    assert said.code == 3
    assert "whoever opens the run next ends it" in said.err
    config.write_text(text)
    assert office.run().code == 5


def test_a_run_that_is_not_there_is_not_cancelled(office: Office) -> None:
    assert office.of("cancel", "nobody").code == 2


@pytest.mark.parametrize("command", ["answer", "cancel"])
def test_a_runner_that_is_alive_takes_a_request_up_by_itself(command: str, office: Office) -> None:
    """It is another process, as it may be one of another machine."""
    runner = subprocess.Popen(
        [sys.executable, "-m", "fsm.run", str(office.config()), "--run", "r", "--log", "none"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        end = time.monotonic() + 60
        while (
            office.fsm("status", "r", "--json", "--store", office.store).code
            or not office.status()["waiting"]
        ):
            assert time.monotonic() < end
            time.sleep(0.1)
        words = ["Yes"] if command == "answer" else ["--by", "ada"]
        said = office.of(command, "r", *words, "--json")
        assert said.code == 0
        assert said.row.get("alive", said.row.get("outcome")) in (True, "asked")
        _, err = runner.communicate(timeout=60)
    finally:
        if runner.poll() is None:
            runner.send_signal(signal.SIGKILL)
            runner.wait()
    assert runner.returncode == {"answer": 0, "cancel": 5}[command], err
    assert list(office.leases.iterdir()) == []
