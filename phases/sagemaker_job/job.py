"""A training job as whoever runs it sees it: what is asked for, and what it tells of itself.

The words are those of SageMaker's CreateTrainingJob and DescribeTrainingJob, whoever runs the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

IN_PROGRESS, COMPLETED, FAILED, STOPPED = "InProgress", "Completed", "Failed", "Stopped"


class JobRefused(Exception):
    """The job cannot be created as it is asked for; asking again would not help."""


OWN = ("fsm", "machines", "phases")
"""The project's own packages: the container's program is one of their modules, whatever a configuration plugs in."""


@dataclass(frozen=True)
class Code:
    """Whose code a job runs: the `names` of top-level packages and modules, and the `drawings` of its machines.

    `requirements` are those of the user's own code, as pip takes them; with `tests` the test suite comes along.
    """

    names: tuple[str, ...] = OWN
    drawings: tuple[Path, ...] = ()
    requirements: tuple[str, ...] = ()
    tests: bool = False


@dataclass(frozen=True)
class JobSpec:
    """One job: its name, the files of its channels (channel -> file name -> local path), its hyperparameters."""

    name: str
    channels: Mapping[str, Mapping[str, Path]]
    hyperparameters: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    code: Code = Code()


@dataclass(frozen=True)
class Job:
    """What DescribeTrainingJob tells. `history` is SecondaryStatusTransitions: (status, message), oldest first."""

    name: str
    status: str
    history: tuple[tuple[str, str], ...]
    failure: str = ""
    model: str = ""  # where model.tar.gz is
    checkpoints: str = ""
    billable_seconds: int = 0
    instance_type: str = ""
    instance_count: int = 1
    created: float = 0.0  # seconds since the epoch
    spot: bool = False

    @property
    def over(self) -> bool:
        return self.status in (COMPLETED, FAILED, STOPPED)


class Provider(Protocol):
    """Who runs jobs."""

    def create(self, spec: JobSpec) -> str:
        """Create the job, or adopt the one of that name; returns the name it runs under. Raises JobRefused."""
        ...

    def describe(self, name: str) -> Job: ...

    def under_way(self, name: str) -> str | None:
        """The name that the job which was created under `name` runs under, if there is one that is not over."""
        ...

    def stop(self, name: str) -> None:
        """Ask the job to stop; it has its grace to save what it has."""
        ...

    def log(self, name: str, lines: int) -> list[str]:
        """The last lines that the job's containers have written."""
        ...

    def interrupted(self, name: str) -> None:
        """The follower was asked to stop: a job on this machine stops with it, a rented one goes on."""
        ...
