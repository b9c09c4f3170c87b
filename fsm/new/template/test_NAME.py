"""NAME runs, and may be killed anywhere: `pytest NAME`."""

import json
from pathlib import Path

from fsm import config, session
from fsm.journal import Journal
from fsm.prove import prove
from fsm.store import open_store

CONFIG = Path(__file__).with_name("NAME.yaml")


def test_it_measures_what_a_die_is(tmp_path: Path) -> None:
    outcome = session.run(config.load(CONFIG, {"store": str(tmp_path), "work": str(tmp_path / "work")}))
    run = open_store(str(tmp_path)).run("NAME")
    artifacts = {name: file for r in Journal(run).records() for name, file in r.get("files", {}).items()}
    report = json.loads(run.artifact(artifacts["report.json"]["sha256"]).read_text())
    assert outcome.outcome == "done"
    assert abs(report["mean"] - 3.5) < 4 * report["error"]


def test_it_may_be_killed_anywhere() -> None:
    assert [state for state in prove(CONFIG, sample=25) if state.unsafe] == []
