"""A job on this machine: what it finds is what a SageMaker container finds, and it survives what kills it."""

from __future__ import annotations

import json
import os
import signal
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fsm.errors import RunBusy
from fsm.store import Scratch
from fsm.store.local import LocalStore
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.environment import Layout, variables
from phases.sagemaker_job.handlers import channels
from phases.sagemaker_job.job import JobRefused, JobSpec
from phases.sagemaker_job.local import LocalProvider, pack
from tests.phases.sagemaker_job.waiting import finished

CONFIG = """
machine: data_preparation
data_preparation: {{source: {source}}}
"""
FUNCTION = "static int gate_is_open(int gate, int now) {\n    return (now >> gate) & 1;\n}\n"


@pytest.fixture
def spec(tmp_path: Path) -> JobSpec:
    source = tmp_path / "source" / "tsn_data"
    source.mkdir(parents=True)
    for n in range(4):
        (source / f"gate{n}.c").write_text(FUNCTION.replace("gate_is", f"gate{n}_is"))
    config = tmp_path / "pipeline.yaml"
    config.write_text(CONFIG.format(source=tmp_path / "source"))
    words = {"machine": "data_preparation", "run": "inner", "store": str(tmp_path / "store"), "seed": "7"}
    return JobSpec("job-1", {"config": {"pipeline.yaml": config}}, words)


@pytest.fixture
def provider(tmp_path: Path) -> LocalProvider:
    return LocalProvider(
        tmp_path / "jobs",
        SageMakerJobConfig(output=str(tmp_path / "out"), grace_seconds=2, poll_seconds=0.05),
    )


@pytest.mark.parametrize(
    ("there", "given"),
    [
        ((), {}),
        (("teacher/outputs.jsonl",), {"train": {"teacher.jsonl": "teacher/outputs.jsonl"}}),
        (
            ("data/processed/train.jsonl", "data/processed/val.jsonl", "data/splits/train.jsonl"),
            {
                "train": {"train.jsonl": "data/processed/train.jsonl"},
                "validation": {"val.jsonl": "data/processed/val.jsonl"},
            },
        ),
    ],
)
def test_a_job_is_given_what_the_artifacts_at_hand_give(there: tuple[str, ...], given: object) -> None:
    ctx: Any = SimpleNamespace(has=lambda name: name in there)
    assert channels(ctx) == given


