"""A job of two hosts: one run over both, down to the client calls and the container's contract, on CPUs by gloo."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from fsm.journal import Fold, Journal
from fsm.store import open_store
from phases.rehearsal.instance import Pace
from phases.rehearsal.sagemaker import SageMaker
from phases.sagemaker_job.aws import SageMakerProvider
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import JobSpec
from phases.sagemaker_job.ranks import HOST
from phases.student import tiny
from tests.phases.qlora_training.micro import C_TEXTS, RECIPE, ROWS, settings
from tests.phases.sagemaker_job.waiting import finished
from tests.servers.fixtures import S3
from tests.servers.s3 import REGION

ROLE = "arn:aws:iam::123456789012:role/trainer"


@pytest.fixture
def service(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SageMaker]:
    def clients(name: str) -> Any:
        return boto3.client(name, endpoint_url=s3.server.url, region_name=REGION)

    with suppress(clients("iam").exceptions.EntityAlreadyExistsException):
        clients("iam").create_role(RoleName="trainer", AssumeRolePolicyDocument="{}")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.server.url)
    with SageMaker(tmp_path / "jobs", clients, settles=0, pace=Pace(0.01, 0.1, 20.0, 0.02)) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", service.url)
        yield service


@dataclass
class Launched:
    """Jobs of two hosts over one student and one store on this machine."""

    service: SageMaker
    s3: S3
    here: Path

    def __post_init__(self) -> None:
        base = tiny.build(RECIPE, C_TEXTS, self.here / "base")
        training = settings(base, epochs=2, save_steps=2).model_dump(mode="json")
        for name, rows in {"train.jsonl": ROWS, "val.jsonl": ROWS[:3]}.items():
            (self.here / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        engine = {"machine": "qlora_training", "work": str(self.here / "work")}
        sections = {**engine, "qlora_training": {**training, "min_free_gb": 0}}
        (self.here / "pipeline.yaml").write_text(yaml.safe_dump(sections))
        self.provider = SageMakerProvider(
            SageMakerJobConfig(
                provider="sagemaker",
                role=ROLE,
                staging=f"{self.s3.url}/staging",
                output=f"{self.s3.url}/output",
                instance_count=2,
            )
        )

    def begin(self, name: str) -> str:
        words = {"machine": "qlora_training", "run": name, "store": str(self.here / "store"), "seed": "7"}
        channels = {
            "train": {"train.jsonl": self.here / "train.jsonl"},
            "validation": {"val.jsonl": self.here / "val.jsonl"},
            "config": {"pipeline.yaml": self.here / "pipeline.yaml"},
        }
        return self.provider.create(JobSpec(name, channels, words))

    def adapter(self, name: str) -> bytes:
        """The adapter of a job, once it has ended well."""
        job = finished(self.provider, name, 600)
        assert (job.status, job.failure) == ("Completed", ""), self.said(name)
        body = _read(self.s3, job.model)
        with tarfile.open(fileobj=io.BytesIO(body)) as model:
            file = model.extractfile("adapter_model.safetensors")
            assert file is not None
            return file.read()

    def said(self, name: str) -> str:
        return "\n".join(p.read_text()[-3000:] for p in sorted(self.home(name).glob("*.log")))

    def home(self, name: str) -> Path:
        return self.here / "jobs" / name

    def records(self, name: str) -> list[dict[str, Any]]:
        return list(Journal(open_store(str(self.here / "store")).run(name)).records())


@pytest.fixture
def launched(service: SageMaker, s3: S3, tmp_path: Path) -> Launched:
    return Launched(service, s3, tmp_path)


def test_two_hosts_train_one_student_and_the_first_has_the_run(launched: Launched) -> None:
    name = launched.begin("left-alone")
    assert launched.adapter(name)
    records = launched.records(name)
    assert [r["kind"] for r in records].count("claim") == 1, "one process alone has held the run"
    root = Fold.of(records).root
    assert root is not None
    assert root["data"]["trained"]["steps"] == 12
    counts = [r["counts"] for r in records if r.get("counts")]
    passes = sum(n for c in counts for edge, n in c.items() if "accum == 8" in edge or "accum < 8" in edge)
    assert passes == 12, "of the two passes of a step each host made one"
    kept = [key.rpartition("/")[2] for key in launched.s3.keys(f"staging/{name}/checkpoints/")]
    assert kept.count("rng_state_1.pth") == kept.count("rng_state_0.pth") > 0, "the first host keeps both"
    second = launched.home(name) / "1" / "algo-2" / "opt" / "ml"
    assert list((second / "model").iterdir()) == list((second / "checkpoints").iterdir()) == []


@pytest.mark.long  # two minutes
def test_whichever_host_dies_they_come_to_the_same_adapter(launched: Launched) -> None:
    """A rank of the second dies, torchrun begins again on both, and then the instances are taken back."""
    left_alone = launched.adapter(launched.begin("left-alone"))
    name = launched.begin("troubled")
    checkpoints = launched.home(name) / "1" / "algo-1" / "opt" / "ml" / "checkpoints"
    at = _newest(checkpoints, after=0)
    os.kill(_rank_of_the_second_host(name), signal.SIGKILL)
    _newest(checkpoints, after=at)  # torchrun has begun again on both hosts, and they have trained on
    launched.service.interrupt(name)
    assert launched.adapter(name) == left_alone
    assert launched.service.jobs[name]["attempts"] == 2
    claims = [r for r in launched.records(name) if r["kind"] == "claim"]
    assert len(claims) == 3, launched.said(name)


def _newest(checkpoints: Path, after: int) -> int:
    """The step of the newest checkpoint, when there is one that is newer."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        names = [name for _, names, _ in os.walk(checkpoints) for name in names]  # while some are removed
        steps = [int(name.partition("-")[2]) for name in names if name.startswith("checkpoint-")]
        if max(steps, default=0) > after:
            return max(steps)
        time.sleep(0.01)
    raise AssertionError(f"no checkpoint after step {after}")


def _rank_of_the_second_host(job: str) -> int:
    wanted = {f"TRAINING_JOB_NAME={job}".encode(), f"{HOST}=1".encode()}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is not ours to look at
            said = (process / "environ").read_bytes().split(b"\0")
            if wanted <= set(said) and any(word.startswith(b"LOCAL_RANK=") for word in said):
                return int(process.name)
    raise AssertionError("the second host has no rank")


def _read(s3: S3, uri: str) -> bytes:
    body: bytes = s3.client.get_object(Bucket="bucket", Key=uri.removeprefix("s3://bucket/"))["Body"].read()
    return body
