"""What a rehearsal says it took."""

from __future__ import annotations

import json
from typing import Any

import pytest

from phases.rehearsal import bill

JOB = {
    "name": "job-1",
    "status": "Completed",
    "instance": "ml.g5.2xlarge",
    "seconds": 21,
    "hour": 1.515,
    "most_hours": 120.0,
}
SAID: dict[str, Any] = {
    "exit": 0,
    "starts": 2,
    "faults": ["spot-interruption"],
    "calls": {
        "s3 PutObject": 200,
        "s3 GetObject": 300,
        "sts GetCallerIdentity": 2,
        "bedrock Converse": 9,
        "new Thing": 1,
    },
    "dollars": {"s3": 0.00112, "sts": 0.0, "bedrock": 0.0275},
    "jobs": [{**JOB, "steps_again": [0, 3], "metrics": {"train:loss": 2.5}}],
}


def test_every_service_has_its_calls_and_their_cost_and_the_sum_is_told() -> None:
    lines = {line.split()[0]: line for line in bill.lines(SAID) if line.startswith("  ")}
    assert lines["s3"].split()[:4] == ["s3", "500", "calls", "$0.0011"]
    assert "200 PutObject" in lines["s3"]
    assert "free" in lines["sts"]
    assert "price unknown" in lines["new"]
    assert "512 calls   $0.0286" in lines["in"]
    assert "$1.515 an hour on demand, $182 at most (120 h)" in lines["job"]
    assert "3 steps of training, in 2 interruptions" in lines["taken"]
    assert "train:loss 2.5" in lines["its"]


def line(event: str, **words: Any) -> str:
    return json.dumps({"event": event, **words})


STEPS = [line("training", step=n) for n in (1, 2, 3)]
ON = line("run goes on")
LEFT = line("left", place="EpochN.Train > TrainingLoop")


@pytest.mark.parametrize(
    ("lines", "again"),
    [
        (STEPS, []),
        ([*STEPS, ON, line("training", step=4)], [0]),
        ([*STEPS, "no JSON", ON, line("training", step=2), line("training", step=3)], [2]),
        ([*STEPS, LEFT, ON, line("training", step=1)], []),
        ([*STEPS, ON, ON, line("training", step=1), ON, line("training", step=2)], [3, 0]),
    ],
)
def test_steps_that_were_taken_before_an_interruption_are_counted(lines: list[str], again: list[int]) -> None:
    assert bill.taken_again(lines) == again
