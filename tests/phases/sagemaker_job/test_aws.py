"""Jobs on SageMaker: the unmodified client, a service that speaks its protocol, and what goes wrong between the two."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from fsm.errors import Unanswered
from fsm.testing import Clock
from phases.errors import AccessDenied, ContainerError, NoCredentials, NotRented, RoleNotFound
from phases.rehearsal.instance import Pace
from phases.rehearsal.sagemaker import SageMaker
from phases.sagemaker_job import source
from phases.sagemaker_job.aws import SageMakerProvider
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import JobRefused, JobSpec
from tests.servers.fixtures import S3
from tests.servers.proxy import Proxy, Request
from tests.servers.s3 import REGION

ROLE = "arn:aws:iam::123456789012:role/pipeline"


@dataclass
class Rented:
    """A provider, the service it asks, and its clock. No instance of the service's ever comes up."""

    provider: SageMakerProvider
    service: SageMaker
    clock: Clock
    s3: S3
    plan: dict[str, list[str]] = field(default_factory=dict)

    @property
    def calls(self) -> dict[str, int]:
        return dict(self.service.http.calls)

    def configured(self, **changed: Any) -> None:
        self.provider.config = self.provider.staging.config = self.provider.config.model_copy(update=changed)

    def over(self, name: str, status: str, reason: str = "") -> None:
        """The job has come to its end."""
        job = self.service.jobs[name]
        job["TrainingJobStatus"] = job["SecondaryStatus"] = status
        job["FailureReason"] = reason


@pytest.fixture
def rented(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rented]:
    def clients(name: str) -> Any:
        return boto3.client(name, endpoint_url=s3.server.url, region_name=REGION)

    plan: dict[str, list[str]] = {}

    def go(operation: str, number: int) -> str:
        return plan[operation].pop(0) if plan.get(operation) else ""

    with suppress(clients("iam").exceptions.EntityAlreadyExistsException):
        clients("iam").create_role(RoleName="pipeline", AssumeRolePolicyDocument="{}")
    monkeypatch.setattr(source, "pack", lambda code: source.Archive(b"code", "5eed"))
    never = Pace(status=3600)
    with SageMaker(tmp_path / "jobs", clients, plan=go, settles=0, pace=never) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", service.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.server.url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
        config = SageMakerJobConfig(
            provider="sagemaker", role=ROLE, staging=f"{s3.url}/staging", output=f"{s3.url}/output"
        )
        clock = Clock()
        yield Rented(SageMakerProvider(config, clock), service, clock, s3, plan)


@pytest.fixture
def spec(tmp_path: Path) -> JobSpec:
    rows = tmp_path / "train.jsonl"
    rows.write_text("{}\n")
    return JobSpec(
        "distillation-local-1a2b3c4d",
        {"train": {"train.jsonl": rows}},
        {"machine": "distillation", "store": "s3://bucket/it's here"},
        {"A": "b"},
    )


def test_a_job_is_created_of_its_code_and_channels(rented: Rented, spec: JobSpec) -> None:
    assert rented.provider.create(spec) == spec.name
    told = rented.service.jobs[spec.name]
    channels = {c["ChannelName"]: c["DataSource"]["S3DataSource"]["S3Uri"] for c in told["InputDataConfig"]}
    assert channels == {
        "code": f"{rented.s3.url}/staging/source/5eed/",
        "train": f"{rented.s3.url}/staging/{spec.name}/channels/train/",
    }
    assert rented.s3.keys("staging/") == [
        f"staging/{spec.name}/channels/train/train.jsonl",
        "staging/source/5eed/code.tar.gz",
    ]
    assert told["HyperParameters"] == spec.hyperparameters, "as they are, whatever is in them"
    assert told["CheckpointConfig"]["S3Uri"] == f"{rented.s3.url}/staging/{spec.name}/checkpoints"


def test_code_that_is_there_already_is_not_put_again(rented: Rented, spec: JobSpec) -> None:
    for place in (rented.provider.staging.code(spec.code), rented.provider.staging.code(spec.code)):
        assert place == f"{rented.s3.url}/staging/source/5eed/"
    rented.s3.client.get_object(Bucket="bucket", Key=f"{rented.s3.prefix}/staging/source/5eed/code.tar.gz")


def test_an_archive_that_the_configuration_names_is_taken_as_it_is(rented: Rented, spec: JobSpec) -> None:
    rented.configured(source="s3://bucket/mine.tar.gz")
    rented.provider.create(spec)
    (code, _) = rented.service.jobs[spec.name]["InputDataConfig"]
    assert code["DataSource"]["S3DataSource"]["S3Uri"] == "s3://bucket/mine.tar.gz"
    assert not rented.s3.keys("staging/source/")


