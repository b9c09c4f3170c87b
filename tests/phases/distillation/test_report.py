"""An epoch's report: intervals that hold, the same bytes every time."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from phases.distillation import report


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30))
def test_the_interval_holds_the_mean_and_stays_within_the_values(values: list[float]) -> None:
    found = report.interval(values, 1)
    assert found["low"] - 1e-4 <= found["mean"] <= found["high"] + 1e-4
    assert min(values) - 1e-4 <= found["low"]
    assert found["high"] <= max(values) + 1e-4
    assert report.interval(values, 1) == found


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = random.Random(0)
    hits = 0
    for _ in range(200):
        found = report.interval([rng.gauss(5, 1) for _ in range(40)], 1)
        hits += found["low"] <= 5 <= found["high"]
    assert 0.88 < hits / 200 < 0.99


def epoch(number: int) -> dict[str, Any]:
    scores = [
        {"overall": 5.0 + number, "syntax": 10.0, "protocol": 7.0, "safety": 7.0, "style": 8.0, "domain": d}
        for d in ("TSN", "AVB", "TSN")
    ]
    return {
        "epoch": number,
        "drawn": report.summary(scores, 1),
        "held_out": report.summary(scores[:2], 1),
        "correction_rate": 0.5,
        "corrections": {"accepted": 3, "refused": 1},
        "examples": {"before": 60, "after": 63},
        "training": {"loss": 0.5},
    }


def test_scores_are_summed_up_by_dimension_and_domain() -> None:
    found = epoch(1)["drawn"]
    assert found["overall"]["mean"] == 6.0
    assert found["syntax"]["mean"] == 10.0
    assert sorted(found["domains"]) == ["AVB", "TSN"]
    assert found["outputs"] == 3


def test_the_table_shows_both_sets_side_by_side() -> None:
    lines = report.table([epoch(1), epoch(2)]).splitlines()
    assert "| drawn set | frozen set |" in lines[0]
    assert lines[2] == "| 1 | 6.00 (6.00 to 6.00) | 6.00 (6.00 to 6.00) | 50% | 3 | 1 | 60 to 63 | 0.500 |"
    assert len(lines) == 4


def test_the_picture_is_the_same_every_time() -> None:
    epochs = [epoch(1), epoch(2)]
    assert report.picture(epochs, 8.0) == report.picture(epochs, 8.0)
    assert b"frozen set" in report.picture(epochs, 8.0)
