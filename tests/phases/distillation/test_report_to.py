"""Numbers passed on to real trackers, each with its own library: all of them, once, and without the run depending on it."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from phases.distillation import report_to
from tests.phases.distillation.store import artifacts

REPORTS = [json.loads(artifacts()[f"distillation/epoch-{n}/report.json"]) for n in range(1, 7)]
Read = Callable[[Path], Mapping[int, Mapping[str, list[float]]]]
"""What a tracker has: by epoch, by name, all values (one, if nothing was passed on twice)."""


def in_tensorboard(where: Path) -> dict[int, dict[str, list[float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(where / "local-0")).Reload()
    found: dict[int, dict[str, list[float]]] = {}
    for tag in read.Tags()["scalars"]:
        for event in read.Scalars(tag):
            found.setdefault(event.step, {}).setdefault(tag, []).append(event.value)
    return found


def in_mlflow(where: Path) -> dict[int, dict[str, list[float]]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{where}/mlflow.db")
    experiment = client.get_experiment_by_name("distillation")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "local-0"
    found: dict[int, dict[str, list[float]]] = {}
    for name in run.data.metrics:
        for metric in client.get_metric_history(run.info.run_id, name):
            found.setdefault(metric.step, {}).setdefault(name, []).append(metric.value)
    return found


def in_wandb(where: Path) -> dict[int, dict[str, list[float]]]:
    from wandb.proto.wandb_internal_pb2 import Record

    found: dict[int, dict[str, list[float]]] = {}
    for path in sorted(where.glob("wandb/offline-run-*/run-local-0.wandb")):
        for content in logged(path.read_bytes()):
            record = Record()
            record.ParseFromString(content)
            row = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
            for name, value in row.items():
                if not name.startswith("_"):
                    found.setdefault(int(row["_step"]), {}).setdefault(name, []).append(float(value))
    return found


def logged(content: bytes) -> Iterator[bytes]:
    """The records of a log of LevelDB's format, as wandb writes it offline: blocks of 32 KiB behind a header of 7 bytes."""
    at, whole = 7, b""
    while at + 7 <= len(content):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", content, at)
        whole += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            yield whole
            whole = b""


def in_trackio(where: Path) -> dict[int, dict[str, list[float]]]:
    from trackio.sqlite_storage import SQLiteStorage

    found: dict[int, dict[str, list[float]]] = {}
    for row in SQLiteStorage.get_logs("distillation", "local-0"):
        for name, value in row.items():
            if name not in ("step", "timestamp"):
                found.setdefault(int(row["step"]), {}).setdefault(name, []).append(float(value))
    return found


READ: dict[report_to.Name, Read] = {
    "tensorboard": in_tensorboard,
    "mlflow": in_mlflow,
    "wandb": in_wandb,
    "trackio": in_trackio,
}
HERE = [name for name in READ if util.find_spec(name) is not None]
"""Those whose library is installed: TensorBoard's comes with the tests."""


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", HERE)
def test_every_number_is_there_once_however_often_the_run_was_resumed(
    name: report_to.Name, offline: Path
) -> None:
    assert report_to.pass_on(name, str(offline), "local-0", REPORTS[:2]) == 2
    assert report_to.pass_on(name, str(offline), "local-0", REPORTS[:2]) == 0
    # a process of its own, as a resumed run is: what was passed on is seen at the tracker
    again = (
        "import json, sys; from phases.distillation import report_to; "
        f"print(report_to.pass_on({name!r}, {str(offline)!r}, 'local-0', json.load(sys.stdin)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", again],
        input=json.dumps(REPORTS[:3]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[-1] == "1"
    found = READ[name](offline)
    wanted = {r["epoch"]: report_to.numbers(r) for r in REPORTS[:3]}
    assert {epoch: {n: [pytest.approx(v)] for n, v in of.items()} for epoch, of in wanted.items()} == found


def test_the_numbers_are_those_of_the_report_and_what_was_not_measured_is_none() -> None:
    report = REPORTS[0] | {
        "behaviour": {
            "drawn": {
                "behaviour": {"mean": 6.0, "low": 5.0, "high": 7.0},
                "right": 3,
                "compared": 4,
                "outputs": 5,
            },
            "held_out": {
                "behaviour": {"mean": 0.0, "low": 0.0, "high": 0.0},
                "right": 0,
                "compared": 0,
                "outputs": 5,
            },
        },
        "failures": {"drawn": {"does not compile": 1, "none": 3}, "held_out": {}},
        "learned_from": {"teacher": 54, "self": 2},
    }
    found = report_to.numbers(report)
    assert found["frozen/overall"] == report["held_out"]["overall"]["mean"]
    assert found["drawn/overall_low"] == report["drawn"]["overall"]["low"]
    assert (found["drawn/behaviour"], found["drawn/right_share"]) == (6.0, 0.75)
    assert found["drawn/failures/does_not_compile"] == 0.25
    assert (found["learned/self"], found["corrections/asked"], found["training/loss"]) == (2.0, 9.0, 0.235422)
    assert not [n for n in found if n.startswith("frozen/behaviour") or n == "training/eval_loss"]
    assert list(found) == list(report_to.numbers(json.loads(json.dumps(report))))


@pytest.mark.parametrize("name", READ)
def test_a_library_that_is_not_there_is_named_before_anything_runs(
    name: report_to.Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(util, "find_spec", lambda _: None)
    with pytest.raises(report_to.TrackerMissing, match=rf"pip install 'fsm-pipelines\[{name}\]'"):
        report_to.needed(name)
    report_to.needed(None)


def test_what_a_tracker_does_not_take_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(log_dir: Any, run: str) -> Any:
        raise TimeoutError("no answer in 5 s")

    monkeypatch.setitem(report_to._TRACKERS, "tensorboard", broken)
    with pytest.raises(
        report_to.NotPassedOn, match=r"tensorboard did not take .* TimeoutError: no answer in 5 s"
    ):
        report_to.pass_on("tensorboard", str(tmp_path), "local-0", REPORTS)
