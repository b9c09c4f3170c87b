"""Whether the counter that is to end a loop is asked on every way round."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fsm import mermaid
from fsm.check import alone, check
from fsm.drawing import chart
from fsm.engine import Machine
from machines.convergence import MACHINE as SHIPPED
from tests.fsm.drawn import drawn, program

PAGE = (Path(__file__).parents[2] / "diagrams" / "specification.md").read_text("utf-8")
SPECIFIED = re.search(r"## 9\. .*?```mermaid\n(.*?)```", PAGE, re.DOTALL)
assert SPECIFIED is not None
NINE = SPECIFIED[1]
WALK = (
    "START --> CALC, CALC --> CHECK1, CHECK1 --> RESET1 : No, RESET1 --> CHECK3, CHECK3 --> INC2 : Yes, INC2 --> CHECK4, "
    "CHECK4 --> CONTINUE : No, CONTINUE --> START"
)


def found(machine: Machine) -> list[str]:
    return [f.message for f in check(program(machine), phases=False) if f.code == "C114"]


def test_diagram_9_as_specified_can_exceed_max_epochs_and_the_walk_is_printed() -> None:
    machine = Machine(
        "convergence", chart.parse(NINE, "convergence"), ends=SHIPPED.ends, bounds=SHIPPED.bounds
    )
    (message,) = found(machine)
    assert message.startswith("max_epochs can be exceeded: it is asked in CHECK5 ('epoch >= max_epochs?')")
    assert f"the cycle {WALK} goes round without that" in message
    line = next(f.line for f in check(program(machine), phases=False) if f.code == "C114")
    assert NINE.splitlines()[line - 1].strip() == "CHECK4 -->|No| CONTINUE", (
        "where it joins the way behind CHECK5"
    )


def test_the_drawing_alone_says_so_too(tmp_path: Path) -> None:
    path = tmp_path / "nine.mmd"
    path.write_text(NINE)
    (finding,) = [f for f in alone(mermaid.find(path)) if f.code == "C114"]
    assert finding.severity == "warning"
    assert WALK in finding.message


def test_diagram_9_as_corrected_cannot() -> None:
    assert found(SHIPPED) == []


LOOP = "[*] --> Try\nTry --> Wait : failed\nTry --> [*] : done\n"


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("Wait --> Try : attempt < 5\nWait --> [*] : attempt >= 5", 0),
        ("Wait --> Try : attempt < 5\nWait --> [*] : give up", 0),
        ("Wait --> Try : again\nWait --> [*] : MaxRetries exceeded", 0),
        ("Wait --> Try : attempt < 5\nWait --> [*] : attempt >= 5\nTry --> Try : at once", 1),
        ("Wait --> Try : again\nWait --> [*] : MaxRetries exceeded\nTry --> Try : at once", 1),
        ("Wait --> Try : again\nWait --> Try : attempt >= 5\nTry --> Try : at once", 0),  # no way out
        ("Wait --> Try : attempt = 0\nWait --> [*] : attempt >= 5\nTry --> Try : at once", 0),  # set back
    ],
)
def test_what_asks_is_read_off_states_and_labels(rest: str, said: int) -> None:
    assert len(found(drawn(LOOP + rest))) == said


def test_a_loop_within_is_not_a_way_round() -> None:
    inner = (
        LOOP
        + "Wait --> Try : again\nWait --> [*] : MaxRetries exceeded\nWait --> Look\nLook --> Wait : not yet"
    )
    assert found(drawn(inner)) == [], "Try, where the loop is entered, is not on it"


def test_a_way_round_that_something_else_bounds_is_let_be() -> None:
    text = LOOP + "Wait --> Try : again\nWait --> [*] : MaxRetries exceeded\nTry --> Try : at once"
    assert found(drawn(text, bounds={("Try", "at once"): "the items"})) == []
    assert len(found(drawn(text, bounds={("Try", "at once"): "first.max_retries"}))) == 1, "asked elsewhere"
    assert found(drawn(text, waits={"Try": "the service"})) == []


@pytest.mark.parametrize("sign", [">=", ">", "=="])
def test_a_state_that_compares_is_left_by_yes(sign: str) -> None:
    text = f'flowchart TD\nA --> B{{"tries {sign} limit?"}}\nB -->|yes| C\nB -->|no| A\nA -->|odd| A\n'
    machine = Machine("m", chart.parse(text, "m"), ends=("C",))
    (message,) = found(machine)
    assert "limit can be exceeded: it is asked in B" in message


def test_where_the_drawing_says_what_counts_only_ways_round_that_count_matter() -> None:
    text = """
        [*] --> Step
        Step --> Step : better
        Step --> IncrementPatience : no better
        IncrementPatience --> [*] : patience >= 3
        IncrementPatience --> Step : patience < 3
    """
    assert found(drawn(text)) == []
    also = "Step --> Also : odd\n        Also --> Step"
    assert found(drawn(text + also)) == []
    assert len(found(drawn(f'{text}{also}\n        state "Increment patience" as Also'))) == 1
