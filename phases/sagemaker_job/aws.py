"""Jobs on SageMaker, by boto3: CreateTrainingJob, DescribeTrainingJob, StopTrainingJob.

The names are unique in an account and region for good, so a job found under the name is the one an interrupted
attempt created, and is adopted. A job goes on whether or not it is followed, so a follower passes over what passes: its
calls are bounded by the time without any answer. boto3's own retries are off: theirs are bounded by their number.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import Any

from fsm.faults import Clock, Kind, Patient, Tells, fault, silent
from phases.errors import NotRented, RoleNotFound
from phases.sagemaker_job import logs
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import FAILED, STOPPED, Job, JobRefused, JobSpec
from phases.sagemaker_job.reasons import no_capacity
from phases.sagemaker_job.request import problems, training_job
from phases.sagemaker_job.staging import Staging
from phases.services import asked, client, named

REFUSED = ("ValidationException", "ResourceNotFound")
SHORT = ("ResourceLimitExceeded", "CapacityError", "InsufficientCapacityException")
"""Codes by which the service says at once that there is none of an instance type: the next one may be had."""
POLITE = 15.0  # seconds between two looks at one job, at AWS; a service at an endpoint of one's own is asked as configured
SETTLING = 90.0  # seconds for which a job that was just created may be unknown to DescribeTrainingJob


class SageMakerProvider:
    """Rents an instance a job."""

    def __init__(self, config: SageMakerJobConfig, clock: Clock = time, tells: Tells = silent) -> None:
        self.config = config
        self.clock = clock
        self.staging = Staging(config, clock, tells)
        self._ask = Patient(f"SageMaker in {config.region}", config.patience_seconds, clock, tells=tells)
        self._seen: dict[str, tuple[float, Job]] = {}  # when each job was last looked at, and what it told

    def told_by(self, tells: Tells) -> None:
        """Whom to tell from now on of failures that are passed over."""
        self._ask.tells = self.staging.ask.tells = tells

    @cached_property
    def _service(self) -> Any:
        return client("sagemaker", region=self.config.region)

    def create(self, spec: JobSpec) -> str:
        """Create the job, or adopt it. One of that name which failed stays, and the next number is taken.

        Raises JobRefused where the request can never be met; RoleNotFound; the other errors of Diagram 8 for what a
        person has to mend; Unanswered when patience is at an end.
        """
        for key, value in (("role", self.config.role), ("staging", self.config.staging)):
            if not value:
                raise JobRefused(f"sagemaker_job.{key} is empty; a job on SageMaker needs it.")
        name, found, short = self._newest(spec.name)
        if found is not None:
            return name
        channels, code = self.staging.channels(spec), self.config.source or self.staging.code(spec.code)
        types = self._to_try(short)
        for place, kind in enumerate(types):
            request = training_job(self.config, spec, name, channels, code, kind)
            if wrong := problems(request):
                raise JobRefused(" ".join(wrong))
            try:
                return self._created(name, request, last=place == len(types) - 1)
            except _Short:
                continue
        raise AssertionError("the last type is created, or raises what the service said")

    def _newest(self, first: str) -> tuple[str, dict[str, Any] | None, int]:
        """The first of a job's names whose job has not failed, what there is under it, and how many before it found no capacity."""
        name, number, short = first, 1, 0
        while (found := self._find(name)) is not None and found["TrainingJobStatus"] in (FAILED, STOPPED):
            short += no_capacity(found.get("FailureReason", ""))
            number += 1
            name = f"{first[:60]}-{number}"
        return name, found, short

    def under_way(self, name: str) -> str | None:
        """The job of that name that is not over. It is looked for as long as one that was just created may be unknown."""
        end, pause = self.clock.monotonic() + SETTLING, 0.1
        while True:
            job, found, _ = self._newest(name)
            if found is not None:
                return None if _over(found) else job
            if self.clock.monotonic() + pause > end:
                return None
            self.clock.sleep(pause)
            pause = min(2 * pause, POLITE)

    def _to_try(self, short: int) -> tuple[str | None, ...]:
        """The instance types to ask for, in order; `short` earlier jobs found no capacity. None: the service chooses."""
        types = self.config.instance_types
        if len(types) == 1 or not self.config.spot:
            return (None,)
        return types[short % len(types) :]

    def _created(self, name: str, request: dict[str, Any], last: bool) -> str:
        from botocore.exceptions import BotoCoreError, ClientError

        unsure = False

        def create() -> None:
            nonlocal unsure
            if unsure and self._described(name) is not None:
                return
            try:
                self._service.create_training_job(**request)
            except ClientError as e:
                if not last and e.response["Error"]["Code"] in SHORT:
                    raise _Short from e
                unsure = unsure or _may_be_there(e)
                raise
            except Exception as e:
                unsure = unsure or _may_be_there(e)
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
        """What the job tells. AWS is asked once in POLITE seconds at most, and no more once the job is over.

        Raises NotRented where there is no such job, and has not been for as long as a new one may be unknown.
        """
        seen = self._seen.get(name)
        if seen and (seen[1].over or (self._at_aws and self.clock.monotonic() - seen[0] < POLITE)):
            return seen[1]
        job = _job(self._settled(name))
        self._seen[name] = (self.clock.monotonic(), job)
        return job

    @property
    def pause(self) -> float:
        """Seconds between two looks, at the least."""
        return max(self.config.poll_seconds, POLITE) if self._at_aws else self.config.poll_seconds

    @property
    def _at_aws(self) -> bool:
        host: str = self._service.meta.endpoint_url
        return "amazonaws." in host

    def _settled(self, name: str) -> dict[str, Any]:
        """DescribeTrainingJob of a job that was created: the service may learn of it only after a while."""
        end, pause = self.clock.monotonic() + SETTLING, 0.1
        while (found := self._find(name)) is None:
            if self.clock.monotonic() + pause > end:
                raise NotRented(
                    f"There is no training job {name} in {self.config.region}: it was deleted, or is another account's or "
                    "region's. Put the credentials and sagemaker_job.region back to those it was created with; where it is "
                    "gone, begin the run anew with --fresh"
                )
            self.clock.sleep(pause)
            pause = min(2 * pause, POLITE)
        return found

    def stop(self, name: str) -> None:
        """Ask the job to stop; one that is over already is left as it is."""

        def stop() -> None:
            try:
                self._service.stop_training_job(TrainingJobName=name)
            except self._service.exceptions.ClientError as e:
                if e.response["Error"]["Code"] != "ValidationException" or not _over(self._described(name)):
                    raise

        asked(self._ask, stop, f"stopping the training job {name}")
        self._seen.pop(name, None)

    def interrupted(self, name: str) -> None:
        """A rented job does not need its follower; stopping it is a decision of its own."""

    def log(self, name: str, lines: int) -> list[str]:
        return asked(self._ask, lambda: logs.last(self.cloudwatch, name, lines), f"reading the log of {name}")

    @cached_property
    def cloudwatch(self) -> Any:
        """A client of CloudWatch Logs."""
        return client("logs", region=self.config.region)

    def rented(self) -> list[Job]:
        """The jobs in progress in the region, the oldest first, whoever created them."""

        def ask() -> list[str]:
            pages = self._service.get_paginator("list_training_jobs").paginate(
                StatusEquals="InProgress", SortBy="CreationTime", SortOrder="Ascending"
            )
            return [job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]]

        names = asked(self._ask, ask, f"listing the training jobs in {self.config.region}")
        return [_job(found) for name in names if (found := self._find(name)) is not None]

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


class _Short(Exception):
    """There is none of this instance type, and another one is left to try."""


def _may_be_there(error: Exception) -> bool:
    """Whether the job may have been created although the call failed."""
    found = fault(error)
    return found.kind is Kind.PASSING and found.cause != "throttling"


def _over(found: dict[str, Any] | None) -> bool:
    return found is not None and _job(found).over


def _job(found: dict[str, Any]) -> Job:
    resources = found.get("ResourceConfig", {})
    return Job(
        found["TrainingJobName"],
        found["TrainingJobStatus"],
        tuple((t["Status"], t.get("StatusMessage", "")) for t in found.get("SecondaryStatusTransitions", [])),
        found.get("FailureReason", ""),
        found.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
        found.get("CheckpointConfig", {}).get("S3Uri", ""),
        found.get("BillableTimeInSeconds", 0),
        resources.get("SelectedInstanceType") or resources.get("InstanceType", ""),
        resources.get("InstanceCount", 1),
        found["CreationTime"].timestamp(),
        found.get("EnableManagedSpotTraining", False),
    )
