"""The section `qlora_training`: the numbers of a student's training, and what it is trained on."""

from __future__ import annotations

from pydantic import Field

from phases.student.config import QLoRAConfig


class QLoRATrainingConfig(QLoRAConfig):
    """The section `qlora_training`: a QLoRA job of its own."""

    train: str = Field(
        default="data/processed/train.jsonl", description="A JSONL file of this run or of this machine."
    )
    validation: str = Field(
        default="data/processed/val.jsonl", description="Likewise; rows to compute eval_loss on."
    )
