"""A rented job and whoever follows it: found again after any crash, walked whole however late, stopped only when asked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest

from fsm import cli
from fsm.engine import StopRequested
from fsm.journal import Journal
from fsm.store import open_store
from phases import errors
from phases.sagemaker_job import logs
from phases.sagemaker_job.reasons import failed
from tests.servers.disturbed import disturbed
from tests.servers.fixtures import S3
from tests.servers.launcher import Launcher, launched
from tests.servers.proxy import Proxy
from tests.servers.s3 import REGION


@pytest.fixture
def launcher(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    with launched(s3, tmp_path, monkeypatch, settles=0.05) as launcher:
        yield launcher


@pytest.mark.parametrize(("crashes", "settles"), [(50, 0.0), (10, 0.05)])
def test_crashes_between_the_creation_and_the_journal_leave_exactly_one_job(
    launcher: Launcher, crashes: int, settles: float
) -> None:
    """Known at once or only after a while: whatever the next launcher sees of it, its name is taken."""
    launcher.service.settles = settles

    def as_if_just_created() -> None:
        for job in launcher.service.jobs.values():
            job["CreationTime"] = time.time()

    launcher.crash(crashes, as_if_just_created)
    assert launcher.walked() == [], "none of them came to its journal"
    launcher.service.settles = 0.0
    launcher.tells("Starting", "Downloading", "Training", "Uploading", "Completed", over="Completed")
    assert launcher.go().outcome == "done"
    assert len(launcher.service.jobs) == 1


def test_a_run_whose_launcher_is_gone_is_followed_on_from_another_machine(
    launcher: Launcher, s3: S3, tmp_path: Path
) -> None:
    """All that it finds there is the bucket."""
    options = {"endpoint_url": s3.server.url, "cache": str(tmp_path / "cache")}
    homes = [tmp_path / "here", tmp_path / "there"]
    for home in homes:
        home.mkdir()
    here, there = (Launcher(launcher.service, s3.url, home, f"{s3.url}/store", **options) for home in homes)
    here.crash(1)
    shutil.rmtree(homes[0])
    launcher.tells("Starting", "Downloading", "Training", "Uploading", "Completed", over="Completed")
    assert there.go().outcome == "done"
    assert len(launcher.service.jobs) == 1


def test_a_follower_that_looks_late_still_walks_every_state(launcher: Launcher) -> None:
    thread = threading.Thread(target=_when_created, args=(launcher, lambda: launcher.tells(
        "Starting", "Downloading", "Training", "Interrupted", "Starting", "Training", "Uploading", "Completed",
        over="Completed",
    )))  # fmt: skip
    thread.start()
    assert launcher.go().outcome == "done"
    thread.join()
    assert [state for state, _ in launcher.walked()] == [
        *("Pending", "Starting", "Downloading", "Training", "Stopping", "Starting", "Downloading"),
        *("Training", "Uploading", "Completed"),
    ]


def _when_created(launcher: Launcher, then: Callable[[], None]) -> None:
    deadline = time.monotonic() + 20
    while not launcher.service.http.calls["CreateTrainingJob"] and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    then()


def test_ctrl_c_leaves_a_rented_job_alone_and_fsm_stop_ends_it(
    launcher: Launcher, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt = threading.Thread(
        target=_when_created, args=(launcher, lambda: os.kill(os.getpid(), signal.SIGINT))
    )
    interrupt.start()
    with pytest.raises(StopRequested):
        launcher.go()
    interrupt.join()
    name = launcher.job["TrainingJobName"]
    assert launcher.job["TrainingJobStatus"] == "InProgress"
    assert len(launcher.walked()) <= 1, "nothing was told yet, and yet it is known whom to stop"
    assert cli.main(["jobs"]) == 0
    listed = capsys.readouterr().out.splitlines()[-2]
    assert listed == f"{name}  Starting  1 x ml.g5.2xlarge, spot  0.0 h  $0.00 on demand"
    assert cli.main(["stop", "launch", "--store", str(launcher.home)]) == 0
    deadline = time.monotonic() + 10
    while launcher.job["TrainingJobStatus"] != "Stopped" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert launcher.go().outcome == "failed"
    assert [state for state, _ in launcher.walked()[-2:]] == ["Stopping", "Stopped"]


def test_the_log_of_a_job_is_shown_and_followed(
    launcher: Launcher, s3: S3, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = _failed(launcher, monkeypatch)
    client = boto3.client("logs", endpoint_url=s3.server.url, region_name=REGION)
    with suppress(client.exceptions.ResourceAlreadyExistsException):
        client.create_log_group(logGroupName=logs.GROUP)
    client.create_log_stream(logGroupName=logs.GROUP, logStreamName=f"{name}/algo-1-1")
    now = int(time.time() * 1000)
    lines = [f"line {n}" for n in range(60)]
    client.put_log_events(
        logGroupName=logs.GROUP,
        logStreamName=f"{name}/algo-1-1",
        logEvents=[{"timestamp": now, "message": line} for line in lines],
    )
    said = capsys.readouterr()
    assert cli.main(["logs", "launch", "--store", str(launcher.home), "--lines", "3"]) == 0
    assert capsys.readouterr().out.split("\n")[:-1] == lines[-3:], said
    assert cli.main(["logs", "launch", "--store", str(launcher.home), "--follow", "--json"]) == 0
    assert [json.loads(line)["line"] for line in capsys.readouterr().out.splitlines()] == lines


def _failed(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> str:
    create = launcher.service.http.operations["CreateTrainingJob"]

    def created(request: Any) -> Any:
        answer = create(request)
        launcher.tells(
            "Starting", "Training", "Failed", over="Failed", reason="AlgorithmError: x, exit code: 1"
        )
        return answer

    monkeypatch.setitem(launcher.service.http.operations, "CreateTrainingJob", created)
    launcher.service.settles = 0.0
    assert launcher.go().outcome == "failed"
    name: str = launcher.job["TrainingJobName"]
    return name


def test_of_a_log_the_last_lines_are_told_and_a_traceback_whole() -> None:
    plain = [str(n) for n in range(100)]
    assert logs.telling(plain) == plain[-logs.SHOWN :]
    traced = [*plain, "Traceback (most recent call last):", *(f"  frame {n}" for n in range(60)), "Error"]
    assert logs.telling(traced)[0] == "Traceback (most recent call last):"
    assert len(logs.telling(traced)) == 62


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("AlgorithmError: no rows, exit code: 1", errors.ContainerError),
        ("MaxRuntimeExceeded", errors.MaxRuntimeExceeded),
        ("CapacityError: Unable to provision requested ML compute capacity.", errors.SpotInterruption),
        ("InternalServerError: We encountered an internal error. Please try again.", errors.SpotInterruption),
        ("AlgorithmError: torch.OutOfMemoryError: CUDA out of memory., exit code: 1", errors.CUDAOutOfMemory),
        ("AlgorithmError: OSError: [Errno 28] No space left on device, exit code: 1", errors.DiskSpaceLow),
        ("ClientError: Data download failed: AccessDenied (403 Forbidden)", errors.AccessDenied),
        ("stopped", errors.NotRented),
        ("", errors.ContainerError),
    ],
)
def test_a_failure_reason_is_an_error_of_the_recovery_diagram(reason: str, error: type[Exception]) -> None:
    assert type(failed("j", reason)) is error


def test_want_of_capacity_stops_the_run_when_no_type_is_left_to_try() -> None:
    reason = "CapacityError: Unable to provision requested ML compute capacity."
    assert isinstance(failed("j", reason, spare=True), errors.SpotInterruption)
    found = failed("j", reason, spare=False)
    assert isinstance(found, errors.NotRented)
    assert "sagemaker_job.instance_type" in str(found)


def test_a_run_of_which_calls_fail_in_passing_ends_as_without(
    s3: S3, proxied: Callable[..., Proxy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher's every other call fails once, by whatever code passes; two hundred seeds: benchmarks/launching.py."""

    def walked(seed: int | None) -> list[tuple[str, str]]:
        return disturbed(s3.server.url, s3.url, proxied, tmp_path, monkeypatch, seed)

    assert walked(1) == walked(2) == walked(None)


