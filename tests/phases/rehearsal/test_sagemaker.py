"""The loopback SageMaker keeps what the real one keeps, asked by the unmodified client."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from phases.rehearsal.instance import Pace
from phases.rehearsal.sagemaker import SageMaker
from tests.servers.fixtures import S3
from tests.servers.s3 import REGION

ROLE = "arn:aws:iam::123456789012:role/trainer"
QUICK = Pace(status=0.01, sync=0.05, grace=5.0, poll=0.01)


@pytest.fixture
def service(s3: S3, tmp_path: Path) -> Iterator[SageMaker]:
    def clients(name: str) -> Any:
        return boto3.client(name, endpoint_url=s3.server.url, region_name=REGION)

    with suppress(clients("iam").exceptions.EntityAlreadyExistsException):
        clients("iam").create_role(RoleName="trainer", AssumeRolePolicyDocument="{}")
    with SageMaker(tmp_path / "jobs", clients, settles=0.2, pace=QUICK) as service:
        yield service


@pytest.fixture
def client(service: SageMaker) -> Any:
    return boto3.client("sagemaker", endpoint_url=service.url, region_name=REGION)


@pytest.fixture
def request_for(s3: S3) -> Callable[..., dict[str, Any]]:
    """A request whose container runs a line of bash."""

    def make(name: str, script: str = "true", **members: Any) -> dict[str, Any]:
        s3.client.put_object(Bucket="bucket", Key=f"{s3.prefix}/train/rows.jsonl", Body=b"{}\n")
        place = {"S3DataType": "S3Prefix", "S3Uri": f"{s3.url}/train/"}
        return {
            "TrainingJobName": name,
            "AlgorithmSpecification": {
                "TrainingImage": "image",
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["/bin/bash", "-c"],
                "ContainerArguments": ['eval "$SCRIPT"'],
            },
            "RoleArn": ROLE,
            "Environment": {"SCRIPT": script},
            "HyperParameters": {"word": "it's"},
            "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": place}}],
            "OutputDataConfig": {"S3OutputPath": f"{s3.url}/output"},
            "CheckpointConfig": {"S3Uri": f"{s3.url}/checkpoints"},
            "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
            "EnableManagedSpotTraining": True,
        } | members

    return make


def told(client: Any, name: str, until: Callable[[dict[str, Any]], bool] | None = None) -> dict[str, Any]:
    """What the job tells when it is over, or as soon as `until` says."""
    until = until or (lambda job: job["TrainingJobStatus"] not in ("InProgress", "Stopping"))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(client.exceptions.ClientError):  # it may not be known yet
            job: dict[str, Any] = client.describe_training_job(TrainingJobName=name)
            if until(job):
                return job
        time.sleep(0.02)
    raise AssertionError(name)


def statuses(job: dict[str, Any]) -> list[str]:
    return [t["Status"] for t in job["SecondaryStatusTransitions"]]


def training(job: dict[str, Any]) -> bool:
    return bool(job["SecondaryStatus"] == "Training")


def refused(call: Callable[..., Any], **words: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as e:
        call(**words)
    return e.value.response["Error"]["Code"], e.value.response["Error"]["Message"]


def test_a_job_finds_what_a_container_finds_and_leaves_its_model(
    client: Any, request_for: Any, s3: S3
) -> None:
    script = (
        'set -e; ml=$FSM_OPT_ML; cat $ml/input/data/train/rows.jsonl; cp $ml/input/config/*.json $ml/model/; '
        'echo "$TRAINING_JOB_NAME in $AWS_REGION" > $ml/model/name; echo half > $ml/checkpoints/one'
    )  # fmt: skip
    client.create_training_job(**request_for("whole", script))
    job = told(client, "whole")
    assert statuses(job) == ["Starting", "Starting", "Downloading", "Training", "Uploading", "Completed"]
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    packed = s3.client.get_object(Bucket="bucket", Key=uri.removeprefix("s3://bucket/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]
    assert json.loads(files["hyperparameters.json"]) == {"word": "it's"}
    assert json.loads(files["resourceconfig.json"])["hosts"] == ["algo-1"]
    assert files["name"] == f"whole in {REGION}\n".encode()
    assert "checkpoints/one" in list(s3.keys())


def test_a_name_is_taken_for_good_and_known_only_after_a_while(client: Any, request_for: Any) -> None:
    client.create_training_job(**request_for("once"))
    code, message = refused(client.describe_training_job, TrainingJobName="once")
    assert (code, message) == ("ValidationException", "Requested resource not found.")
    assert refused(client.create_training_job, **request_for("once"))[0] == "ResourceInUse"
    assert told(client, "once")["TrainingJobStatus"] == "Completed"
    assert refused(client.create_training_job, **request_for("once"))[0] == "ResourceInUse"
    assert [j["TrainingJobName"] for j in client.list_training_jobs()["TrainingJobSummaries"]] == ["once"]


def test_a_container_that_fails_leaves_its_reason(client: Any, request_for: Any) -> None:
    client.create_training_job(**request_for("bad", 'echo "no rows" > $FSM_OPT_ML/output/failure; exit 3'))
    job = told(client, "bad")
    assert job["FailureReason"] == "AlgorithmError: no rows, exit code: 3"
    assert statuses(job)[-2:] == ["Uploading", "Failed"]


SAVES = "trap 'echo saved > $FSM_OPT_ML/checkpoints/last; exit 0' TERM; echo at work; while :; do sleep 0.02; done"


def test_a_job_that_is_stopped_is_told_so_and_its_checkpoints_are_kept(
    client: Any, request_for: Any, s3: S3
) -> None:
    client.create_training_job(**request_for("stopped", SAVES))
    told(client, "stopped", training)
    time.sleep(0.2)
    client.stop_training_job(TrainingJobName="stopped")
    job = told(client, "stopped")
    assert (job["TrainingJobStatus"], statuses(job)[-3:]) == ("Stopped", ["Stopping", "Uploading", "Stopped"])
    assert "checkpoints/last" in list(s3.keys())
    assert refused(client.stop_training_job, TrainingJobName="stopped")[0] == "ValidationException"


@pytest.mark.parametrize("notice", [True, False])
def test_spot_instances_that_are_taken_back_come_again_with_the_checkpoints_and_nothing_else(
    client: Any, service: SageMaker, request_for: Any, notice: bool
) -> None:
    script = (
        'cd $FSM_OPT_ML; [ -e model/first ] && exit 9; [ -e checkpoints/one ] && cp checkpoints/* model/ && exit 0; '
        "touch model/first; echo whole > checkpoints/one; " + SAVES
    )  # fmt: skip
    name = f"spot-{notice}"
    client.create_training_job(**request_for(name, script))
    told(client, name, training)
    time.sleep(0.4)
    service.interrupt(name, notice)
    job = told(client, name)
    assert job["TrainingJobStatus"] == "Completed", job
    assert statuses(job)[3:7] == ["Training", "Interrupted", "Starting", "Downloading"]


def test_a_job_that_runs_too_long_is_stopped_and_its_last_status_says_why(
    client: Any, request_for: Any
) -> None:
    stopping = {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 60}
    client.create_training_job(**request_for("long", SAVES, StoppingCondition=stopping))
    job = told(client, "long")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert "ModelArtifacts" in job


def test_several_hosts_are_several_processes_that_know_each_other(client: Any, request_for: Any) -> None:
    resources = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 1}
    script = 'grep -q \'"current_host": "algo-2"\' $FSM_OPT_ML/input/config/resourceconfig.json && exit 7; sleep 20'
    client.create_training_job(**request_for("two", script, ResourceConfig=resources))
    job = told(client, "two")
    assert job["FailureReason"] == "AlgorithmError: exit code: 7", "one that fails ends all"


@pytest.mark.parametrize(
    ("members", "code", "said"),
    [
        ({"TrainingJobName": "no_underscores"}, "ValidationException", "does not fit"),
        (
            {"RoleArn": "arn:aws:iam::123456789012:role/nobody"},
            "ValidationException",
            "Could not assume role",
        ),
        ({"HyperParameters": {"k": "v" * 2501}}, "ValidationException", "2500 at most"),
    ],
)
def test_a_request_that_the_service_would_not_take_is_refused(
    client: Any, request_for: Any, members: dict[str, Any], code: str, said: str
) -> None:
    found = refused(client.create_training_job, **request_for("refused") | members)
    assert found[0] == code
    assert said in found[1]


def test_machines_and_quotas_run_out(client: Any, service: SageMaker, request_for: Any) -> None:
    service.lacking.add("ml.g5.xlarge")
    client.create_training_job(**request_for("none"))
    assert told(client, "none")["FailureReason"].startswith("CapacityError: ")
    service.quotas["ml.g5.xlarge"] = 0
    assert refused(client.create_training_job, **request_for("quota"))[0] == "ResourceLimitExceeded"


def test_what_a_container_writes_is_in_cloudwatch(client: Any, request_for: Any, s3: S3) -> None:
    client.create_training_job(**request_for("logged", "echo one; echo two >&2"))
    told(client, "logged")
    logs = boto3.client("logs", endpoint_url=s3.server.url, region_name=REGION)
    found = logs.get_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamName="logged/algo-1-1", startFromHead=True
    )
    assert [event["message"] for event in found["events"]] == ["one", "two"]


def test_metrics_and_curves_go_where_the_request_says(client: Any, request_for: Any, s3: S3) -> None:
    request = request_for(
        "drawn",
        "cd $FSM_OPT_ML/output; mkdir -p tensorboard; echo 1 > tensorboard/events; echo loss 2; echo loss 1.5",
    )
    request["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "loss", "Regex": "loss ([0-9.]+)"}]
    client.create_training_job(**request, TensorBoardOutputConfig={"S3OutputPath": f"{s3.url}/curves"})
    (metric,) = told(client, "drawn")["FinalMetricDataList"]
    assert (metric["MetricName"], metric["Value"]) == ("loss", 1.5)
    assert "curves/drawn/tensorboard-output/events" in list(s3.keys())


def test_a_service_that_starts_again_takes_up_its_jobs(
    client: Any, service: SageMaker, request_for: Any, tmp_path: Path
) -> None:
    client.create_training_job(**request_for("kept", SAVES))
    told(client, "kept", training)
    service.__exit__(None, None, None)
    with SageMaker(tmp_path / "jobs", service.clients, settles=0, pace=QUICK) as again:
        other = boto3.client("sagemaker", endpoint_url=again.url, region_name=REGION)
        assert refused(other.create_training_job, **request_for("kept"))[0] == "ResourceInUse"
        told(other, "kept", training)
        other.stop_training_job(TrainingJobName="kept")
        assert told(other, "kept")["TrainingJobStatus"] == "Stopped"
    service.__enter__()
