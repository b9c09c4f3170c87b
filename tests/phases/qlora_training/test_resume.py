"""Interrupted anywhere, resumed as often as one likes: the same weights to the bit."""

from __future__ import annotations

import zipfile
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from phases.qlora_training import checkpoints
from tests.phases.qlora_training.micro import STOPPED, Ending, Interruption, settings, train


@cache
def uninterrupted(base: Path, **changes: Any) -> Ending:
    return train(settings(base, **changes), Path(mkdtemp()) / "whole")


def same(resumed: Ending, whole: Ending) -> None:
    """To the bit; and what the run says of it: losses, evaluations, and how often every edge of the drawing was taken."""
    assert resumed.adapter == whole.adapter
    assert resumed.said["counts"] == whole.said["counts"]
    assert resumed.said["known"] == whole.said["known"]


POINTS = [
    Interruption(1),  # before the first checkpoint
    Interruption(5),  # between checkpoints, in the first epoch
    Interruption(6),  # at the border of the epochs
    Interruption(9, "pass"),  # between two forward passes of one step
    Interruption(8, "evaluation"),
    Interruption(8, "save"),  # a checkpoint written, its sentinel not
    Interruption(8, "begin"),  # a checkpoint's directory made, and half a file in it
    Interruption(12, "end"),
    Interruption(0, "pass", how="stop"),  # nothing has been trained that could be kept
    Interruption(3, how="stop"),
    Interruption(5, "pass", how="stop"),
    Interruption(6, "pass", how="stop"),  # the first pass of the second epoch
    Interruption(6, how="stop"),  # at a step that is evaluated
    Interruption(6, "evaluation", how="stop"),
    Interruption(8, "evaluation", how="stop"),  # after which a checkpoint is due
    Interruption(8, "save", how="stop"),
    Interruption(12, "evaluation", how="stop"),  # nothing but the evaluation is left to do
    Interruption(12, "save", how="stop"),  # nothing at all
]
BOTH = [("none", at) for at in POINTS] + [
    ("nf4", at) for at in POINTS if at.step in (5, 6) or at.point == "evaluation"
]


