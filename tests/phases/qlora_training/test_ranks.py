"""Several ranks train what one would, and whatever befalls one of them, the training goes on from its checkpoint as it was."""

from __future__ import annotations

import signal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from phases.errors import CUDAOutOfMemory, InvalidStructure
from phases.qlora_training import checkpoints
from phases.sagemaker_job.ranks import Rank, here
from tests.phases.qlora_training.micro import ROWS, settings
from tests.phases.qlora_training.ranked import STOPPED, Ended, Strike, train

UNEVEN = ROWS[:23]
"""Of two rows to a micro-batch and four to a step of two ranks, the last of an epoch are too few."""
SAME = 1e-5
"""How far the adapter of two ranks may be from that of one, relative to its norm.

The rows of each step are the same, and so is what is computed of each micro-batch. What differs is the order in which the
gradients of a step are added up: rounding, 6e-8 of a sum in fp32, which Adam may enlarge where a gradient is near 0.
Measured: 1.7e-8. A row that counts twice at the end of an epoch makes it 4e-2.
"""


@cache
def whole(micro: Path, directory: Path, world: int, epochs: int, dropout: float) -> Ended:
    """An uninterrupted training of 6 steps an epoch."""
    return train(settings(micro, epochs=epochs, lora_dropout=dropout), directory, world, rows=UNEVEN)


@pytest.fixture
def uninterrupted(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """By two ranks that draw their dropout each."""
    return whole(micro, tmp_path_factory.getbasetemp() / "whole", 2, 1, 0.1)


@pytest.fixture
def alone(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """By one process, without dropout: two that draw it for other rows come to something else."""
    return whole(micro, tmp_path_factory.getbasetemp() / "alone", 1, 2, 0.0)


def test_two_ranks_come_to_the_adapter_of_one(micro: Path, tmp_path: Path, alone: Ended) -> None:
    from safetensors.torch import load

    two = train(settings(micro, lora_dropout=0.0), tmp_path / "two", 2, rows=UNEVEN)
    told = alone.said["known"], two.said["known"]
    for name in ("losses", "evaluations"):
        for one, other in zip(*(known[name] for known in told), strict=True):
            assert other == pytest.approx(one, rel=SAME)
    first, second = load(alone.adapter), load(two.adapter)
    apart = sum(float((first[name] - second[name]).square().sum()) for name in first) ** 0.5
    norm = sum(float(first[name].square().sum()) for name in first) ** 0.5
    assert apart / norm < SAME
    assert two.said["counts"]["AccumulateGradients --> OptimizerStep : accum == 8"] == 12, "as many steps"


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_ends_all_and_the_resumed_come_to_the_same_bytes(
    rank: int, micro: Path, tmp_path: Path, uninterrupted: Ended
) -> None:
    config = settings(micro, epochs=1)
    broken = train(config, tmp_path / "run", 2, Strike(rank, 5), rows=UNEVEN)
    assert broken.codes[rank] == -signal.SIGKILL
    assert broken.codes[1 - rank] != 0, "the other one ends too, by itself or by the agent"
    assert not broken.said, "nothing was told of it, as nothing is of a death"
    resumed = train(config, tmp_path / "run", 2, rows=UNEVEN)
    assert resumed.said["from"] == 4
    assert resumed.adapter == uninterrupted.adapter
    assert resumed.said["known"] == uninterrupted.said["known"]
    assert resumed.said["note"] == ""


@pytest.mark.parametrize("rank", [0, 1])
def test_a_stop_that_any_rank_is_asked_for_is_one_of_all_at_a_checkpoint(
    rank: int, micro: Path, tmp_path: Path
) -> None:
    config = settings(micro, epochs=1)
    stopped = train(config, tmp_path / "run", 2, Strike(rank, 3, signal.SIGTERM), rows=UNEVEN)
    assert stopped.codes == (STOPPED, 0)
    found = checkpoints.newest(tmp_path / "run")
    assert found is not None
    assert found.step == 3
    assert {p.name for p in found.path.glob("rng_state*")} == {"rng_state_0.pth", "rng_state_1.pth"}


@pytest.mark.parametrize(
    ("rank", "error", "kind", "text"),
    [
        (1, CUDAOutOfMemory("no room for it"), "CUDAOutOfMemory", "Rank 1: no room for it"),
        (1, KeyError("odd"), "RankFailed", "Rank 1: 'odd'"),
        (0, CUDAOutOfMemory("no room here"), "CUDAOutOfMemory", "no room here"),
    ],
)
def test_what_fails_on_any_rank_is_raised_on_the_first_and_the_others_wait_for_the_next_training(
    rank: int, error: Exception, kind: str, text: str, micro: Path, tmp_path: Path
) -> None:
    failed = train(settings(micro, epochs=1), tmp_path / "run", 2, Strike(rank, 1, error))
    assert failed.codes == (4, 0), "rank 1 waited, and was dismissed"
    assert failed.said["error"] == kind
    assert failed.said["text"].startswith(text)


def test_a_loss_that_is_no_number_on_one_rank_halts_all(micro: Path, tmp_path: Path) -> None:
    from tests.phases.qlora_training.micro import diverged

    halted = train(settings(diverged(micro, tmp_path / "base"), epochs=1), tmp_path / "run", 2)
    assert halted.codes == (4, 0)
    assert halted.said["error"] == "NaNLoss"


def test_a_training_goes_on_by_another_number_of_ranks_and_says_so(
    micro: Path, tmp_path: Path, alone: Ended
) -> None:
    config = settings(micro, lora_dropout=0.0)
    assert train(config, tmp_path / "run", 2, Strike(1, 5, signal.SIGTERM), rows=UNEVEN).codes[0] == STOPPED
    resumed = train(config, tmp_path / "run", 1, rows=UNEVEN)
    assert resumed.said["from"] == 5
    assert "by 2 ranks, here are 1" in resumed.said["note"]
    assert resumed.said["known"]["losses"] == pytest.approx(alone.said["known"]["losses"], rel=SAME)


def test_passes_that_cannot_be_dealt_out_evenly_are_refused() -> None:
    from phases.qlora_training.dealing import share

    assert [share(8, world) for world in (1, 2, 4, 8)] == [8, 4, 2, 1]
    with pytest.raises(
        InvalidStructure, match="is 8, and these passes are to be dealt out evenly to 3 ranks"
    ):
        share(8, 3)
    with pytest.raises(InvalidStructure, match="16 ranks"):
        share(8, 16)


def test_one_gpu_is_taken_of_several_that_nobody_has_launched_for() -> None:
    from types import SimpleNamespace

    from phases.qlora_training.dealing import one_device

    for visible, taken in ((0, 0), (1, 1), (4, 1)):
        arguments: Any = SimpleNamespace(n_gpu=visible, _n_gpu=visible)
        assert one_device(arguments)._n_gpu == taken, "or nn.DataParallel would take them all"


def test_a_rank_is_numbered_by_its_hosts_place() -> None:
    """torchrun numbers by who came first, and the first host is the one whose model directory is kept."""
    said = {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert here(said) == Rank(0, 4, 1)
    assert here({**said, "FSM_HOST": "1"}) == Rank(3, 4, 1)
    assert here({}) == here({"WORLD_SIZE": "1", "RANK": "0"}) == Rank()
