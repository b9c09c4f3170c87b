"""`pipeline.approve`: nothing is rented before a person has said yes; without it nobody is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fsm.engine import Context, Machine, Outcome, Phase, Program, Registry, Runner
from fsm.journal import Journal, pauses_of, requests
from fsm.store.local import LocalRun
from machines.pipeline import MACHINE
from phases.pipeline.config import PipelineConfig
from phases.pipeline.handlers import PHASE
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import JobRefused
from phases.sagemaker_job.prices import bill

TAKEN = ("TrainingLaunch", "Approval")


class Launching:
    """The pipeline whose launch is its own, and whose other states do nothing; the job is refused when it comes to that."""

    def __init__(self, directory: Path, **said: Any) -> None:
        self.run = LocalRun(directory / "r")
        self.run.write_header(json.dumps({"format": 1, "name": "r"}).encode())
        self.rented = 0
        phase, job = Phase("pipeline"), Phase("sagemaker_job")
        for state in MACHINE.states:
            edges = MACHINE.chart.moves(state)
            phase.state(state)(PHASE.handlers[state].handle if state in TAKEN else _first(edges[0].label))

        @job.state("Pending")
        def pending(ctx: Context) -> str:
            self.rented += 1
            raise JobRefused("no quota")

        registry = Registry("machines", Machine)
        machines = {name: registry[name] for name in ("pipeline", "sagemaker_job")}
        sections = {
            "pipeline": PipelineConfig(**said),
            "sagemaker_job": SageMakerJobConfig(provider="sagemaker", instance_type="ml.g5.2xlarge"),
        }
        self.program = Program(
            "pipeline", machines, {"pipeline": phase, "sagemaker_job": job}, None, sections
        )

    def go(self) -> Outcome:
        journal = Journal(self.run)
        runner = Runner(
            self.program,
            self.run,
            journal,
            journal.open(),
            seed=1,
            work=self.run.directory.parent / "work",
            stay=False,
        )
        try:
            return runner.drive()
        finally:
            runner.scratch.release()
            journal.close()

    def answer(self, label: str) -> None:
        (asked,) = pauses_of(Journal(self.run).load().root)
        assert asked.slot is not None
        requests.put(self.run, asked.slot, requests.AnswerRequest(id="a", by="ada", label=label))


def _first(label: str | None) -> Any:
    return lambda ctx: label


@pytest.fixture(autouse=True)
def no_price_list_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


def test_nobody_is_asked_unless_that_is_configured(tmp_path: Path) -> None:
    launching = Launching(tmp_path)
    assert launching.go().outcome == "stopped"
    assert launching.rented == 1
    assert "ask" not in {r["kind"] for r in Journal(launching.run).records()}


def test_nothing_is_rented_before_a_yes(tmp_path: Path) -> None:
    launching = Launching(tmp_path, approve=["TrainingLaunch"])
    assert launching.go().outcome == "waiting"
    assert launching.rented == 0
    launching.answer("Approved")
    launching.go()
    assert launching.rented == 1
    root = Journal(launching.run).load().root
    assert root is not None
    assert root["data"]["approved"] == {"by": "ada", "note": None}


def test_a_no_ends_the_run_in_a_failure_edge_and_nothing_was_rented(tmp_path: Path) -> None:
    launching = Launching(tmp_path, approve=["TrainingLaunch"])
    launching.go()
    launching.answer("Refused")
    assert launching.go() == Outcome("failed", "Refused", "Approval")
    assert launching.rented == 0


def test_where_nobody_answers_in_time_nothing_is_rented(tmp_path: Path) -> None:
    launching = Launching(tmp_path, approve=["TrainingLaunch"], approve_hours=1e-9)
    assert launching.go() == Outcome("failed", "No answer", "Approval")
    assert launching.rented == 0


def test_the_plan_is_shown_with_its_hours_and_dollars(tmp_path: Path) -> None:
    launching = Launching(tmp_path, approve=["TrainingLaunch"])
    launching.go()
    (asked,) = pauses_of(Journal(launching.run).load().root)
    config = launching.program.sections["sagemaker_job"]
    assert asked.show == bill(config)
    assert asked.show["hours at most"] == config.max_runtime_seconds / 3600
    assert asked.show["dollars at most"] == pytest.approx(1.515 * asked.show["hours at most"])


def test_a_job_on_this_machine_costs_nothing() -> None:
    assert bill(SageMakerJobConfig(provider="local")) == {"provider": "local", "dollars at most": 0}


def test_what_nobody_knows_the_price_of_has_none() -> None:
    found = bill(SageMakerJobConfig(provider="sagemaker", instance_type="ml.p5.48xlarge"))
    assert found["dollars at most"] is None
