"""A run of the launch alone, by its real door, against a SageMaker of the rehearsal's: for tests, and for what is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from fsm import config as configs
from fsm import session
from fsm.engine import Nobody, Outcome
from fsm.journal import Journal
from fsm.store import open_store
from phases.rehearsal.instance import Pace
from phases.rehearsal.sagemaker import SageMaker
from phases.sagemaker_job import source
from tests.servers.fixtures import S3
from tests.servers.s3 import REGION

ROLE = "arn:aws:iam::123456789012:role/pipeline"


class Killed(BaseException):
    """A process that ends here: no handler sees it, and nothing is written any more."""


class Launcher:
    """One run, `launch`, in a directory of its own; and the service it asks.

    `place` is the s3:// prefix of the job's staging and output; `store` that of the run, if not the directory.
    """

    def __init__(self, service: SageMaker, place: str, home: Path, store: str = "", **options: Any) -> None:
        self.service, self.home = service, home
        self.store, self.options = store or str(home), options
        words = {
            "machine": "sagemaker_job",
            "store": self.store,
            "store_options": options,
            "work": str(home / "work"),
            "run": {"name": "launch"},
            "sagemaker_job": {
                "provider": "sagemaker",
                "machine": "data_preparation",
                "role": ROLE,
                "staging": f"{place}/staging",
                "output": f"{place}/output",
                "poll_seconds": 0.02,
            },
        }
        self.file = home / "launch.yaml"
        self.file.write_text(yaml.safe_dump(words))

    def go(self) -> Outcome:
        return session.run(configs.load(self.file), observer=Nobody())

    def crash(self, times: int, before: Callable[[], None] = lambda: None) -> None:
        """Launchers that die between CreateTrainingJob and the journal, one after the other; `before` each."""
        append = Journal.append

        def dies(journal: Journal, record: dict[str, Any]) -> Any:
            if record["kind"] != "claim":
                raise Killed
            return append(journal, record)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Journal, "append", dies)
            for _ in range(times):
                before()
                with suppress(Killed):
                    self.go()

    @property
    def job(self) -> dict[str, Any]:
        (job,) = self.service.jobs.values()
        return job

    def tells(self, *statuses: str, over: str = "", reason: str = "") -> None:
        """The job has come so far."""
        self.job["SecondaryStatusTransitions"] = [{"Status": s, "StartTime": 0} for s in statuses]
        if over:
            self.job["TrainingJobStatus"] = over
            self.job["FailureReason"] = reason

    def walked(self) -> list[tuple[str, str]]:
        """The states it has left, and by which edge."""
        records = Journal(open_store(self.store, **self.options).run("launch")).records()
        return [(r["from"], r.get("label") or "") for r in records if r["kind"] == "transition"]


@contextmanager
def launched(s3: S3, home: Path, patch: pytest.MonkeyPatch, settles: float) -> Iterator[Launcher]:
    """A launcher of a service of which no instance ever comes up: what a job tells is the test's to say."""

    def clients(name: str) -> Any:
        return boto3.client(name, endpoint_url=s3.server.url, region_name=REGION)

    with suppress(clients("iam").exceptions.EntityAlreadyExistsException):
        clients("iam").create_role(RoleName=ROLE.rpartition("/")[2], AssumeRolePolicyDocument="{}")
    patch.setattr(source, "pack", lambda code: source.Archive(b"code", "5eed"))
    with SageMaker(home / "jobs", clients, settles=settles, pace=Pace(status=3600)) as service:
        patch.setenv("AWS_ENDPOINT_URL", s3.server.url)
        patch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", service.url)
        yield Launcher(service, s3.url, home)
