"""The configuration of teacher generation; defaults are what Diagram 3 and Diagram 7 draw."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from phases.teacher_generation.prices import Price

Domain = Literal["TSN", "AVB", "CARLA"]


class TeacherConfig(BaseModel):
    """Who answers. Distillation asks by the same settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["bedrock", "offline"] = "bedrock"
    """`offline` is no model: it writes short C functions from the prompt's words by templates."""
    model_id: str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    """Claude Sonnet 4.5, which Bedrock serves by inference profiles only: us., eu., jp. or global. before its name."""
    region: str = "us-east-1"
    endpoint_url: str | None = None
    system: str = (
        "You write C code for automotive Ethernet (TSN, AVB). Answer with one complete, self-contained C function "
        "and nothing else: fixed-width types, MISRA-C style, doxygen comments, no dynamic memory."
    )
    max_tokens: int = Field(default=1024, ge=1, le=10**6)
    temperature: float = Field(default=0.2, ge=0.0, le=1.0)
    """Sonnet 4.5 takes a temperature or a top_p, not both."""
    connect_timeout_s: float = Field(default=10.0, gt=0, le=3600)
    read_timeout_s: float = Field(default=600.0, gt=0, le=3600)
    """An answer comes in one piece, so this is the time for all of it."""


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