# A job on this machine


def test_a_job_whose_launcher_was_killed_is_listed_stopped_and_adopted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "source" / "tsn_data").mkdir(parents=True)
    for n in range(4):
        (tmp_path / "source" / "tsn_data" / f"gate{n}.c").write_text(
            f"static int gate{n}_is_open(int gate, int now) {{\n    return (now >> gate) & 1;\n}}\n"
        )
    file = tmp_path / "launch.yaml"
    file.write_text(
        "machine: sagemaker_job\nrun: {name: launch}\n"
        f"store: {tmp_path}\nwork: {tmp_path / 'work'}\n"
        "sagemaker_job: {machine: data_preparation, poll_seconds: 0.05, grace_seconds: 0.2}\n"
        f"data_preparation: {{source: {tmp_path / 'source'}}}\n"
    )
    command = [sys.executable, "-m", "fsm.run", str(file), "--log", "none"]
    launcher = subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    supervisor, container = _at_work(tmp_path)
    os.kill(container, signal.SIGSTOP)  # so that it is at work for as long as the test looks
    launcher.kill()
    launcher.wait()
    assert cli.main(["runs", "--store", str(tmp_path), "--json"]) == 0
    rows = {row["run"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert (rows["launch"]["status"], rows["launch"]["workers"]) == ("stopped", [supervisor])
    assert cli.main(["runs", "--store", str(tmp_path)]) == 0
    assert f"stopped, process {supervisor} at work" in capsys.readouterr().out
    assert cli.main(["stop", "launch", "--store", str(tmp_path)]) == 0
    assert cli.main(["runs", "--store", str(tmp_path), "--json"]) == 0
    rows = {row["run"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows["launch"]["workers"] == []
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(Path.cwd())}, check=False
    )
    assert done.returncode == 0
    assert len(list(tmp_path.rglob("job.json"))) == 1, "it was adopted"


def _at_work(home: Path) -> tuple[int, int]:
    """The processes of the supervisor and of its container, when the job is in Pending no more for the launcher's journal."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(OSError, ValueError, IndexError):
            (lock,) = home.rglob("job.lock")
            supervisor = int(lock.read_text())
            container = int(Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()[0])
            begun = b"phases.sagemaker_job.container" in Path(f"/proc/{container}/cmdline").read_bytes()
            records = list(Journal(open_store(str(home)).run("launch")).records())
            if begun and any(r.get("from") == "Pending" for r in records):
                return supervisor, container
        time.sleep(0.005)
    raise AssertionError("no container came up")
