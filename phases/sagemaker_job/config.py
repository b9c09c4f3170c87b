"""What a training job is asked for."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fsm.faults import PATIENCE

# The drawn image (PyTorch 2.5.1) cannot resume training with any current TRL.
IMAGE = (
    "763104351884.dkr.ecr.{region}.amazonaws.com/huggingface-pytorch-training:"
    "2.9.0-transformers5.3.0-gpu-py312-cu130-ubuntu22.04"
)


class SageMakerJobConfig(BaseModel):
    """`provider: local` runs the job as a child process that gets what a SageMaker container gets; `sagemaker` rents.

    Times are seconds, sizes GB. `{region}` in `image` is filled in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Literal["local", "sagemaker"] = "local"
    machine: str = "distillation"  # what runs in the container
    channels: dict[str, dict[str, str]] = {}  # of a job run alone: channel -> file -> path on this machine
    poll_seconds: float = Field(default=30.0, gt=0, le=3600)
    patience_seconds: float = Field(
        default=PATIENCE, gt=0, le=7 * 24 * 3600
    )  # without any answer of AWS, before the run stops
    max_runtime_seconds: int = Field(default=5 * 24 * 3600, ge=1, le=28 * 24 * 3600)
    grace_seconds: float = Field(
        default=120.0, ge=0, le=3600
    )  # between SIGTERM and SIGKILL, as SageMaker gives
    output: str = "output"  # where model.tar.gz goes: a directory, or s3://bucket/prefix

    region: str = "us-east-1"
    role: str = ""
    image: str = IMAGE
    instance_type: str = "ml.g5.2xlarge"
    instance_count: int = Field(default=1, ge=1, le=1000)
    volume_gb: int = Field(default=200, ge=1, le=16384)
    spot: bool = True
    max_wait_seconds: int = Field(default=6 * 24 * 3600, ge=1, le=56 * 24 * 3600)
    source: str = (
        ""  # s3:// of an archive that is there; empty: the launcher packs the code and puts it under staging
    )
    packages: list[str] = []  # further packages or modules of your own that the job imports
    requirements: list[str] = []  # of your own code, as pip takes them
    staging: str = ""  # s3://bucket/prefix for the code, the channels and the checkpoints
    # passed on where set, besides the variables that the configuration names and that look like no secret
    environment: list[str] = ["HF_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"]


class SmokeConfig(BaseModel):
    """The smoke job inside Training: what proves an instance before a long run is paid for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dependencies: list[str] = ["pytest", "hypothesis"]
    tests: list[str] = ["tests"]
    timeout_seconds: float = Field(default=3600.0, gt=0, le=28 * 24 * 3600)
