"""What a training job is asked for."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fsm.faults import PATIENCE

# The drawn image (PyTorch 2.5.1) cannot resume training with any current TRL.
IMAGE = (
    "763104351884.dkr.ecr.{region}.amazonaws.com/huggingface-pytorch-training:"
    "2.9.0-transformers5.3.0-gpu-py312-cu130-ubuntu22.04"
)
METRICS = {
    "train:loss": r'"loss": ([0-9.eE+-]+)',
    "train:tokens_per_second": r'"tokens_per_second": ([0-9.eE+-]+)',
    "score:drawn": r'"drawn": ([0-9.eE+-]+)',
    "score:held_out": r'"held_out": ([0-9.eE+-]+)',
}
"""What the container's JSON lines say, as CloudWatch metrics of the console: name -> regular expression."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Vpc(_Model):
    """The private network that a job runs in. S3, Bedrock and the hub must be reached from there by endpoints of it."""

    subnets: tuple[str, ...] = Field(min_length=1, max_length=16)
    security_groups: tuple[str, ...] = Field(min_length=1, max_length=5)


class Keys(_Model):
    """KMS keys, by id, ARN or alias; empty: the service's own. `store` is that of what the launcher puts to `staging`."""

    volume: str = ""
    output: str = ""
    store: str = ""


SLURM = {
    "PENDING": "Pending",
    "CONFIGURING": "Starting",
    "RUNNING": "Training",
    "COMPLETING": "Uploading",
    "COMPLETED": "Completed",
    "FAILED": "Failed",
    "OUT_OF_MEMORY": "Failed",
    "NODE_FAIL": "Failed",
    "TIMEOUT": "MaxRuntimeExceeded",
    "CANCELLED": "Stopped",
    "PREEMPTED": "Interrupted",
    "REQUEUED": "Starting",
}
"""The words of slurm's `sacct`, as statuses of a SageMaker job."""
Command = Annotated[tuple[str, ...], Field(min_length=1)]


class Commands(_Model):
    """A launcher of one's own: four commands, in whose words {name}, {home} and {start} are filled in.

    `create` has it run {start}; `describe` prints a word for the job's state, or nothing where it knows no such job; `stop`
    gives it SIGTERM and time; `logs` prints what it has written. `directory` is seen by launcher and job alike.

    With `instance_count` above 1 the launcher runs {start} once on each of {hosts} hosts. `host` and `first` are words of bash
    that say there which of them it is, from 0, and the address of the first; slurm's, where nothing is given.
    """

    directory: str
    create: Command
    describe: Command
    stop: Command
    logs: Command
    statuses: dict[str, str] = SLURM
    host: str = "${SLURM_NODEID}"
    first: str = '$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)'


class SageMakerJobConfig(_Model):
    """`provider: local` runs the job as a child process that gets what a SageMaker container gets; `sagemaker` rents;
    `command` hands it to a launcher of one's own.

    Times are seconds, sizes GB. `{region}` in `image` is filled in. `request` is merged into CreateTrainingJob's
    request, for whatever has no key of its own here.
    """

    provider: Literal["local", "sagemaker", "command"] = "local"
    command: Commands | None = None
    machine: str = "distillation"  # what runs in the container
    channels: dict[str, dict[str, str]] = {}  # of a job run alone: channel -> file -> path on this machine
    poll_seconds: float = Field(default=30.0, gt=0, le=3600)  # AWS itself is looked at once in 15 s at most
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
    instance_type: str | tuple[str, ...] = "ml.g5.2xlarge"  # several: in order of preference
    instance_count: int = Field(default=1, ge=1, le=1000)  # several: one run over all of them
    ranks_per_host: int | None = Field(
        default=None, ge=1, le=64
    )  # one for each GPU, or one where there is none
    volume_gb: int = Field(default=200, ge=1, le=16384)
    spot: bool = True
    max_wait_seconds: int = Field(default=6 * 24 * 3600, ge=1, le=56 * 24 * 3600)
    max_pending_seconds: int | None = Field(default=None, ge=1800, le=28 * 24 * 3600)
    warm_pool_seconds: int = Field(default=0, ge=0, le=21600)
    retries: int = Field(default=0, ge=0, le=30)  # by the service, after an error of its own
    training_plan: str = ""
    tags: dict[str, str] = {}
    vpc: Vpc | None = None
    kms: Keys = Keys()
    network_isolation: bool = False
    encrypt_traffic: bool = False  # between the hosts of a job
    metrics: dict[str, str] = METRICS
    tensorboard: str = ""  # s3://bucket/prefix, to which what is written below output/tensorboard is synced
    request: dict[str, Any] = {}
    price_per_hour: float | None = Field(
        default=None, ge=0, le=100_000
    )  # what your account pays for an instance, in dollars
    source: str = (
        ""  # s3:// of an archive that is there; empty: the launcher packs the code and puts it under staging
    )
    packages: list[str] = []  # further packages or modules of your own that the job imports
    requirements: list[str] = []  # of your own code, as pip takes them
    wheels: str = ""  # s3://bucket/prefix of wheels: pip then asks no index, as in a VPC without internet
    staging: str = ""  # s3://bucket/prefix for the code, the channels and the checkpoints
    # passed on where set, besides the variables that the configuration names and that look like no secret
    environment: list[str] = ["HF_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"]

    @property
    def instance_types(self) -> tuple[str, ...]:
        """The types in order of preference."""
        return (self.instance_type,) if isinstance(self.instance_type, str) else self.instance_type

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.instance_types or len(set(self.instance_types)) < len(self.instance_types):
            raise ValueError("instance_type must name at least one type, and each once")
        if self.spot and self.warm_pool_seconds:
            raise ValueError(
                "warm_pool_seconds: a spot instance cannot be kept warm; set spot: false, or leave it out"
            )
        if self.provider == "command" and self.command is None:
            raise ValueError(
                "command: the provider `command` needs directory, create, describe, stop and logs"
            )
        if self.network_isolation:
            raise ValueError(
                "network_isolation: the container keeps the run's journal in a bucket and asks the teacher, and an isolated one "
                "reaches neither. Use vpc with endpoints for S3 and Bedrock instead"
            )
        if self.instance_count > 1 and self.provider == "local":
            raise ValueError(
                "instance_count: a job of the provider `local` has this machine alone. Set ranks_per_host for several processes "
                "on it, or leave it out"
            )
        if self.machine == "smoke" and self.instance_count * (self.ranks_per_host or 1) > 1:
            raise ValueError(
                "instance_count: the smoke job proves one instance, by one process. Leave it out"
            )
        return self


class SmokeConfig(_Model):
    """The smoke job inside Training: what proves an instance before a long run is paid for.

    `measure` names parts of benchmarks/qlora_8b.py; with none of them the model's state is passed by, as drawn. `shape` is
    that of the model: `short` the 8B's with few steps and short answers, `full` as docs/gpu.md has it, `laptop` and `tiny`
    for a machine without a GPU.
    """

    dependencies: list[str] = ["pytest", "hypothesis"]
    tests: list[str] = ["tests"]
    measure: list[Literal["step", "generation", "resume", "memory"]] = []
    shape: Literal["short", "full", "laptop", "tiny"] = "short"
    timeout_seconds: float = Field(default=3600.0, gt=0, le=28 * 24 * 3600)
