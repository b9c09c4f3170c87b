"""The epoch loop tells what the answers do, and may decide by it."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from phases.distillation import behaving, corrections, report
from phases.distillation.corrections import Poor
from phases.quality_scoring import Behaviour, SandboxMissing, Score, score
from phases.quality_scoring.behaviour import judging
from tests.needs import needing

POOR = Poor("Write `twice`.", 5.0, 10.0)


def epoch(number: int, frozen: float, behaviour: float) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [
        {"prompt": "p", "behaviour": behaviour, "weak": False},
        {"prompt": "q", "behaviour": None},
    ]
    scores = [{**dict.fromkeys(report.DIMENSIONS, frozen), "domain": "TSN"}]
    return {
        "epoch": number,
        **{name: report.summary(scores, 1) for name in ("drawn", "held_out")},
        "behaviour": {name: behaving.summary(rows, 1) for name in ("drawn", "held_out")},
        "correction_rate": 0.5,
        "corrections": {"accepted": 1, "refused": 2},
        "examples": {"before": 3, "after": 4},
        "training": {"loss": 1.0},
    }


def test_the_epoch_that_is_kept_is_the_last_or_the_best_of_the_frozen_set() -> None:
    epochs = [epoch(1, 8.0, 3.0), epoch(2, 9.0, 7.0), epoch(3, 9.0, 9.0), epoch(4, 8.5, 9.0)]
    assert [report.kept(epochs, by) for by in ("last", "score", "behaviour")] == [4, 2, 3]


def test_the_table_tells_behaviour_only_where_it_was_measured() -> None:
    told = report.table([epoch(1, 8.0, 10.0)])
    assert "| 10.00, 1 of 1 right | 10.00, 1 of 1 right |" in told
    without = {k: v for k, v in epoch(1, 8.0, 10.0).items() if k != "behaviour"}
    assert "behaves" not in report.table([without])
    assert "not compared" in report.table([without, epoch(2, 8.0, 10.0)])


def test_what_was_not_compared_is_in_no_mean() -> None:
    rows = behaving.rows(["p", "q"], [_scored(Behaviour(4.0, "it differs")), _scored(None)])
    assert [r["behaviour"] for r in rows] == [4.0, None]
    assert rows[1]["reason"] == "no reference to compare with"
    assert behaving.mean(rows) == 4.0
    assert behaving.mean(rows[1:]) is None


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (Behaviour(10.0, ""), None),
        (Behaviour(8.0, "it differs"), None),
        (Behaviour(7.9, "it differs on 3 of 9 inputs"), "behaves wrongly (7.90): it differs on 3 of 9"),
        (Behaviour(None, "no reference", 9, findings=((None, "it traps, on f(x = 1)"),)), "does not bear its inputs: it traps"),
        (Behaviour(None, "no reference", 9, findings=((3, "a warning of GCC"),)), None),
        (Behaviour(None, "not comparable: it carries inline assembly"), None),
    ],
)  # fmt: skip
def test_a_correction_may_have_to_behave(behaviour: Behaviour, reason: str | None) -> None:
    refused = corrections.behaves(POOR, behaviour, 8.0)
    assert (refused is None) is (reason is None)
    assert refused is None or (reason or "") in refused.reason


@needing("behaviour")
def test_an_answer_is_told_beside_its_scores_and_not_among_them() -> None:
    right = "int twice(int value)\n{\n    return 2 * value;\n}\n"
    found = score(right.replace("2 *", "3 *"), POOR.prompt, reference=right)
    assert "behaviour" not in found.drawn_as_dict()
    (row,) = behaving.rows([POOR.prompt], [found])
    assert row["behaviour"] < 5
    assert row["first"]["input"].startswith("twice(value = ")


def _scored(behaviour: Behaviour | None) -> Score:
    return Score(10.0, 6.0, 7.0, 5.0, 7.3, (), "unknown", False, behaviour=behaviour)


@pytest.mark.parametrize(
    "sections",
    [
        {"convergence": {"on": "behaviour"}},
        {"distillation": {"keep": "behaviour"}},
        {"distillation": {"corrections": {"behaves_at": 8.0}}},
        {"quality_scoring": {"weights": {"syntax": 0.5, "behaviour": 0.5}}},
    ],
)
def test_what_is_decided_by_behaviour_needs_a_sandbox_before_an_epoch_is_trained(
    sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def section(name: str) -> Any:
        return import_module(f"phases.{name}").PHASE.section(sections.get(name, {}))

    ctx: Any = SimpleNamespace(section=section, config=section("distillation"))
    monkeypatch.setattr(judging, "find_toolchain", lambda: None)
    with pytest.raises(SandboxMissing, match="nothing can run code here"):
        behaving.needed(ctx)
    sections.clear()
    behaving.needed(SimpleNamespace(section=section, config=section("distillation")))  # type: ignore[arg-type]
