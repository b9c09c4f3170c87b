"""What the pipeline itself is told."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, SecretStr


class PipelineConfig(BaseModel):
    """`skip_bedrock` is the drawn `--skip-bedrock`; `skip_teacher` takes the edge `Skip (use raw data only)`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    skip_bedrock: bool = False
    skip_teacher: bool = False
    hf_token: SecretStr = SecretStr("")
    output: str = (
        "output/distillation"  # where the model and its metrics are saved: a directory, or s3://bucket/prefix
    )
