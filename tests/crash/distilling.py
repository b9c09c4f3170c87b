"""A distillation small enough to be killed again and again: real handlers, a student that is really trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from phases.teacher_generation.offline import OfflineTeacher, generate
from phases.teacher_generation.teacher import parse_response

QLORA: dict[str, Any] = {
    "model": "tiny-granite",
    "offline": True,
    "threads": 1,
    "min_free_gb": 0.1,
    "max_length": 512,
    "gradient_accumulation_steps": 2,
    "log_steps": 1,
    "eval_steps": 2,
    "save_steps": 2,
    "epochs": 1,
    "tiny_student": {"base_steps": 8, "base_batch": 4},
}
LOOP: dict[str, Any] = {
    "train_on": "teacher",
    "eval_prompts": 4,
    "held_out_prompts": 3,
    "max_epochs": 2,
    "sampling": {"max_prompt_tokens": 256, "max_new_tokens": 24, "batch": 4},
}
"""A student that is really trained, and the epochs of it, with numbers as small as can be."""


def configuration(directory: Path) -> dict[str, Any]:
    """The configuration of two epochs on a dozen answers of the offline teacher, written below `directory`."""
    teacher = OfflineTeacher()
    rows = []
    for prompt in generate("train", 12, 42, ("TSN", "AVB")):
        answer = parse_response(teacher.invoke(prompt.text)).text
        rows.append(
            {"messages": [{"role": "user", "content": prompt.text}, {"role": "assistant", "content": answer}]}
        )
    answers = directory / "answers.jsonl"
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "machine": "distillation",
        "recovery": "error_recovery",
        "run": {"name": "distillation"},
        "teacher_generation": {"teacher": {"kind": "offline"}},
        "qlora_training": QLORA,
        "distillation": LOOP | {"teacher": str(answers)},
    }


BY_ITSELF: dict[str, Any] = {
    "learn": "sft+dpo",
    "preferences": {"learning_rate": 1e-3, "epochs": 4},
    "self_training": {"prompts": 6, "samples": 3, "accept": {"score": 7.0}},
    "corrections": {"whom": "unsure", "calls": 2},
}
"""Every way to learn that is not drawn: from its own answers, from what it is unsure of, and by preference."""
