"""The configuration that a rehearsal runs: the user's own, with a student and numbers that fit this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fsm.config import VARIABLE, read_values
from phases.sagemaker_job.request import merged

TINY: Mapping[str, Any] = {
    # the tokenizer is that of the student, which is not here, and what is counted with it is not bounded
    "data_preparation": {"tokenizer": None, "max_example_tokens": None},
    "teacher_generation": {"limit": 12},
    "sagemaker_job": {"poll_seconds": 0.2},
    "qlora_training": {
        "model": "tiny-granite",
        "offline": True,
        "threads": 1,
        "min_free_gb": 1,
        "max_length": 256,
        "gradient_checkpointing": False,
        "lora_dropout": 0.0,
        "micro_batch": 4,
        "gradient_accumulation_steps": 1,
        "epochs": 1,
        "learning_rate": 3.0e-3,
        "log_steps": 1,
        "eval_steps": 2,
        "save_steps": 2,
        "tiny_student": {"base_steps": 10},
    },
    "smoke": {"tests": ["tests/machines/test_shipped.py"], "shape": "tiny"},
    "distillation": {
        "train_on": "teacher",
        "max_epochs": 2,
        "eval_prompts": 4,
        "held_out_prompts": 4,
        "corrections": {"most": 2},
        "sampling": {"max_prompt_tokens": 128, "max_new_tokens": 32, "batch": 4, "bucket": 128},
    },
}
"""What is laid over the sections of the shipped phases, None taking a key out; all else is as it is configured."""


def rehearsed(path: Path, target: Path) -> dict[str, str | None]:
    """Write the configuration at `path` as it is rehearsed to `target`; the variables it names, with their defaults.

    Raises ConfigError.
    """
    text = path.read_text("utf-8")
    values = read_values(text, str(path))
    if (values.get("plug") or {}).get("phases", "phases") == "phases":
        values = merged(values, {k: v for k, v in TINY.items() if k in values or k in _always(values)})
        if (ranks := _ranks(values.get("sagemaker_job") or {})) > 1 and "qlora_training" in values:
            values["qlora_training"] |= {"gradient_accumulation_steps": ranks}  # a pass of a step for each
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(
        f"# {path.name}, as it is rehearsed\n" + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    )
    return {match[1]: match[2] for match in VARIABLE.finditer(text)}


def _ranks(job: Mapping[str, Any]) -> int:
    """How many processes train: here no host has a GPU."""
    return int(job.get("instance_count") or 1) * int(job.get("ranks_per_host") or 1)


def _always(values: Mapping[str, Any]) -> frozenset[str]:
    """Sections that are laid over though the configuration leaves them to their defaults."""
    of_pipeline = values.get("machine") in ("pipeline", "distillation")
    return frozenset(TINY) if of_pipeline else frozenset()
