"""The student's answers: in batches, and yet each a function of weights, seed and prompt alone.

Four things would make an answer depend on what else is in its batch, and each has its cure:

- `generate` draws all rows from one generator. Here a row's noise is a hash of (seed, prompt, position, token),
  added to the logits (the Gumbel-max trick draws exactly from their softmax), and the largest is taken.
- Padding to the longest prompt of a batch changes the shapes, and with them the order of floating-point sums. Here
  prompts are padded on the left to a multiple of `bucket`, which depends on the prompt alone.
- Where no row of a batch is padded, transformers leaves the mask out, and attention is another kernel. Here every row
  is padded, by one token at least.
- The number of rows picks the matrix kernels. Here every batch has the same number of rows; a short one is filled up.

On a CPU that makes answers equal to the bit; on a GPU as far as its kernels are deterministic for a given shape.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from phases.errors import InvalidStructure
from phases.student.turns import prompt_ids
from phases.turns import turns


class SamplingConfig(BaseModel):
    """How the student answers; the defaults are those drawn in Diagram 4 (Generate). Lengths in tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    max_prompt_tokens: int = Field(default=4096, ge=1, le=10**7)
    max_new_tokens: int = Field(default=1024, ge=1, le=10**6)
    temperature: float = Field(default=0.7, ge=0, le=100, description="0 takes the likeliest token.")
    top_p: float = Field(default=0.95, gt=0, le=1)
    batch: int = Field(default=32, ge=1, le=65536, description="Prompts answered at a time.")
    bucket: int = Field(
        default=64, ge=1, le=10**6, description="Prompts are padded to a multiple of this many tokens."
    )


@dataclass(frozen=True)
class Encoded:
    """A prompt in tokens; `cut` when it was longer than allowed and lost the end of its text."""

    prompt: str
    ids: tuple[int, ...]
    cut: bool


@dataclass(frozen=True)
class Output:
    """One answer. `tokens` generated, end of text not counted; `cut` when it did not end by itself in time."""

    prompt: str
    text: str
    tokens: int
    cut: bool
    prompt_cut: bool

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "prompt": self.prompt,
            "text": self.text,
            "tokens": self.tokens,
            "cut": self.cut,
            "prompt_cut": self.prompt_cut,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Output:
        """The inverse of to_json."""
        return cls(**said)


@dataclass(frozen=True)
class Batch:
    """Prompts answered together: their places in what was asked, and the length they are padded to, in tokens."""

    places: tuple[int, ...]
    length: int


def encode(tokenizer: Any, prompts: Sequence[str], limit: int) -> list[Encoded]:
    """Each prompt as the student sees it; one over `limit` tokens loses the end of its text, not of the template."""
    ends = [prompt_ids(tokenizer, [{"role": "user", "content": text}]) for text in ("x", "y")]
    tail = ends[0][len(ends[0]) - _common_suffix(*ends) :]  # what the template writes after any prompt
    found = []
    for prompt in prompts:
        ids = prompt_ids(tokenizer, turns(prompt))
        cut = len(ids) > limit
        if cut:
            ids = ids[: max(0, limit - len(tail))] + tail
        found.append(Encoded(prompt, tuple(ids), cut))
    return found


def room(model: Any, config: SamplingConfig) -> int:
    """How long a prompt may be, in tokens: as configured, and so that the answer fits the model's context after it.

    Raises InvalidStructure when the context is full before there is a prompt.
    """
    return room_in(getattr(model.config, "max_position_embeddings", None), config)


def room_in(context: int | None, config: SamplingConfig) -> int:
    """The same by the length of the context; None where that is not known."""
    left = config.max_prompt_tokens if context is None else context - config.max_new_tokens
    if left < 1:
        raise InvalidStructure(
            f"The model's context is {context} tokens, and max_new_tokens {config.max_new_tokens} leaves none of them "
            "for a prompt. Lower distillation.sampling.max_new_tokens, or take a model with a longer context."
        )
    return min(config.max_prompt_tokens, left)


