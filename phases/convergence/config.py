"""The numbers of Diagram 9."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ConvergenceConfig(BaseModel):
    """The section `convergence`. Scores in [0, 10], rates in [0, 1]."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    avg_score: float = Field(default=8.0, ge=0, le=10, description="`avg_score >= 8.0?`")
    epochs_at_threshold: int = Field(default=3, ge=1, le=10**6, description="`epochs_at_threshold >= 3?`")
    correction_rate: float = Field(default=0.10, ge=0, le=1, description="`correction_rate < 10%?`")
    low_correction_epochs: int = Field(default=3, ge=1, le=10**6, description="`low_correction_count >= 3?`")
    on: Literal["drawn", "held_out", "behaviour"] = Field(
        default="drawn",
        description="Which set of prompts decides: the one that is corrected, or the frozen one; or what the answers to the "
        "frozen one do.",
    )
    lag: float = Field(
        default=1.0,
        ge=0,
        le=10,
        description="A run that converges on the drawn set says so when the frozen one lags by more.",
    )
