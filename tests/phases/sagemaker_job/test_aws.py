"""Jobs on SageMaker: requests held against the service's own model, answers as the service words them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import ANY, Stubber

from fsm.errors import Unanswered
from phases.errors import AccessDenied, ContainerError, NoCredentials, RoleNotFound
from phases.sagemaker_job import source
from phases.sagemaker_job.aws import SageMakerProvider
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import Code, JobRefused, JobSpec
from tests.clock import Clock

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
    with pytest.raises(AccessDenied, match=r"putting the code to s3://bucket/staging/source/5eed\.tar\.gz: "):
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
        ("ResourceLimitExceeded", "The account-level limit is 0", ContainerError),
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


# Faults


@dataclass
class Service:
    """A server that stands for SageMaker: answers by operation, from its plan of faults first."""

    url: str = ""
    plan: dict[str, list[str]] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def answer(self, operation: str, name: str) -> tuple[int, dict[str, Any]] | None:
        """(status, body); None for a connection that is cut."""
        self.calls.append(operation)
        planned = self.plan.get(operation, [])
        fault = planned.pop(0) if planned else ""
        if operation == "CreateTrainingJob" and fault in ("", "lost"):
            if name in self.jobs:
                return 400, {"__type": "ResourceInUse", "message": "Training job names must be unique"}
            self.jobs[name] = "InProgress"
        if fault in ("cut", "lost"):
            return None
        if fault:
            status, _, code = fault.partition(" ")
            return int(status), {"__type": code, "message": f"{code} it is"}
        if operation == "CreateTrainingJob":
            return 200, {"TrainingJobArn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}"}
        if name not in self.jobs:
            return 400, {"__type": "ValidationException", "message": "Requested resource not found."}
        return 200, described(name, self.jobs[name])


@pytest.fixture
def rented(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SageMakerProvider, Service, Clock]]:
    """A provider of unmodified boto3, the server it asks, and its clock. S3 is stubbed out: nothing is staged."""
    held, clock = Service(), Clock()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            answer = held.answer(operation, body["TrainingJobName"])
            if answer is None:
                self.close_connection = True
                return
            status, words = answer
            content = json.dumps(words).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    held.url = f"http://127.0.0.1:{http.server_port}"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", held.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    provider = SageMakerProvider(CONFIG.model_copy(update={"source": CODE}), clock)
    monkeypatch.setattr(SageMakerProvider, "_upload", lambda self, spec: {"train": "s3://bucket/train"})
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield provider, held, clock
    http.shutdown()
    thread.join()
    http.server_close()


Rented = tuple[SageMakerProvider, Service, Clock]
STORM = ["cut", "500 InternalFailure", "400 ThrottlingException", "503 ServiceUnavailable", "cut"]


def test_a_follower_passes_over_what_passes_however_often(rented: Rented) -> None:
    provider, service, clock = rented
    service.jobs["j"] = "InProgress"
    service.plan["DescribeTrainingJob"] = STORM * 8
    assert provider.describe("j").status == "InProgress"
    assert len(service.calls) == 41  # each asked once: botocore's own retries are off
    assert 0 < clock.now < 1800


def test_a_follower_ends_when_there_was_no_answer_for_as_long_as_it_has_patience(rented: Rented) -> None:
    provider, service, clock = rented
    service.jobs["j"] = "InProgress"
    service.plan["DescribeTrainingJob"] = ["400 ThrottlingException"] * 500
    with pytest.raises(Unanswered, match=r"SageMaker in us-east-1 gave no clear answer for 1800 seconds"):
        provider.describe("j")
    assert clock.now > 1800 - 30


def test_a_name_that_cannot_be_resolved_is_passed_over(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    provider, stub, _ = service
    provider._ask.clock = Clock()
    unresolved = [EndpointConnectionError(endpoint_url="https://api.sagemaker.us-east-1.amazonaws.com")] * 3
    ask = provider._described
    monkeypatch.setattr(
        provider, "_described", lambda name: raised(unresolved.pop()) if unresolved else ask(name)
    )
    stub.add_response("describe_training_job", described("j", "InProgress"))
    assert provider.describe("j").status == "InProgress"


def raised(error: Exception) -> Any:
    raise error


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("400 ExpiredTokenException", NoCredentials, "Renew the credentials"),
        ("403 InvalidSignatureException", NoCredentials, "Renew the credentials"),
        ("400 AccessDeniedException", AccessDenied, "Allow these credentials"),
        ("400 OptInRequired", AccessDenied, "See to the AWS account"),
    ],
)
def test_what_does_not_pass_ends_the_following_at_once_with_what_to_do(
    rented: Rented, fault: str, error: type[Exception], said: str
) -> None:
    provider, service, clock = rented
    service.plan["DescribeTrainingJob"] = [fault]
    with pytest.raises(error, match=f"looking for the training job j: .*{fault.split()[1]}.* {said}"):
        provider.describe("j")
    assert clock.now == 0


@pytest.mark.parametrize("times", [1, 3])
def test_a_job_whose_creation_was_answered_by_nobody_is_looked_for_and_adopted(
    rented: Rented, spec: JobSpec, times: int
) -> None:
    provider, service, _ = rented
    service.plan = {
        "CreateTrainingJob": ["lost"],
        "DescribeTrainingJob": ["", *["500 InternalFailure"] * (times - 1)],
    }
    assert provider.create(spec) == spec.name
    assert list(service.jobs) == [spec.name]
    assert service.calls == ["DescribeTrainingJob", "CreateTrainingJob", *["DescribeTrainingJob"] * times]


def test_a_job_that_was_not_created_is_created_by_the_next_attempt(rented: Rented, spec: JobSpec) -> None:
    provider, service, _ = rented
    service.plan["CreateTrainingJob"] = ["cut", "400 ThrottlingException", "500 InternalFailure"]
    assert provider.create(spec) == spec.name
    assert service.jobs == {spec.name: "InProgress"}
    assert service.calls.count("CreateTrainingJob") == 4


def test_a_request_that_the_services_model_does_not_take_is_refused(rented: Rented, spec: JobSpec) -> None:
    provider, service, _ = rented
    provider.config = provider.config.model_copy(update={"role": "r"})  # an ARN has 20 characters
    with pytest.raises(JobRefused, match="RoleArn"):
        provider.create(spec)
    assert service.calls == ["DescribeTrainingJob"]


def test_a_channel_and_the_code_are_put_through_faults(service: Any, spec: JobSpec) -> None:
    provider, stub, bucket = service
    provider._ask_s3.clock = Clock()
    absent(stub)
    for code, status in (("SlowDown", 503), ("InternalError", 500), ("RequestTimeout", 400)):
        bucket.add_client_error("put_object", code, http_status_code=status)
    uploaded(bucket, spec, code=False)
    bucket.add_client_error("put_object", "SlowDown", http_status_code=503)
    bucket.add_response(
        "put_object", {}, {"Bucket": "bucket", "Key": ANY, "Body": b"code", "IfNoneMatch": "*"}
    )
    stub.add_response(
        "create_training_job", {"TrainingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/x"}
    )
    assert provider.create(spec) == spec.name