@pytest.mark.parametrize(("quantization", "at"), BOTH, ids=lambda p: getattr(p, "name", p))
def test_resumed_weights_equal_those_of_an_uninterrupted_training(
    micro: Path, tmp_path: Path, quantization: str, at: Interruption
) -> None:
    config = settings(micro, quantization=quantization)
    broken = train(config, tmp_path / "run", at)
    assert broken.code == (STOPPED if at.how == "stop" else -9)
    resumed = train(config, tmp_path / "run")
    same(resumed, uninterrupted(micro, quantization=quantization))
    # a kill loses what came after the last checkpoint (one every 4 steps), a stop nothing but passes
    done = at.step if at.point in ("pass", "end") else at.step - 1
    expected = {"kill": done // 4 * 4, "stop": at.step}[at.how]
    assert resumed.said["from"] == (expected or None)


def test_resumed_again_and_again(micro: Path, tmp_path: Path) -> None:
    config = settings(micro)
    for at in (
        Interruption(2, how="stop"),
        Interruption(
            2, "evaluation", how="stop"
        ),  # the evaluation that was to be done first, broken off again
        Interruption(2, "evaluation"),
        Interruption(3, "pass", how="stop"),
        Interruption(4, "save", how="stop"),
        Interruption(6, "evaluation", how="stop"),
        Interruption(6, "evaluation"),
        Interruption(8, "begin"),
        Interruption(6, "pass", how="stop"),  # the evaluation after step 6 is done by now, and will be again
        Interruption(7),
        Interruption(10, "evaluation", how="stop"),
        Interruption(10, "pass"),
    ):
        assert train(config, tmp_path / "run", at).code == (STOPPED if at.how == "stop" else -9), at
    same(train(config, tmp_path / "run"), uninterrupted(micro))


@pytest.mark.parametrize("steps", [4, 7])
def test_training_that_ends_within_an_epoch_takes_no_step_more(
    micro: Path, tmp_path: Path, steps: int
) -> None:
    """Resumed from a checkpoint of the last step, transformers would go on to the end of the epoch."""
    config = settings(micro, max_steps=steps)
    at = Interruption(4, "end") if steps == 4 else Interruption(7, how="stop")
    assert train(config, tmp_path / "run", at).code == (STOPPED if at.how == "stop" else -9)
    resumed = train(config, tmp_path / "run")
    same(resumed, uninterrupted(micro, max_steps=steps))
    assert resumed.said["from"] == steps


def test_the_evaluation_that_was_broken_off_decides_as_it_would_have(micro: Path, tmp_path: Path) -> None:
    """Patience is at its end in it: not a step is trained after it."""
    changes: dict[str, Any] = {"patience": 1, "learning_rate": 0.3, "max_grad_norm": 10.0}
    whole = uninterrupted(micro, **changes)
    (best, _), (last, _) = whole.said["known"]["evaluations"][-2:]
    assert (whole.said["known"]["ended"], whole.said["known"]["best_step"]) == ("early stop", best)
    config = settings(micro, **changes)
    assert train(config, tmp_path / "run", Interruption(last, "evaluation", how="stop")).code == STOPPED
    resumed = train(config, tmp_path / "run")
    same(resumed, whole)
    assert resumed.said["from"] == last


def test_a_checkpoint_whose_best_weights_are_lost_is_not_resumed_from(micro: Path, tmp_path: Path) -> None:
    """The one before it is: its own best weights are kept as long as it is, though there are better ones."""
    config = settings(micro)
    assert train(config, tmp_path / "run", Interruption(7, how="stop")).code == STOPPED
    (tmp_path / "run" / "best-6.safetensors").unlink()
    resumed = train(config, tmp_path / "run")
    assert resumed.said["from"] == 4
    same(resumed, uninterrupted(micro))


def test_a_stop_leaves_no_more_checkpoints_than_are_kept(micro: Path, tmp_path: Path) -> None:
    config = settings(micro, checkpoints_kept=1)
    for step in (1, 3, 5):
        assert train(config, tmp_path / "run", Interruption(step, how="stop")).code == STOPPED
        found = checkpoints.newest(tmp_path / "run")
        assert found is not None
        assert found.step == step
    assert len(list((tmp_path / "run").glob("checkpoint-*"))) <= 2  # and that of the best step


def test_an_epoch_that_ends_in_a_short_accumulation(micro: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "gradient_accumulation_steps": 5,
        "log_steps": 1,
        "eval_steps": 1,
        "save_steps": 1,
    }
    config = settings(micro, **changes)  # 12 passes an epoch: 5, 5 and 2
    assert train(config, tmp_path / "run", Interruption(3)).code == -9
    same(train(config, tmp_path / "run"), uninterrupted(micro, **changes))


def test_another_processor_and_other_libraries_are_said(micro: Path, tmp_path: Path) -> None:
    """A container image that changes between two attempts is such a case."""
    import json

    config = settings(micro)
    assert train(config, tmp_path / "run", Interruption(5)).code == -9
    sentinel = tmp_path / "run" / "checkpoint-4" / "complete.json"
    said = json.loads(sentinel.read_text())
    said["said"]["processor"] = "x86_64 avx2 fma"
    said["said"]["versions"]["torch"] = "2.5.1"
    sentinel.write_text(json.dumps(said))
    note = train(config, tmp_path / "run").said["note"]
    assert "no longer equal to the bit" in note
    assert "x86_64 avx2 fma" in note
    assert "torch 2.5.1, here" in note
    assert "trl" not in note


def test_a_checkpoint_written_beside_the_other_numpy_is_resumed_from(micro: Path, tmp_path: Path) -> None:
    """numpy 1, as in the training image, and numpy 2 name what an array is rebuilt with differently."""
    config = settings(micro)
    assert train(config, tmp_path / "run", Interruption(5)).code == -9
    last = checkpoints.newest(tmp_path / "run")
    assert last is not None
    _as_of_the_other_numpy(last.path / "rng_state.pth")
    (last.path / checkpoints.SENTINEL).unlink()
    checkpoints.seal(last.path, last.said)
    resumed = train(config, tmp_path / "run")
    assert resumed.said["from"] == 4
    assert resumed.adapter == uninterrupted(micro).adapter


def _as_of_the_other_numpy(path: Path) -> None:
    names = [b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"]
    with zipfile.ZipFile(path) as before:
        content = {info: before.read(info) for info in before.infolist()}
    changed = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as after:
        for info, data in content.items():
            if info.filename.endswith("data.pkl"):
                here, there = names if names[0] in data else reversed(names)
                changed += data.count(here)
                data = data.replace(here, there)
            after.writestr(info.filename, data)
    assert changed == 1
