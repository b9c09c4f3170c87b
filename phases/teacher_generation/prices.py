"""What a model's tokens cost: a dated table, what the configuration says instead, and a bound on a call before it is sent.

A bound is never too low: a tokenizer makes at most one token of a byte, and a service never writes more than it was
allowed to. An estimate is what such calls come to as a rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fsm.errors import ConfigError

DATED = "2026-12-01"
"""When the table was last held against https://platform.claude.com/docs/en/about-claude/pricing. It has Claude alone; a service may change
its prices on any day, and the configuration's go first."""

MILLION = 1_000_000
ROUND_A_TURN = 16  # tokens that a service may put around a turn: its role, its beginning and its end
ROUND_A_CALL = 64  # and around the whole
BYTES_A_TOKEN = 3.5  # of English and C, as a rule
ANSWER_TOKENS = 400  # of one C function with its comments, as a rule; where the run knows better, it says so


class Price(BaseModel):
    """US dollars a million tokens. What is read from a prompt cache, and written into one, is part of the input."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0, le=10_000)
    output: float = Field(ge=0, le=10_000)
    cache_read: float | None = Field(default=None, ge=0, le=10_000)
    """Default: a tenth of the input."""
    cache_write: float | None = Field(default=None, ge=0, le=10_000)
    """Default: five quarters of the input."""

    def of(self, input_tokens: int, output_tokens: int, read: int = 0, written: int = 0) -> Decimal:
        """Dollars for so many tokens; `read` from a cache and `written` to one are counted apart from the input."""
        reading = self.input / 10 if self.cache_read is None else self.cache_read
        writing = self.input * 5 / 4 if self.cache_write is None else self.cache_write
        pairs = (
            (input_tokens, self.input),
            (output_tokens, self.output),
            (read, reading),
            (written, writing),
        )
        return sum((Decimal(n) * Decimal(str(p)) for n, p in pairs), Decimal(0)) / MILLION

    @property
    def dearest_input(self) -> float:
        """What a token of a prompt costs at most, whatever a cache does with it."""
        writing = self.input * 5 / 4 if self.cache_write is None else self.cache_write
        return max(self.input, writing)

    def scaled(self, by: float) -> Price:
        """The same at a discount: a batch costs half."""
        more = {k: round(v * by, 9) for k, v in self.model_dump(exclude_none=True).items()}
        return self.model_copy(update=more)


FREE = Price(input=0, output=0)
REGIONAL = 1.1  # Claude from 4.5 on, through an inference profile of one geography, beside `global.`

_TABLE: tuple[tuple[str, Price], ...] = (
    (r"claude-(opus-5|opus-4-[5-9])", Price(input=5, output=25)),
    (r"claude-opus-4", Price(input=15, output=75)),
    (r"claude-3-opus", Price(input=15, output=75)),
    (r"claude-(sonnet-4|3-7-sonnet|3-5-sonnet)", Price(input=3, output=15)),
    (r"claude-haiku-4", Price(input=1, output=5)),
    (r"claude-3-5-haiku", Price(input=0.8, output=4)),
    (r"claude-3-haiku", Price(input=0.25, output=1.25, cache_read=0.03, cache_write=0.30)),
)
"""By a part of the model's id, the first that fits."""

_REGIONAL = re.compile(r"(?:us|eu|jp|au|apac|us-gov)\..*claude-(?:opus|sonnet|haiku)-(?:4-[5-9]|5)")


def price(model: str, named: Mapping[str, Price] | None = None) -> Price | None:
    """The price of a model: the configuration's, or that of the table; None where neither knows it."""
    if named and model in named:
        return named[model]
    for part, found in _TABLE:
        if re.search(part, model):
            return found.scaled(REGIONAL) if _REGIONAL.match(model) else found
    return None


def require(model: str, named: Mapping[str, Price] | None, why: str) -> Price:
    """The price of a model. Raises ConfigError where it has to be known and is not; `why` says what for."""
    if (found := price(model, named)) is None:
        raise ConfigError(
            f"What {model} costs is not known, and {why} needs it. Name its price in US dollars a million tokens: "
            f'teacher_generation.prices: {{"{model}": {{input: 3.0, output: 15.0}}}}. Nothing was asked yet.'
        )
    return found


def input_bound(question: Mapping[str, Any]) -> int:
    """The most tokens that a question (`Teacher.question`) can be counted as."""
    turns = len(question.get("messages", ())) + len(question.get("system", ()))
    return _bytes(question) + ROUND_A_TURN * max(1, turns) + ROUND_A_CALL


def output_bound(question: Mapping[str, Any]) -> int:
    """The most tokens that an answer to it can be counted as; 0 where it sets no bound."""
    drawn = question.get("inferenceConfig")
    said = (question, drawn if isinstance(drawn, Mapping) else {})
    found = [of.get(k) for of in said for k in ("max_tokens", "max_completion_tokens", "maxTokens")]
    return max((n for n in found if isinstance(n, int)), default=0)


def bound(price: Price, question: Mapping[str, Any]) -> Decimal:
    """The most dollars that one call can cost."""
    dearest = Decimal(input_bound(question)) * Decimal(str(price.dearest_input))
    return (dearest + Decimal(output_bound(question)) * Decimal(str(price.output))) / MILLION


def usage(response: Mapping[str, Any]) -> tuple[int, int, int, int] | None:
    """(input, output, read from a cache, written to one) of a response, in tokens; None where it counts none."""
    said = response.get("usage")
    if not isinstance(said, Mapping):
        return None
    keys = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    found = [said.get(key, 0) for key in keys]
    if not any(key in said for key in keys) or not all(isinstance(n, int) and n >= 0 for n in found):
        return None
    return found[0], found[1], found[2], found[3]


def input_estimate(question: Mapping[str, Any]) -> int:
    """The tokens that a question will be counted as, about."""
    return round(_bytes(question) / BYTES_A_TOKEN) + ROUND_A_TURN


def _bytes(question: Mapping[str, Any]) -> int:
    """Bytes of all its texts; what JSON adds around them a service does not count."""
    said = {k: v for k, v in question.items() if k in ("system", "messages", "prompt")} or question
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in _texts(said))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [t for v in value.values() for t in _texts(v)]
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in _texts(v)]
    return [json.dumps(value)]