def test_a_job_that_is_there_is_adopted(rented: Rented, spec: JobSpec) -> None:
    rented.provider.create(spec)
    assert rented.provider.create(spec) == spec.name
    assert rented.calls["CreateTrainingJob"] == 1


def test_after_one_that_failed_the_next_number_goes_on_from_its_checkpoints(
    rented: Rented, spec: JobSpec
) -> None:
    rented.provider.create(spec)
    rented.over(spec.name, "Failed", "AlgorithmError: x")
    assert rented.provider.create(spec) == f"{spec.name}-2"
    first, second = rented.service.jobs.values()
    assert first["CheckpointConfig"] == second["CheckpointConfig"]


def test_where_there_is_no_capacity_the_next_type_of_instance_is_asked_for(
    rented: Rented, spec: JobSpec
) -> None:
    rented.configured(instance_type=("ml.g6.2xlarge", "ml.g5.2xlarge", "ml.g5.4xlarge"))
    rented.service.quotas["ml.g6.2xlarge"] = 0  # told at once
    rented.provider.create(spec)
    assert rented.provider.describe(spec.name).instance_type == "ml.g5.2xlarge"
    rented.over(spec.name, "Failed", "CapacityError: Unable to provision requested ML compute capacity.")
    again = rented.provider.create(spec)
    assert rented.provider.describe(again).instance_type == "ml.g5.2xlarge"  # one failed: on from the second
    rented.over(again, "Failed", "CapacityError: Unable to provision requested ML compute capacity.")
    assert rented.provider.describe(rented.provider.create(spec)).instance_type == "ml.g5.4xlarge"


def test_on_demand_the_service_itself_chooses_among_the_types(rented: Rented, spec: JobSpec) -> None:
    rented.configured(instance_type=("ml.g6.2xlarge", "ml.g5.2xlarge"), spot=False)
    rented.provider.create(spec)
    preferred = rented.service.jobs[spec.name]["ResourceConfig"]["InstancePreferences"]
    assert preferred == [{"InstanceType": "ml.g6.2xlarge"}, {"InstanceType": "ml.g5.2xlarge"}]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("400 ResourceLimitExceeded", ContainerError),
        ("400 ValidationException", JobRefused),
        ("400 AccessDeniedException", AccessDenied),
    ],
)
def test_what_the_service_refuses_is_told_apart(
    rented: Rented, spec: JobSpec, fault: str, error: type[Exception]
) -> None:
    rented.plan["CreateTrainingJob"] = [fault]
    with pytest.raises(error, match=fault.split()[1]):
        rented.provider.create(spec)


def test_a_role_that_is_not_there_is_told_as_such(rented: Rented, spec: JobSpec) -> None:
    rented.configured(role="arn:aws:iam::123456789012:role/nobody")
    with pytest.raises(RoleNotFound, match=r"cannot assume sagemaker_job\.role .*nobody"):
        rented.provider.create(spec)


def test_what_is_missing_of_the_configuration_is_named(spec: JobSpec) -> None:
    with pytest.raises(JobRefused, match=r"sagemaker_job\.role is empty"):
        SageMakerProvider(SageMakerJobConfig(provider="sagemaker")).create(spec)


def test_a_job_tells_its_whole_history(rented: Rented, spec: JobSpec) -> None:
    rented.provider.create(spec)
    while not rented.service.jobs[spec.name]["SecondaryStatusTransitions"]:
        time.sleep(0.01)
    job = rented.provider.describe(spec.name)
    assert job.history == (("Starting", "Starting the training job"),)
    assert (job.instance_type, job.spot, job.over) == ("ml.g5.2xlarge", True, False)
    assert [j.name for j in rented.provider.rented()] == [spec.name]


def test_a_job_that_is_stopped_by_hand_is_left_as_it_is(rented: Rented, spec: JobSpec) -> None:
    rented.provider.create(spec)
    rented.provider.stop(spec.name)
    rented.over(spec.name, "Stopped")
    rented.provider.stop(spec.name)


# Faults


STORM = ["cut", "500 InternalFailure", "400 ThrottlingException", "503 ServiceUnavailable", "cut"]


def test_a_follower_passes_over_what_passes_however_often(rented: Rented, spec: JobSpec) -> None:
    rented.provider.create(spec)
    asked = rented.calls["DescribeTrainingJob"]
    rented.plan["DescribeTrainingJob"] = STORM * 8
    assert rented.provider.describe(spec.name).status == "InProgress"
    assert (
        rented.calls["DescribeTrainingJob"] - asked == 41
    )  # each asked once: botocore's own retries are off
    assert 0 < rented.clock.now < 1800


def test_a_follower_ends_when_there_was_no_answer_for_as_long_as_it_has_patience(
    rented: Rented, spec: JobSpec
) -> None:
    rented.plan["DescribeTrainingJob"] = ["400 ThrottlingException"] * 500
    with pytest.raises(Unanswered, match=r"SageMaker in us-east-1 gave no clear answer for 1800 seconds"):
        rented.provider.describe(spec.name)
    assert rented.clock.now > 1800 - 30


