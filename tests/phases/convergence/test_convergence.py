"""Diagram 9, walked epoch by epoch, held against the rules said in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm.engine import Walk
from machines.convergence import MACHINE
from phases.convergence import PHASE
from phases.convergence.config import ConvergenceConfig
from phases.errors import InvalidStructure

Epoch = tuple[float, float]


def decide(epoch: Epoch, number: int, most: int, counters: tuple[int, int]) -> dict[str, Any]:
    """One walk through the drawing; what it decided."""
    score, rate = epoch
    item = SimpleNamespace(
        config=ConvergenceConfig(),
        data={},
        inputs={
            "avg_score": score,
            "correction_rate": rate,
            "epoch": number,
            "max_epochs": most,
            "epochs_at_threshold": counters[0],
            "low_correction_count": counters[1],
        },
    )
    walk = Walk(MACHINE, PHASE)
    walk.begin()
    while walk.at and walk.at != "CONTINUE":
        label: Any = PHASE.handlers[walk.at].handle(item)
        walk.go(label)
    return dict(item.data)


def run(epochs: list[Epoch], most: int) -> tuple[int, str, str]:
    """(epochs done, outcome, reason)."""
    counters = (0, 0)
    for number, epoch in enumerate(epochs, 1):
        said = decide(epoch, number, most, counters)
        counters = (said["epochs_at_threshold"], said["low_correction_count"])
        if said["outcome"] != "continue":
            return number, said["outcome"], said["reason"]
    return len(epochs), "continue", ""


def test_three_epochs_at_the_threshold_converge() -> None:
    assert run([(8.0, 0.5)] * 5, 10)[:2] == (3, "converged")
    assert "average at least 8 for 3" in run([(8.0, 0.5)] * 5, 10)[2]


def test_three_epochs_of_few_corrections_converge() -> None:
    done, outcome, reason = run([(7.0, 0.09)] * 5, 10)
    assert (done, outcome) == (3, "converged")
    assert "Correction rate below 10% for 3" in reason


def test_an_epoch_between_begins_the_count_anew() -> None:
    assert run([(8.5, 0.5), (8.5, 0.5), (7.9, 0.5), (8.5, 0.5), (8.5, 0.5)], 10)[1] == "continue"
    assert run([(7.0, 0.05), (7.0, 0.05), (7.0, 0.1), (7.0, 0.05), (7.0, 0.05)], 10)[1] == "continue"


def test_an_epoch_with_few_corrections_asks_for_the_maximum_too() -> None:
    """As drawn it went on; the drawing is corrected there."""
    assert run([(7.0, 0.05)], 1)[:2] == (1, "complete")


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), min_size=1, max_size=12), st.integers(1, 12))
def test_the_drawing_decides_as_the_words_do(epochs: list[Epoch], most: int) -> None:
    def said(n: int) -> str:
        good = all(score >= 8.0 for score, _ in epochs[max(0, n - 3) : n]) and n >= 3
        few = all(rate < 0.10 for _, rate in epochs[max(0, n - 3) : n]) and n >= 3
        return "converged" if good or few else "complete" if n >= most else "continue"

    expected = next(((n, said(n)) for n in range(1, len(epochs) + 1) if said(n) != "continue"), None)
    assert run(epochs, most)[:2] == (expected or (len(epochs), "continue"))


def test_alone_it_says_what_it_is_about() -> None:
    with pytest.raises(InvalidStructure, match="Run the machine `distillation`"):
        PHASE.handlers["START"].handle(SimpleNamespace(inputs={}))
