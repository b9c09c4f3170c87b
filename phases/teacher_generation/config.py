"""The configuration of teacher generation; defaults are what Diagram 3 and Diagram 7 draw."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from phases.teacher_generation.prices import Price
from phases.teacher_generation.takes import Takes, takes

BUILT_IN = ("bedrock", "bedrock-batch", "offline", "openai")
"""The kinds of teachers that come with the project."""
GROUP = "fsm.teachers"
"""The entry points by which other packages bring theirs: the name is the kind, what it loads a `teachers.Maker`."""
PROFILED = re.compile(r"^(?:us-gov|us|eu|apac|jp|au|ca|global)\.(?=[\w-]+\.)")
"""The region of an inference profile, before the model's id."""

Domain = Literal["TSN", "AVB", "CARLA"]


def brought_kinds() -> dict[str, EntryPoint]:
    """The kinds of teachers that other packages bring, by name."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


class BatchConfig(BaseModel):
    """Where a batch inference job reads and writes, and as whom."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: str = Field(pattern=r"^s3://[^/]+(/.*)?$")
    """s3://bucket/prefix for its records and answers."""
    role: str = Field(pattern=r"^arn:")
    """The role that Bedrock reads and writes there as."""
    minimum: int | None = Field(default=None, ge=1)
    """Records that a job must have; by Service Quotas where it is not given."""
    hours: int = Field(default=24, ge=24, le=168)
    """After which a job that has not ended is given up."""
    poll_seconds: float = Field(default=60.0, gt=0, le=3600)
    endpoint_url: str | None = None
    """Of S3."""


class TeacherConfig(BaseModel):
    """Who answers. Distillation asks by the same settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = "bedrock"
    """`bedrock`, `bedrock-batch`, `openai`, `offline` (no model: it writes short C functions from the prompt's words by
    templates), or what another package brings (the entry points `fsm.teachers`)."""
    model_id: str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    """Claude Sonnet 4.5, which Bedrock serves by inference profiles only: us., eu., jp., au. or global. before its name."""
    profile: Literal["us", "eu", "jp", "au", "apac", "ca", "us-gov", "global"] | None = None
    """The inference profile's region in the place of the one before the model's name, or before a name that has none."""
    region: str = "us-east-1"
    endpoint_url: str | None = None
    """Of Bedrock's runtime, or of whoever speaks OpenAI's protocol: http://localhost:8000/v1 for a vLLM, say."""
    control_endpoint_url: str | None = None
    """Of Bedrock's control plane, which tells how long a model is offered and takes batch jobs. A gateway or a VPC endpoint of the
    runtime is none: where only `endpoint_url` is given, nobody is asked how long."""
    api_key: SecretStr = SecretStr("")
    """For `openai`; where it is empty, OPENAI_API_KEY of the environment, or none."""
    system: str = (
        "You write C code for automotive Ethernet (TSN, AVB). Answer with one complete, self-contained C function "
        "and nothing else: fixed-width types, MISRA-C style, doxygen comments, no dynamic memory."
    )
    max_tokens: int = Field(default=1024, ge=1, le=10**6)
    temperature: float = Field(default=0.2, ge=0.0, le=2.0)
    """Not sent to a model that takes none. Where it takes one of temperature and top_p, a top_p alone goes first."""
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    structured: bool = False
    """Have the answer as JSON of one field, `code`, where the model takes a schema: no words are paid for around the code."""
    takes: Takes = Takes()
    """What the model takes, where the table of its families (takes.py) does not know it, or it is otherwise."""
    batch: BatchConfig | None = None
    mode: Literal["batch", "auto"] = "batch"
    """Of `bedrock-batch`: `auto` asks call by call where `fast` is wanted. Too few records for a job are in either."""
    fast: bool = False
    """A batch job is half the price and may take a day: whether the answers are wanted sooner."""
    connect_timeout_s: float = Field(default=10.0, gt=0, le=3600)
    read_timeout_s: float = Field(default=600.0, gt=0, le=3600)
    """An answer comes in one piece, so this is the time for all of it."""
    options: dict[str, Any] = {}
    """For a teacher of another package: its own."""

    @field_validator("kind")
    @classmethod
    def _somebody_brings_it(cls, kind: str) -> str:
        if kind not in BUILT_IN and kind not in (brought := brought_kinds()):
            raise ValueError(f"no teacher of kind {kind!r}: there are {', '.join([*BUILT_IN, *brought])}")
        return kind

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        said = self.model_fields_set
        if self.kind == "openai" and "model_id" not in said:
            raise ValueError(
                "a teacher of kind openai needs a model_id: the name that its server gives the model"
            )
        if self.kind == "bedrock-batch" and self.batch is None:
            raise ValueError(
                "a teacher of kind bedrock-batch needs batch: {place: s3://bucket/prefix, role: arn:aws:iam::...}"
            )
        if self.options and self.kind in BUILT_IN:
            raise ValueError(f"a teacher of kind {self.kind} has no options of its own")
        if self.structured and not takes(self.model, self.takes).structured:
            raise ValueError(
                f"{self.model} is not known to take structured: leave it out, or say takes: {{structured: true}}"
            )
        if {"temperature", "top_p"} <= said and takes(self.model, self.takes).sampling == "one":
            raise ValueError(f"{self.model} takes a temperature or a top_p, not both: leave one of them out")
        return self

    @property
    def batches(self) -> bool:
        """Whether many prompts are to be asked as one job."""
        return self.kind == "bedrock-batch" and not (self.mode == "auto" and self.fast)

    @property
    def model(self) -> str:
        """The model's id, with the inference profile's region before it."""
        if self.profile is None or self.model_id.startswith("arn:"):
            return self.model_id
        return f"{self.profile}.{PROFILED.sub('', self.model_id)}"


