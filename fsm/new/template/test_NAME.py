"""NAME runs, and may be killed anywhere: `pytest NAME`."""

import json
from pathlib import Path

from fsm.prove import prove
from fsm.testing import Bench

pytest_plugins = ["fsm.testing.fixtures"]
CONFIG = Path(__file__).with_name("NAME.yaml")


def test_it_measures_what_a_die_is(fsm_bench: Bench) -> None:
    run = fsm_bench.load(CONFIG)
    outcome = run.drive()
    report = json.loads(run.artifact("report.json").read_text())
    assert outcome.outcome == "done"
    assert abs(report["mean"] - 3.5) < 4 * report["error"]


def test_it_may_be_killed_anywhere() -> None:
    assert [state for state in prove(CONFIG, sample=25) if state.unsafe] == []