def padded(one: Encoded, config: SamplingConfig) -> int:
    """The length in tokens that a prompt is padded to: a multiple of `bucket`, and of at least one token more."""
    return (len(one.ids) // config.bucket + 1) * config.bucket


def plan(encoded: Sequence[Encoded], config: SamplingConfig) -> list[Batch]:
    """Prompts of like length together, shortest first; the same prompts always give the same batches."""
    by_length: dict[int, list[int]] = {}
    for place, one in enumerate(encoded):
        by_length.setdefault(padded(one, config), []).append(place)
    return [
        Batch(tuple(places[i : i + config.batch]), length)
        for length, places in sorted(by_length.items())
        for i in range(0, len(places), config.batch)
    ]


def answer(
    model: Any, tokenizer: Any, encoded: Sequence[Encoded], batch: Batch, config: SamplingConfig, seed: int
) -> list[Output]:
    """The answers to one batch, in the order of its places. Leaves the model in eval mode."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    rows = [encoded[place] for place in batch.places]
    filled = rows + [rows[0]] * (config.batch - len(rows))
    pad = tokenizer.pad_token_id
    ids = torch.tensor(
        [[pad] * (batch.length - len(r.ids)) + list(r.ids) for r in filled], device=model.device
    )
    mask = torch.tensor(
        [[0] * (batch.length - len(r.ids)) + [1] * len(r.ids) for r in filled], device=model.device
    )
    processors = LogitsProcessorList(_processors(config, [key(seed, r.prompt) for r in filled], batch.length))
    model.eval()
    on_gpu = model.device.type == "cuda"
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16) if on_gpu else nullcontext():
        made = model.generate(
            input_ids=ids,
            attention_mask=mask,
            logits_processor=processors,
            generation_config=GenerationConfig(
                max_new_tokens=config.max_new_tokens,
                do_sample=False,  # the noise is in the logits already
                use_cache=True,
                pad_token_id=pad,
                eos_token_id=tokenizer.eos_token_id,
            ),
        )[: len(rows), batch.length :].tolist()
    return [to_output(tokenizer, row, new, config) for row, new in zip(rows, made, strict=True)]


def answers(
    model: Any, tokenizer: Any, prompts: Sequence[str], config: SamplingConfig, seed: int
) -> Iterator[tuple[int, Output]]:
    """(place, answer) for every prompt, as they end."""
    yield from as_they_end(model, tokenizer, encode(tokenizer, prompts, room(model, config)), config, seed)


def as_they_end(
    model: Any, tokenizer: Any, encoded: Sequence[Encoded], config: SamplingConfig, seed: int
) -> Iterator[tuple[int, Output]]:
    """(place, answer) for every prompt: in slots, or batch by batch for a model that slots do not fit."""
    from phases.student import slots

    if slots.fits(model):
        yield from slots.answers(model, tokenizer, encoded, config, seed)
        return
    for batch in plan(encoded, config):
        yield from zip(batch.places, answer(model, tokenizer, encoded, batch, config, seed), strict=True)


def key(seed: int, prompt: str) -> int:
    """The 64-bit key, signed, from which all of a row's noise comes."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{prompt}".encode()).digest()[:8], signed=True)


def gumbel(keys: Any, step: Any, vocabulary: int) -> Any:
    """Gumbel noise, float32 (rows, vocabulary), for int64 `keys` (rows,): a hash, so no state and no order.

    `step` is the same for all rows, or int64 (rows,).

    The hash is SplitMix64's finaliser (Steele, Lea and Flood, 2014) on key, step and token; int64 arithmetic wraps.
    """
    import torch

    tokens = torch.arange(vocabulary, device=keys.device, dtype=torch.int64)
    here = (torch.as_tensor(step, device=keys.device) + 1) * _GOLDEN
    x = _mix(keys + here)[:, None] + (tokens + 1) * _GOLDEN
    bits = (_mix(x) >> 11) & ((1 << 53) - 1)
    uniform = (bits.double() + 0.5) * 2.0**-53
    return (-torch.log(-torch.log(uniform))).float()


_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)


def _mix(x: Any) -> Any:
    x = (x ^ ((x >> 30) & ((1 << 34) - 1))) * (0xBF58476D1CE4E5B9 - (1 << 64))
    x = (x ^ ((x >> 27) & ((1 << 37) - 1))) * (0x94D049BB133111EB - (1 << 64))
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def _processors(config: SamplingConfig, keys: Sequence[int], prompt_length: int) -> list[Any]:
    import torch
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    if config.temperature == 0:
        return []

    def draw(ids: Any, scores: Any) -> Any:
        noise = gumbel(
            torch.tensor(keys, device=scores.device), ids.shape[1] - prompt_length, scores.shape[1]
        )
        return scores.float() + noise

    warpers: list[Any] = [TemperatureLogitsWarper(config.temperature)]
    if config.top_p < 1:
        warpers.append(TopPLogitsWarper(config.top_p))
    return [*warpers, draw]


def to_output(tokenizer: Any, row: Encoded, new: list[int], config: SamplingConfig) -> Output:
    """The answer that the tokens drawn for a row come to, up to its end."""
    ends = tokenizer.eos_token_id in new
    tokens = new[: new.index(tokenizer.eos_token_id)] if ends else new
    return Output(
        row.prompt, tokenizer.decode(tokens, skip_special_tokens=True), len(tokens), not ends, row.cut
    )


def _common_suffix(one: Sequence[int], other: Sequence[int]) -> int:
    n = 0
    while n < min(len(one), len(other)) and one[-1 - n] == other[-1 - n]:
        n += 1
    return n
