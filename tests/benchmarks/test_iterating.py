"""The arms of the comparison: each a configuration that can be run, at as many calls and steps as the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import iterating
from benchmarks.iterating import ARMS, Case, configuration, summary, table
from phases.distillation.config import DistillationConfig
from phases.student.config import QLoRAConfig


@pytest.mark.parametrize("pool", iterating.POOLS)
def test_every_arm_may_ask_as_much_and_takes_as_many_steps(
    pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid_before: set[tuple[str, ...]] = set()

    def base(config: object, paid: list[str], seed: int) -> Path:
        paid_before.add(tuple(paid))
        return Path("base")

    monkeypatch.setattr(iterating, "_base", base)
    frozen = set()
    for place, arm in enumerate(ARMS):
        (where := tmp_path / str(place)).mkdir()
        config = configuration(Case(pool, arm, 1, 36, 120, 8), where)
        loop = DistillationConfig.model_validate(config["distillation"])
        training = QLoRAConfig.model_validate(config["qlora_training"])
        asked = len((where / "teacher.jsonl").read_text().splitlines())
        drawn = {json.loads(line)["prompt"] for line in (where / "drawn.jsonl").read_text().splitlines()}
        assert asked + (loop.corrections.budget * (arm.epochs - 1)) == 36
        assert len(drawn) == 12
        assert training.max_steps * loop.max_epochs == 120
        assert (loop.corrections.most > 0) == (arm.epochs > 1)
        frozen.add((where / "frozen.jsonl").read_text())
    assert len(frozen) == 1
    assert len(paid_before) == 1  # no base has seen an answer that some arm has not paid for


def test_an_arms_seeds_are_one_line_and_pools_have_tables_of_their_own() -> None:
    def came(frozen: float, right: float | None) -> dict[str, object]:
        return {"calls": 72, "steps": 360, "frozen": [5.0, frozen], "right": right, "clean": 0.5}

    runs = {
        Case(pool, ARMS[0], seed, 72, 360, 60).key: came(7.0 + seed, right)
        for pool, right in (("even", 0.5), ("skewed", None))
        for seed in (1, 2, 3)
    }
    lines = summary(runs)
    assert [(line["of"].split(",")[0], line["seeds"], line["frozen"]) for line in lines] == [
        ("even", 3, 9.0),
        ("skewed", 3, 9.0),
    ]
    said = list(table(lines))
    assert "8.00–10.00" in said[1]
    assert "50% (50% to 50%)" in said[1]
    assert "not measured" in said[3]
