"""Every later version writes what the golden journals say, and reads them to the same state.

`python -m tests.golden --renew` writes them anew.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsm.drawing import ancestors
from fsm.engine import COUNTED, Machine
from fsm.journal import GENESIS, Fold
from fsm.journal.record import validated
from tests.golden.walks import Lines, names, read, shipped, walked


def runs(lines: Lines) -> Iterator[tuple[Lines, Lines]]:
    """The records of each run, and the line with its state."""
    starts = [i for i, line in enumerate(lines) if "run" in line]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield lines[start + 1 : end - 1], lines[end - 1 : end]


@pytest.mark.parametrize("name", names())
def test_the_machine_still_writes_its_golden_journal(name: str) -> None:
    for number, (now, golden) in enumerate(zip(walked(name), read(name), strict=True)):
        assert now == golden, f"line {number + 1} of {name}.jsonl; see python -m tests.golden"


@pytest.mark.parametrize("name", names())
def test_the_golden_journal_still_folds_to_its_state(name: str) -> None:
    for records, (last,) in runs(read(name)):
        state = Fold.of(records).state
        assert state == last["state"]
        assert state["ended"]


@pytest.mark.parametrize("name", names())
def test_the_golden_records_are_still_records(name: str) -> None:
    for records, _ in runs(read(name)):
        for seq, record in enumerate(records):
            frame = {"seq": seq, "epoch": 1, "writer": "w", "id": f"w-{seq}", "prev": GENESIS, "time": 0.0}
            if record["kind"] == "transition":
                frame["took"] = 0.0
            if record["kind"] == "error":
                frame["traceback"] = ""
            validated({**frame, **record}, f"{name}.jsonl")


def walkable(machine: Machine) -> set[str]:
    """The edges the engine can take: those of all insides but the ones drawn elsewhere or in detail."""
    closed = [c for c, how in machine.inside.items() if how is not COUNTED]
    edges = [e for e in machine.chart.edges if not e.seen_outside]
    return {e.id for e in edges if not any(a in closed for a in ancestors(e.source))}


def taken(name: str, machine: Machine) -> set[str]:
    """The edges that the golden journal tells of."""
    found: set[str] = set()
    for records, _ in runs(read(name)):
        for record in records:
            found |= {k.partition(": ")[2] for k in record.get("counts", {}) if k.startswith(f"{name}: ")}
            if record["machine"] == name and record["kind"] == "transition":
                found |= set(record.get("also", ()))
                edges = machine.chart.moves(record["from"])
                fork = record["from"] in machine.forks
                found |= {e.id for e in edges if fork or e.label == record["label"] or len(edges) == 1}
    return found


@pytest.mark.parametrize("name", names())
def test_the_golden_journal_goes_along_every_edge(name: str) -> None:
    machine = shipped()[name]
    assert walkable(machine) - taken(name, machine) == set()
