"""Worker processes: how many, and what is begun of the things that they are to do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phases.data_preparation.processes import cores, of_work, ordered


@given(st.lists(st.integers()), st.integers(min_value=1, max_value=9))
def test_results_come_in_order_and_no_more_is_begun_than_may_be(things: list[int], most: int) -> None:
    begun: list[int] = []

    def begin(thing: int) -> int:
        begun.append(thing)
        return thing

    results: list[int] = []
    for result in ordered(things, begin, lambda thing: -thing, most):
        assert len(begun) - len(results) <= most
        results.append(result)
    assert begun == things
    assert results == [-thing for thing in things]


def test_there_are_no_more_workers_than_there_is_work_for() -> None:
    assert [of_work(0, chunks) for chunks in (0, 1, 3)] == [1, 1, 1]
    assert of_work(0, 10**6) == cores()
    assert of_work(5, 1) == 5
