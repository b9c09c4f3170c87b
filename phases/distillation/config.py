"""The numbers of the epoch loop; the defaults are those of Diagram 4."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from phases.qlora_training.wordings import WordingsConfig
from phases.student.engines import GenerateConfig
from phases.student.generate import SamplingConfig

Domain = Literal["TSN", "AVB", "CARLA"]


class CorrectionsConfig(BaseModel):
    """What the teacher is asked to correct, and what of it is learned from."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    whom: Literal["worst", "unsure"] = Field(
        default="worst",
        description="About what the teacher is asked: the worst answers to the drawn set, or those prompts of "
        "`self_training` at which the student is worst and of which it is unsure, spread over what they ask.",
    )
    most: int = Field(default=500, ge=0, le=10**7, description="`CapAt500`: the worst so many in an epoch.")
    calls: int | None = Field(
        default=None, ge=0, le=10**7, description="A budget of calls an epoch, below that ceiling."
    )
    show_attempt: bool = Field(
        default=False,
        description="A teacher that is a model is shown the student's attempt, what the compiler says of it and the first input on "
        "which it fails, and asked for the smallest change that makes it right (PERsD, arXiv:2310.18628). The offline "
        "teacher is none and answers the prompt alone.",
    )
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

    @field_validator("calls")
    @classmethod
    def _some_calls(cls, calls: int | None) -> int | None:
        if calls == 0:
            raise ValueError(
                "a budget of no calls leaves nothing to ask (leave calls out for none; corrections.most: 0 is to learn without a "
                "teacher's corrections): it must be 1 or more"
            )
        return calls

    @model_validator(mode="after")
    def _a_correction_compiles_and_behaves(self) -> Self:
        if self.show_attempt and not (self.gate and self.behaves_at is not None):
            raise ValueError(
                "show_attempt asks for the smallest change that makes an answer right, so what comes must compile and behave: "
                "set gate to true and behaves_at to a score, such as 9"
            )
        return self

    @property
    def budget(self) -> int:
        """The most that is asked in an epoch."""
        return self.most if self.calls is None else min(self.calls, self.most)


class AcceptConfig(BaseModel):
    """Which of its own answers a student learns from, besides that they compile without a warning, bear the asked name and
    run where they can be run."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    score: float = Field(default=8.5, ge=0, le=10, description="The overall score from which one is kept.")
    agreement: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="More than this share of the samples do the same, itself among them: by default most of them.",
    )


class SelfTrainingConfig(BaseModel):
    """The student's turn between teacher calls: prompts that no teacher was asked, answered several times."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    prompts: int = Field(default=160, ge=1, le=10**7, description="Prompts in the pool.")
    file: str | None = Field(
        default=None, description="JSONL rows with `prompt` or `messages` to draw them from; else generated."
    )
    samples: int = Field(default=4, ge=1, le=100, description="Answers to each, in every epoch.")
    temperature: float | None = Field(
        default=None, ge=0, le=100, description="Of these answers, where it is not `sampling`'s."
    )
    accept: AcceptConfig = AcceptConfig()
    share: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="At most this share of the rows is the student's own; at 0 its answers only tell whom to ask.",
    )


class PreferencesConfig(BaseModel):
    """Preference training (DPO, arXiv:2305.18290) on pairs of the student's own answers to one prompt."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    beta: float = Field(default=0.1, gt=0, le=100, description="How dear it is to leave the trained student.")
    learning_rate: float = Field(default=5e-5, gt=0, le=1)
    epochs: float = Field(default=1.0, gt=0, le=10_000, description="Passes over the pairs.")
    most: int = Field(default=500, ge=2, le=10**7, description="Pairs in an epoch.")


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
    continued_rate: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="The share of `learning_rate` at which an epoch goes on with an adapter. At the full one it first unlearns "
        "what the epochs before have learned (arXiv:2308.04014).",
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
    report_to: Literal["tensorboard", "mlflow", "wandb", "trackio"] | None = Field(
        default=None,
        description="Where each epoch's numbers are passed on to, besides its report; takes the extra of that name.",
    )
    log_dir: str | None = Field(
        default=None,
        description="Of report_to: a directory; for MLflow a tracking server's address as well. Null for the tracker's own default.",
    )
    sampling: SamplingConfig = SamplingConfig()
    generate: GenerateConfig = GenerateConfig()
    early: bool = Field(
        default=True,
        description="Early answers are scored, and poor ones taken to the teacher, while late ones are generated; the run and its "
        "journal are the same without it.",
    )
    corrections: CorrectionsConfig = CorrectionsConfig()
    self_training: SelfTrainingConfig | None = Field(
        default=None, description="Whether the student answers by itself between teacher calls, and how."
    )
    learn: Literal["sft", "sft+dpo"] = Field(
        default="sft",
        description="sft+dpo: after each training, preferences are learned from the pairs that self-training left.",
    )
    preferences: PreferencesConfig = PreferencesConfig()
    wordings: WordingsConfig = WordingsConfig()

    @model_validator(mode="after")
    def _its_own_answers_are_there(self) -> Self:
        if self.self_training is None and self.corrections.whom == "unsure":
            raise ValueError(
                "corrections.whom is unsure, and nothing tells of what: set self_training (with share: 0 where nothing of it is "
                "to be learned from)"
            )
        if self.learn == "sft+dpo" and (self.self_training is None or self.self_training.samples < 2):
            raise ValueError(
                "learn is sft+dpo, and pairs come from several answers to one prompt: set self_training with samples of 2 or more"
            )
        return self
