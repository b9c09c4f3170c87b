"""Interrupted anywhere, resumed as often as one likes: the same weights to the bit."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from tests.phases.qlora_training.micro import STOPPED, Ending, Interruption, settings, train


@cache
def uninterrupted(base: Path, **changes: Any) -> Ending:
    return train(settings(base, **changes), Path(mkdtemp()) / "whole")


POINTS = [
    Interruption(1),  # before the first checkpoint
    Interruption(5),  # between checkpoints, in the first epoch
    Interruption(6),  # at the border of the epochs
    Interruption(9, "pass"),  # between two forward passes of one step
    Interruption(8, "save"),  # a checkpoint written, its sentinel not
    Interruption(8, "begin"),  # a checkpoint's directory made, and half a file in it
    Interruption(3, how="stop"),
    Interruption(6, how="stop"),
    Interruption(8, how="stop"),  # at a step that is saved anyhow
    Interruption(11, how="stop"),
]
BOTH = [("none", at) for at in POINTS] + [("nf4", POINTS[i]) for i in (1, 2, 6)]


@pytest.mark.parametrize(("quantization", "at"), BOTH, ids=lambda p: getattr(p, "name", p))
def test_resumed_weights_equal_those_of_an_uninterrupted_training(
    micro: Path, tmp_path: Path, quantization: str, at: Interruption
) -> None:
    config = settings(micro, quantization=quantization)
    broken = train(config, tmp_path / "run", at)
    assert broken.code == (STOPPED if at.how == "stop" else -9)
    resumed = train(config, tmp_path / "run")
    whole = uninterrupted(micro, quantization=quantization)
    assert resumed.adapter == whole.adapter
    # and what the run says of it: losses, evaluations, and how often every edge of the drawing was taken
    assert resumed.said["counts"] == whole.said["counts"]
    assert resumed.said["known"] == whole.said["known"]
    expected = {"kill": at.step // 4 * 4 if at.point in ("step", "pass") else 4, "stop": at.step}[at.how]
    assert resumed.said["from"] == (expected or None)


def test_resumed_again_and_again(micro: Path, tmp_path: Path) -> None:
    config = settings(micro)
    for step in (2, 5, 7):
        assert train(config, tmp_path / "run", Interruption(step, how="stop")).code == STOPPED
        assert train(config, tmp_path / "run", Interruption(step + 1)).code == -9
    assert train(config, tmp_path / "run").adapter == uninterrupted(micro).adapter


def test_an_epoch_that_ends_in_a_short_accumulation(micro: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "gradient_accumulation_steps": 5,
        "log_steps": 1,
        "eval_steps": 1,
        "save_steps": 1,
    }
    config = settings(micro, **changes)  # 12 passes an epoch: 5, 5 and 2
    assert train(config, tmp_path / "run", Interruption(3)).code == -9
    resumed = train(config, tmp_path / "run")
    whole = uninterrupted(micro, **changes)
    assert resumed.adapter == whole.adapter
    assert resumed.said["known"] == whole.said["known"]


def test_another_processor_is_said(micro: Path, tmp_path: Path) -> None:
    import json

    config = settings(micro)
    assert train(config, tmp_path / "run", Interruption(5)).code == -9
    sentinel = tmp_path / "run" / "checkpoint-4" / "complete.json"
    said = json.loads(sentinel.read_text())
    said["said"]["processor"] = "x86_64 avx2 fma"
    sentinel.write_text(json.dumps(said))
    note = train(config, tmp_path / "run").said["note"]
    assert "no longer equal to the bit" in note
    assert "x86_64 avx2 fma" in note
