"""An epoch's numbers passed on to where a team looks at them: TensorBoard, MLflow, Weights & Biases, trackio.

They are those of the epoch's report and nothing else, so the same run passes on the same numbers; only the time beside them is
the clock's. The run does not depend on it: nothing of it is in the journal, and where it fails the run says so and goes on.
What is there already is seen there, so that a run that was killed and resumed passes no epoch on twice, and one that could
not be passed on goes along with the next.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any, Literal, Protocol

from fsm.engine import Context
from fsm.errors import ConfigError

Name = Literal["tensorboard", "mlflow", "wandb", "trackio"]
Json = Mapping[str, Any]

PROJECT = "distillation"
EPOCH = "epoch"  # a number that stands with every epoch's
_SETS = {"drawn": "drawn", "held_out": "frozen"}
_INTERVAL = {"mean": "", "low": "_low", "high": "_high"}


class TrackerMissing(ConfigError):
    """The numbers are to be passed on to a tracker whose library is not installed."""


class NotPassedOn(Exception):
    """The tracker did not take the numbers; the message says why, in a line."""


class Tracker(Protocol):
    """A run at a tracker."""

    def last(self) -> int:
        """The newest epoch that is there; 0 for none."""
        ...

    def add(self, epoch: int, found: Mapping[str, float]) -> None:
        """An epoch's numbers, all at once; they are there when this returns."""
        ...


def needed(name: Name | None) -> None:
    """Raises TrackerMissing where the library of the tracker is not installed."""
    if name is not None and util.find_spec(name) is None:
        raise TrackerMissing(
            f"distillation.report_to is {name}, which is not installed: pip install 'fsm-pipelines[{name}]', or report to nobody."
        )


def tell(ctx: Context, reports: Sequence[Json]) -> None:
    """Pass a run's epochs on to where its configuration says, when they can no longer come out otherwise."""
    if (name := ctx.config.report_to) is None:
        return
    try:
        pass_on(name, ctx.config.log_dir, ctx.run_identity.replace("/", "-"), reports)
    except NotPassedOn as e:
        ctx.log.warning(f"{e}. They go along with the next epoch's.")


def pass_on(name: Name, log_dir: str | None, run: str, reports: Sequence[Json]) -> int:
    """Pass on the epochs that are not there yet; how many those were.

    `log_dir` is a directory, or for MLflow the address of a server as well; the tracker's own default without one. `run` names
    the run there. Raises TrackerMissing and NotPassedOn.
    """
    needed(name)
    try:
        tracker = _TRACKERS[name](log_dir, run)
        last = tracker.last()
        new = [r for r in reports if r[EPOCH] > last]
        for report in new:
            tracker.add(report[EPOCH], numbers(report))
    except (
        Exception
    ) as e:  # whatever a tracker raises: networks, quotas, files; it is not the run's to end by
        raise NotPassedOn(f"{name} did not take the epoch's numbers: {type(e).__name__}: {e}") from e
    return len(new)


def numbers(report: Json) -> dict[str, float]:
    """The numbers of an epoch's report by name, in a fixed order; what was not measured is not there."""
    return {name: float(value) for name, value in _numbers(report) if value is not None}


def _numbers(report: Json) -> Iterator[tuple[str, float | None]]:
    yield EPOCH, report[EPOCH]
    for key, name in _SETS.items():
        for dimension in ("overall", "syntax", "protocol", "safety", "style"):
            yield from _interval(f"{name}/{dimension}", report[key][dimension])
        for domain, found in sorted(report[key].get("domains", {}).items()):
            yield f"{name}/domain/{domain}", found["mean"]
        if (of := report.get("behaviour", {}).get(key)) and of["compared"]:
            yield from _interval(f"{name}/behaviour", of["behaviour"])
            yield f"{name}/right_share", of["right"] / of["compared"]
        kinds = report.get("failures", {}).get(key, {})
        for kind, count in kinds.items():
            yield f"{name}/failures/{kind.replace(' ', '_')}", count / (sum(kinds.values()) or 1)
    yield "correction_rate", report["correction_rate"]
    for what in ("asked", "reused", "accepted", "refused"):
        yield f"corrections/{what}", report["corrections"][what]
    yield "teacher/dollars", report["dollars"]
    yield "teacher/tokens_in", report["corrections"]["tokens"][0]
    yield "teacher/tokens_out", report["corrections"]["tokens"][1]
    for source, rows in report.get("learned_from", {}).items():
        yield f"learned/{source}", rows
    yield "training/loss", report["training"]["loss"]
    yield "training/eval_loss", report["training"].get("eval_loss")
    yield "training/steps", report["training"].get("steps")
    yield "examples", report["examples"]["after"]


