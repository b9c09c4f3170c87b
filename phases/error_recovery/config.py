"""Numbers of Diagram 8."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ErrorRecoveryConfig(BaseModel):
    """`sleep(1s * 2^attempt)` while `attempt < 5`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_seconds: float = Field(default=1.0, ge=0, le=3600)
    max_attempts: int = Field(default=5, ge=1, le=20)
