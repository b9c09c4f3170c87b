"""AWS Step Functions as the driver: the exported definition fits the language's schema, and an interpreter of it drives real runs."""

from __future__ import annotations

import io
import json
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fsm.cli import main
from fsm.engine import Machine, Registry
from fsm.errors import MachineError
from fsm.exchange import Unsayable, asl
from fsm.journal import Journal, essence
from fsm.store import open_store
from machines import NAMES
from tests.fsm.drawn import drawn
from tests.servers.process import Server
from tests.servers.s3 import KEYS, REGION

ROOT = Path(__file__).parents[3]
NINE = """\
machine: convergence
plug: {machines: machines, handlers: nine.py}
run: {name: nine}
"""
DECIDES = """
from fsm.engine import Context, Phase

PHASE = Phase("convergence")
SAYS = {"CHECK1": "No", "CHECK2": "No", "CHECK3": "No", "CHECK4": "No"}


@PHASE.state("CHECK5")
def last(ctx: Context) -> str:
    return "Yes" if ctx.visit == 2 else "No"


@PHASE.state(*SAYS)
def check(ctx: Context) -> str:
    return SAYS[ctx.state]


@PHASE.state(
    "START", "CALC", "INC1", "RESET1", "INC2", "RESET2", "CONTINUE", "CONVERGED1", "CONVERGED2", "MAXED"
)
def other(ctx: Context) -> None:
    ctx.data["been"] = [*ctx.data.get("been", []), ctx.state]
"""
THREE = """\
machine: teacher_generation
recovery: error_recovery
run: {name: three}
teacher_generation: {teacher: {kind: offline}, prompts: null, generated: 24}
"""
FUNCTION = """
import os, sys
sys.path[:0] = %r
os.chdir(%r)
from fsm.step import handler
"""


def step_functions(server: Server, service: str) -> Any:
    import boto3

    return boto3.client(service, endpoint_url=server.url, region_name=REGION, **KEYS)


def deployed(server: Server, name: str, home: Path) -> str:
    """The Lambda function that calls `fsm step`, in a directory; its ARN."""
    archive = io.BytesIO()
    paths = [str(ROOT), *(p for p in sys.path if p.endswith("site-packages"))]
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("called.py", FUNCTION % (paths, str(home)))
    made = step_functions(server, "lambda").create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=f"arn:aws:iam::000000000000:role/{name}",
        Handler="called.handler",
        Code={"ZipFile": archive.getvalue()},
        Timeout=120,
    )
    return str(made["FunctionArn"])


def executed(server: Server, definition: str, name: str, words: dict[str, Any]) -> dict[str, Any]:
    """The execution of a definition, when it has come to rest."""
    client = step_functions(server, "stepfunctions")
    machine = client.create_state_machine(
        name=name, definition=definition, roleArn=f"arn:aws:iam::000000000000:role/{name}"
    )["stateMachineArn"]
    execution = client.start_execution(stateMachineArn=machine, input=json.dumps(words))["executionArn"]
    for _ in range(1200):
        found = client.describe_execution(executionArn=execution)
        if found["status"] != "RUNNING":
            return dict(found)
        time.sleep(0.1)
    raise AssertionError("the execution does not end")


def told(run: str) -> list[dict[str, Any]]:
    """What a journal says, but for its claims and what differs between two equal runs."""
    return [
        {k: v for k, v in essence(r).items() if k != "snapshot"}
        for r in Journal(open_store(".").run(run)).records()
        if r["kind"] != "claim"
    ]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nine.yaml").write_text(NINE)
    (tmp_path / "nine.py").write_text(DECIDES)
    (tmp_path / "three.yaml").write_text(THREE)
    return tmp_path


def exported(config: str, capsys: pytest.CaptureFixture[str], resource: str) -> str:
    assert main(["export", config, "--to", "asl", "--resource", resource]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("config", "steps"), [("nine", 16), ("three", 10)])
