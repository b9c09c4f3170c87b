"""A job of two hosts: one run over both, down to the client calls and the container's contract, on CPUs by gloo."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import suppress
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


def test_two_hosts_train_one_student_and_the_first_has_the_run(
    service: SageMaker, s3: S3, tmp_path: Path
) -> None:
    base = tiny.build(RECIPE, C_TEXTS, tmp_path / "base")
    training = settings(base, epochs=0.5).model_dump(mode="json")
    files = {"train.jsonl": ROWS, "val.jsonl": ROWS[:3]}
    for name, rows in files.items():
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = tmp_path / "pipeline.yaml"
    engine = {"machine": "qlora_training", "work": str(tmp_path / "work")}
    config.write_text(yaml.safe_dump({**engine, "qlora_training": {**training, "min_free_gb": 0}}))
    words = {"machine": "qlora_training", "run": "two", "store": str(tmp_path / "store"), "seed": "7"}
    channels = {"train": {"train.jsonl": tmp_path / "train.jsonl"}, "config": {"pipeline.yaml": config}}
    channels["validation"] = {"val.jsonl": tmp_path / "val.jsonl"}
    provider = SageMakerProvider(
        SageMakerJobConfig(
            provider="sagemaker",
            role=ROLE,
            staging=f"{s3.url}/staging",
            output=f"{s3.url}/output",
            instance_count=2,
        )
    )
    name = provider.create(JobSpec("two-hosts", channels, words))
    job = finished(provider, name, 240)
    logs = "\n".join(p.read_text()[-3000:] for p in sorted((tmp_path / "jobs" / name).glob("*.log")))
    assert (job.status, job.failure) == ("Completed", ""), logs

    records = tuple(Journal(open_store(str(tmp_path / "store")).run("two")).records())
    assert [r["kind"] for r in records].count("claim") == 1, "one process alone has held the run"
    root = Fold.of(list(records)).root
    assert root is not None
    assert root["data"]["trained"]["steps"] == 3
    counts = [r["counts"] for r in records if r.get("counts")]
    passes = sum(n for c in counts for edge, n in c.items() if "accum == 8" in edge or "accum < 8" in edge)
    assert passes == 3, "of the two passes of a step each host made one"
    assert [k for k in s3.keys("staging/two-hosts/checkpoints/") if k.endswith("rng_state_1.pth")] == []
    with tarfile.open(fileobj=io.BytesIO(_read(s3, job.model))) as model:
        assert "adapter_model.safetensors" in model.getnames()
    second = tmp_path / "jobs" / name / "1" / "algo-2" / "opt" / "ml"
    assert list((second / "model").iterdir()) == list((second / "checkpoints").iterdir()) == []


def _read(s3: S3, uri: str) -> bytes:
    body: bytes = s3.client.get_object(Bucket="bucket", Key=uri.removeprefix("s3://bucket/"))["Body"].read()
    return body