def test_a_name_that_cannot_be_resolved_is_passed_over(
    rented: Rented, spec: JobSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    rented.provider.create(spec)
    unresolved = [EndpointConnectionError(endpoint_url="https://api.sagemaker.us-east-1.amazonaws.com")] * 3
    ask = rented.provider._described
    monkeypatch.setattr(
        rented.provider, "_described", lambda name: raised(unresolved.pop()) if unresolved else ask(name)
    )
    assert rented.provider.describe(spec.name).status == "InProgress"


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
    rented.plan["DescribeTrainingJob"] = [fault]
    with pytest.raises(error, match=f"looking for the training job j: .*{fault.split()[1]}.* {said}"):
        rented.provider.describe("j")
    assert rented.clock.now == 0


@pytest.mark.parametrize("times", [1, 3])
def test_a_job_whose_creation_was_answered_by_nobody_is_looked_for_and_adopted(
    rented: Rented, spec: JobSpec, times: int
) -> None:
    rented.plan |= {
        "CreateTrainingJob": ["lost"],
        "DescribeTrainingJob": ["", *["500 InternalFailure"] * (times - 1)],
    }
    assert rented.provider.create(spec) == spec.name
    assert list(rented.service.jobs) == [spec.name]
    assert rented.calls == {"CreateTrainingJob": 1, "DescribeTrainingJob": 1 + times}


def test_a_job_that_is_not_known_yet_is_adopted_where_its_name_is_taken(
    rented: Rented, spec: JobSpec
) -> None:
    """A launcher died between CreateTrainingJob and the journal, and the next one looks before the service has settled."""
    rented.provider.create(spec)
    rented.service.settles = 3600
    assert rented.provider.create(spec) == spec.name
    assert list(rented.service.jobs) == [spec.name]


def test_a_job_that_was_not_created_is_created_by_the_next_attempt(rented: Rented, spec: JobSpec) -> None:
    rented.plan["CreateTrainingJob"] = ["cut", "400 ThrottlingException", "500 InternalFailure"]
    assert rented.provider.create(spec) == spec.name
    assert list(rented.service.jobs) == [spec.name]
    assert rented.calls["CreateTrainingJob"] == 4


def test_a_job_that_settles_late_is_waited_for_and_one_that_is_gone_is_told(
    rented: Rented, spec: JobSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    rented.provider.create(spec)
    rented.plan["DescribeTrainingJob"] = ["400 ValidationException"] * 6
    assert rented.provider.describe(spec.name).status == "InProgress"
    assert 0 < rented.clock.now < 90
    with pytest.raises(NotRented, match=r"no training job elsewhere in us-east-1: it was deleted"):
        rented.provider.describe("elsewhere")


def test_aws_is_looked_at_once_in_fifteen_seconds_and_a_job_that_is_over_never_again(
    rented: Rented, spec: JobSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    rented.provider.create(spec)
    monkeypatch.setattr(SageMakerProvider, "_at_aws", True)
    asked = rented.calls["DescribeTrainingJob"]
    for _ in range(60):
        rented.provider.describe(spec.name)
        rented.clock.sleep(1)
    assert rented.calls["DescribeTrainingJob"] - asked == 4
    rented.over(spec.name, "Completed")
    for _ in range(60):
        rented.clock.sleep(1)
        rented.provider.describe(spec.name)
    assert rented.calls["DescribeTrainingJob"] - asked == 5


def test_a_request_that_the_services_model_does_not_take_is_refused_before_it_is_sent(
    rented: Rented, spec: JobSpec
) -> None:
    rented.configured(role="arn:aws:iam::1:role/r")
    with pytest.raises(JobRefused, match=r"RoleArn is '.*', which does not fit arn"):
        rented.provider.create(spec)
    assert "CreateTrainingJob" not in rented.calls


def test_a_channel_and_the_code_are_put_through_faults(
    rented: Rented, spec: JobSpec, proxied: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = ["503", "500", "cut", "none", "503", "lost reply"]

    def plan(request: Request) -> str:
        return faults.pop(0) if faults and request.method == "PUT" else "none"

    proxy = proxied(plan)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    rented.provider.create(spec)
    assert not faults
    assert len(rented.s3.keys("staging/")) == 2


def test_a_bucket_that_refuses_the_code_is_said_at_once(
    rented: Rented, spec: JobSpec, proxied: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxied(lambda request: "403").url)
    with pytest.raises(AccessDenied, match=r"putting the code to s3://bucket/.*/source/5eed/code\.tar\.gz: "):
        rented.provider.staging.code(spec.code)