def test_a_job_runs_the_machine_in_a_run_of_its_own_and_packs_the_model(
    provider: LocalProvider, spec: JobSpec, tmp_path: Path
) -> None:
    name = provider.create(spec)
    job = finished(provider, name)
    assert job.status == "Completed", (tmp_path / "jobs" / name / "container.log").read_text()
    assert [s for s, _ in job.history] == [
        "Pending",
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    records = (tmp_path / "store" / "runs" / "inner" / "journal.jsonl").read_text().splitlines()
    assert json.loads(records[-1])["end"]["outcome"] == "done"
    with tarfile.open(job.model) as model:
        assert model.getnames() == []


def test_creating_it_again_adopts_it(provider: LocalProvider, spec: JobSpec) -> None:
    first = provider.create(spec)
    assert provider.create(spec) == first
    assert finished(provider, first).status == "Completed"
    assert provider.create(spec) == first


def test_a_job_that_failed_is_not_adopted_and_its_reason_is_the_containers(
    provider: LocalProvider, spec: JobSpec, tmp_path: Path
) -> None:
    spec.channels["config"]["pipeline.yaml"].write_text(
        "machine: data_preparation\ndata_preparation: {source: /no/where}\n"
    )
    name = provider.create(spec)
    job = finished(provider, name)
    assert job.status == "Failed"
    assert "/no/where" in job.failure
    again = provider.create(spec)
    assert again == "job-1-2"
    assert finished(provider, again).checkpoints == job.checkpoints, (
        "the next attempt goes on from its checkpoints"
    )


def test_a_killed_job_is_started_again(provider: LocalProvider, spec: JobSpec, tmp_path: Path) -> None:
    name = provider.create(spec)
    lock = tmp_path / "jobs" / name / "job.lock"
    deadline = time.monotonic() + 20
    while not lock.exists() or not lock.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(int(lock.read_text()), signal.SIGKILL)
    assert finished(provider, name).status == "Completed"


def test_the_scratch_that_a_job_works_in_is_not_removed_before_it_is_over(
    spec: JobSpec, tmp_path: Path
) -> None:
    """The run that follows the job may have gone, and its name been begun anew."""
    run = LocalStore(tmp_path / "store").run("outer")
    run.write_header(b"{}")
    scratch = Scratch(tmp_path / "work", run)
    provider = LocalProvider(scratch.directory("jobs"), SageMakerJobConfig(output=str(tmp_path / "out")))
    name = provider.create(spec)
    lock = scratch.path / "jobs" / name / "job.lock"
    deadline = time.monotonic() + 20
    while not lock.exists() or not lock.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(RunBusy):
        scratch.remove()
    assert finished(provider, name).status == "Completed"
    while alive(lock.read_text()):
        assert time.monotonic() < deadline + 60
        time.sleep(0.01)
    assert scratch.remove()


def alive(pid: str) -> bool:
    """Whether the process is there, and more than a name that nobody has asked after."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_container_does_not_outlive_its_supervisor(
    provider: LocalProvider, spec: JobSpec, tmp_path: Path
) -> None:
    """Or the next supervisor's container would find another at its run, and the job would fail."""
    name = provider.create(spec)
    supervisor = Path(f"/proc/{(tmp_path / 'jobs' / name / 'job.lock').read_text()}")
    children = supervisor / "task" / supervisor.name / "children"
    deadline = time.monotonic() + 20
    while not (container := children.read_text().split()):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.kill(int(supervisor.name), signal.SIGKILL)
    while alive(container[0]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert finished(provider, name).status == "Completed"


def test_a_channel_without_its_file_is_refused(
    provider: LocalProvider, spec: JobSpec, tmp_path: Path
) -> None:
    with pytest.raises(JobRefused, match=r"missing\.jsonl"):
        provider.create(JobSpec("job-2", {"train": {"train.jsonl": tmp_path / "missing.jsonl"}}, {}))


def test_the_environment_is_that_of_the_training_toolkit(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    found = variables(layout, "job", ["train", "config"], {"epochs": "3"}, "eu-west-1")
    assert found["SM_CHANNEL_TRAIN"] == str(tmp_path / "input" / "data" / "train")
    assert found["SM_MODEL_DIR"] == str(tmp_path / "model")
    assert found["SM_HP_EPOCHS"] == "3"
    assert json.loads(found["SM_TRAINING_ENV"])["hyperparameters"] == {"epochs": "3"}
    assert json.loads(found["SM_CHANNELS"]) == ["config", "train"]


def test_a_packed_model_depends_on_names_and_contents_alone(tmp_path: Path) -> None:
    packed = []
    for n in range(2):
        model = tmp_path / f"model{n}"
        (model / "sub").mkdir(parents=True)
        for name in ("b", "a") if n else ("a", "b"):
            (model / "sub" / name).write_text(name)
            os.utime(model / "sub" / name, (n, n))
        pack(model, tmp_path / f"{n}.tar.gz")
        packed.append((tmp_path / f"{n}.tar.gz").read_bytes())
    assert packed[0] == packed[1]


def test_a_job_is_given_the_variables_that_its_configuration_names_and_no_secret_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsm import config, session

    monkeypatch.setenv("CORPUS", "configs/corpus")
    monkeypatch.setenv("TEACHERS_API_KEY", "not-to-be-told")
    monkeypatch.setenv("ANOTHER", "unasked")
    file = tmp_path / "pipeline.yaml"
    file.write_text(
        "machine: sagemaker_job\n"
        f"store: {tmp_path}\nwork: {tmp_path / 'work'}\nrun: {{name: outer}}\n"
        "sagemaker_job: {machine: data_preparation, poll_seconds: 0.05}\n"
        'data_preparation: {source: "${CORPUS}", endpoint_url: "${TEACHERS_API_KEY:-}"}\n'
    )
    session.run(config.load(file))
    (told,) = tmp_path.rglob("job.json")
    assert json.loads(told.read_text())["environment"] == {
        "CORPUS": "configs/corpus",
        "FSM_LAUNCHED_BY": "outer/0",
    }
