"""What a step takes is found out by taking one without content; `micro_batch: auto` keeps the rows of a step as drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phases.student import preflight
from tests.phases.qlora_training import door
from tests.phases.qlora_training.conftest import micro
from tests.phases.qlora_training.micro import ROWS, settings

__all__ = ["micro"]

H100_PEAK = 19.4e9
"""Bytes, measured: Granite 8B's shape as drawn, rows of up to 3,840 tokens (docs/gpu.md)."""


def granite(**changes: Any) -> Any:
    from transformers import GraniteConfig

    from benchmarks.granite_8b.sizes import GRANITE_8B

    return GraniteConfig(**{**GRANITE_8B, **changes})


def small() -> Any:
    return granite(
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=2048,
    )


@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize("low", [True, False])
def test_more_layers_and_rows_are_as_reckoned_from_one_and_two(checkpointing: bool, low: bool) -> None:
    from phases.student import memory

    config = settings(Path("x"), gradient_checkpointing=checkpointing, target_modules="all-linear")
    shape = small()
    reckoned = memory.footprint(shape, config, 5, 96, low)
    said = (
        shape.to_json_string(),
        config.lora_rank,
        config.lora_dropout,
        config.attention,
        config.target_modules,
    )
    kind: Any = type(shape)
    tried = memory._tried(said, kind, 3, 5, 96, checkpointing, low)
    assert reckoned.kept == pytest.approx(tried.kept, rel=0.01)
    assert reckoned.peak == pytest.approx(tried.peak, rel=0.03)


def test_what_one_h100_measured_comes_out_within_a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    from phases.student.config import QLoRAConfig

    monkeypatch.setattr(preflight, "head", lambda config: "tiles")
    assert preflight.need(granite(), QLoRAConfig(), 3840).total == pytest.approx(H100_PEAK, rel=0.1)
    monkeypatch.setattr(preflight, "head", lambda config: "whole")
    whole = preflight.need(granite(), QLoRAConfig(), 3840)
    assert whole.logits > 5e9  # what the figure that was said before had forgotten


def test_auto_keeps_the_rows_of_a_step_and_takes_what_fits() -> None:
    config = settings(
        Path("x"), micro_batch="auto", gradient_accumulation_steps=6, target_modules="all-linear"
    )
    before = None
    for has in (1e7, 1e8, 2e8, 4e8, 1e9, 1e10):
        chosen = preflight.choose(small(), config, has, gpu=False)
        assert chosen.micro_batch * chosen.accumulation == 12
        taken = {"micro_batch": chosen.micro_batch, "gradient_checkpointing": chosen.checkpointing}
        if chosen != preflight.Chosen(1, 12, True):
            assert preflight.need(small(), config.model_copy(update=taken), gpu=False).total <= has
        if before:
            assert (not chosen.checkpointing, chosen.micro_batch) >= (
                not before.checkpointing,
                before.micro_batch,
            )
        before = chosen
    assert before == preflight.Chosen(12, 1, False)


def test_a_training_by_auto_has_the_step_that_is_drawn(micro: Path, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(door.lines(*ROWS))
    section = door.training(micro, micro_batch="auto", gradient_checkpointing=True, micro_batch_of="tokens")
    section |= {"train": str(tmp_path / "train.jsonl"), "validation": "none"}
    came = door.run(tmp_path / "run", "qlora_training", {"qlora_training": section})
    assert came.code == 0, came.said
    assert came.data["micro_batch"] * came.data["accumulation"] == 4  # twice the accumulation
    assert (came.data["micro_batch"], came.data["checkpointing"]) == (4, False)
