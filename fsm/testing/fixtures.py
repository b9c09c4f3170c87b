"""The fixtures of pytest: `pytest_plugins = ["fsm.testing.fixtures"]`, in a test's module or in the top conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsm.testing import Bench, Clock, bench


@pytest.fixture
def fsm_bench() -> Iterator[Bench]:
    """A place for runs that are gone after the test."""
    with bench() as made:
        yield made


@pytest.fixture
def fsm_clock(fsm_bench: Bench) -> Clock:
    """The clock by which the runs of `fsm_bench` wait."""
    return fsm_bench.clock
