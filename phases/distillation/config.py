"""The numbers of the epoch loop; the defaults are those of Diagram 4."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from phases.student.engines import GenerateConfig
from phases.student.generate import SamplingConfig

Domain = Literal["TSN", "AVB", "CARLA"]


class CorrectionsConfig(BaseModel):
    """What the teacher is asked to correct, and what of it is learned from."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    most: int = Field(default=500, ge=0, le=10**7, description="`CapAt500`: the worst so many in an epoch.")
    gate: bool = Field(
        default=True,
        description="A correction is taken only if it scores better than what it corrects and compiles; "
        "off gives the drawing alone.",
    )
    behaves_at: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="The behaviour from which a correction is taken, where there is something to compare it with; without "
        "that it must bear its inputs. Null asks for none.",
    )
    compiles_at: float = Field(
        default=7.0, ge=0, le=10, description="The syntax score from which a text counts as compiling."
    )
    dollars_per_million_input: float = Field(
        default=3.0, ge=0, le=10**6, description="Of the teacher's tokens, for the report."
    )
    dollars_per_million_output: float = Field(default=15.0, ge=0, le=10**6)


class DistillationConfig(BaseModel):
    """The section `distillation`. How the student is trained is `qlora_training`'s, whom it asks `teacher_generation`'s."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    max_epochs: int = Field(default=10, ge=1, le=10**6)
    poor_below: float = Field(default=7.0, ge=0, le=10, description="`score < 7.0`")
    keep: Literal["last", "score", "behaviour"] = Field(
        default="last",
        description="Which epoch's adapter is the model: the last one's, or the best by the frozen set's score or behaviour.",
    )
    restart: Literal["adapter", "base"] = Field(
        default="adapter",
        description="Go on with the adapter of the epoch before, or begin again on the grown set.",
    )
    train: str = "data/processed/train.jsonl"
    validation: str = "data/processed/val.jsonl"
    teacher: str = Field(
        default="teacher/outputs.jsonl", description="The teacher's answers, where it was asked."
    )
    train_on: Literal["all", "teacher", "raw"] = Field(
        default="all", description="Both, with the teacher's answer where a prompt has two; or one of them."
    )
    eval_prompts: int = Field(
        default=100, ge=1, le=10**7, description="Prompts of the set that is scored and corrected."
    )
    held_out_prompts: int = Field(
        default=50, ge=1, le=10**7, description="Prompts of the frozen set, never corrected."
    )
    domains: tuple[Domain, ...] = Field(default=("TSN", "AVB"), min_length=1)
    eval_file: str | None = Field(
        default=None, description="JSONL rows with `prompt` or `messages`, instead."
    )
    held_out_file: str | None = None
    sampling: SamplingConfig = SamplingConfig()
    generate: GenerateConfig = GenerateConfig()
    early: bool = Field(
        default=True,
        description="Early answers are scored, and poor ones taken to the teacher, while late ones are generated; the run and its "
        "journal are the same without it.",
    )
    corrections: CorrectionsConfig = CorrectionsConfig()
