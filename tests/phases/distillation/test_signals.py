"""`python -m fsm.run --machine distillation`, signalled for real: the journal and the bytes of one left alone."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.phases.qlora_training.micro import RECIPE, ROWS, settings
from tests.phases.qlora_training.signalled import Home, Strike

GENERATING = "phases.student.kept:Kept.add"
SCORING = "phases.quality_scoring.scorer:score"
CALLS = "answered.txt"

STRIKES = [
    Strike(signal.SIGTERM, "torch.nn.utils:clip_grad_norm_"),  # in the tiny student's base step
    Strike(signal.SIGTERM, "phases.qlora_training.trainer:FollowedTrainer.prediction_step"),
    Strike(signal.SIGTERM, GENERATING, 2),
    Strike(signal.SIGKILL, GENERATING, 1, after=True),
    Strike(signal.SIGTERM, GENERATING, 1, after=True),
    Strike(signal.SIGTERM, SCORING, 3),
    Strike(signal.SIGKILL, "phases.qlora_training.trainer:FollowedTrainer.training_step", 2),
    Strike(signal.SIGTERM, "phases.distillation.corrections:gate", 2),
]


def home(directory: Path, micro: Path) -> Home:
    train = directory.parent / "train.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    training = settings(micro, quantization="nf4", epochs=0.5).model_dump(mode="json")
    sections: dict[str, Any] = {
        "qlora_training": training
        | {"model": "tiny-granite", "tiny_student": RECIPE.model_dump(), "min_free_gb": 0},
        "teacher_generation": {"teacher": {"kind": "offline"}},
        "distillation": {
            "train": str(train),
            "train_on": "raw",
            "validation": "there is none",
            "eval_prompts": 6,
            "held_out_prompts": 3,
            "max_epochs": 2,
            "sampling": {"max_new_tokens": 8, "max_prompt_tokens": 128, "batch": 2},
            "corrections": {"most": 3},
        },
    }
    made = Home(directory, "distillation", sections)
    (made.home / "cache").mkdir()
    return made


def counting(made: Home) -> Callable[[], None]:
    """In the process: its own cache of tiny students, and a line for every answer that was kept."""

    def watched() -> None:
        kept: Any = import_module("phases.student.kept").Kept
        os.environ["FSM_CACHE"] = str(made.home / "cache")
        add = kept.add

        def counted(*args: Any) -> None:
            add(*args)
            with (made.home / CALLS).open("a") as lines:
                lines.write("answered\n")

        kept.add = counted

    return watched


def test_signalled_all_over_it_comes_to_the_same_journal_and_keeps_no_answer_twice(
    micro: Path, tmp_path: Path
) -> None:
    whole, broken = (home(tmp_path / name, micro) for name in ("whole", "broken"))
    assert whole.run(watched=counting(whole)) == 0, whole.said
    for strike in STRIKES:
        assert broken.run(strike, watched=counting(broken)) == strike.code, f"{strike}\n{broken.said}"
    assert [p for p in (broken.home / "cache").iterdir() if p.name.startswith(".")] == []
    assert broken.run(watched=counting(broken)) == 0, broken.said
    assert broken.journal == whole.journal  # the digests of all artifacts are in it
    answered = [(x.home / CALLS).read_text().count("answered") for x in (whole, broken)]
    assert answered[1] == answered[0], "what was kept is not answered again"