def test_diagrams_9_and_3_are_driven_to_the_same_journal(
    config: str, steps: int, server: Server, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = deployed(server, f"step-{config}", home)
    definition = exported(f"{config}.yaml", capsys, arn)
    found = executed(server, definition, config, {"run": f"{config}-driven"})
    assert found["status"] == "SUCCEEDED", found
    output = json.loads(found["output"])
    assert output["run"] == f"{config}-driven"
    assert output["end"]["outcome"] == "done"
    assert main(["run", f"{config}.yaml", "--log", "none", "--run", f"{config}-driven"]) == 0, "it has ended"
    assert main(["run", f"{config}.yaml", "--log", "none", "--run", f"{config}-alone"]) == 0
    assert len(told(f"{config}-driven")) >= steps
    assert told(f"{config}-driven") == told(f"{config}-alone")
    assert main(["audit", f"{config}-driven"]) == 0


def test_a_state_that_fails_ends_the_execution_by_the_name_of_the_error(
    server: Server, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = DECIDES.replace('return "Yes" if', 'raise OSError("no disk")\n    return "Yes" if')
    (home / "nine.py").write_text(text)
    definition = exported("nine.yaml", capsys, deployed(server, "step-failing", home))
    found = executed(server, definition, "failing", {"run": "failing"})
    assert found["status"] == "FAILED"
    assert "no disk" in found["cause"]
    assert main(["status", "failing", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["place"] == "CHECK5"
    (home / "nine.py").write_text(DECIDES)
    assert main(["run", "nine.yaml", "--log", "none", "--run", "failing"]) == 0, "the run goes on where it is"


# The definition itself


def valid(definition: str) -> list[str]:
    """What the schema of the States Language that cfn-lint brings says against a definition."""
    import cfnlint.data.schemas.other.step_functions as schemas
    from jsonschema import Draft7Validator

    schema = json.loads((Path(str(schemas.__file__)).parent / "statemachine.json").read_text())
    return [e.message for e in Draft7Validator(schema).iter_errors(json.loads(definition))]


SHIPPED = Registry("machines", Machine)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "error_recovery"])
def test_the_shipped_machines_fit_the_schema(name: str) -> None:
    machine: Machine = SHIPPED[name]
    definition = asl.write(machine)
    assert valid(definition) == []
    assert all(len(name) <= 80 for name in json.loads(definition)["States"])
    written = {
        s["Parameters"]["command.$"] for s in json.loads(definition)["States"].values() if s["Type"] == "Task"
    }
    asked = {command.partition("'--state', '")[2].partition("'")[0] for command in written}
    assert asked == set(machine.states)


def test_a_machine_without_a_start_cannot_be_driven() -> None:
    with pytest.raises(MachineError, match="no \\[\\*\\] --> at its top"):
        asl.write(SHIPPED["error_recovery"])


def test_a_wrong_definition_does_not_fit_the_schema() -> None:
    definition = json.loads(asl.write(SHIPPED["convergence"]))
    del definition["States"]["START"]["Next"]
    definition["States"]["CALC"]["Type"] = "Work"
    assert valid(json.dumps(definition))


def test_a_fork_is_walked_one_branch_after_the_other() -> None:
    machine = drawn("[*] --> A\nA --> B\nA --> C\nB --> D\nC --> D\nD --> [*]")
    states = json.loads(asl.write(machine))["States"]
    assert states["A"]["Next"] == "B (and C)"
    assert states["B (and C)"]["Next"] == "C (and D)"
    assert states["C (and D)"]["Next"] == "D"
    assert "'--state', 'B'," in states["B (and C)"]["Parameters"]["command.$"]


def test_an_end_that_counts_as_failed_fails_the_execution() -> None:
    machine = drawn("[*] --> A\nA --> [*] : good\nA --> [*] : bad", failures=("bad",))
    choices = json.loads(asl.write(machine))["States"]["A: which way"]["Choices"]
    assert [c["Next"] for c in choices] == ["Ended", "Failed"]


def test_a_drawing_with_too_many_places_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asl, "MOST", 3)
    with pytest.raises(Unsayable, match="can stand in more than 3 places"):
        asl.write(drawn("[*] --> A\nA --> B\nB --> C\nC --> D\nD --> [*]"))
