"""Which program answers for the student: this process by transformers, or a vLLM server of its own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Word = Annotated[str, Field(min_length=1)]


class VllmConfig(BaseModel):
    """How a vLLM server is started and asked. Times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    command: tuple[Word, ...] = Field(
        default=("vllm", "serve"),
        min_length=1,
        description="What starts it; the model's name and options follow.",
    )
    arguments: tuple[Word, ...] = Field(
        default=(), description="More options of `vllm serve`, such as --gpu-memory-utilization=0.85."
    )
    batch_invariant: bool = Field(
        default=True,
        description="Answers are a function of weights, seed and prompt whoever else asks; needs a GPU that vLLM has kernels "
        "for. Without it answers are good and not reproducible, which is said.",
    )
    start_s: float = Field(default=900.0, gt=0, le=86_400, description="Until the server must be ready.")
    answer_s: float = Field(default=1800.0, gt=0, le=86_400, description="Until an answer must be there.")
    at_once: int = Field(default=256, ge=1, le=65_536, description="Prompts under way at a time.")
    restarts: int = Field(
        default=2,
        ge=0,
        le=1000,
        description="So often it is started again, where it died after having answered.",
    )


class GenerateConfig(BaseModel):
    """Who answers in Generate of Diagram 4.

    `weights`: `trained` is the base as it was trained on, quantised; `full` the base at 16 bit (at 32 on a CPU) with the
    adapter merged into it, many times as fast on a GPU; `auto` is `full` on a GPU that has the memory for it, else `trained`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    engine: Literal["transformers", "vllm"] = "transformers"
    weights: Literal["auto", "trained", "full"] = "auto"
    vllm: VllmConfig = VllmConfig()
