"""A run killed at any record, before, after or on the way to it, and resumed, is the run that was left alone."""

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
machine: factory
plug: {machines: tests.crash.factory.machines, phases: tests.crash.factory.phases}
recovery: rescue
run: {name: works, seed: 7}
"""


def factory(directory: Path, rounds: int) -> Config:
    """The factory with a ledger of its own. Its work directory has the same name everywhere, for messages name it."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "factory.yaml"
    file.write_text(
        WORDS + f"work: {directory / 'work'}\nfactory: {{ledger: {directory / 'ledger'}, rounds: {rounds}}}\n"
    )
    config = configs.load(file)
    harness.warm(config)
    return config


def effects(directory: Path) -> Counter[str]:
    """What was done outside, by what it was; the suffix of a name tells two runs apart."""
    names = (directory / "ledger").read_text().split()
    assert len(names) == len(set(names)), f"an effect was done twice: {names}"
    return Counter(name.rsplit("-", 1)[0] for name in names)


def matrix(
    directory: Path,
    make: Callable[[Path], Store],
    rounds: int,
    wheres: Sequence[str] = (harness.BEFORE, harness.AFTER, harness.MIDDLE),
) -> tuple[int, list[str]]:
    """Kill at every point; returns how many there were and what went wrong."""
    reference_directory = directory / "reference"
    config = factory(reference_directory, rounds)
    harness.to_the_end(config, make(reference_directory), reference_directory / "log")
    reference = harness.history(make(reference_directory).run("works"))
    kills = list(harness.points(reference, wheres))
    wrong = []
    for kill in kills:
        place = directory / str(kill)
        config = factory(place, rounds)
        found = harness.killed(config, make(place), place / "log", kill)
        wrong += [f"{kill}: {d}" for d in harness.differences(found, reference)]
        if effects(place) != effects(reference_directory):
            wrong.append(
                f"{kill}: effects {effects(place)} where the reference has {effects(reference_directory)}"
            )
    return len(kills), wrong


def test_killed_at_every_record_of_a_local_run(tmp_path: Path) -> None:
    count, wrong = matrix(tmp_path, lambda d: LocalStore(d / "store"), 4)
    assert not wrong, "\n".join(wrong[:10])
    assert count > 180


def test_killed_at_every_record_of_a_run_in_a_bucket(tmp_path: Path, s3: S3) -> None:
    count, wrong = matrix(tmp_path, harness.in_a_bucket(s3), 1, (harness.AFTER, harness.MIDDLE))
    assert not wrong, "\n".join(wrong[:10])
    assert count > 50


@pytest.mark.parametrize("rounds", [1, 4])
def test_the_factory_has_one_of_everything(tmp_path: Path, rounds: int) -> None:
    """What the matrix kills in: if the drawing loses a kind of record, the matrix loses its meaning."""
    config = factory(tmp_path, rounds)
    store = LocalStore(tmp_path / "store")
    harness.to_the_end(config, store, tmp_path / "log")
    found = harness.history(store.run("works"))
    kinds = Counter(r["kind"] for r in found.records)
    assert {"transition", "once", "error", "verdict"} == set(kinds)
    assert {r["verdict"] for r in found.records if r["kind"] == "verdict"} == {"again", "skip", "stop"}
    assert any(r.get("counts") for r in found.records)
    assert any(len(r.get("to", ())) > 1 for r in found.records)
    assert any(len(r["at"]) == 1 and r["machine"] == "press" for r in found.records)
    assert any("snapshot" in r for r in found.records) == (rounds == 4)
