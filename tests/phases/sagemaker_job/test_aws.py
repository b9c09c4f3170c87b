"""Jobs on SageMaker: requests held against the service's own model, answers as the service words them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from phases.errors import RoleNotFound
from phases.sagemaker_job import source
from phases.sagemaker_job.aws import SageMakerProvider
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import Code, JobRefused, JobSpec

ROLE = "arn:aws:iam::123456789012:role/pipeline"
CONFIG = SageMakerJobConfig(
    provider="sagemaker",
    role=ROLE,
    staging="s3://bucket/staging",
    output="s3://bucket/output",
)


@pytest.fixture
def service(tmp_path: Path) -> Any:
    """A provider whose SageMaker and S3 clients are stubbed: (provider, SageMaker's stub, S3's stub)."""
    words = {
        "region_name": "us-east-1",
        "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key": "a-secret-of-nobody",
    }
    provider = SageMakerProvider(CONFIG)
    jobs, s3 = boto3.client("sagemaker", **words), boto3.client("s3", **words)
    provider.__dict__.update(_service=jobs, _s3=s3)  # where the cached properties keep what they made
    with Stubber(jobs) as stub, Stubber(s3) as bucket:
        yield provider, stub, bucket
        stub.assert_no_pending_responses()
        bucket.assert_no_pending_responses()


@pytest.fixture
def spec(tmp_path: Path) -> JobSpec:
    rows = tmp_path / "train.jsonl"
    rows.write_text("{}\n")
    return JobSpec(
        "distillation-local-1a2b3c4d",
        {"train": {"train.jsonl": rows}},
        {"machine": "distillation"},
        {"A": "b"},
    )


@pytest.fixture(autouse=True)
def archive(monkeypatch: pytest.MonkeyPatch) -> source.Archive:
    """What is packed, whatever the code."""
    packed = source.Archive(b"code", "5eed")
    monkeypatch.setattr(source, "pack", lambda code: packed)
    return packed


CODE = "s3://bucket/staging/source/5eed.tar.gz"


def uploaded(bucket: Stubber, spec: JobSpec, code: bool = True) -> None:
    """The channel's file and the code, each put once."""
    key = f"staging/{spec.name}/channels/train/train.jsonl"
    bucket.add_response(
        "put_object", {}, {"Bucket": "bucket", "Key": key, "Body": ANY, "ChecksumAlgorithm": ANY}
    )
    if code:
        named = {"Bucket": "bucket", "Key": CODE.removeprefix("s3://bucket/")}
        bucket.add_response("put_object", {}, named | {"Body": b"code", "IfNoneMatch": "*"})


def absent(stub: Stubber) -> None:
    stub.add_client_error("describe_training_job", "ValidationException", "Requested resource not found.")


def described(name: str, status: str) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}",
        "ModelArtifacts": {"S3ModelArtifacts": f"s3://bucket/output/{name}/output/model.tar.gz"},
        "TrainingJobStatus": status,
        "SecondaryStatus": "Training",
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"VolumeSizeInGB": 1},
        "StoppingCondition": {},
        "CreationTime": 0,
        "SecondaryStatusTransitions": [
            {"Status": "Starting", "StartTime": 0},
            {"Status": "Training", "StartTime": 1, "StatusMessage": "in progress"},
        ],
        "CheckpointConfig": {"S3Uri": "s3://bucket/staging/x/checkpoints"},
    }


