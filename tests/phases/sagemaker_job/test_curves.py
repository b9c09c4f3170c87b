"""What a job's lines say, as curves: by the metric definitions that the console has them by."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from phases.sagemaker_job import container
from phases.sagemaker_job.config import METRICS
from phases.sagemaker_job.curves import Curves, found
from phases.sagemaker_job.environment import Layout

LINES = [
    json.dumps({"step": 10, "loss": 2.5, "tokens_per_second": 310.2, "event": "training", "level": "info"}),
    "no JSON at all",
    json.dumps({"step": 20, "loss": 1e-05, "event": "training"}),
    json.dumps({"epoch": 1, "drawn": 7.1, "held_out": 6.9, "event": "epoch complete"}),
]
SAID = {
    "train:loss": [2.5, 1e-05],
    "train:tokens_per_second": [310.2],
    "score:drawn": [7.1],
    "score:held_out": [6.9],
}


def scalars(directory: Path) -> Iterator[tuple[str, int, float]]:
    """(tag, step, value) of the event files below a directory: records of a length, its checksum, an Event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(directory.rglob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack_from("<Q", data)
            event = Event.FromString(data[12 : 12 + length])
            data = data[12 + length + 4 :]
            yield from ((value.tag, event.step, value.simple_value) for value in event.summary.value)


def test_every_metric_is_found_in_the_lines_and_kept_for_tensorboard(tmp_path: Path) -> None:
    with Curves(tmp_path, METRICS) as curves:
        for line in LINES:
            curves.line(line)
    kept = [(tag.replace("/", ":"), step, value) for tag, step, value in scalars(tmp_path)]
    for name, values in SAID.items():
        assert [step for tag, step, _ in kept if tag == name] == list(range(1, len(values) + 1))
        assert [value for tag, _, value in kept if tag == name] == pytest.approx(values)
    assert {tag for tag, _, _ in kept} == METRICS.keys()


def test_what_is_no_number_is_no_value() -> None:
    assert list(found('"loss": e-, "loss": 1.0', METRICS)) == [("train:loss", 1.0)]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_container_keeps_curves_where_its_configuration_wants_them(tmp_path: Path, wanted: bool) -> None:
    config = tmp_path / "pipeline.yaml"
    words = "sagemaker_job: {tensorboard: s3://bucket/curves}" if wanted else "sagemaker_job: {}"
    config.write_text(f"machine: distillation\n{words}\n")
    layout = Layout(tmp_path / "ml")
    with container._curves(layout, config) as curve:
        curve(LINES[0])
    assert (layout.output / "tensorboard").is_dir() is wanted
