"""Batch inference of a rehearsed Bedrock: jobs that read JSONL from S3 and write it back, a step further each time one looks.

(https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-results.html)
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from phases.rehearsal.wire import Reply, Request, refusal, said

_STEPS = ("Submitted", "Validating", "Scheduled", "InProgress")
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
ACCOUNT = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job"

OfBatch = Callable[[str, Mapping[str, Any]], "Reply | dict[str, Any]"]


@dataclass
class Job:
    """One job: what it was asked for, and how far it is."""

    id: str
    asked: Mapping[str, Any]
    status: str = "Submitted"
    message: str = ""
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return f"{ACCOUNT}/{self.id}"

    def row(self) -> dict[str, Any]:
        """As GetModelInvocationJob describes it."""
        asked = {k: v for k, v in self.asked.items() if k != "tags"}
        row = {**asked, "jobArn": self.arn, "status": self.status, "submitTime": _BEGAN, **self.counts}
        return row | ({"message": self.message} if self.message else {})


@dataclass
class Batches:
    """The jobs of an account. `fate` is how the next ones end: (status, message), where it is not well."""

    answer: OfBatch
    s3: Callable[[], Any]
    minimum: Callable[[], int]
    fate: tuple[str, str] | None = None
    jobs: dict[str, Job] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self, request: Request) -> Reply:
        with self._lock:
            match request.method, request.steps:
                case "POST", ["model-invocation-job"]:
                    return self._create(request.json())
                case "GET", ["model-invocation-jobs"]:
                    part = request.query.get("nameContains", "")
                    rows = [job.row() for job in self.jobs.values() if part in job.asked["jobName"]]
                    return said({"invocationJobSummaries": rows})
                case _, ["model-invocation-job", name, *rest]:
                    job = self.jobs.get(name.rpartition("/")[2])
                    if job is None:
                        return refusal(404, "ResourceNotFoundException", f"Could not find the job {name}.")
                    if request.method == "POST" and rest == ["stop"]:
                        job.status = "Stopped" if job.status in _STEPS else job.status
                        return said({})
                    self._further(job)
                    return said(job.row())
        return refusal(404, "UnknownOperationException", f"{request.method} {request.path}")

    def _create(self, asked: Mapping[str, Any]) -> Reply:
        token = asked.get("clientRequestToken")
        for job in self.jobs.values():
            if token and job.asked.get("clientRequestToken") == token:
                return said({"jobArn": job.arn})
        job = Job(f"job{len(self.jobs):09d}", asked)
        self.jobs[job.id] = job
        return said({"jobArn": job.arn})

    def _further(self, job: Job) -> None:
        if job.status not in _STEPS:
            return
        number = _STEPS.index(job.status) + 1
        if number < len(_STEPS):
            job.status = _STEPS[number]
        elif self.fate:
            job.status, job.message = self.fate
        else:
            self._work(job)

    def _work(self, job: Job) -> None:
        """Read, answer, write: JOB/NAME.jsonl.out with a line for each record, and a manifest."""
        bucket, key = _at(job.asked["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])
        rows = self.s3().get_object(Bucket=bucket, Key=key)["Body"].read().decode().splitlines()
        if len(rows) < self.minimum():
            job.status = "Failed"
            job.message = f"Your batch inference job contains less records ({len(rows)}) than the required minimum of: {self.minimum()}"
            return
        lines, wrong = [], 0
        for row in map(json.loads, rows):
            answer = self.answer(job.asked["modelId"], row["modelInput"])
            if isinstance(answer, Reply):
                wrong += 1
                words = json.loads(answer.body).get("message", "")
                row["error"] = {"errorCode": answer.status, "errorMessage": words}
            else:
                row["modelOutput"] = answer
            lines.append(json.dumps(row) + "\n")
        to, prefix = _at(job.asked["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"])
        under = f"{prefix.rstrip('/')}/{job.id}".lstrip("/")
        name = key.rpartition("/")[2]
        self.s3().put_object(Bucket=to, Key=f"{under}/{name}.out", Body="".join(lines).encode())
        manifest = {
            "totalRecordCount": len(rows),
            "processedRecordCount": len(rows),
            "successRecordCount": len(rows) - wrong,
            "errorRecordCount": wrong,
        }
        self.s3().put_object(Bucket=to, Key=f"{under}/manifest.json.out", Body=json.dumps(manifest).encode())
        job.counts = manifest
        job.status = "PartiallyCompleted" if wrong == len(rows) and rows else "Completed"


def _at(place: str) -> tuple[str, str]:
    bucket, _, key = place.removeprefix("s3://").partition("/")
    return bucket, key
