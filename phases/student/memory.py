"""How much memory a training step takes, found out by taking one with tensors that have sizes and no content.

transformers and PEFT run as they would, in torch's FakeTensorMode, over one and two layers and rows; what comes of that is a
plane, by which more layers and rows are reckoned. So whatever a model's layers keep for their backward pass is in it, of
any architecture, and in a few seconds on any machine. What quantisation does to the weights, and the logits, are reckoned.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from phases.student.config import QLoRAConfig

PIECE = 1 << 28
"""Bytes of logits at a time where they are computed in pieces (phases.qlora_training.passes)."""

How = Literal["whole", "tiles", "pieces"]
"""Logits as TRL below version 1 has them, as TRL has them from there on, and as we do by tokens."""


class Tracked(TorchDispatchMode):  # type: ignore[misc]
    """Counts the bytes of the tensors that come to be inside: `now`, and the `peak`; `known` ones are not counted."""

    def __init__(self, known: Any = ()) -> None:
        super().__init__()
        self._live: set[int] = {t.untyped_storage()._cdata for t in known}
        self.now = self.peak = 0

    def __torch_dispatch__(self, do: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = do(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._count, made)
        return made

    def _count(self, tensor: Any) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._live:
            return
        self._live.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._live.discard(key)
        self.now -= size


@dataclass(frozen=True)
class Footprint:
    """Bytes of one pass, weights aside: `kept` when the forward pass is done, `peak` in the backward pass."""

    kept: float
    peak: float


def footprint(shape: Any, config: QLoRAConfig, rows: int, length: int, low: bool) -> Footprint:
    """What a pass over `rows` rows of `length` tokens takes below the head; `low` for activations at 16 bit, as on a GPU."""
    said = (
        shape.to_json_string(),
        config.lora_rank,
        config.lora_dropout,
        config.attention,
        config.target_modules,
    )
    at = {
        (layers, many): _tried(
            said, shape.__class__, layers, many, length, config.gradient_checkpointing, low
        )
        for layers in (1, 2)
        for many in (1, 2)
    }

    def plane(which: str) -> float:
        f = {key: getattr(found, which) for key, found in at.items()}
        a_layer, a_row = f[2, 1] - f[1, 1], f[1, 2] - f[1, 1]
        both = f[2, 2] - f[2, 1] - f[1, 2] + f[1, 1]
        more, wider = shape.num_hidden_layers - 1, rows - 1
        return float(f[1, 1] + more * a_layer + wider * a_row + more * wider * both)

    return Footprint(plane("kept"), plane("peak"))


def logits(vocabulary: int, tokens: int, how: How, low: bool) -> float:
    """Bytes at the head: logits, their logarithms, and the gradients of both."""
    if (
        how == "pieces"
    ):  # `passes.loss`: in fp32, in whose place come softmax and gradient, and a copy; of what is learned
        return min(tokens * vocabulary * 7.0, 2.0 * PIECE)
    if (
        how == "tiles"
    ):  # trl.kernels.chunked_logprob: a buffer; without Triton, what is made of a tile beside it
        rows = min(tokens, 4096)
        beside = 0.0 if low else 28.0 * min(vocabulary, 32768)
        return rows * (32768.0 * (2 if low else 4) + beside)
    # as they come at 16 bit on a GPU, at 32 from there on: softmax and two gradients
    return tokens * vocabulary * (12.0 if low else 16.0)


@cache
def _tried(
    said: tuple[Any, ...], kind: Any, layers: int, rows: int, length: int, checkpointing: bool, low: bool
) -> Footprint:
    import json

    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    described, rank, dropout, attention, target = said
    shape = kind.from_dict({**json.loads(described), "num_hidden_layers": layers, "layer_types": None})
    shape._attn_implementation = attention if attention != "flash_attention_2" else "sdpa"
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape, dtype=torch.bfloat16 if low else torch.float32)
        lora = LoraConfig(
            task_type="CAUSAL_LM", r=rank, lora_dropout=dropout, target_modules=target if isinstance(target, str) else list(target)
        )  # fmt: skip
        model = get_peft_model(model, lora)
    with FakeTensorMode(allow_non_fake_inputs=True), _precision(low):
        _faked(model, shape.vocab_size)
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()
        ids = torch.ones(rows, length, dtype=torch.long)
        with Tracked((*model.parameters(), *model.buffers())) as tracked:
            backbone = model.get_base_model().base_model
            end = backbone(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
            kept = tracked.now
            end.last_hidden_state.float().sum().backward()
        return Footprint(kept, tracked.peak)


def _faked(model: Any, vocabulary: int) -> None:
    """Tensors without content on the CPU in the place of the model's: what is trained, norms and embeddings in fp32."""
    made: dict[int, Any] = {}
    for module in model.modules():
        for name, old in list(module._parameters.items()):
            if old is None:
                continue
            if id(old) not in made:
                wide = old.dim() == 1 or old.requires_grad or vocabulary in old.shape
                empty = torch.empty(old.shape, dtype=torch.float32 if wide else old.dtype)
                made[id(old)] = torch.nn.Parameter(empty, requires_grad=old.requires_grad)
            module._parameters[name] = made[id(old)]
        for name, old in list(module._buffers.items()):
            if old is not None:
                module._buffers[name] = torch.empty(old.shape, dtype=old.dtype)


@contextmanager
def _precision(low: bool) -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        yield
