"""A loopback SageMaker: training jobs, over the wire, to the unmodified client; the instances are local processes.

What it keeps of the real service: a name is taken for good (ResourceInUse); a job that was just created is unknown to
DescribeTrainingJob for a while; requests are held against the service's own model, the role must be there, quotas and
capacity run out; the secondary statuses are the real ones in their real order. `phases.rehearsal.instance` is the rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from phases.rehearsal.instance import FAILED, IN_PROGRESS, STOPPED, STOPPING, Instances, Pace
from phases.rehearsal.json_service import JsonService, Plan, Refused, calm
from phases.sagemaker_job.kept import keep, read
from phases.sagemaker_job.request import problems

ACCOUNT = "123456789012"
PAGE = 100  # summaries of a ListTrainingJobs at most
_SUMMARY = (
    *("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime"),
    *("TrainingJobStatus", "SecondaryStatus"),
)
_NOT_TOLD = ("attempts", "region", "Tags")  # kept of a job, and not DescribeTrainingJob's


@dataclass
class SageMaker:
    """The service, while it is entered.

    home      where jobs are kept: a service that is started there again knows them, and takes up those in progress
    clients   of the services that it stands among, by name: s3, iam, logs; None where there is no such service
    settles   seconds for which a new job is unknown to DescribeTrainingJob
    environment   what a container's environment has besides: the credentials of the role
    lacking   instance types of which there are none
    provisioning   tells, of (job, instance type), whether there is none at this moment
    quotas    how many instances of a type the account may have; of "*" any; without it, any number
    """

    home: Path
    clients: Callable[[str], Any]
    region: str = "us-east-1"
    plan: Plan = calm
    settles: float = 0.3
    pace: Pace = field(default_factory=Pace)
    environment: Callable[[], Mapping[str, str]] = dict
    lacking: set[str] = field(default_factory=set)
    provisioning: Callable[[str, str], bool] = lambda job, kind: False
    quotas: dict[str, int] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: dict[str, Instances] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.clients = cache(self.clients)
        self.http = JsonService(
            {
                "CreateTrainingJob": self.create,
                "DescribeTrainingJob": self.describe,
                "StopTrainingJob": self.stop,
                "ListTrainingJobs": self.list,
            },
            self.plan,
        )

    @property
    def url(self) -> str:
        return self.http.url

    def __enter__(self) -> SageMaker:
        for home in sorted(self.home.glob("*")):
            if job := read(home):
                self.jobs[job["TrainingJobName"]] = job
                if job["TrainingJobStatus"] == IN_PROGRESS:  # its instances went with the service
                    self._run(job)
        self.http.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.http.__exit__(*error)
        for job in self.running.values():
            job.abandon()
        for job in self.running.values():
            job.join()

    # The operations

    def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateTrainingJob."""
        if wrong := problems(request):
            raise Refused("ValidationException", f"{len(wrong)} validation error detected: {' '.join(wrong)}")
        name = request["TrainingJobName"]
        self._role(request["RoleArn"])
        with self._lock:
            if name in self.jobs:
                raise Refused(
                    "ResourceInUse", "Training job names must be unique within an AWS account and region."
                )
            self._quota(request["ResourceConfig"])
            now = time.time()
            arn = f"arn:aws:sagemaker:{self.region}:{ACCOUNT}:training-job/{name}"
            job: dict[str, Any] = {
                **request,
                "TrainingJobArn": arn,
                "TrainingJobStatus": IN_PROGRESS,
                "SecondaryStatus": "Starting",
                "SecondaryStatusTransitions": [],
                "ModelArtifacts": {"S3ModelArtifacts": ""},
                "CreationTime": now,
                "LastModifiedTime": now,
                "region": self.region,
            }
            job["ResourceConfig"] = dict(request["ResourceConfig"])
            self.jobs[name] = job
            keep(self.home / name, job)
            self._run(job)
        return {"TrainingJobArn": arn}

    def describe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeTrainingJob."""
        job = self._there(request["TrainingJobName"])
        return {k: v for k, v in job.items() if k not in _NOT_TOLD and (k != "FailureReason" or v)}

    def stop(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """StopTrainingJob."""
        job = self._there(request["TrainingJobName"])
        with self._lock:
            if job["TrainingJobStatus"] not in (IN_PROGRESS, STOPPING):
                raise Refused(
                    "ValidationException",
                    f"The request was rejected because the training job is in status {job['TrainingJobStatus']}.",
                )
            if job["TrainingJobStatus"] == IN_PROGRESS:
                self.running[job["TrainingJobName"]].stop()
        return {}

    def list(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """ListTrainingJobs."""
        found = [j for j in self.jobs.values() if self._settled(j)]
        if status := request.get("StatusEquals"):
            found = [j for j in found if j["TrainingJobStatus"] == status]
        if part := request.get("NameContains"):
            found = [j for j in found if part in j["TrainingJobName"]]
        found.sort(key=lambda j: j["CreationTime"], reverse=request.get("SortOrder") != "Ascending")
        begin = int(request.get("NextToken") or 0)
        size = min(request.get("MaxResults", 10), PAGE)
        page = [{k: j[k] for k in _SUMMARY if k in j} for j in found[begin : begin + size]]
        more = {"NextToken": str(begin + size)} if begin + size < len(found) else {}
        return {"TrainingJobSummaries": page, **more}

    # Beside them

    def interrupt(self, name: str, notice: bool = True) -> None:
        """Take the spot instances of a job back."""
        self.running[name].interrupt(notice)

    def fail(self, name: str, reason: str) -> None:
        """Have a job fail by the service's own fault."""
        self.running[name].fail(reason)

    def _there(self, name: str) -> dict[str, Any]:
        job = self.jobs.get(name)
        if job is None or not self._settled(job):
            raise Refused("ValidationException", "Requested resource not found.")
        return job

    def _settled(self, job: Mapping[str, Any]) -> bool:
        return time.time() - float(job["CreationTime"]) >= self.settles

    def _run(self, job: dict[str, Any]) -> None:
        home = self.home / job["TrainingJobName"]
        told = lambda: keep(home, job)  # noqa: E731
        name = job["TrainingJobName"]

        def lacks(kind: str) -> bool:
            return kind in self.lacking or self.provisioning(name, kind)

        instances = Instances(home, job, self.clients, self.pace, told, lacks, self.environment)
        self.running[name] = instances
        instances.start()

    def _role(self, arn: str) -> None:
        iam = self.clients("iam")
        if iam is None:
            return
        try:
            iam.get_role(RoleName=arn.rpartition("/")[2])
        except iam.exceptions.NoSuchEntityException as e:
            raise Refused(
                "ValidationException",
                f"Could not assume role {arn}. Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' "
                "to assume the role.",
            ) from e

    def _quota(self, resources: Mapping[str, Any]) -> None:
        kind, wanted = resources.get("InstanceType", ""), resources.get("InstanceCount", 1)
        limit = self.quotas.get(kind, self.quotas.get("*"))
        over = (FAILED, STOPPED, "Completed")
        used = sum(
            j["ResourceConfig"].get("InstanceCount", 1)
            for j in self.jobs.values()
            if j["TrainingJobStatus"] not in over and j["ResourceConfig"].get("InstanceType") == kind
        )
        if limit is not None and used + wanted > limit:
            raise Refused(
                "ResourceLimitExceeded",
                f"The account-level service limit '{kind} for training job usage' is {limit} Instances, with current utilization of "
                f"{used} Instances and a request delta of {wanted} Instances. Please use AWS Service Quotas to request an increase "
                "for this quota.",
            )