def test_a_job_is_created_with_a_request_that_the_service_knows(service: Any, spec: JobSpec) -> None:
    provider, stub, bucket = service
    absent(stub)
    uploaded(bucket, spec)
    channels = {"train": f"s3://bucket/staging/{spec.name}/channels/train"}
    request = provider.request(spec, spec.name, channels, CODE)
    stub.add_response(
        "create_training_job",
        {"TrainingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/x"},
        request,
    )
    assert provider.create(spec) == spec.name
    assert request["HyperParameters"]["sagemaker_submit_directory"] == CODE
    assert request["HyperParameters"]["sagemaker_program"] == "start_job.py"
    assert "pytorch-training:2.9.0" in request["AlgorithmSpecification"]["TrainingImage"]
    assert request["CheckpointConfig"]["S3Uri"] == f"s3://bucket/staging/{spec.name}/checkpoints"
    assert (
        request["StoppingCondition"]["MaxWaitTimeInSeconds"]
        >= request["StoppingCondition"]["MaxRuntimeInSeconds"]
    )


@pytest.mark.parametrize("code", ["PreconditionFailed", "ConditionalRequestConflict"])
def test_code_that_is_there_already_is_not_put_again(service: Any, code: str) -> None:
    provider, _, bucket = service
    bucket.add_client_error("put_object", code)
    assert provider._source(Code()) == CODE
    bucket.add_client_error("put_object", "AccessDenied")
    with pytest.raises(ClientError, match="AccessDenied"):
        provider._source(Code())


def test_an_archive_that_the_configuration_names_is_taken_as_it_is(service: Any, spec: JobSpec) -> None:
    provider, stub, bucket = service
    named = "s3://bucket/mine.tar.gz"
    provider.config = CONFIG.model_copy(update={"source": named})
    absent(stub)
    uploaded(bucket, spec, code=False)
    channels = {"train": f"s3://bucket/staging/{spec.name}/channels/train"}
    stub.add_response(
        "create_training_job",
        {"TrainingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/x"},
        provider.request(spec, spec.name, channels, named),
    )
    assert provider.create(spec) == spec.name


def test_a_job_that_is_there_is_adopted(service: Any, spec: JobSpec) -> None:
    provider, stub, _ = service
    stub.add_response("describe_training_job", described(spec.name, "InProgress"))
    assert provider.create(spec) == spec.name


def test_after_one_that_failed_the_next_number_goes_on_from_its_checkpoints(
    service: Any, spec: JobSpec
) -> None:
    provider, stub, bucket = service
    stub.add_response("describe_training_job", described(spec.name, "Failed"))
    absent(stub)
    uploaded(bucket, spec)
    expected = provider.request(
        spec, f"{spec.name}-2", {"train": f"s3://bucket/staging/{spec.name}/channels/train"}, CODE
    )
    stub.add_response(
        "create_training_job",
        {"TrainingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/x"},
        expected,
    )
    assert provider.create(spec) == f"{spec.name}-2"
    assert expected["CheckpointConfig"]["S3Uri"].endswith(f"{spec.name}/checkpoints")


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        ("ValidationException", "Could not assume role arn:...", RoleNotFound),
        ("ValidationException", "Instance type ml.x is not supported", JobRefused),
        ("ResourceLimitExceeded", "The account-level limit is 0", ClientError),
    ],
)
def test_what_the_service_refuses_is_told_apart(
    service: Any, spec: JobSpec, code: str, message: str, error: type[Exception]
) -> None:
    provider, stub, bucket = service
    absent(stub)
    uploaded(bucket, spec)
    stub.add_client_error("create_training_job", code, message)
    with pytest.raises(error, match=message[:20]):
        provider.create(spec)


def test_what_is_missing_of_the_configuration_is_named(spec: JobSpec) -> None:
    with pytest.raises(JobRefused, match=r"sagemaker_job\.role is empty"):
        SageMakerProvider(SageMakerJobConfig(provider="sagemaker")).create(spec)


def test_a_job_tells_its_whole_history(service: Any, spec: JobSpec) -> None:
    provider, stub, _ = service
    stub.add_response("describe_training_job", described(spec.name, "InProgress"))
    job = provider.describe(spec.name)
    assert job.history == (("Starting", ""), ("Training", "in progress"))
    assert job.checkpoints == "s3://bucket/staging/x/checkpoints"
    assert not job.over
