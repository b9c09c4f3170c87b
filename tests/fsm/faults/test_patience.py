"""Asking again: bounded by the time without an answer, by a clock that is injected."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from fsm.errors import StoreError, Unanswered
from fsm.faults import Patient
from fsm.testing import Clock


def throttled() -> ClientError:
    return ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "Describe")


def failing(*failures: Exception, then: str = "answer") -> Callable[[], str]:
    """Fails so, one after the other, and then answers."""
    left = list(failures)

    def ask() -> str:
        if left:
            raise left.pop(0)
        return then

    return ask


def test_failures_that_pass_are_passed_over_and_told() -> None:
    clock, told = Clock(), []
    faults = (throttled(), ConnectionResetError("cut"), TimeoutError("no answer"))
    patient = Patient("the service", 10, clock, tells=lambda error, seconds: told.append((error, seconds)))
    assert patient(failing(*faults)) == "answer"
    assert [error for error, _ in told] == list(faults)
    assert [seconds for _, seconds in told] == clock.slept


def test_what_does_not_pass_is_raised_at_once() -> None:
    clock = Clock()
    with pytest.raises(ZeroDivisionError):
        Patient("the service", 10, clock)(failing(ZeroDivisionError()))
    assert clock.slept == []


def test_no_number_of_failures_ends_it_but_the_time_without_an_answer_does() -> None:
    clock = Clock()
    patient = Patient("the service", 1800, clock)
    assert patient(failing(*[throttled()] * 60)) == "answer"
    assert clock.now < 1800
    began = clock.now
    with pytest.raises(
        Unanswered, match=r"the service gave no clear answer for 1800 seconds .*ThrottlingException"
    ):
        patient(failing(*[throttled()] * 10_000))
    assert 1800 - 30 <= clock.now - began <= 1800


def test_every_answer_renews_the_patience() -> None:
    clock = Clock()
    patient = Patient("the service", 100, clock)
    for _ in range(10):
        assert patient(failing(*[throttled()] * 9)) == "answer"
    assert clock.now > 100


def test_a_first_attempt_that_took_longer_than_the_patience_is_made_again() -> None:
    clock = Clock()
    left = [ConnectionResetError("cut after all of it was sent")]

    def upload() -> str:
        clock.now += 3600
        if left:
            raise left.pop()
        return "there"

    assert Patient("the service", 60, clock)(upload) == "there"


@given(failures=st.integers(1, 200), longest=st.floats(0.1, 60))
def test_pauses_grow_and_have_a_bound(failures: int, longest: float) -> None:
    clock = Clock()
    Patient("the service", 1e9, clock, longest=longest)(failing(*[throttled()] * failures))
    assert len(clock.slept) == failures
    for n, seconds in enumerate(clock.slept):
        whole = min(0.05 * 2.0 ** min(n, 60), longest) if n else 0.05
        assert whole / 2 <= seconds <= whole


def test_who_asks_may_say_what_passes_and_how_it_gives_up() -> None:
    clock = Clock()
    patient = Patient(
        "the bucket", 1, clock, passing=lambda error: isinstance(error, KeyError), gives_up=StoreError
    )
    assert patient(failing(KeyError())) == "answer"
    with pytest.raises(ConnectionResetError):
        patient(failing(ConnectionResetError()))
    with pytest.raises(StoreError, match="the bucket gave no clear answer"):
        patient(failing(*[KeyError()] * 100))


def test_a_request_to_stop_is_no_failure() -> None:
    class Asked(BaseException):
        pass

    def ask() -> str:
        raise Asked

    with pytest.raises(Asked):
        Patient("the service", 10, Clock())(ask)