def _interval(name: str, found: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    yield from ((name + suffix, found[part]) for part, suffix in _INTERVAL.items())


@dataclass(frozen=True)
class _TensorBoard:
    """A directory of event files, one for each process that wrote; an epoch is one event, so that it is there or is not."""

    log_dir: str | None
    run: str

    @property
    def _directory(self) -> Path:
        return Path(self.log_dir or "output/tensorboard") / self.run

    def last(self) -> int:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

        paths = sorted(self._directory.glob("events.out.tfevents.*"))
        return max((e.step for path in paths for e in EventFileLoader(str(path)).Load()), default=0)

    def add(self, epoch: int, found: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        values = [Summary.Value(tag=name, simple_value=value) for name, value in found.items()]
        writer = EventFileWriter(str(self._directory), filename_suffix=f".{epoch}")
        writer.add_event(Event(wall_time=time.time(), step=epoch, summary=Summary(value=values)))
        writer.close()


class _MLflow:
    """A run of the experiment `distillation`, found again by a tag."""

    def __init__(self, log_dir: str | None, run: str) -> None:
        from mlflow.tracking import MlflowClient

        self.client = MlflowClient(_address(log_dir))
        there = self.client.get_experiment_by_name(PROJECT)
        experiment = there.experiment_id if there else self.client.create_experiment(PROJECT)
        wanted = f"tags.`fsm.run` = '{run}'"
        found = self.client.search_runs([experiment], filter_string=wanted, max_results=1)
        own = found[0] if found else self.client.create_run(experiment, tags={"fsm.run": run}, run_name=run)
        self.id = own.info.run_id

    def last(self) -> int:
        return max((m.step for m in self.client.get_metric_history(self.id, EPOCH)), default=0)

    def add(self, epoch: int, found: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.id, [Metric(name, value, now, epoch) for name, value in found.items()])


def _address(log_dir: str | None) -> str | None:
    """A server as it is named; a directory as the database in it."""
    if log_dir is None or "://" in log_dir:
        return log_dir
    directory = Path(log_dir)
    directory.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{directory.resolve()}/mlflow.db"


class _Wandb:
    """A run of the project `distillation`, by its name; WANDB_MODE and the account are the environment's.

    One that is offline cannot be asked what it has, so that is kept in a file beside it.
    """

    def __init__(self, log_dir: str | None, run: str) -> None:
        self.directory, self.run = Path(log_dir or "output/wandb"), run
        self.directory.mkdir(parents=True, exist_ok=True)
        self.kept = self.directory / f"{run}.json"

    def last(self) -> int:
        with suppress(OSError, ValueError):
            return int(json.loads(self.kept.read_text("utf-8"))[EPOCH])
        return 0

    def add(self, epoch: int, found: Mapping[str, float]) -> None:
        import wandb

        with wandb.init(
            project=PROJECT, id=self.run, name=self.run, dir=str(self.directory), resume="allow", reinit="create_new"
        ) as run:  # fmt: skip
            run.log(dict(found), step=epoch)  # of a step that is there already nothing is taken
        part = self.kept.with_suffix(".part")
        part.write_text(json.dumps({EPOCH: epoch}), "utf-8")
        part.replace(self.kept)


class _Trackio:
    """A run of the project `distillation` in trackio's database on this machine."""

    def __init__(self, log_dir: str | None, run: str) -> None:
        if log_dir is not None:  # read when the library is loaded: a process has one
            os.environ["TRACKIO_DIR"] = str(Path(log_dir).resolve())
        import trackio

        self.trackio, self.run = trackio, run

    def last(self) -> int:
        from trackio.sqlite_storage import SQLiteStorage

        return max((int(row["step"]) for row in SQLiteStorage.get_logs(PROJECT, self.run)), default=0)

    def add(self, epoch: int, found: Mapping[str, float]) -> None:
        self.trackio.init(
            project=PROJECT, name=self.run, resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False
        )  # fmt: skip
        self.trackio.log(dict(found), step=epoch)
        self.trackio.finish()


_TRACKERS: Mapping[Name, Callable[[str | None, str], Tracker]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _Wandb,
    "trackio": _Trackio,
}
