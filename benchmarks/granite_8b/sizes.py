"""How much is measured: shapes of models, lengths, counts; and the arithmetic that these make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

Shape = Mapping[str, Any]

PROMPTS = 500
"""What the times of generation are extrapolated to."""


SEED = 42


GRANITE_8B: Shape = {
    "vocab_size": 100352,
    "hidden_size": 4096,
    "intermediate_size": 12800,
    "num_hidden_layers": 40,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e7},
    "attention_multiplier": 1 / 128,
    "embedding_multiplier": 12.0,
    "logits_scaling": 16.0,
    "residual_multiplier": 0.22,
    "tie_word_embeddings": True,
}
"""ibm-granite/granite-4.1-8b, by its model card and the metadata of its GGUF files."""


TINY: Shape = {
    **GRANITE_8B,
    "vocab_size": 1024,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "attention_multiplier": 1 / 16,
    "max_position_embeddings": 1024,
}


@dataclass(frozen=True)
class Sizes:
    """How much is measured. Lengths in tokens; `warm` and `timed` in optimizer steps of each of `rounds`."""

    shape: Shape
    shard: str
    length: int
    rank: int
    micro_batch: int
    accumulation: int
    warm: int
    timed: int
    rounds: int
    alone: int  # prompts answered one by one
    batches: tuple[int, ...]
    prompt: int
    new_tokens: int
    matmul: int
    provoked: int  # the micro-batch that does not fit


FULL = Sizes(GRANITE_8B, "4GB", 4096, 32, 2, 8, 1, 2, 2, 2, (32, 128), 256, 1024, 8192, 16)


SHORT = replace(FULL, accumulation=2, timed=1, rounds=1, alone=1, batches=(32,), new_tokens=128)
"""The same model for some minutes, to see what an instance does."""


SMALL = Sizes(TINY, "200KB", 192, 4, 2, 2, 1, 1, 1, 1, (4,), 32, 8, 256, 4)


STUDENT: Shape = {
    **TINY,
    "hidden_size": 128,
    "intermediate_size": 384,
    "attention_multiplier": 32**-0.5,
    "embedding_multiplier": 1.0,
    "logits_scaling": 1.0,
    "residual_multiplier": 1.0,
}
"""The tiny student of configs/local.yaml: half a million parameters."""


LAPTOP = Sizes(STUDENT, "1MB", 512, 32, 2, 8, 1, 4, 3, 4, (8, 32), 64, 256, 512, 8)


def parameters(shape: Shape, rank: int = 32) -> dict[str, int]:
    """Counts of weights: in the linear layers, in the head (also the embedding), in a LoRA of `rank`, in all."""
    width, ff, layers = shape["hidden_size"], shape["intermediate_size"], shape["num_hidden_layers"]
    kv = width // shape["num_attention_heads"] * shape["num_key_value_heads"]
    each = [(width, width), (width, kv), (width, kv), (width, width), (width, ff), (width, ff), (ff, width)]
    linear = layers * sum(a * b for a, b in each)
    head = shape["vocab_size"] * width
    norms = (2 * layers + 1) * width
    return {
        "linear": linear,
        "head": head,
        "lora": layers * sum(rank * (a + b) for a, b in each),
        "all": linear + head + norms,
    }


def arithmetic(sizes: Sizes, tokens: int, squares: int, learned: int) -> float:
    """FLOPs of forward and backward with a frozen base, recomputation not counted.

    A frozen weight costs 2 forward and 2 backward (no gradient of its own), an adapter's 6; the head is computed where
    loss is taken. Causal attention: 2 n² width a layer forward, twice that backward; `squares` is the sum of n².
    """
    has = parameters(sizes.shape, sizes.rank)
    attention: int = 6 * squares * sizes.shape["hidden_size"] * sizes.shape["num_hidden_layers"]
    return 4.0 * has["linear"] * tokens + 6.0 * has["lora"] * tokens + 4.0 * has["head"] * learned + attention
