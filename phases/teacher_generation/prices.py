"""What a model's tokens cost: a dated table, what the configuration says instead, and a bound on a call before it is sent.

A bound is never too low: a tokenizer makes at most one token of a byte, and a service never writes more than it was
allowed to. An estimate is what such calls come to as a rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fsm.errors import ConfigError

DATED = "2026-12-01"
"""When the table was last held against https://platform.claude.com/docs/en/about-claude/pricing. It has Claude alone; a service may change
its prices on any day, and the configuration's go first."""

MILLION = 1_000_000
ROUND_A_TURN = 16  # tokens that a service may put around a turn: its role, its beginning and its end
ROUND_A_CALL = 64  # and around the whole
ROUND_A_SCHEMA = 512  # and the words by which it tells a model of a schema
BYTES_A_TOKEN = 3.5  # of English and C, as a rule
BYTES_A_TOKEN_AT_MOST = 8  # of a whole prompt, however well it can be put into tokens
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
        of_input, of_output, reading, writing = self._rates
        return (
            input_tokens * of_input + output_tokens * of_output + read * reading + written * writing
        ) / MILLION

    def bound(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Dollars for so many at most, whatever a cache does with the prompt."""
        of_input, of_output, _, writing = self._rates
        return (input_tokens * max(of_input, writing) + output_tokens * of_output) / MILLION

    @cached_property
    def _rates(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """Of input, of output, of what is read from a cache, of what is written to one."""
        reading = self.input / 10 if self.cache_read is None else self.cache_read
        writing = self.input * 5 / 4 if self.cache_write is None else self.cache_write
        of_input, of_output, read, written = (
            Decimal(str(rate)) for rate in (self.input, self.output, reading, writing)
        )
        return of_input, of_output, read, written

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
    schema = [question[k] for k in ("outputConfig", "response_format") if k in question]
    around = ROUND_A_SCHEMA + _length(schema) if schema else 0
    return _bytes(question) + around + ROUND_A_TURN * max(1, turns) + ROUND_A_CALL


def fits(question: Mapping[str, Any], context: int | None) -> bool:
    """Whether a question and the longest answer to it may fit a model's context; only what certainly does not, does not."""
    return context is None or _bytes(question) / BYTES_A_TOKEN_AT_MOST + output_bound(question) <= context


def output_bound(question: Mapping[str, Any]) -> int:
    """The most tokens that an answer to it can be counted as; 0 where it sets no bound."""
    drawn = question.get("inferenceConfig")
    said = (question, drawn if isinstance(drawn, Mapping) else {})
    found = [of.get(k) for of in said for k in ("max_tokens", "max_completion_tokens", "maxTokens")]
    return max((n for n in found if isinstance(n, int)), default=0)


def bound(price: Price, question: Mapping[str, Any]) -> Decimal:
    """The most dollars that one call can cost."""
    return price.bound(input_bound(question), output_bound(question))


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
    said = [question[k] for k in ("system", "messages", "prompt") if k in question]
    return _length(said or question)


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, (list, tuple)):
        return sum(map(_length, value))
    if isinstance(value, (dict, Mapping)):
        return sum(map(_length, value.values()))
    return len(json.dumps(value))
