"""The states of BehaviourCheck: what the code does, beside a reference for the same prompt, or alone."""

from __future__ import annotations

from dataclasses import replace

from phases.quality_scoring.behaviour import judging
from phases.quality_scoring.behaviour.compare import Behaviour
from phases.quality_scoring.behaviour.compile import Program, Refusal, compiled
from phases.quality_scoring.behaviour.flow import flow_warnings
from phases.quality_scoring.handlers import PHASE, compiler_of
from phases.quality_scoring.scoring import Scoring


@PHASE.state("BehaviourCheck.TrySandbox")
def try_sandbox(item: Scoring) -> str:
    """Whether there is a sandbox, and something to run in it. Raises SandboxMissing where the score needs one."""
    if not judging.available(item.config.behaviour):
        if item.config.weights.get("behaviour"):
            judging.require(item.config.behaviour, "quality_scoring.weights gives behaviour a weight")
        if item.config.behaviour.use != "none":
            judging.say_missing()
        item.behaviour = Behaviour(None, "not measured: there is no sandbox here to run code in")
        return "Sandbox not found"
    if not item.structure.substance or item.astray:
        why = (
            "another question's answer" if item.structure.substance else "there is no code that does anything"
        )
        item.behaviour = Behaviour(item.config.behaviour.trap, why)
        return "Nothing to run"
    return "Sandbox available"


@PHASE.state("BehaviourCheck.CompileToWasm")
def compile_to_wasm(item: Scoring) -> str:
    """The function that is asked for, of the answer and of the reference, as modules that import nothing."""
    config = item.config.behaviour
    if item.reference is None:
        name = judging.asked_function(item.code, item.prompt)
        found = compiled(item.code, name, config) if name else Refusal("it defines no function", fault=True)
        item.programs = (found, None)
        if isinstance(found, Program):
            return "No reference"
    else:
        found, ours = judging.programs(item.code, item.reference_code, item.prompt, config)
        if isinstance(ours, Refusal):
            item.behaviour = Behaviour(None, f"not comparable: the reference: {ours.why}")
            return "Not comparable"
        item.programs = (found, ours)
        if isinstance(found, Program):
            return "Both compile"
    item.behaviour = judging.refused(found, config)
    return "Does not compile" if found.fault else "Not comparable"


@PHASE.state("BehaviourCheck.RunBoth")
def run_both(item: Scoring) -> str:
    """Both are called with the same inputs."""
    answer, reference = item.programs
    assert isinstance(answer, Program)
    assert isinstance(reference, Program)
    item.behaviour = judging.judged(answer, reference, item.config.behaviour)
    return "Not comparable" if item.behaviour.score is None else "Results on both sides"


@PHASE.state("BehaviourCheck.RunAlone")
def run_alone(item: Scoring) -> None:
    """Without a reference: whether it traps, or reads what nobody wrote, on inputs that are as they should be."""
    answer = item.programs[0]
    assert isinstance(answer, Program)
    item.behaviour = judging.alone(answer, item.config.behaviour)


@PHASE.state("BehaviourCheck.AnalyseFlow")
def analyse_flow(item: Scoring) -> None:
    """What GCC finds when it follows the flow of control; it is told, and is no score."""
    assert item.behaviour is not None
    compiler = compiler_of(item.config.syntax)
    if compiler is not None:
        found = flow_warnings(item.code, item.structure, compiler, item.config)
        item.behaviour = replace(item.behaviour, findings=item.behaviour.findings + found)


@PHASE.state("BehaviourCheck.AgreeingShare")
def agreeing_share(item: Scoring) -> None:
    """The share of inputs on which both agree, as a score."""
    _give(item, "BehaviourCheck.AgreeingShare")


@PHASE.state("BehaviourCheck.DoesNotRun")
def does_not_run(item: Scoring) -> None:
    """No answer, or none that compiles."""
    _give(item, "BehaviourCheck.DoesNotRun")


@PHASE.state("BehaviourCheck.NotComparable")
def not_comparable(item: Scoring) -> None:
    """Nothing can be said: the other scores are weighed without this one."""


def _give(item: Scoring, rule: str) -> None:
    """Into the score where it has a weight; else it is told beside it."""
    assert item.behaviour is not None
    if item.config.weights.get("behaviour") and item.behaviour.score is not None:
        item.give(
            rule, item.behaviour.score, item.behaviour.reason or f"agrees on {item.behaviour.inputs} inputs"
        )
