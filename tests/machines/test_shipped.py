"""The shipped machines are proved, and the proof would notice."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from fsm.check import Finding, check, refine
from fsm.drawing import chart
from fsm.engine import Detail, Machine, Program, Registry
from machines import NAMES, diagram

DRAWINGS = [n for n in NAMES if n not in ("validation", "smoke")]  # the two are parts of drawings
DETAILS = ["DataPreparation", "TeacherGeneration", "IterativeDistillation"]


@pytest.fixture(scope="module")
def machines() -> Mapping[str, Machine]:
    registry = Registry("machines", Machine)
    return {name: registry[name] for name in NAMES}


def redrawn(machine: Machine, old: str, new: str) -> Machine:
    """The machine with its drawing changed: `old` and `new` are lines of it."""
    text = diagram(machine.name).read_text()
    changed = re.sub(rf"^(\s*){re.escape(old)}$", rf"\g<1>{new}", text, flags=re.MULTILINE)
    assert changed != text, f"{machine.name} does not draw {old!r}"
    return Machine(
        machine.name,
        chart.parse(changed, machine.name, f"{machine.name}.mmd"),
        inside=machine.inside,
        exits=machine.exits,
        ends=machine.ends,
        bounds=machine.bounds,
        waits=machine.waits,
        failures=machine.failures,
        on_error=machine.on_error,
        calls=machine.calls,
        counted=machine.counted,
        entered_at=machine.entered_at,
    )


def errors(machines: Mapping[str, Machine], changed: Machine) -> list[Finding]:
    program = Program("pipeline", {**machines, changed.name: changed}, {}, "error_recovery")
    return [f for f in check(program, phases=False) if f.severity == "error"]


def test_nothing_is_found_in_the_shipped_machines(machines: Mapping[str, Machine]) -> None:
    assert [str(f) for f in check(Program("pipeline", machines, {}, "error_recovery"), phases=False)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_machine_can_be_entered(name: str, machines: Mapping[str, Machine]) -> None:
    machine = machines[name]
    starts = machine.entered_at if not machine.chart.initial else (None,)
    for start in starts:
        assert set(machine.kernel.enter(start)) <= set(machine.states)


@pytest.mark.parametrize("composite", DETAILS)
def test_the_detail_refines_the_overview(composite: str, machines: Mapping[str, Machine]) -> None:
    pipeline = machines["pipeline"]
    how = pipeline.inside[composite]
    assert isinstance(how, Detail)
    assert refine(pipeline, composite, how, machines[how.machine]) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "code", "named"),
    [
        (
            "teacher_generation",
            "ParallelExecution --> SortAndSave : All results collected",
            "ParallelExecution --> LoadPrompts : All results collected",
            "C405",
            "ParallelExecution --> LoadPrompts : All results collected breaks the refinement",
        ),
        (
            "distillation",
            "Evaluate --> FilterPoor : scores[]",
            "Evaluate --> RequestCorrections : scores[]",
            "C405",
            "EpochN.Evaluate --> EpochN.RequestCorrections : scores[] breaks the refinement",
        ),
        (
            "data_preparation",
            "InitS3Client --> S3Download",
            "InitS3Client --> ProcessFiles",
            "C405",
            "InitS3Client --> ProcessFiles breaks the refinement",
        ),
        (
            "pipeline",
            "CheckpointSave --> ParallelGenerate : More prompts",
            "CheckpointSave --> LoadPrompts : More prompts",
            "C405",
            "ParallelExecution.CheckpointWrite --> ParallelExecution.ProcessFuture : More futures breaks",
        ),
        (
            "pipeline",
            "ConvergenceCheck --> TrainStep : Not converged",
            "ConvergenceCheck --> GetCorrections : Not converged",
            "C405",
            "EpochN.CheckConvergence --> EpochN.Train : Continue (next epoch) breaks",
        ),
        (
            "pipeline",
            "AVBProcess --> CARLAProcess : AVB data processed",
            "CARLAProcess --> AVBProcess : AVB data processed",
            "C408",
            "lead to CARLAProcess",
        ),
        ("pipeline", "ScriptSyntax --> ImportCheck : Valid Python", "", "C101", "Validation.ImportCheck cannot be"),
        ("convergence", "CHECK5 -->|No| CONTINUE", "CHECK5 -->|Yes| CONTINUE", "C104", "CHECK5 has two edges 'Yes'"),
        ("sagemaker_job", "Stopping --> Stopped : Cleanup complete", "", "C101", "Stopped cannot be reached"),
        ("quality_scoring", "ApplyPenalties --> [*] : -1.5 per missing keyword", "", "C102", "ApplyPenalties is a trap"),
        (
            "qlora_training",
            "SaveCheckpoint --> ForwardPass",
            "SaveCheckpoint --> ForwardPass : Next",
            "C108",
            "SaveCheckpoint --> TrainingLoop.ForwardPass : Next",
        ),
    ],
)  # fmt: skip
def test_one_edge_changed_is_found(
    name: str, old: str, new: str, code: str, named: str, machines: Mapping[str, Machine]
) -> None:
    if name == "convergence":
        old, new = (f'{edge}["CONTINUE\\nStart next epoch"]' for edge in (old, new))
    if name == "qlora_training":
        machine = machines[name]
        bounds = {edge: by for edge, by in machine.bounds.items() if "SaveCheckpoint" not in edge[0]}
        machines = {**machines, name: Machine(name, diagram(name), inside=machine.inside, bounds=bounds)}
    found = errors(machines, redrawn(machines[name], old, new))
    assert [f for f in found if f.code == code and named in f.message], [str(f) for f in found]


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_label_of_every_state_can_be_taken(name: str, machines: Mapping[str, Machine]) -> None:
    """Every label of every state can be taken, and leads to states that the machine has."""
    machine = machines[name]
    for state in machine.states:
        for label in machine.kernel.labels(state) or [None]:
            if state in machine.forks:
                label = None
            after = machine.kernel.step((state,), state, label).place
            assert set(after) <= set(machine.states), (state, label)
