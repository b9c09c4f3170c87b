"""Generation: one by one as Diagram 4 draws it, in the project's batches, by continuous batching."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.granite_8b.base import Base, loaded, source
from benchmarks.granite_8b.device import peak, release, synchronize
from benchmarks.granite_8b.sizes import PROMPTS, SEED, Sizes, parameters
from phases.student import preflight
from phases.student.config import QLoRAConfig
from phases.student.generate import SamplingConfig, answers, encode
from phases.student.session import Session


def generation(sizes: Sizes, base: Base, work: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens a second one by one, in batches and continuously, and what that makes of 500 prompts."""
    config = base.config(sizes)
    with loaded(config) as (own, _):
        tokenizer = own.tokenizer
        prompts = questions(tokenizer, max(sizes.batches), sizes.prompt)
        ways = {"one by one": spoken(sizes, 1, lambda: one_by_one(own, prompts[: sizes.alone], sizes))}
        for size in sizes.batches:
            asked = prompts[:size]
            ways[f"batches of {size}"] = spoken(sizes, size, partial(batch, own, asked, sizes))
    encoded = encode(tokenizer, prompts, sizes.length)
    ways["continuous"] = spoken(sizes, len(prompts), lambda: continuous(config, tokenizer, encoded, sizes))
    first = ways["one by one"].get("tokens_per_second")
    for how in ways.values():
        if first and "tokens_per_second" in how:
            how["times_one_by_one"] = how["tokens_per_second"] / first
    weights = parameters(sizes.shape)["linear"] * preflight.NF4_BYTES
    return {
        "new_tokens": sizes.new_tokens,
        "ways": ways,
        "floor_seconds_per_token_alone": weights / found["machine"]["bandwidth_ceiling"],
    }


def questions(tokenizer: Any, count: int, length: int) -> list[str]:
    """Distinct prompts of about `length` tokens."""
    rng = random.Random(SEED)
    return [
        tokenizer.decode(tokenizer(source(rng, length), add_special_tokens=False)["input_ids"][:length])
        for _ in range(count)
    ]


def spoken(sizes: Sizes, at_a_time: int, do: Callable[[], tuple[int, float]]) -> dict[str, Any]:
    """`do` generates, and says how many tokens in how many seconds. That it does not fit or work here is a result."""
    try:
        with peak() as most:
            tokens, seconds = do()
    except (RuntimeError, ValueError, TypeError, ImportError) as e:  # out of memory is a RuntimeError
        return {"at_a_time": at_a_time, "does_not_work": f"{type(e).__name__}: {e}"[:500]}
    rate = tokens / seconds
    asked = math.ceil(PROMPTS / at_a_time) * at_a_time  # the last batch is filled up
    return {
        "at_a_time": at_a_time,
        "tokens": tokens,
        "seconds": round(seconds, 2),
        "tokens_per_second": rate,
        f"hours_for_{PROMPTS}_extrapolated": asked * sizes.new_tokens / rate / 3600,
        "peak": most,
    }


def one_by_one(own: Session, prompts: Sequence[str], sizes: Sizes) -> tuple[int, float]:
    """As Diagram 4 draws it: tokenize, generate, for each prompt; by transformers alone."""
    encoded = encode(own.tokenizer, prompts, sizes.length)
    own.model.eval()
    _alone(own, encoded[0].ids, 2)  # warms up
    synchronize()
    started = time.perf_counter()
    tokens = sum(_alone(own, one.ids, sizes.new_tokens) for one in encoded)
    synchronize()
    return tokens, time.perf_counter() - started


def _alone(own: Session, ids: Sequence[int], new_tokens: int) -> int:
    import torch

    prompt = torch.tensor([list(ids)], device=own.model.device)
    on_gpu = own.model.device.type == "cuda"
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, enabled=on_gpu):
        made = own.model.generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), generation_config=_drawn(new_tokens)
        )
    return int(made.shape[1] - prompt.shape[1])


def _drawn(new_tokens: int) -> Any:
    """Sampling with the numbers drawn in Diagram 4."""
    from transformers import GenerationConfig

    return GenerationConfig(
        max_new_tokens=new_tokens,
        do_sample=True,
        temperature=0.7,
        top_p=0.95,
        pad_token_id=0,
        eos_token_id=0,
    )


def batch(own: Session, prompts: Sequence[str], sizes: Sizes) -> tuple[int, float]:
    """By the code of Diagram 4's Generate."""
    few = SamplingConfig(batch=len(prompts), max_new_tokens=2, max_prompt_tokens=sizes.length)
    list(answers(own.model, own.tokenizer, prompts, few, SEED))
    whole = few.model_copy(update={"max_new_tokens": sizes.new_tokens})
    synchronize()
    started = time.perf_counter()
    made = list(answers(own.model, own.tokenizer, prompts, whole, SEED))
    synchronize()
    return sum(output.tokens for _, output in made), time.perf_counter() - started


def continuous(
    config: QLoRAConfig, tokenizer: Any, encoded: Sequence[Any], sizes: Sizes
) -> tuple[int, float]:
    """By transformers' continuous batching, on a student not prepared for training: its cache wants one dtype."""
    from phases.student import model as models

    student = models.apply_lora(models.load(config), config, SEED).get_base_model().eval()
    try:
        synchronize()
        started = time.perf_counter()
        made = student.generate_batch(
            [list(e.ids) for e in encoded], generation_config=_drawn(sizes.new_tokens)
        )
        synchronize()
        taken = time.perf_counter() - started
    finally:
        del student
        release()
    failed = [str(one.error) for one in made.values() if one.error]
    if failed or len(made) < len(encoded):
        raise RuntimeError(f"{len(made) - len(failed)} of {len(encoded)} answered; {failed[:1]}")
    return sum(len(one.generated_tokens) for one in made.values()), taken
