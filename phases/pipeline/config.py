"""What the pipeline itself is told."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class PipelineConfig(BaseModel):
    """`skip_bedrock` is the drawn `--skip-bedrock`; `skip_teacher` takes the edge `Skip (use raw data only)`.

    `approve` names the states before whose work a person is asked, who has `approve_hours`; 0 for as long as it takes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    skip_bedrock: bool = False
    skip_teacher: bool = False
    approve: tuple[Literal["TrainingLaunch"], ...] = ()
    approve_hours: float = Field(default=0, ge=0, le=8760, allow_inf_nan=False)
    hf_token: SecretStr = SecretStr("")
    output: str = (
        "output/distillation"  # where the model and its metrics are saved: a directory, or s3://bucket/prefix
    )
