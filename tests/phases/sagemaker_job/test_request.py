"""CreateTrainingJob's request: all that it can say, and what is wrong with it before it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import JobSpec
from phases.sagemaker_job.request import merged, problems, training_job

CONFIG: dict[str, Any] = {
    "provider": "sagemaker",
    "role": "arn:aws:iam::123456789012:role/pipeline",
    "staging": "s3://bucket/staging",
    "output": "s3://bucket/output",
}
SPEC = JobSpec("job", {}, {"machine": "distillation"}, {"A": "b"})


def requested(**changed: Any) -> dict[str, Any]:
    config = SageMakerJobConfig(**CONFIG | changed)
    return training_job(config, SPEC, "job-2", {"train": "s3://bucket/train/"}, "s3://bucket/code/")


def test_the_request_of_a_plain_configuration_is_sound() -> None:
    assert problems(requested()) == []


def test_what_the_configuration_says_stands_in_the_request() -> None:
    request = requested(
        spot=False,
        instance_type="ml.p4d.24xlarge",
        volume_gb=500,
        max_runtime_seconds=3600,
        max_pending_seconds=7200,
        warm_pool_seconds=600,
        retries=3,
        training_plan=f"arn:aws:sagemaker:us-east-1:123456789012:training-plan/{'p' * 10}",
        tags={"team": "audio", "cost-centre": "7"},
        vpc={"subnets": ["subnet-1", "subnet-2"], "security_groups": ["sg-1"]},
        kms={"volume": "alias/volume", "output": "alias/output"},
        encrypt_traffic=True,
        metrics={"loss": "loss ([0-9.]+)"},
        tensorboard="s3://bucket/tensorboard",
        wheels="s3://bucket/wheels",
    )
    assert problems(request) == []
    assert request["ResourceConfig"] == {
        "InstanceCount": 1,
        "InstanceType": "ml.p4d.24xlarge",
        "VolumeSizeInGB": 500,
        "VolumeKmsKeyId": "alias/volume",
        "KeepAlivePeriodInSeconds": 600,
        "TrainingPlanArn": f"arn:aws:sagemaker:us-east-1:123456789012:training-plan/{'p' * 10}",
    }
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxPendingTimeInSeconds": 7200}
    assert request["Tags"] == [{"Key": "cost-centre", "Value": "7"}, {"Key": "team", "Value": "audio"}]
    assert request["VpcConfig"] == {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    assert request["OutputDataConfig"] == {"S3OutputPath": "s3://bucket/output", "KmsKeyId": "alias/output"}
    assert request["EnableInterContainerTrafficEncryption"] is True
    assert request["RetryStrategy"] == {"MaximumRetryAttempts": 3}
    assert request["TensorBoardOutputConfig"] == {"S3OutputPath": "s3://bucket/tensorboard"}
    assert request["AlgorithmSpecification"]["MetricDefinitions"] == [
        {"Name": "loss", "Regex": "loss ([0-9.]+)"}
    ]
    assert [c["ChannelName"] for c in request["InputDataConfig"]] == ["code", "train", "wheels"]


def test_whatever_else_the_service_takes_is_merged_in_and_the_name_is_not_for_the_taking() -> None:
    extra = {
        "TrainingJobName": "mine",
        "RemoteDebugConfig": {"EnableRemoteDebug": True},
        "ResourceConfig": {"VolumeSizeInGB": 7},
        "CheckpointConfig": None,
    }
    request = requested(request=extra)
    assert problems(request) == []
    assert request["TrainingJobName"] == "job-2"
    assert request["RemoteDebugConfig"] == {"EnableRemoteDebug": True}
    assert request["ResourceConfig"]["VolumeSizeInGB"] == 7
    assert request["ResourceConfig"]["InstanceType"] == "ml.g5.2xlarge"
    assert "CheckpointConfig" not in request
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"instance_type": "ml.g5.3xlarge"}, "does not know (nearest: ml.g5."),
        ({"output": "bucket/output"}, "OutputDataConfig.S3OutputPath is 'bucket/output', which does not fit"),
        ({"tags": {"k" * 129: "v"}}, "Tags[0].Key has 129 characters, and 128 at most are taken."),
        ({"metrics": {str(n): "x" for n in range(41)}}, "MetricDefinitions has 41 items, and 40 at most"),
        ({"request": {"Nonsense": 1}}, 'Unknown parameter in input: "Nonsense"'),
        ({"request": {"ResourceConfig": {"KeepAlivePeriodInSeconds": 30000}}}, "and 21600 at most is taken."),
        ({"request": {"EnableManagedSpotTraining": False}}, "only with EnableManagedSpotTraining"),
    ],
)
def test_what_the_service_would_refuse_is_said_before_it_is_asked(changed: dict[str, Any], said: str) -> None:
    assert said in " ".join(problems(requested(**changed)))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"warm_pool_seconds": 60}, "a spot instance cannot be kept warm"),
        ({"network_isolation": True}, "an isolated one"),
        ({"provider": "local", "instance_count": 2}, "this machine alone"),
        ({"machine": "smoke", "instance_count": 2}, "the smoke job proves one instance"),
        ({"instance_type": []}, "at least one type"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_with_the_reason(
    changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        SageMakerJobConfig(**CONFIG | changed)
