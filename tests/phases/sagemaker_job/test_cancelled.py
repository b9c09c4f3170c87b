"""A cancelled run stops its job: the one it follows, and the one that its journal does not know of yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsm.engine import StopRequested
from fsm.journal import requests
from fsm.store import open_store
from phases.sagemaker_job import aws, handlers
from phases.sagemaker_job.aws import SageMakerProvider
from tests.servers.fixtures import S3
from tests.servers.launcher import Launcher, launched


@pytest.fixture
def launcher(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    with launched(s3, tmp_path, monkeypatch, settles=0.0) as launcher:
        yield launcher


def cancel(launcher: Launcher) -> None:
    run = open_store(launcher.store, **launcher.options).run("launch")
    requests.put(run, requests.CANCEL, requests.CancelRequest(id="c", by="ada"))


def comes_to_training(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher that is stopped while it follows the job."""
    launcher.crash(1)
    launcher.tells("Starting", "Downloading", "Training")

    def interrupted(ctx: Any) -> None:
        raise StopRequested

    with monkeypatch.context() as patch:
        patch.setattr(handlers, "_pause", interrupted)
        with pytest.raises(StopRequested):
            launcher.go()
    assert launcher.walked()[-1][0] == "Downloading"


def stopped(launcher: Launcher) -> bool:
    return launcher.job["TrainingJobStatus"] in ("Stopping", "Stopped")


def test_a_job_that_is_followed_is_stopped(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    comes_to_training(launcher, monkeypatch)
    cancel(launcher)
    assert launcher.go().outcome == "cancelled"
    assert stopped(launcher)


def test_a_job_that_the_journal_does_not_know_of_is_found_by_its_name_and_stopped(launcher: Launcher) -> None:
    launcher.crash(1)
    cancel(launcher)
    assert launcher.go().outcome == "cancelled"
    assert stopped(launcher)


def test_where_no_job_was_created_there_is_none_to_stop(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "SETTLING", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(SageMakerProvider, "create", lambda self, spec: _not_allowed())
        assert launcher.go().outcome == "stopped"
    cancel(launcher)
    assert launcher.go().outcome == "cancelled"
    assert launcher.service.jobs == {}


def test_a_job_that_is_over_is_left_as_it_is(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    comes_to_training(launcher, monkeypatch)
    launcher.tells("Starting", "Downloading", "Training", "Completed", over="Completed")
    cancel(launcher)
    assert launcher.go().outcome == "cancelled"
    assert launcher.job["TrainingJobStatus"] == "Completed"


def test_a_run_whose_job_cannot_be_stopped_is_not_over(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    comes_to_training(launcher, monkeypatch)
    cancel(launcher)
    with monkeypatch.context() as patch:
        patch.setattr(SageMakerProvider, "stop", lambda self, name: _not_allowed())
        outcome = launcher.go()
    assert outcome.outcome == "stopped"
    assert "cannot be ended: PermissionError: not allowed" in outcome.message
    assert not stopped(launcher)
    assert launcher.go().outcome == "cancelled"
    assert stopped(launcher)


def _not_allowed() -> Any:
    raise PermissionError("not allowed")
