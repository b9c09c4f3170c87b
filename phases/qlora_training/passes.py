"""A step's rows as micro-batches by tokens instead of rows, and their loss without logits as a whole.

The rows of a step are those drawn (micro_batch x gradient_accumulation_steps, in the seeded order that transformers resumes),
and the loss of a step is a mean over its tokens, so that how the rows are split into passes changes no gradient but by
rounding. What changes is the time: rows of like length go together, and as many as fit a budget of tokens.

Imports torch; import it only in the process that trains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

Tensors = Mapping[str, Any]

IGNORED = -100
WHOLE = 1 << 26
"""Logits computed at a time: 256 MB in fp32."""


def split(rows: Tensors, budget: int, packed: bool) -> list[dict[str, Any]]:
    """The rows of a step, int64 (rows, longest) padded on the right, as micro-batches of at most `budget` tokens each.

    The longest come first, so that what does not fit the memory shows at once. A row longer than the budget is one of its
    own. Padded ones have input_ids, labels and attention_mask; `packed` ones are one sequence without padding, where
    position_ids begin anew with each row, by which transformers keeps the rows from seeing one another.
    """
    lengths = rows["attention_mask"].sum(1).tolist()
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    return [
        (_packed if packed else _padded)(rows, group, lengths)
        for group in groups(order, lengths, budget, packed)
    ]


def groups(order: Sequence[int], lengths: Sequence[int], budget: int, packed: bool) -> list[list[int]]:
    """The places in `order`, longest first, in groups of at most `budget` tokens, padding to the longest included unless `packed`.

    The cheapest cut of the order: all tokens of all passes, and PASS for each of them. A wide budget alone would pad short
    rows to the length of long ones.
    """
    cost, begun = [0], [0]  # of the first so many places, and where their last group begins
    for end in range(1, len(order) + 1):
        best: tuple[int, int] | None = None
        taken = 0
        for begin in range(end - 1, -1, -1):
            taken = taken + lengths[order[begin]] if packed else (end - begin) * lengths[order[begin]]
            if taken > budget and begin < end - 1:
                break
            found = cost[begin] + taken + PASS
            if best is None or found < best[0]:
                best = (found, begin)
        assert best is not None
        cost.append(best[0])
        begun.append(best[1])
    cut, end = [], len(order)
    while end:
        cut.append(list(order[begun[end] : end]))
        end = begun[end]
    return cut[::-1]


PASS = 256
"""Tokens whose time a pass takes besides its own: weights unpacked, kernels launched."""


def _padded(rows: Tensors, group: list[int], lengths: Sequence[int]) -> dict[str, Any]:
    longest = max(lengths[place] for place in group)
    return {name: rows[name][group, :longest] for name in ("input_ids", "labels", "attention_mask")}


def _packed(rows: Tensors, group: list[int], lengths: Sequence[int]) -> dict[str, Any]:
    ends = [(place, lengths[place]) for place in group]
    labels = [rows["labels"][place, :n].clone() for place, n in ends]
    for each in labels:
        each[0] = IGNORED  # nothing before it predicts a row's first token
    return {
        "input_ids": torch.cat([rows["input_ids"][place, :n] for place, n in ends])[None],
        "labels": torch.cat(labels)[None],
        "position_ids": torch.cat([torch.arange(n, device=labels[0].device) for _, n in ends])[None],
    }


def lean(model: Any) -> bool:
    """Whether the loss can be computed by `loss`: a head that is frozen and without bias, and logits scaled as Granite's at most."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    head, config = base.get_output_embeddings(), base.config.get_text_config()
    other = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier")
    return (
        type(head) is torch.nn.Linear
        and head.bias is None
        and not head.weight.requires_grad
        and not getattr(config, "output_router_logits", False)
        and all(getattr(config, name, None) is None for name in other)
        and (getattr(config, "logits_scaling", None) is None or config.model_type.startswith("granite"))
    )


def loss(model: Any, inputs: Tensors, items: Any) -> Any:
    """The summed loss in nats of what is learned in `inputs`, divided by `items`; nothing waits for the GPU.

    Only the positions that are learned from go through the head, a piece at a time, and what flows back from them is
    computed at once, as liger-kernel has it (arXiv:2410.10989): logits over the vocabulary never stand there whole.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    given = {name: value for name, value in inputs.items() if name != "labels"}
    hidden = base.base_model(**given, use_cache=False).last_hidden_state[:, :-1]
    targets = inputs["labels"][:, 1:]
    learned = targets != IGNORED
    scale = 1.0 / (getattr(base.config, "logits_scaling", None) or 1.0)
    total = _Loss.apply(hidden[learned], base.get_output_embeddings().weight, targets[learned], scale)
    return total / items


class _Loss(torch.autograd.Function):  # type: ignore[misc]
    """Cross entropy summed over rows of `hidden` (n, width) by a frozen head (vocabulary, width); targets int64 (n,)."""

    @staticmethod
    def forward(context: Any, hidden: Any, weight: Any, targets: Any, scale: float) -> Any:
        kind = hidden.device.type
        if torch.is_autocast_enabled(kind):
            weight = weight.to(torch.get_autocast_dtype(kind))
        back = torch.empty_like(hidden)
        total = torch.zeros((), device=hidden.device, dtype=torch.float32)
        step = max(1, WHOLE // len(weight))
        with torch.autocast(kind, enabled=False):
            for begin in range(0, len(hidden), step):
                piece, wanted = (
                    hidden[begin : begin + step].to(weight.dtype),
                    targets[begin : begin + step, None],
                )
                logits = (piece @ weight.T).float().mul_(scale)
                most = logits.logsumexp(-1, keepdim=True)
                total += (most - logits.gather(1, wanted)).sum()
                chances = logits.sub_(most).exp_()
                chances.scatter_add_(1, wanted, torch.full_like(most, -1.0))
                back[begin : begin + step] = (chances.to(weight.dtype) @ weight).mul_(scale)
        context.save_for_backward(back)
        return total

    @staticmethod
    def backward(context: Any, upstream: Any) -> Any:
        (back,) = context.saved_tensors
        return back * upstream, None, None, None
