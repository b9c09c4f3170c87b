"""What DescribeTrainingJob tells, as a walk through Diagram 10."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm.engine import Walk
from machines.sagemaker_job import MACHINE
from phases.sagemaker_job.history import DRAWN, label, states
from phases.sagemaker_job.job import Job


def job(*statuses: str, failure: str = "", over: bool = False) -> Job:
    last = statuses[-1] if statuses else "Pending"
    status = last if last in ("Completed", "Failed", "Stopped") else "InProgress"
    if last in ("MaxRuntimeExceeded", "MaxWaitTimeExceeded") and over:
        status = "Stopped"  # the last secondary status says why
    return Job("job", status, tuple((s, "") for s in statuses), failure)


def walk(told: Job) -> list[str]:
    """The labels a follower takes; each must be an edge of the drawing."""
    machine = Walk(MACHINE)
    machine.begin()
    taken = []
    seen = states(told)
    for (here, _), (there, status) in pairwise(seen):
        edge = label(here, there, status, told)
        assert machine.go(edge) == there
        taken.append(edge)
    return taken


def test_a_job_that_went_well_is_walked_whole_however_little_was_told() -> None:
    whole = walk(job("Starting", "LaunchingMLInstances", "Downloading", "Training", "Uploading", "Completed"))
    assert whole == walk(job("Completed"))
    assert whole[0] == "Resources allocated"
    assert whole[-1] == "Model artifacts uploaded"


@pytest.mark.parametrize(
    ("statuses", "failure", "last"),
    [
        (("Starting", "Failed"), "", "Instances failed to launch"),
        (("Downloading", "Failed"), "", "Image or data unavailable"),
        (("Training", "Failed"), "AlgorithmError: x", "Runtime error"),
        (("Training", "MaxRuntimeExceeded", "Failed"), "MaxRuntimeExceeded", "MaxRuntimeExceeded"),
        (("Training", "MaxRuntimeExceeded", "Stopping", "Stopped"), "", "MaxRuntimeExceeded"),
        (("Training", "Uploading", "Failed"), "", "Upload failed"),
        (("Training", "Uploading", "Failed"), "AlgorithmError: x", "Runtime error"),
    ],
)
def test_a_failure_takes_the_edge_of_where_it_failed(
    statuses: tuple[str, ...], failure: str, last: str
) -> None:
    assert walk(job(*statuses, failure=failure))[-1] == last


def test_a_spot_interruption_leads_back_to_starting() -> None:
    taken = walk(job("Training", "Interrupted", "Starting", "Training", "Uploading", "Completed"))
    assert taken[3:5] == ["Spot interruption", "Spot capacity returned"]


def test_a_stop_is_walked_though_stopping_was_not_told() -> None:
    assert walk(job("Training", "Stopped"))[-2:] == ["User requested stop", "Cleanup complete"]


@pytest.mark.parametrize(
    ("statuses", "last"),
    [
        (("Training", "Stopping", "Uploading", "MaxRuntimeExceeded"), "Cleanup complete"),
        (("Training", "Stopping", "Uploading", "Stopped"), "Cleanup complete"),
        (("Starting", "MaxWaitTimeExceeded"), "Cleanup complete"),
        (("Training", "MaxRuntimeExceeded"), "MaxRuntimeExceeded"),
    ],
)
def test_a_job_that_is_over_is_walked_to_its_end_whatever_its_last_status(
    statuses: tuple[str, ...], last: str
) -> None:
    taken = walk(job(*statuses, over=True))
    assert taken[-1] == last
    assert "Spot capacity returned" not in taken, "what is saved while stopping is no restart"


@given(st.lists(st.sampled_from(sorted(DRAWN)), max_size=12))
def test_whatever_is_told_is_a_walk_of_the_drawing(statuses: list[str]) -> None:
    walk(job(*statuses))
    walk(job(*statuses, over=True))


@given(st.lists(st.sampled_from(sorted(set(DRAWN) - {"Completed", "Failed", "Stopped"})), max_size=12))
def test_what_is_told_later_changes_nothing_of_what_was_walked(statuses: list[str]) -> None:
    whole = states(job(*statuses))
    for seen in range(len(statuses)):
        before = states(job(*statuses[:seen]))
        assert whole[: len(before)] == before
