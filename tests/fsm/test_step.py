"""`fsm step`: one state of a run, one record, then out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fsm.cli import main
from fsm.errors import ConfigError, NotThere
from fsm.journal import Journal, essence
from fsm.step import FsmStopped, handler
from fsm.store import open_store
from tests.fsm.amend.conftest import Mill, mill

__all__ = ["mill"]


def step(mill: Mill, state: str, *words: str) -> tuple[int, dict[str, Any], str]:
    code, said, err = mill.give("step", "mill", "--config", "mill.yaml", "--state", state, *words)
    return code, json.loads(said) if said else {}, err


def told(run: str) -> list[dict[str, Any]]:
    return [essence(r) for r in Journal(open_store(".").run(run)).records() if r["kind"] != "claim"]


def test_each_call_leaves_one_state_and_says_by_which_edge(mill: Mill) -> None:
    code, said, _ = step(mill, "Fill")
    assert code == 0
    assert said == {"run": "mill", "state": "Fill", "label": None, "to": ["Grind"], "seq": 1, "end": None}
    said = step(mill, "Grind")[1]
    assert (said["label"], said["to"], said["seq"]) == ("coarse", ["Grind"], 4), (
        "behind the claim and what stone did"
    )
    for _ in range(2):
        said = step(mill, "Grind")[1]
    assert (said["label"], said["to"]) == ("fine", ["Pack"])
    said = step(mill, "Pack")[1]
    assert said["to"] == []
    assert said["end"] == {"outcome": "done", "label": None, "last": "Pack"}


def test_a_run_that_was_stepped_is_the_one_that_was_run(mill: Mill) -> None:
    for state in ("Fill", "Grind", "Grind"):
        step(mill, state)
    assert mill.run()[0] == 0, "either goes on where the other has stopped"
    assert mill.run("--run", "alone")[0] == 0
    assert told("mill") == told("alone")
    assert mill.give("audit", "mill")[0] == 0


def test_a_state_that_the_run_does_not_stand_in_is_refused(mill: Mill) -> None:
    step(mill, "Fill")
    code, _, said = step(mill, "Fill")
    assert code == 2
    assert "stands in Grind, and not in Fill" in said
    code, _, said = step(mill, "Nowhere")
    assert (code, "no state named 'Nowhere'" in said) == (2, True)
    mill.run()
    code, _, said = step(mill, "Grind")
    assert (code, "has ended, after Pack" in said) == (2, True)


def test_asked_again_behind_the_same_record_it_tells_the_same(mill: Mill) -> None:
    first = step(mill, "Fill", "--after", "-1")[1]
    again = step(mill, "Fill", "--after", "-1")[1]
    assert first == again
    ground = step(mill, "Grind", "--after", str(first["seq"]))[1]
    assert step(mill, "Grind", "--after", str(first["seq"]))[1] == ground
    assert step(mill, "Grind", "--after", str(ground["seq"]))[1]["seq"] > ground["seq"], "the next visit"


def test_a_state_that_fails_stops_the_run_in_it(mill: Mill) -> None:
    mill.rehandle(
        "    turned = ctx",
        "    if not Path('on').exists():\n        raise OSError('no wind')\n    turned = ctx",
    )
    step(mill, "Fill")
    code, said, err = step(mill, "Grind")
    assert (code, said) == (3, {})
    assert "run mill stopped in Grind" in err
    assert "no wind" in err
    Path("on").touch()
    assert step(mill, "Grind")[0] == 0


def test_as_a_function_it_answers_with_the_same(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["fsm", "step", "mill", "--config", "mill.yaml", "--after", "-1", "--state"]
    assert handler({"command": [*words, "Fill"]})["to"] == ["Grind"]
    with pytest.raises(NotThere):
        handler({"command": [*words, "Pack"]})
    monkeypatch.setenv("FSM_CONFIG", "mill.yaml")
    assert handler({"command": ["fsm", "step", "mill", "--state", "Grind"]})["label"] == "coarse"
    mill.rehandle("    turned = ctx", "    raise OSError('no wind')\n    turned = ctx")
    with pytest.raises(FsmStopped, match="no wind"):
        handler({"command": ["fsm", "step", "mill", "--state", "Grind"]})


def test_without_a_configuration_it_asks_for_one(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FSM_CONFIG", raising=False)
    assert main(["step", "mill", "--state", "Fill"]) == 2
    assert "--config CONFIG, or $FSM_CONFIG" in mill.capsys.readouterr().err


SPLIT = """
from fsm.engine import Context, Machine, Phase
from pathlib import Path

MACHINE = Machine("mill", Path(__file__).with_name("mill.mmd"), concurrent={"Open"})
PHASE = Phase("mill")
for name in ("Open", "Left", "Right", "Meet"):
    PHASE.state(name)(lambda ctx: None)
"""
OPEN = """stateDiagram-v2
    [*] --> Open
    Open --> Left
    Open --> Right
    Left --> Meet
    Right --> Meet
    Meet --> [*]
"""


def test_branches_that_go_at_once_are_left_together(mill: Mill) -> None:
    Path("mill.py").write_text(SPLIT)
    Path("mill.mmd").write_text(OPEN)
    Path("mill.yaml").write_text("machine: mill\nplug: {handlers: mill.py}\nrun: {name: mill}\n")
    code, said, err = step(mill, "Open")
    assert code == 0, err
    seq = said["seq"]
    state = said["to"][0]
    code, said, err = step(mill, state)
    assert (code, said.get("to")) == (0, ["Meet"]), err
    assert step(mill, state, "--after", str(seq))[1] == said, "told again"
    assert step(mill, "Meet")[1]["to"] == []


def test_a_task_without_a_configuration_is_told_so(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FSM_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="--config"):
        handler({"command": ["fsm", "step", "mill", "--state", "Fill"]})
