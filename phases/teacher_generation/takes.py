"""What a model takes and what it has: by its family, and by what the configuration says instead.

What a model does not take is not sent. Sources, read on 2026-12-01: sampling by
https://platform.claude.com/docs/en/about-claude/models/migration-guide (one of temperature and top_p from 4.1 on, neither
from Opus 4.7 and the fifth generation on); caching by https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
and https://platform.claude.com/docs/en/build-with-claude/prompt-caching; the rest by the model cards of
https://docs.aws.amazon.com/bedrock/latest/userguide/model-cards.html.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from phases.teacher_generation.prices import Price


class Takes(BaseModel):
    """What can be asked of a model. None where it is not known, or where there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sampling: Literal["both", "one", "none"] = "both"
    """Of temperature and top_p: both at once, one of them, or neither."""
    structured: bool = False
    """Output by a JSON schema."""
    batch: bool = False
    """Many prompts as one job."""
    cache_from: int | None = Field(default=None, ge=1, le=10**9)
    """Tokens from which on a shared system turn is kept in a prompt cache."""
    context: int | None = Field(default=None, ge=1, le=10**9)
    """Tokens of a prompt and its answer, at most."""
    output: int | None = Field(default=None, ge=1, le=10**9)
    """Tokens of an answer, at most."""
    tokens_a_minute: bool = False
    """Whether the service counts tokens a minute and reserves input and max_tokens when a call begins."""
    burndown: float = Field(default=1.0, ge=0, le=1000)
    """What an output token takes of that quota. (https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html)"""
    price: Price | None = None
    """Where the teacher knows it itself; the table of prices.py and the configuration's go first."""

    def but(self, other: Takes) -> Takes:
        """The same, but for what `other` was told."""
        return self.model_copy(update={name: getattr(other, name) for name in other.model_fields_set})


def _claude(sampling: Literal["both", "one", "none"], cache: int | None, context: int, output: int) -> Takes:
    """Claude from 3.7 on."""
    return Takes(
        sampling=sampling,
        structured=sampling != "both",
        batch=True,
        cache_from=cache,
        context=context,
        output=output,
        burndown=5.0,
    )


K, M = 1_000, 1_000_000
FAMILIES: tuple[tuple[str, Takes], ...] = (
    (r"claude-(fable|mythos|opus)-[5-9]", _claude("none", 512, M, 128 * K)),
    (r"claude-(sonnet|haiku)-[5-9]", _claude("none", 1024, M, 128 * K)),
    (r"claude-opus-4-7", _claude("none", 2048, M, 128 * K)),
    (r"claude-opus-4-[89]", _claude("none", 1024, M, 128 * K)),
    (r"claude-opus-4-6", _claude("one", 4096, M, 128 * K)),
    (r"claude-sonnet-4-6", _claude("one", 1024, M, 64 * K)),
    (r"claude-(opus|haiku)-4-5", _claude("one", 4096, 200 * K, 64 * K)),
    (r"claude-sonnet-4-5", _claude("one", 1024, 200 * K, 64 * K)),
    (r"claude-opus-4-1", _claude("one", 1024, 200 * K, 32 * K)),
    (r"claude-opus-4", _claude("both", 1024, 200 * K, 32 * K)),
    (r"claude-(sonnet-4|3-7-sonnet)", _claude("both", 1024, 200 * K, 64 * K)),
    (r"claude-3-5-haiku", Takes(batch=True, cache_from=2048, context=200 * K, output=8192)),
    (r"claude-3-5", Takes(batch=True, context=200 * K, output=8192)),
    (r"claude-3", Takes(batch=True, context=200 * K, output=4096)),
    (r"nova-(micro|lite|pro|premier)", Takes(batch=True, cache_from=1024)),
    (r"gpt-5|\bo[134]\b", Takes(sampling="none", structured=True)),
)
"""By a part of the model's id, the first that fits; of a family that is not here, everything is sent and nothing assumed."""


def takes(model: str, told: Takes | None = None) -> Takes:
    """What a model takes: by its family, but for what one was told."""
    found = next((takes for part, takes in FAMILIES if re.search(part, model)), Takes())
    return found.but(told) if told else found
