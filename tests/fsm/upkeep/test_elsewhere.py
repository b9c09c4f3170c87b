"""Runs in a bucket, and how who looks on is shown a run that waits."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fsm.store import open_store
from fsm.view.following import Following, State
from tests.fsm.upkeep.conftest import Office
from tests.servers.fixtures import S3, aws_environment, s3, server

__all__ = ["aws_environment", "s3", "server"]


@pytest.fixture
def in_a_bucket(s3: S3, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Office:
    return Office(tmp_path, capfd, f"{s3.url}?endpoint_url={s3.server.url}&cache={tmp_path / 'cache'}")


def test_runs_in_a_bucket_are_answered_gone_on_with_and_cancelled(in_a_bucket: Office) -> None:
    office = in_a_bucket
    assert office.run("asked").code == 4
    assert office.run("late", seconds=3600).code == 4
    assert office.run("ended").code == 4
    assert office.of("answer", "asked", "Yes", "--by", "ada").code == 0
    assert office.of("answer", "asked", "No", "--by", "bob").code == 2
    assert office.of("cancel", "ended", "--by", "ada").code == 0
    assert [(r["run"], r["outcome"]) for r in office.resume_due("--json").rows] == [("asked", "done")]
    assert office.resume_due().out == ""
    assert office.status("ended")["status"] == "cancelled"
    assert office.fsm("retire", "asked", "--store", office.store, "--json").row["artifacts"] == 2


def test_a_run_that_waits_is_followed_as_one_that_does(office: Office) -> None:
    office.run()
    following = Following(open_store(office.store), "r")
    following.poll()
    assert following.state == State.WAITING
    assert following.why.startswith("Ask asks: May it be signed? Answer with `fsm answer r LABEL`")
    office.of("cancel", "r", "--by", "ada")
    time.sleep(0.6)  # until the lock is looked at again
    following.poll()
    assert (following.state, following.why) == (State.CANCELLED, "")


def test_the_terminal_says_what_is_waited_for(office: Office) -> None:
    office.run()
    office.of("cancel", "r", "--by", "ada", "--why", "no need")
    said = office.of("watch", "r", "--terminal")
    assert said.code == 5
    assert "asks: May it be signed?" in said.out
    assert "cancelled by ada: no need" in said.out