class AskingConfig(BaseModel):
    """How a teacher is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workers: int = Field(default=10, ge=1, le=100)
    """The most calls under way at once; where the service throttles there are fewer."""
    max_retries: int = Field(default=5, ge=0, le=20)
    """Of one prompt, for throttling, and as many for stream errors. A read that took too long is tried again once."""
    backoff_base_s: float = Field(default=1.0, ge=0, le=3600)
    """The pause before retry n (from 0) is at most base * 2^n: so much, or less, by chance."""
    max_failed_share: float = Field(default=0.05, ge=0, le=1)
    """Of the prompts that may stay without an answer; above it the run stops, resumable."""
    check: Literal["compiles", "code", "none"] = "compiles"
    """What an answer must be to be learned from: C that compiles (6's syntax check), C at all, or whatever was said."""
    max_turned_away_share: float = Field(default=0.25, ge=0, le=1)
    """Of the prompts whose answer may fail that check; above it the run stops: such a teacher is not worth a student."""
    best_of: int = Field(default=1, ge=1, le=16)
    """So many answers are asked for each prompt, and the one with the best score by 6 is taken. Each of them is paid for."""
    best_by: Literal["score", "behaviour"] = "score"
    """`behaviour` takes the one that does what the others do (the extra `behaviour`), and the best score among equals."""
    reuse: bool = True
    """Take answers to the same question from the store's ledger. False asks each run's prompts anew."""
    max_cost_usd: float | None = Field(default=None, gt=0, le=10**7, allow_inf_nan=False)
    """What the run may pay its teacher, corrections included. No call is sent that could go over it."""
    prices: dict[str, Price] = {}
    """US dollars a million tokens by model id, where the table (prices.py) does not know them, or they are others."""
    tokens_per_minute: int | None = Field(default=None, ge=1, le=10**10)
    """The account's quota of the model. Without it, it is learned from what the service turns away."""
    fit_max_tokens: bool = False
    """Reserve near what answers need, learned from the run, in place of teacher.max_tokens. What is cut off by it is asked
    again in full, and paid for twice."""

    @model_validator(mode="after")
    def _several_to_compare(self) -> Self:
        if self.best_by == "behaviour" and self.best_of < 2:
            raise ValueError(
                "best_by is behaviour, and one answer has no other to behave like: set best_of to 3 or more, for a majority"
            )
        return self


FREE_KEYS = (
    "workers",
    "max_failed_share",
    "max_turned_away_share",
    "max_cost_usd",
    "prices",
    "tokens_per_minute",
)
"""What may be another's when a run goes on: how far it goes, and how fast."""


class TeacherGenerationConfig(AskingConfig):
    """The section `teacher_generation`."""

    teacher: TeacherConfig = TeacherConfig()
    checkpoint_every: int = Field(default=10, ge=1, le=10**6)
    prompts: str | None = "data/splits/train.jsonl"
    """A JSONL file of this run, or else on this machine; its rows hold `messages` or `prompt`. None for no file."""
    generated: int = Field(default=0, ge=0, le=10**7)
    """So many prompts of the `train` split of prompts.py are asked besides."""
    domains: tuple[Domain, ...] = ("TSN", "AVB")
    """The domains of the generated prompts."""
    limit: int | None = Field(default=None, ge=1, le=10**9)
    """At most so many prompts, the first ones."""
    test: bool = False
    """--test: a few prompts of its own instead of a file."""
    test_prompts: int = Field(default=4, ge=1, le=10_000)
