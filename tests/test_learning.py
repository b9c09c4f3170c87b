"""The configuration that a newcomer runs: the tiny student learns to answer what it is asked, and the loop ends by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.local_run import Place


@pytest.fixture(scope="module")
def report(local_run: Place) -> Any:
    """`fsm report --json` of the distillation of configs/local.yaml."""
    done = local_run.give("fsm", "report", "local", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_the_loop_ends_by_the_drawn_rule_unaided(report: Any) -> None:
    assert (report["ended"]["outcome"], report["ended"]["rule"]) == ("converged", "avg_score")
    assert report["ended"]["lag"] is None
    assert report["totals"]["epochs"] < 10


def test_prompts_in_words_never_trained_on_are_answered(report: Any) -> None:
    """Bits, and so scores, differ between kinds of processor: the thresholds leave room for that."""
    first, last = (report["epochs"][place]["held_out"] for place in (0, -1))
    assert last["overall"]["mean"] > 8.0
    assert last["syntax"]["mean"] > 7.5  # 0 for an answer to another question
    assert last["overall"]["mean"] > first["overall"]["mean"]


def test_most_answers_do_what_the_teachers_do_with_the_number_that_was_asked_for(report: Any) -> None:
    first, last = (report["epochs"][place]["behaviour"]["held_out"] for place in (0, -1))
    assert last["compared"] == last["outputs"]
    assert last["right"] > 0.6 * last["outputs"]
    assert last["right"] >= first["right"]


def test_what_is_corrected_enters_the_training_set_and_nothing_is_asked_twice(report: Any) -> None:
    before = 195
    assert report["epochs"][0]["examples"]["before"] == before
    assert report["epochs"][-1]["examples"]["after"] == before + report["totals"]["corrections"]["accepted"]
    assert 0 < report["totals"]["corrections"]["asked"] <= 40
