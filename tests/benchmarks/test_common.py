"""What every benchmark's numbers go through."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import common
from benchmarks.common import Goal, Meter, in_turns, machine, measure, paired, table


def test_contestants_take_turns_and_change_who_begins() -> None:
    said: list[str] = []

    def contestant(name: str) -> str:
        said.append(name)
        return name

    rounds = in_turns(3, *(lambda name=name: contestant(name) for name in "ABC"))
    assert rounds == [("A", "B", "C")] * 3
    assert "".join(said) == "ABCCBAABC"
    assert paired(1, lambda: 1, lambda: 2) == [(1, 2)]


def test_a_ratio_is_that_of_each_round_and_not_of_the_medians() -> None:
    # the machine was twice as slow in the second round, for both; and the floor alone was disturbed in the third
    found = measure("x", "s", "floor", [(2.0, 1.0), (4.0, 2.0), (2.0, 5.0), (6.0, 3.0), (8.0, 4.0)])
    assert (found.ratio, found.spread, found.rounds) == (2.0, (2.0, 2.0), 5)
    assert (found.value, found.floor) == (4.0, 3.0)


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal("ratio", ">=", 2), True),
        (Goal("ratio", ">=", 2.1), False),
        (Goal("value", "<=", 4), True),
        (Goal("value", "<=", 3.9), False),
        (None, None),
    ],
)
def test_a_goal_is_of_the_ratio_or_of_the_value(goal: Goal | None, met: bool | None) -> None:
    found = measure("x", "s", "floor", [(4.0, 2.0)] * 3, goal)
    assert found.met is met
    said = table([found]).splitlines()[1]
    assert said.endswith({True: "met", False: "MISSED", None: ""}[met])


def test_a_meter_counts_the_steps_between_the_first_and_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter((10.0, 16.0))
    monkeypatch.setattr(common, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    meter = Meter(2, 5)
    for number in range(7):
        meter.step(number)
    assert meter.cost().wall == 2.0
    with pytest.raises(KeyError):
        Meter(2, 5).cost()


def test_results_say_what_decides_the_numbers_and_not_where_they_were_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    found = measure("x", "s", "floor", [(4.00004, 3.0)] * 3)
    path = common.write("name", [found], machine=machine(["pytest", "no-such-package"], disk=tmp_path))
    kept = json.loads(path.read_text())
    assert kept["machine"]["packages"] == {"pytest": pytest.__version__, "no-such-package": None}
    assert kept["machine"]["file_systems"]["disk"]
    assert kept["measures"][0]["value"] == 4.0
    assert kept["measures"][0]["ratio"] == 1.333
    assert str(tmp_path) not in path.read_text()
    assert socket.gethostname() not in path.read_text().split('"')
