"""Histories of several runners on a bucket where everything goes wrong: the laws hold in all of them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fsm.engine import Program
from fsm.store import Taken
from fsm.store.bucket import Exists
from fsm.store.s3 import S3Run
from tests.crash import simulation
from tests.crash.simulation import FAULTS, Simulated, World, finish, simulate
from tests.crash.workshop import workshop

PROGRAM: Program = workshop()
EXPECTED = simulation.reference(PROGRAM)
SEEDS = 500


def test_in_seeded_histories_nothing_acknowledged_is_lost_and_the_run_is_the_same() -> None:
    for seed in range(SEEDS):
        try:
            simulate(seed, PROGRAM, EXPECTED)
        except AssertionError as e:
            raise AssertionError(
                f"seed {seed}: {e}\nreplay: simulate({seed}, workshop(), reference(workshop()))"
            ) from e


def test_a_seed_replays() -> None:
    worlds = [World(), World()]
    for world in worlds:
        simulate(11, PROGRAM, EXPECTED, world=world)
    first, second = (list(w.objects) for w in worlds)
    assert first == second


def broken(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Ways in which a journal on S3 is got wrong."""
    plain = S3Run.append
    if name == "conditions ignored":
        return {"conditions": False}
    if name == "taken means written":

        def append(self: S3Run, seq: int, line: bytes) -> None:
            with suppress(Taken):
                plain(self, seq, line)
    else:

        def append(self: S3Run, seq: int, line: bytes) -> None:
            try:
                self.ask(lambda: self.bucket.put(self._record(seq), line, absent=False))
            except Exists:
                raise AssertionError("not conditional") from None

    monkeypatch.setattr(S3Run, "append", append)
    return {}


@pytest.mark.parametrize("how", ["conditions ignored", "taken means written", "put without condition"])
def test_the_simulation_finds_a_protocol_that_is_wrong(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings_of_world = broken(how, monkeypatch)
    found = 0
    for seed in range(40):
        try:
            simulate(seed, PROGRAM, EXPECTED, world=World(**settings_of_world), probe=False)
        except Exception:
            found += 1
    assert found > 5


class Histories(RuleBasedStateMachine):
    """The same, with decisions that Hypothesis makes and shrinks."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.runners: list[Simulated] = []

    @precondition(lambda self: sum(not r.ended for r in self.runners) < 4)
    @rule()
    def start(self) -> None:
        self.runners.append(Simulated(self.world, PROGRAM))

    @precondition(lambda self: any(not r.ended for r in self.runners))
    @rule(which=st.integers(0, 3), steps=st.integers(1, 30))
    def go_on(self, which: int, steps: int) -> None:
        runner = self._alive(which)
        for _ in range(steps):
            runner.step()

    @precondition(lambda self: any(not r.ended for r in self.runners))
    @rule(which=st.integers(0, 3), fault=st.sampled_from(FAULTS[1:]))
    def go_wrong(self, which: int, fault: str) -> None:
        self._alive(which).step(fault)

    @precondition(lambda self: self.world.under_way)
    @rule(which=st.integers(0, 3))
    def arrive_late(self, which: int) -> None:
        self.world.deliver(which)

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        finish(self.world, self.runners, PROGRAM, EXPECTED)

    def _alive(self, which: int) -> Simulated:
        alive = [r for r in self.runners if not r.ended]
        return alive[which % len(alive)]


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
