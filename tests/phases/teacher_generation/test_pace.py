"""How fast a teacher is asked: by what its service turns away."""

from __future__ import annotations

import heapq
import random
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phases.teacher_generation.pace import Pace, Rates

RESERVED, INPUT = 1324, 300


def asked(
    quota: float,
    calls: int,
    *,
    burndown: int = 1,
    latency: float = 2.0,
    known: float | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """What becomes of calls of ten workers at a service that counts tokens as Bedrock does, in a time of its own."""
    chance = random.Random(seed)
    rates = Rates(10, True, known / 60 if known else None)
    level, last, todo, turned_away, sent, used = quota, 1.0, calls, 0, 0, 0.0
    events: list[tuple[float, int, str, Any]] = [(1.0, n, "free", 0) for n in range(10)]
    number, now = 10, 1.0
    while events:
        now, _, what, given_ = heapq.heappop(events)
        number += 1
        if what == "free":
            if not todo:
                continue
            todo -= 1
            given_ = 0
        elif what == "answered":
            turn, written = given_
            turn.used = INPUT + burndown * written
            rates.end(now, turn)
            level = min(quota, level + RESERVED - turn.used)
            used += turn.used
            heapq.heappush(events, (now, number, "free", 0))
            continue
        elif what == "throttled":
            turn, attempt = given_
            turn.throttled = True
            rates.end(now, turn)
            heapq.heappush(events, (now + chance.uniform(0, 2**attempt), number, "try", attempt + 1))
            continue
        if (wait := rates.wait(now, RESERVED)) > 0:
            heapq.heappush(events, (now + min(wait, 0.1) + 1e-6, number, "try", given_))
            continue
        turn = rates.begin(now, RESERVED)
        sent += 1
        level, last = min(quota, level + (now - last) * quota / 60), now
        if level < RESERVED:
            turned_away += 1
            heapq.heappush(events, (now + 0.02, number, "throttled", (turn, given_)))
        else:
            level -= RESERVED
            took = latency * chance.lognormvariate(0, 0.5)
            heapq.heappush(events, (now + took, number, "answered", (turn, chance.randint(200, 500))))
    minutes = (now - 1.0) / 60
    return {"share": used / (quota * (minutes + 1)), "throttled": turned_away / sent, "minutes": minutes}


@pytest.mark.parametrize("burndown", [1, 5])
@pytest.mark.parametrize("quota", [20_000, 60_000, 120_000])
def test_of_a_quota_that_nobody_told_nearly_all_is_used_and_hardly_a_call_is_turned_away(
    quota: int, burndown: int
) -> None:
    came_of_it = asked(quota, 1000, burndown=burndown)
    assert came_of_it["share"] > 0.9  # and of the minute that was saved up before the first call
    assert came_of_it["throttled"] < 0.02


def test_a_quota_that_is_told_is_kept_from_the_first_call_on() -> None:
    came_of_it = asked(60_000, 1000, known=60_000)
    assert came_of_it["throttled"] == 0
    assert came_of_it["share"] > 0.9


def test_where_nothing_is_turned_away_nothing_waits() -> None:
    rates = Rates(10, True)
    assert all(rates.wait(n / 100, RESERVED) == 0 and rates.begin(n / 100, RESERVED) for n in range(10))
    assert rates.wait(0.1, RESERVED) > 0  # ten at once are the ceiling


def test_where_calls_are_counted_fewer_go_out_at_once_and_by_and_by_more_again() -> None:
    rates = Rates(10, False)
    turns = [rates.begin(0.0, 0.0) for _ in range(10)]
    for turn in turns:
        turn.throttled = True
        rates.end(1.0, turn)
    assert int(rates.at_once) == 7  # one decrease for what was under way together
    now = 100.0
    for _ in range(200):
        turn = rates.begin(now, 0.0)
        turn.used = 0.0
        rates.end(now, turn)
    assert int(rates.at_once) == 10


def test_a_wait_that_the_service_asks_for_is_everybodys() -> None:
    rates = Rates(10, False)
    turn = rates.begin(0.0, 0.0)
    turn.throttled, turn.wait = True, 30.0
    rates.end(0.0, turn)
    assert rates.wait(1.0, 0.0) == pytest.approx(29.0)
    assert rates.wait(31.0, 0.0) == 0.0


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(1, 5000), st.sampled_from("atf")), max_size=60),
    st.booleans(),
)
def test_whatever_happens_calls_at_once_stay_between_one_and_the_ceiling(
    steps: list[tuple[float, float, str]], counted: bool
) -> None:
    rates, now = Rates(10, counted), 0.0
    for after, tokens, end in steps:
        now += after + max(0.0, rates.wait(now + after, tokens))
        turn = rates.begin(now, tokens)
        turn.throttled, turn.used = end == "t", tokens / 2 if end == "a" else None
        rates.end(now, turn)
        assert 1 <= rates.at_once <= 10
        assert rates.under_way == 0
        assert rates.rate is None or rates.rate > 0


def test_a_stop_ends_the_wait_for_a_turn() -> None:
    pace, stop = Pace(1, False), threading.Event()
    with pace.turn(0.0, stop.is_set) as first:
        assert first is not None
        stop.set()
        with pace.turn(0.0, stop.is_set) as second:
            assert second is None
