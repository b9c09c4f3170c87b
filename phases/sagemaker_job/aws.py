"""Jobs on SageMaker, by boto3: CreateTrainingJob, DescribeTrainingJob, StopTrainingJob.

The names are unique in an account and region for good, so a job found under the name is the one an interrupted
attempt created, and is adopted. A job goes on whether or not it is followed, so a follower passes over what passes: its
calls are bounded by the time without any answer. boto3's own retries are off: theirs are bounded by their number.
"""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import Any

from fsm.faults import Clock, Kind, Patient, Tells, fault, silent
from phases.errors import RoleNotFound
from phases.sagemaker_job import source
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import FAILED, STOPPED, Code, Job, JobRefused, JobSpec
from phases.services import asked, client, named

REFUSED = ("ValidationException", "ResourceNotFound")
# the same bytes are there, or another launcher is putting them at this moment
THERE = ("PreconditionFailed", "ConditionalRequestConflict")


class SageMakerProvider:
    """Rents an instance a job."""

    def __init__(self, config: SageMakerJobConfig, clock: Clock = time, tells: Tells = silent) -> None:
        self.config = config
        self._ask = Patient(f"SageMaker in {config.region}", config.patience_seconds, clock, tells=tells)
        self._ask_s3 = Patient(config.staging, config.patience_seconds, clock, tells=tells)

    @cached_property
    def _service(self) -> Any:
        return client("sagemaker", region=self.config.region)

    @cached_property
    def _s3(self) -> Any:
        return client("s3", region=self.config.region)

    def create(self, spec: JobSpec) -> str:
        """Create the job, or adopt it. One of that name which failed stays, and the next number is taken.

        Raises JobRefused where the request can never be met; RoleNotFound; the other errors of Diagram 8 for what a
        person has to mend; Unanswered when patience is at an end.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        for name, value in (("role", self.config.role), ("staging", self.config.staging)):
            if not value:
                raise JobRefused(f"sagemaker_job.{name} is empty; a job on SageMaker needs it.")
        name, number = spec.name, 1
        while (found := self._find(name)) is not None and found["TrainingJobStatus"] in (FAILED, STOPPED):
            number += 1
            name = f"{spec.name[:60]}-{number}"
        if found is not None:
            return name
        request = self.request(spec, name, self._upload(spec), self.config.source or self._source(spec.code))
        unsure = False

        def create() -> None:
            nonlocal unsure
            if unsure and self._described(name) is not None:
                return
            try:
                self._service.create_training_job(**request)
            except Exception as e:
                found = fault(e)
                if found.kind is Kind.PASSING and found.cause != "throttling":
                    unsure = True  # it may be there all the same
                raise

        try:
            self._ask(create)
        except BotoCoreError as e:
            if fault(e).cause == "request":
                raise JobRefused(str(e)) from e
            raise named(e, f"creating the training job {name}") from e
        except ClientError as e:
            code, message = e.response["Error"]["Code"], e.response["Error"]["Message"]
            if code == "ResourceInUse":  # an attempt of before, answered too late: it is there
                return name
            if code == "ValidationException" and "role" in message.lower():
                raise RoleNotFound(
                    f"SageMaker cannot assume sagemaker_job.role {self.config.role}: {message}"
                ) from e
            if code in REFUSED:
                raise JobRefused(message) from e
            raise named(e, f"creating the training job {name}") from e
        return name

    def describe(self, name: str) -> Job:
        found = self._find(name)
        if found is None:
            raise JobRefused(f"There is no training job {name} in {self.config.region}.")
        return Job(
            name,
            found["TrainingJobStatus"],
            tuple(
                (t["Status"], t.get("StatusMessage", "")) for t in found.get("SecondaryStatusTransitions", [])
            ),
            found.get("FailureReason", ""),
            found.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
            found.get("CheckpointConfig", {}).get("S3Uri", ""),
            found.get("BillableTimeInSeconds", 0),
        )

    def stop(self, name: str) -> None:
        asked(
            self._ask,
            lambda: self._service.stop_training_job(TrainingJobName=name),
            f"stopping the training job {name}",
        )

    def interrupted(self, name: str) -> None:
        """A rented job does not need its follower; stopping it is a decision of its own."""

    def request(self, spec: JobSpec, name: str, channels: dict[str, str], code: str) -> dict[str, Any]:
        """CreateTrainingJob's request. `channels`: channel -> S3 prefix; `code`: the archive's s3:// address."""
        c = self.config
        hyperparameters = dict(spec.hyperparameters) | {
            "sagemaker_program": source.START,
            "sagemaker_submit_directory": code,
            "sagemaker_region": c.region,
        }
        stopping = {"MaxRuntimeInSeconds": c.max_runtime_seconds}
        if c.spot:
            stopping["MaxWaitTimeInSeconds"] = max(c.max_wait_seconds, c.max_runtime_seconds)
        return {
            "TrainingJobName": name,
            "AlgorithmSpecification": {
                "TrainingImage": c.image.format(region=c.region),
                "TrainingInputMode": "File",
            },
            "RoleArn": c.role,
            "HyperParameters": hyperparameters,
            "Environment": dict(spec.environment),
            "InputDataConfig": [
                {
                    "ChannelName": channel,
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3Uri": uri,
                            "S3DataDistributionType": "FullyReplicated",
                        }
                    },
                }
                for channel, uri in sorted(channels.items())
            ],
            "OutputDataConfig": {"S3OutputPath": c.output},
            # of the work, not of the attempt at it: the next attempt goes on from there
            "CheckpointConfig": {"S3Uri": f"{c.staging.rstrip('/')}/{spec.name}/checkpoints"},
            "ResourceConfig": {
                "InstanceType": c.instance_type,
                "InstanceCount": c.instance_count,
                "VolumeSizeInGB": c.volume_gb,
            },
            "StoppingCondition": stopping,
            "EnableManagedSpotTraining": c.spot,
        }

    def _find(self, name: str) -> dict[str, Any] | None:
        return asked(self._ask, lambda: self._described(name), f"looking for the training job {name}")

    def _described(self, name: str) -> dict[str, Any] | None:
        """One DescribeTrainingJob; None where there is no such job."""
        try:
            found: dict[str, Any] = self._service.describe_training_job(TrainingJobName=name)
        except self._service.exceptions.ClientError as e:
            if e.response["Error"]["Code"] in REFUSED:
                return None
            raise
        return found

    def _source(self, code: Code) -> str:
        """Pack the code and put it under its digest, once; its address."""
        archive = source.pack(code)
        bucket, key = self._staged("source", f"{archive.digest}.tar.gz")

        def put() -> None:
            try:
                self._s3.put_object(Bucket=bucket, Key=key, Body=archive.content, IfNoneMatch="*")
            except self._s3.exceptions.ClientError as e:
                if e.response["Error"]["Code"] not in THERE:
                    raise

        asked(self._ask_s3, put, f"putting the code to s3://{bucket}/{key}")
        return f"s3://{bucket}/{key}"

    def _upload(self, spec: JobSpec) -> dict[str, str]:
        channels = {}
        for channel, files in sorted(spec.channels.items()):
            bucket, key = self._staged(spec.name, "channels", channel)
            for file, path in sorted(files.items()):
                self._put(path, bucket, f"{key}/{file}")
            channels[channel] = f"s3://{bucket}/{key}"
        return channels

    def _put(self, path: Path, bucket: str, key: str) -> None:
        def put() -> None:
            with path.open("rb") as f:  # not upload_file, whose error does not say what it was raised for
                self._s3.upload_fileobj(f, bucket, key)

        asked(self._ask_s3, put, f"putting {path.name} to s3://{bucket}/{key}")

    def _staged(self, *names: str) -> tuple[str, str]:
        """(bucket, key) of something under `staging`."""
        bucket, _, prefix = self.config.staging.removeprefix("s3://").partition("/")
        return bucket, "/".join(filter(None, (prefix.rstrip("/"), *names)))
