"""A run whose branches and items go at once, killed at any of its records, is the run that was left alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fsm import config as configs
from fsm.config import Config
from fsm.store import Store
from fsm.store.local import LocalStore
from tests.crash import harness
from tests.servers.fixtures import S3

WORDS = """
machine: works
plug: {machines: tests.crash.lines.machines, phases: tests.crash.lines.phases}
recovery: rescue
run: {name: works, seed: 7}
"""


def works(directory: Path) -> Config:
    """The works with a ledger of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "works.yaml"
    file.write_text(WORDS + f"work: {directory / 'work'}\nworks: {{ledger: {directory / 'ledger'}}}\n")
    config = configs.load(file)
    harness.warm(config)
    return config


def matrix(
    directory: Path, make: Callable[[Path], Store], wheres: Sequence[str], step: int = 1
) -> tuple[int, list[str]]:
    """Kill at every record, or at every `step`-th point; returns how many times, and what went wrong."""
    alone = directory / "reference"
    harness.to_the_end(works(alone), make(alone), alone / "log")
    reference = harness.history(make(alone).run("works"))
    kills = list(harness.points(reference, wheres))[::step]
    wrong = []
    for kill in kills:
        place = directory / str(kill)
        found = harness.killed(works(place), make(place), place / "log", kill)
        wrong += [f"{kill}: {d}" for d in harness.differences(found, reference)]
        ordered = Counter((place / "ledger").read_text().split())
        if ordered.keys() != set((alone / "ledger").read_text().split()):
            wrong.append(f"{kill}: {ordered} was ordered")
    return len(kills), wrong


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.long)])
def test_killed_at_records_of_a_local_run(step: int, tmp_path: Path) -> None:
    count, wrong = matrix(tmp_path, lambda d: LocalStore(d / "store"), (harness.BEFORE, harness.AFTER), step)
    assert not wrong, "\n".join(wrong[:10])
    assert count > 100 // step


@pytest.mark.long
def test_killed_at_records_of_a_run_in_a_bucket(tmp_path: Path, s3: S3) -> None:
    count, wrong = matrix(tmp_path, harness.in_a_bucket(s3), (harness.AFTER,))
    assert not wrong, "\n".join(wrong[:10])
    assert count > 50
