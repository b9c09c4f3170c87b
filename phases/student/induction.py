"""A pair of heads that copies, there from the first step: what a tiny student would need millions of tokens to grow.

A trained transformer copies by induction (arXiv:2209.11895): a head of an early layer tells each token what stands
before it, and a head of a later one looks for the places that stand behind the present token, and says what stands
there. Both form late and at once, long after a base step of a few hundred steps has ended. So the weights begin as
they would be found at the end, as in mimetic initialisation (arXiv:2305.09828); all of them are trained on from there.

The residual stream begins with the token's embedding, an empty slot as wide as a head, and one dimension that is the
same for all tokens. In the first layer, head 0 looks at the place before by position alone (a query and a key that
RoPE brings together at distance 1) and writes a projection of that token into the slot. In the last layer, the first
query head of each key-value head matches its own token's projection with the slots, and adds the token it finds, in the
terms of the output.
"""

from __future__ import annotations

import math
from typing import Any

STEADY = 2.0  # the dimension that all tokens share, in standard deviations of the others
PEAK = 8.0  # how much more the place before is looked at than the places beside it, in logits
MATCH = 8.0  # how much a match of tokens weighs
FAST = 6  # RoPE's fastest frequencies tell places apart, its slowest half leaves what is compared as it is
_THETA = 10_000.0  # of RoPE, as GraniteConfig has it


def begin_with(model: Any) -> None:
    """Set the weights of a fresh GraniteForCausalLM of two layers or more so that it copies; draws from torch's generator."""
    import torch

    config = model.config
    width, heads, kv_heads = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
    size = width // heads
    half = size // 2
    content, slot, steady = slice(0, width - size - 1), slice(width - size - 1, width - 1), width - 1
    wide = width - size - 1
    scale = 1 / config.embedding_multiplier
    first, last = model.model.layers[0].self_attn, model.model.layers[-1].self_attn
    with torch.no_grad():
        table = model.model.embed_tokens.weight
        table[:, content] = torch.randn(table.shape[0], wide) * scale
        table[:, slot] = 0
        table[:, steady] = STEADY * scale

        # what a token is read as, turned: a student whose output is tied to its input begins by saying each token again
        turned = torch.linalg.qr(torch.randn(wide, wide))[0]
        said = model.lm_head.weight
        said.zero_()
        said[:, content] = table[:, content] @ turned

        seen = STEADY / math.sqrt((wide + STEADY**2) / width)  # the steady dimension behind the norm
        angle = _THETA ** (-torch.arange(FAST) / half)
        strong = math.sqrt(PEAK / config.attention_multiplier) / seen
        for layer in (first.q_proj, first.k_proj):
            layer.weight[:size] = 0
        first.k_proj.weight[:FAST, steady] = strong
        first.q_proj.weight[:FAST, steady] = strong * torch.cos(angle)
        first.q_proj.weight[half : half + FAST, steady] = -strong * torch.sin(angle)
        project = torch.randn(size, wide) / math.sqrt(wide)
        first.v_proj.weight[:size] = 0
        first.v_proj.weight[:size, content] = project
        first.o_proj.weight[:, :size] = 0
        first.o_proj.weight[slot, :size] = torch.eye(size) / config.residual_multiplier

        slow = [*range(half // 2, half), *range(half + half // 2, size)]
        for kv in range(min(kv_heads, 2)):
            part = range(kv * half, (kv + 1) * half)  # of the projection, another for each
            key, query = kv * size, kv * (heads // kv_heads) * size
            last.k_proj.weight[key : key + size] = 0
            last.q_proj.weight[query : query + size] = 0
            for row, place in zip(slow, part, strict=True):
                last.k_proj.weight[key + row, slot.start + place] = math.sqrt(MATCH)
                last.q_proj.weight[query + row, content] = math.sqrt(MATCH) * project[place]
            out = torch.randn(size, wide) / math.sqrt(wide)
            last.v_proj.weight[key : key + size] = 0
            last.v_proj.weight[key : key + size, content] = out
            last.o_proj.weight[:, query : query + size] = 0
            last.o_proj.weight[content, query : query + size] = turned.T @ out.T / config.residual_multiplier
