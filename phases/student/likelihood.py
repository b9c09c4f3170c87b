"""How likely a student finds a text: the mean log-probability of an answer's tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from phases.student.generate import Encoded

ROWS = 8  # at most in one forward pass: of an 8B's 49,152 logits a token that is 1.6 GB for 1024 tokens


def likelihoods(
    model: Any,
    tokenizer: Any,
    encoded: Sequence[Encoded],
    texts: Sequence[str],
    rows: int = ROWS,
    bucket: int = 64,
) -> Iterator[float]:
    """For each prompt and its answer the mean log-probability of the answer's tokens, the end of text included; at most 0.

    In the order given. Rows of like length go together, padded on the right to a multiple of `bucket` tokens and filled up
    to `rows`, so that a value does not depend on what else is asked. Leaves the model in eval mode.
    """
    import torch

    end = [tokenizer.eos_token_id]
    said = [
        (list(e.ids), tokenizer(text, add_special_tokens=False)["input_ids"] + end)
        for e, text in zip(encoded, texts, strict=True)
    ]
    by_length: dict[int, list[int]] = {}
    for place, (asked, answer) in enumerate(said):
        by_length.setdefault(-(-(len(asked) + len(answer)) // bucket) * bucket, []).append(place)
    found: dict[int, float] = {}
    model.eval()
    on_gpu = model.device.type == "cuda"
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16) if on_gpu else nullcontext():
        for length, places in sorted(by_length.items()):
            for i in range(0, len(places), rows):
                part = places[i : i + rows]
                values = _batch(model, [said[p] for p in part], rows, length)
                found |= dict(zip(part, values, strict=True))
    yield from (found[place] for place in range(len(said)))


def _batch(model: Any, said: Sequence[tuple[list[int], list[int]]], rows: int, length: int) -> list[float]:
    """The mean log-probabilities of one batch's answers: (prompt, answer) in tokens."""
    import torch
    from torch.nn.functional import cross_entropy

    filled = [*said, *[said[0]] * (rows - len(said))]
    ids = torch.zeros((rows, length), dtype=torch.long)
    labels = torch.full((rows, length), -100)
    mask = torch.zeros((rows, length), dtype=torch.long)
    for n, (asked, answer) in enumerate(filled):
        whole = torch.tensor([*asked, *answer])
        ids[n, : len(whole)] = whole
        mask[n, : len(whole)] = 1
        labels[n, len(asked) : len(whole)] = whole[len(asked) :]
    ids, labels, mask = (t.to(model.device) for t in (ids, labels, mask))
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
    losses = cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="none").view(rows, -1)
    counts = (labels[:, 1:] != -100).sum(1)
    return [round(float(x), 6) for x in (-losses.sum(1) / counts)[: len(said)]]
