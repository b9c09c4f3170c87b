"""The whole pipeline on this machine, by its command: once through, and killed again and again.

Real handlers, a real child process for the training job, a student that is really trained; only the numbers are small.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from fsm.journal import Journal, essence
from fsm.store import open_store
from tests.crash.distilling import LOOP, QLORA

ROOT = Path(__file__).parents[1]
SMALL: dict[str, Any] = {
    "data_preparation": {"source": str(ROOT / "configs" / "corpus")},
    "teacher_generation": {"teacher": {"kind": "offline"}, "prompts": None, "generated": 12},
    "sagemaker_job": {"provider": "local", "poll_seconds": 0.2, "output": "output/jobs", "grace_seconds": 30},
    "pipeline": {"output": "output/distillation"},
    "qlora_training": QLORA,
    "distillation": LOOP,
}


class Pipeline:
    """One working directory with a configuration, and the command given in it."""

    def __init__(self, home: Path, cache: Path) -> None:
        self.home = home
        home.mkdir()
        words = {"machine": "pipeline", "recovery": "error_recovery", "run": {"name": "local"}}
        (home / "local.yaml").write_text(yaml.safe_dump(words | SMALL))
        self.environment = os.environ | {
            "FSM_CACHE": str(cache),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "fsm.run", "local.yaml", "--log", "json"]
        with (self.home / "log.txt").open("ab") as log:
            return subprocess.Popen(command, cwd=self.home, env=self.environment, stdout=log, stderr=log)

    def finish(self, seconds: float = 400) -> int:
        return self.start().wait(timeout=seconds)

    def kill_when(self, ready: Callable[[], bool], seconds: float = 200, job: bool = True) -> None:
        """Start, wait until `ready`, and kill -9 the runner and, with `job`, the job's supervisor and container."""
        claims = self.claims()
        runner = self.start()
        deadline = time.monotonic() + seconds
        while self.claims() == claims or not ready():
            assert runner.poll() is None, "the run ended before it could be killed\n" + self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        for pid in [runner.pid, *(self.job_processes() if job else ())]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        runner.wait()

    def job_processes(self) -> list[int]:
        """The supervisors of the jobs, and the containers they run."""
        locks = self.home.glob("work/local-*/jobs/*/job.lock")
        pids = [int(text) for lock in locks if (text := lock.read_text().strip())]
        for name in self.runs():
            live = open_store(str(self.home)).run(name).read_live()
            if name != "local" and live and live["status"] == "running":
                pids.append(live["pid"])
        return pids

    def runs(self) -> list[str]:
        return open_store(str(self.home)).runs()

    def records(self, name: str) -> list[dict[str, Any]]:
        return list(Journal(open_store(str(self.home)).run(name)).records())

    def has(self, inner: bool, state: str, times: int = 1) -> bool:
        """Whether some run (the pipeline's, or the distillation's) has left a state so often."""
        for name in self.runs():
            if (name != "local") == inner:
                left = [
                    r for r in self.records(name) if r["kind"] == "transition" and r["from"].endswith(state)
                ]
                return len(left) >= times
        return False

    def claims(self) -> list[int]:
        """The epochs in which the pipeline's run was taken up."""
        if "local" not in self.runs():
            return []
        return [r["epoch"] for r in self.records("local") if r["kind"] == "claim"]

    def essences(self) -> dict[str, list[dict[str, Any]]]:
        """What each run did, without times, writers and claims."""
        return {
            name: [essence(r) for r in self.records(name) if r["kind"] != "claim"] for name in self.runs()
        }

    def artifacts(self) -> dict[str, dict[str, str]]:
        """The digests of every artifact by run and name, each held against its content."""
        found = {}
        for name in self.runs():
            store = open_store(str(self.home)).run(name)
            files = {n: f["sha256"] for r in self.records(name) for n, f in r.get("files", {}).items()}
            for sha256 in files.values():
                store.artifact(sha256)
            found[name] = files
        return found

    def log(self) -> str:
        return (self.home / "log.txt").read_text()[-4000:]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Pipeline:
    pipeline = Pipeline(tmp_path_factory.mktemp("undisturbed") / "home", cache)
    assert pipeline.finish() == 0, pipeline.log()
    return pipeline


def test_it_walks_from_start_to_end_and_leaves_a_model(undisturbed: Pipeline) -> None:
    left = [r["from"] for r in undisturbed.records("local") if r["kind"] == "transition" and not r["at"]]
    phases = ["DataPreparation", "TeacherGeneration", "TrainingLaunch", "IterativeDistillation", "Complete"]
    assert left[-5:] == phases
    assert undisturbed.records("local")[-1]["end"] == {
        "outcome": "done",
        "label": "Model saved to S3",
        "last": "Complete",
    }
    assert (undisturbed.home / "output/distillation/local/model.tar.gz").stat().st_size > 1000


def test_given_again_when_it_is_over_it_does_nothing_more(undisturbed: Pipeline) -> None:
    before = undisturbed.essences()
    assert undisturbed.finish(60) == 0
    assert undisturbed.essences() == before


def test_killed_again_and_again_it_comes_to_the_same_journal_and_the_same_bytes(
    undisturbed: Pipeline, tmp_path: Path, cache: Path
) -> None:
    pipeline = Pipeline(tmp_path / "home", cache)
    pipeline.kill_when(lambda: pipeline.has(False, "S3Download.DownloadAVB"))
    pipeline.kill_when(lambda: pipeline.has(False, "ParallelExecution.CheckpointWrite"))
    pipeline.kill_when(lambda: pipeline.has(True, "Setup.LoadEvalPrompts"))
    # inside QLoRA training, between checkpoints
    pipeline.kill_when(
        lambda: any(
            pipeline.home.glob("work/local-*/jobs/*/opt/ml/checkpoints/**/checkpoint-2/complete.json")
        )
    )
    # the runner alone: the job goes on without it, and is adopted
    pipeline.kill_when(lambda: pipeline.has(True, "EpochN.Generate"), job=False)
    pipeline.kill_when(lambda: pipeline.has(True, "CreateSFTTrainer", 3))
    pipeline.kill_when(lambda: pipeline.has(True, "SaveModel"))
    assert pipeline.finish() == 0, pipeline.log()
    assert pipeline.essences() == undisturbed.essences()
    assert pipeline.artifacts() == undisturbed.artifacts()
    assert pipeline.claims() == list(range(1, 9))


def test_ctrl_c_stops_the_job_with_the_run_and_both_go_on(
    undisturbed: Pipeline, tmp_path: Path, cache: Path
) -> None:
    pipeline = Pipeline(tmp_path / "home", cache)
    runner = pipeline.start()
    deadline = time.monotonic() + 200
    while not pipeline.has(True, "TrainerSetup.CreateSFTTrainer"):
        assert runner.poll() is None, pipeline.log()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    containers = pipeline.job_processes()
    runner.send_signal(signal.SIGINT)
    assert runner.wait(timeout=60) == 3, pipeline.log()
    for pid in containers:
        assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()
    assert pipeline.finish() == 0, pipeline.log()
    assert json.dumps(pipeline.essences()) == json.dumps(undisturbed.essences())
    assert pipeline.artifacts() == undisturbed.artifacts()
