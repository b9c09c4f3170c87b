"""Diagram 5 beside a training: every step is drawn, or it is an error."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm.engine import Walk
from fsm.errors import UnknownLabel
from machines.qlora_training import MACHINE
from phases.qlora_training.follow import Follow, Followed, Intervals, NotDrawn

INSIDE = MACHINE.counted_inside("TrainingLoop")


def take_pass(follow: Follow, full: bool = True) -> None:
    """What a trainer tells of one forward and backward pass."""
    follow.forward()
    assert follow.loss(0.5)
    follow.backward()
    follow.accumulated(full)


def take_steps(follow: Follow, steps: int, passes: int, losses: Iterator[float]) -> str:
    """What a trainer tells of so many optimizer steps; `stop` where patience ended them."""
    for _ in range(steps):
        for i in range(passes):
            take_pass(follow, i + 1 == passes)
        log, evaluate, save = follow.stepped()
        if log:
            follow.logged(evaluate)
        if evaluate and follow.evaluated(next(losses), save) == "stop":
            return "stop"
        if save:
            follow.saving()
            follow.saved()
    return ""


def falling() -> Iterator[float]:
    loss = 4.0
    while True:
        yield loss
        loss *= 0.9


def test_a_training_as_drawn_takes_the_edges_as_often_as_drawn() -> None:
    walk = Walk(INSIDE)
    follow = Follow(walk, Intervals(), max_steps=200)
    take_steps(follow, 200, 8, falling())
    assert follow.done() == "all steps"
    counts = walk.counts()
    assert counts["AccumulateGradients --> OptimizerStep : accum == 8"] == 200
    assert counts["AccumulateGradients --> ForwardPass : accum < 8"] == 1400
    assert counts["OptimizerStep --> LogMetrics : Every 10 steps"] == 20
    assert counts["LogMetrics --> EvalCheck : Every 50 steps?"] == 4
    assert counts["EvalCheck --> SaveCheckpoint : Every 100 steps"] == 2
    assert counts["SaveCheckpoint --> [*] : All steps done"] == 1


def test_patience_ends_training_after_three_evaluations_without_a_new_best() -> None:
    follow = Follow(Walk(INSIDE), Intervals(log=1, evaluate=1, save=10), max_steps=50)
    assert take_steps(follow, 50, 1, iter([3.0, 2.0, 2.0, 2.5, 2.1])) == "stop"
    assert follow.done() == "early stop"
    assert (follow.known.best_step, follow.known.best_loss, len(follow.known.steps)) == (2, 2.0, 5)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_halts(loss: float) -> None:
    walk = Walk(INSIDE)
    follow = Follow(walk, Intervals(), max_steps=10)
    follow.forward()
    assert not follow.loss(loss)
    assert follow.done() == "halted"
    assert walk.counts()["HaltTraining --> [*] : Emergency stop"] == 1


def test_a_step_that_is_not_drawn_is_an_error() -> None:
    follow = Follow(Walk(INSIDE), Intervals(), max_steps=10)
    with pytest.raises(NotDrawn, match=r"Training is at BackwardPass, but .* stands in ForwardPass"):
        follow.backward()
    take_steps(follow, 1, 1, falling())
    with pytest.raises(NotDrawn, match="SaveCheckpoint only"):
        follow.saving()
    with pytest.raises(NotDrawn, match="Training ended"):
        follow.done()


def test_an_edge_that_is_not_drawn_is_an_error() -> None:
    walk = Walk(INSIDE)
    walk.begin()
    with pytest.raises(UnknownLabel):
        walk.go("Skip the forward pass")


@given(
    st.integers(1, 40),
    st.integers(1, 4),
    st.lists(st.floats(0.1, 9.0), min_size=40, max_size=40),
    st.sampled_from([(1, 1, 1), (1, 2, 4), (2, 4, 8), (5, 10, 10)]),
)
def test_followed_again_from_a_checkpoint_it_stands_where_it_stood(
    steps: int, passes: int, losses: list[float], every: tuple[int, int, int]
) -> None:
    intervals = Intervals(*every, patience=100)
    walk, again = Walk(INSIDE), Walk(INSIDE)
    follow = Follow(walk, intervals, max_steps=40)
    take_steps(follow, steps, passes, iter(losses))
    known = Followed.from_json(json.loads(json.dumps(follow.known.to_json())))
    resumed = Follow(again, intervals, known, max_steps=40)
    assert resumed.known == follow.known
    assert (again.at, again.counts()) == (walk.at, walk.counts())


@given(st.integers(0, 6), st.lists(st.floats(0.1, 9.0), min_size=8, max_size=8), st.booleans())
def test_an_evaluation_that_was_broken_off_is_stood_in_again(
    before: int, losses: list[float], first: bool
) -> None:
    """A stop leaves the walk in RunValidation; what is decided there after the resume is what would have been."""
    intervals = Intervals(1, 2, 4, patience=2)
    whole, again = Walk(INSIDE), Walk(INSIDE)
    follow = Follow(whole, intervals, max_steps=20)
    if take_steps(follow, 2 * before + 1, 1, iter(losses)) == "stop":
        return
    take_pass(follow)
    log, evaluate, save = follow.stepped()
    assert (log, evaluate) == (True, True)
    follow.logged(True)
    known = Followed.from_json(json.loads(json.dumps(follow.known.to_json())))
    resumed = Follow(again, intervals, known, max_steps=20)
    assert (resumed.evaluating, resumed.due) == (True, (log, evaluate, save))
    loss = losses[-1] if first else 0.01
    assert resumed.evaluated(loss, save) == follow.evaluated(loss, save)
    assert resumed.known == follow.known
    assert (again.at, again.counts()) == (whole.at, whole.counts())


def test_other_intervals_than_the_checkpoint_was_written_with_are_refused() -> None:
    follow = Follow(Walk(INSIDE), Intervals(1, 2, 4), max_steps=40)
    take_steps(follow, 8, 1, falling())
    with pytest.raises(NotDrawn, match="other intervals"):
        Follow(Walk(INSIDE), Intervals(2, 4, 8), follow.known, max_steps=40)
