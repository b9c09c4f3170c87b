"""A distillation as it lies in a store, finished or under way: read, never written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from fsm.errors import FsmError
from fsm.journal import Fold, Journal
from fsm.store import RunStore, Store
from phases.distillation import student
from phases.qlora_training.data import read_jsonl


class NotDistilled(FsmError):
    """The run holds no distillation, or none that has come as far as is needed."""

    code: ClassVar[str] = "P101"


@dataclass(frozen=True)
class Stored:
    """One distillation: its records so far, and what they come to. `asked` is the run it was found by, `teaching` the summary of
    that run's teacher generation."""

    asked: str
    run: RunStore
    header: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]
    fold: Fold
    teaching: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """The distillation run's own name."""
        return self.run.name

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.header["seed"])

    @property
    def data(self) -> Mapping[str, Any]:
        """The durable data of Diagram 4; empty before its first transition."""
        return (self.fold.root or {"data": {}})["data"]  # type: ignore[no-any-return]

    def section(self, name: str) -> Any:
        """A phase's settings, as the run was begun with them; its defaults where it had no such section."""
        return import_module(f"phases.{name}").PHASE.section(self.header["config"].get(name) or {})

    def has(self, name: str) -> bool:
        """Whether the run has put an artifact of that name."""
        return name in self.fold.files

    def open(self, name: str) -> Path:
        """The newest artifact of that name, as a local file. Raises NotDistilled, and StoreError where it is damaged."""
        if name not in self.fold.files:
            raise NotDistilled(
                f"Run {self.name} at {self.run.url} has no artifact {name}. It has not come that far, or was made by "
                f"another version: `fsm history {self.name}` names the artifacts it has."
            )
        return self.run.artifact(self.fold.files[name]["sha256"])

    def json(self, name: str) -> Any:
        """The value of a JSON artifact."""
        return json.loads(self.open(name).read_text("utf-8"))

    def rows(self, name: str) -> list[Any]:
        """The rows of a JSONL artifact."""
        return read_jsonl(self.open(name))

    @property
    def finished(self) -> int:
        """How many epochs are finished: decided upon and reported."""
        n = 0
        while self.has(f"{student.prefix(n + 1)}/report.json"):
            n += 1
        return n

    def require_epoch(self) -> int:
        """The newest finished epoch. Raises NotDistilled where there is none."""
        if not self.finished:
            place = (self.fold.root or {"place": []})["place"]
            where = f"stands in {', '.join(place)}" if place else "has not begun"
            raise NotDistilled(
                f"Run {self.name} has not finished an epoch yet: it {where}. `fsm status {self.asked}` shows how far it "
                "is; ask again after its first epoch."
            )
        return self.finished


def find(store: Store, name: str) -> Stored:
    """The distillation that a run is, or that ran in its job. Raises NoSuchRun and NotDistilled."""
    journal = Journal(store.run(name))
    header = journal.header()
    if header["machine"] == "distillation":
        return _read(name, store.run(name))
    fold = journal.load()
    child = _child(header["machine"], (fold.root or {"data": {}})["data"])
    if child is None:
        raise NotDistilled(_without(name, header["machine"], fold))
    run = store.run(child)
    if run.read_header() is None:
        raise NotDistilled(
            f"The distillation of run {name} is the run {child}, which is not at {store.url}: its job has not begun, or "
            f"keeps its journal elsewhere. `fsm status {name}` shows how far it is."
        )
    found = _read(name, run)
    if found.header["machine"] != "distillation":
        raise NotDistilled(
            f"The job of run {name} is the run {child}, of the machine {found.header['machine']}: there is no "
            "distillation in it. `fsm runs` lists the runs there are, with their machines."
        )
    prepared = (fold.root or {"data": {}})["data"].get("teacher_generation")
    return replace(found, teaching=(prepared or {}).get("summary"))


def _read(asked: str, run: RunStore) -> Stored:
    journal = Journal(run)
    header = journal.header()
    records = list(journal.records())
    return Stored(asked, run, header, records, Fold.of(records))


def _child(machine: str, data: Mapping[str, Any]) -> str | None:
    """The run that the job of a pipeline, or a job launched alone, does its work as."""
    job = data.get("job") if machine == "pipeline" else data if machine == "sagemaker_job" else None
    return job.get("run") if isinstance(job, dict) else None


def _without(name: str, machine: str, fold: Fold) -> str:
    if machine in ("pipeline", "sagemaker_job") and not fold.ended:
        return (
            f"Run {name} has not come to its distillation yet: its job is not launched. `fsm status {name}` shows where "
            "it stands."
        )
    if machine in ("pipeline", "sagemaker_job"):
        how = (fold.ended or {}).get("label") or (fold.ended or {}).get("last")
        return (
            f"Run {name} ended before its distillation, by {how!r}. `fsm history {name}` tells why; mend the cause and "
            "run it again with --fresh."
        )
    return (
        f"Run {name} is a run of the machine {machine}, which distills nothing. Name a run of the pipeline, or of the "
        "distillation alone: `fsm runs` lists them."
    )
