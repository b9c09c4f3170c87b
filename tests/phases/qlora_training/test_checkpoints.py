"""A checkpoint is complete or it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.qlora_training import checkpoints
from phases.qlora_training.checkpoints import NEEDED, SENTINEL


def write(root: Path, step: int, best: int | None = None, *, sealed: bool = True) -> Path:
    path = root / f"checkpoint-{step}"
    checkpoints.begin(path)
    for name in (*NEEDED, "rng_state.pth"):
        (path / name).write_text(f"{name} of {step}")
    if sealed:
        checkpoints.seal(path, {"best_step": best})
    return path


def test_the_newest_complete_one_is_resumed_from_not_the_highest_number(tmp_path: Path) -> None:
    from transformers.trainer_utils import get_last_checkpoint

    write(tmp_path, 100)
    write(tmp_path, 200, sealed=False)
    newest = checkpoints.newest(tmp_path)
    assert newest is not None
    assert newest.step == 100
    assert str(get_last_checkpoint(str(tmp_path))).endswith("checkpoint-200")  # what it is there to replace


@pytest.mark.parametrize("name", [*NEEDED, "rng_state.pth"])
def test_a_missing_or_torn_file_makes_a_checkpoint_incomplete(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, 100)
    whole = (path / name).read_bytes()
    (path / name).write_bytes(whole[:-1])
    assert checkpoints.newest(tmp_path) is None
    (path / name).unlink()
    assert checkpoints.newest(tmp_path) is None
    (path / name).write_bytes(whole)
    assert checkpoints.newest(tmp_path) is not None


def test_one_without_the_best_weights_beside_it_is_incomplete(tmp_path: Path) -> None:
    """A service that copies the directory may have copied them not yet, or in part."""
    best = tmp_path / "best-50.safetensors"
    best.write_bytes(b"weights")
    path = write(tmp_path, 100, sealed=False)
    checkpoints.seal(path, {}, [best.name])
    assert checkpoints.newest(tmp_path) is not None
    assert checkpoints.beside(tmp_path) == {best.name}
    best.write_bytes(b"weigh")
    assert checkpoints.newest(tmp_path) is None
    best.unlink()
    assert checkpoints.newest(tmp_path) is None


@pytest.mark.parametrize("name", [*NEEDED, "rng_state.pth"])
def test_one_that_lacks_what_an_exact_resume_needs_cannot_be_sealed(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, 100, sealed=False)
    (path / name).unlink()
    with pytest.raises(FileNotFoundError, match="cannot be resumed from exactly"):
        checkpoints.seal(path, {})


def test_a_checkpoint_begun_again_is_incomplete_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, 100)
    checkpoints.begin(path)
    assert not (path / SENTINEL).exists()
    assert checkpoints.newest(tmp_path) is None


@given(st.data())
def test_pruning_keeps_the_newest_and_the_best(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("prune")
    steps = sorted(data.draw(st.sets(st.integers(1, 12), min_size=1, max_size=6)))
    sealed = {step: data.draw(st.booleans()) for step in steps}
    for step in steps:
        write(root, step, sealed=sealed[step])
    whole = [step for step in steps if sealed[step]]
    best = data.draw(st.sampled_from(steps))
    kept = data.draw(st.integers(1, 3))
    checkpoints.prune(root, kept, {best})
    left = {step for step in steps if (root / f"checkpoint-{step}").exists()}
    assert set(whole[-kept:]) <= left
    assert not sealed[best] or best in left
    assert len([s for s in left if sealed[s]]) <= kept + 1
    newest = checkpoints.newest(root)
    assert (newest.step if newest else None) == (whole[-1] if whole else None)


def test_cleaning_leaves_the_newest_and_the_best_of_every_training(tmp_path: Path) -> None:
    for epoch, best in (("epoch-1", 100), ("epoch-2", None)):
        for step in (100, 200, 300):
            write(tmp_path / epoch, step, best)
    write(tmp_path / "epoch-2", 400, sealed=False)  # what the disk was too small for
    assert checkpoints.clean(tmp_path) > 0
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.glob("*/*")) == [
        "epoch-1/checkpoint-100",
        "epoch-1/checkpoint-300",
        "epoch-2/checkpoint-300",
    ]
    assert checkpoints.clean(tmp_path) == 0


def test_the_newest_of_several_trainings_is_of_the_last_one(tmp_path: Path) -> None:
    for epoch, step in (("epoch-9", 300), ("epoch-10", 100)):
        write(tmp_path / epoch, step)
    found = checkpoints.newest_below(tmp_path)
    assert found is not None
    assert found.path == tmp_path / "epoch-10" / "checkpoint-100"
    assert checkpoints.newest_below(tmp_path / "nowhere") is None
