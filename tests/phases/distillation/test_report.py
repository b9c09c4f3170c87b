"""An epoch's report: intervals that hold, the same bytes every time."""

from __future__ import annotations

import random
from typing import Any

import pytest
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


def said(rule: str, note: str = "") -> dict[str, Any]:
    return {
        "overall": 8.0,
        "syntax": 5.0,
        "reasons": [{"rule": rule, "note": note, "points": 0.0, "line": None}],
    }


@pytest.mark.parametrize(
    ("score", "does", "kind"),
    [
        (said("SyntaxCheck.Score0", "nothing to compile: no code, or only functions that do nothing"), {}, "no code"),
        (said("SyntaxCheck.Score0", "another question's answer: nothing is named `f`"), {}, "another question"),
        (said("SyntaxCheck.Score0", "4 errors of grammar"), {}, "does not compile"),
        (said("SyntaxCheck.Score5to6", "`x` undeclared"), {"behaviour": 0.0, "reason": "it does not compile"}, "does not compile"),
        (said("SyntaxCheck.Score7to9", "unused"), {"behaviour": 0.0, "reason": "it traps: undefined behaviour"}, "does not run"),
        (said("SyntaxCheck.Score10"), {"behaviour": 6.0, "reason": "it differs on 3 of 9 inputs"}, "wrong results"),
        (said("SyntaxCheck.Score7to9", "unused"), {"behaviour": 10.0, "reason": ""}, "warnings"),
        (said("SyntaxCheck.Score10") | {"overall": 6.9}, {"behaviour": None, "reason": "not comparable"}, "poor form"),
        (said("SyntaxCheck.Score10"), {"behaviour": 10.0, "reason": "a weak test"}, "none"),
    ],
)  # fmt: skip
def test_an_answer_counts_by_the_gravest_failure_it_has(
    score: dict[str, Any], does: dict[str, Any], kind: str
) -> None:
    assert report.failures([score], [does], 7.0) == dict.fromkeys(report.FAILURES, 0) | {kind: 1}


def test_without_a_sandbox_no_failure_is_one_of_behaviour() -> None:
    assert report.failures([said("SyntaxCheck.Score10")], None, 7.0)["none"] == 1


def test_rows_are_counted_by_whom_they_are_learned_from() -> None:
    rows: list[dict[str, Any]] = [
        {},
        {"teacher": "t"},
        {"teacher": "t"},
        {"correction_of_epoch": 1},
        {"learned_from": "self"},
        {"learned_from": "a friend"},
    ]
    assert report.learned_from(rows) == {"raw": 1, "teacher": 2, "correction": 1, "self": 1, "a friend": 1}


def test_answers_stand_beside_those_of_the_epoch_before() -> None:
    def answers(*scores: float) -> list[dict[str, Any]]:
        return [
            {"prompt": f"p{i}", "text": f"{s}\n```c\nint x;\n```", "overall": s} for i, s in enumerate(scores)
        ]

    pairs = report.side_by_side(answers(5, 5, 5, 5, 5), answers(6, 9, 5, 2, 7))
    assert [(p["prompt"], p["gained"]) for p in pairs] == [("p1", 4), ("p0", 1), ("p3", -3)]
    assert report.side_by_side([], []) == []
    kinds = dict.fromkeys(report.FAILURES, 0) | {"none": 1, "warnings": 3}
    last = epoch(2) | {
        "failures": {"drawn": kinds, "held_out": kinds},
        "learned_from": {"teacher": 54, "self": 2},
        "corrections": {"accepted": 3, "refused": 1, "asked": 4, "tokens": [100, 20]},
        "dollars": 1.5,
    }
    text = report.markdown([epoch(1), last], pairs)
    assert "| frozen set | 0% | 0% | 0% | 0% | 0% | 75% | 0% | 25% |" in text
    assert (
        "54 from teacher, 2 from self. The teacher was asked 4 times for $1.50 (100 tokens in, 20 out)."
        in text
    )
    # an answer with a fence of its own does not end the fence around it
    assert text.count("````c\n9") == 1
    assert text.count("\n````\n") == 6
