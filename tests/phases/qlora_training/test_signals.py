"""`python -m fsm.run --machine qlora_training`, signalled for real: the journal and the bytes of one left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.phases.qlora_training.micro import ROWS, settings
from tests.phases.qlora_training.signalled import LONGEST, STOPPED, Home, Strike

ROOT = Path(__file__).parents[3]
ADAPTER = "qlora/adapter_model.safetensors"
PASS = "phases.qlora_training.trainer:FollowedTrainer.training_step"
EVALUATED = "phases.qlora_training.trainer:FollowedTrainer.prediction_step"
SEALING = "phases.qlora_training.checkpoints:seal"

STRIKES = [
    Strike(signal.SIGTERM, "phases.student.model:load", after=True),
    Strike(signal.SIGTERM, "phases.qlora_training.data:tokenize"),
    Strike(signal.SIGTERM, PASS, 1, after=True),  # in the middle of the first step
    Strike(signal.SIGKILL, PASS, 6),
    Strike(signal.SIGTERM, EVALUATED, 1, after=True),  # in the middle of the first evaluation
    Strike(signal.SIGKILL, EVALUATED, 2),  # which comes first now, and in it
    Strike(signal.SIGTERM, PASS, 3, after=True),
    Strike(signal.SIGTERM, SEALING),  # a checkpoint is being written
    Strike(signal.SIGKILL, SEALING),
    Strike(signal.SIGTERM, EVALUATED, 5, after=True),
    Strike(signal.SIGTERM, "phases.student.adapters:weights"),  # trained, and not yet kept
    Strike(signal.SIGKILL, "phases.student.adapters:config"),
]


def home(directory: Path, micro: Path, quantization: str, **changes: Any) -> Home:
    for name, rows in (("train", ROWS), ("validation", ROWS[:3])):
        path = directory.parent / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    section: dict[str, Any] = settings(micro, quantization=quantization, **changes).model_dump(mode="json")
    section |= {
        "min_free_gb": 0,
        "train": str(directory.parent / "train.jsonl"),
        "validation": str(directory.parent / "validation.jsonl"),
    }
    return Home(directory, "qlora_training", {"qlora_training": section})


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_signalled_again_and_again_it_comes_to_the_same_journal_and_bytes(
    micro: Path, tmp_path: Path, quantization: str
) -> None:
    whole = home(tmp_path / "whole", micro, quantization)
    assert whole.run() == 0, whole.said
    broken = home(tmp_path / "broken", micro, quantization)
    for strike in STRIKES if quantization == "none" else STRIKES[3:10]:
        assert broken.run(strike) == strike.code, f"{strike}\n{broken.said}"
    assert broken.run() == 0, broken.said
    assert broken.artifact(ADAPTER) == whole.artifact(ADAPTER)
    assert broken.journal == whole.journal


def test_a_signal_from_outside_to_the_command_itself(micro: Path, tmp_path: Path) -> None:
    """No fork and no hook: the command as a user gives it, and a SIGTERM at a moment of nobody's choosing."""
    # long enough that it has not ended before the signal comes
    whole, broken = (
        home(tmp_path / name, micro, "none", epochs=4, eval_steps=4) for name in ("whole", "broken")
    )
    assert whole.run() == 0, whole.said
    with (broken.home / "said.txt").open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "fsm.run", *broken.arguments],
            cwd=broken.home,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=said,
            stderr=said,
        )
    checkpoints = "work/qlora_training-*/checkpoints/qlora/checkpoint-*"
    deadline = time.monotonic() + LONGEST
    while process.poll() is None and not any(broken.home.glob(checkpoints)):
        assert time.monotonic() < deadline, broken.said
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONGEST) == STOPPED, broken.said
    assert any(broken.home.glob(f"{checkpoints}/complete.json"))
    assert broken.run() == 0, broken.said
    assert broken.artifact(ADAPTER) == whole.artifact(ADAPTER)
    assert broken.journal == whole.journal
