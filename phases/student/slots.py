"""Answers in slots: a row that has ended gives its place to the next prompt at once, and nobody waits for the longest.

In a batch that lasts as long as its longest answer, a third of answers of full length makes the other two thirds pad for
most of the time. Here a model of B rows takes one step after another; each row is at its own place in its own answer. What
`phases.student.generate` promises holds as well, for all shapes are functions of the prompt and the settings alone:

- Prompts are read in groups of one size, padded to a multiple of `bucket`; the keys and values are then copied to a slot.
- A step has B rows, empty ones included, over a cache of one length: prompts of like length share it (a power of two of
  buckets, and room for the answer), and what a row does not use of it is masked.

transformers' own continuous batching answers by other shapes each time, and draws from one generator; on one H100 it was
as fast as batches of 128, on a CPU a third of one by one (docs/gpu.md).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin

from phases.student.generate import Encoded, Output, SamplingConfig, gumbel, key, padded, to_output

Pair = tuple[int, Output]


def fits(model: Any) -> bool:
    """Whether every layer of the model attends to all that came before, which a slot's mask and cache stand for.

    Others keep a window or a state (`layer_types`, `sliding_window` of transformers), and are answered in batches.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return kinds <= {"full_attention", "attention"} and not getattr(config, "sliding_window", None)


def answers(
    model: Any, tokenizer: Any, encoded: Sequence[Encoded], config: SamplingConfig, seed: int
) -> Iterator[Pair]:
    """(place, answer) for every prompt, each as soon as it has ended. Leaves the model in eval mode."""
    model.eval()
    with _attending(model):
        for capacity, places in _classes(encoded, config):
            yield from _Table(model, tokenizer, encoded, config, seed, capacity).drain(places)


def draw(logits: Any, keys: Any, steps: Any, config: SamplingConfig) -> Any:
    """The next token of each row, int64 (rows,), from `logits` (rows, vocabulary); its noise is of its key and step alone.

    What transformers' warpers leave is drawn from, and yet hardly ever sorted, which over a large vocabulary takes longer
    than all else here: a token that wins among all and has clearly less than `top_p` above it wins in the nucleus too.
    """
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    scores = logits.float()
    if not config.temperature:
        return scores.argmax(-1)
    scores = TemperatureLogitsWarper(config.temperature)(None, scores)
    noise = gumbel(keys, steps, scores.shape[1])
    drawn = (scores + noise).argmax(-1)
    if config.top_p < 1:
        chances = scores.softmax(-1)
        won = drawn[:, None]
        above = chances.masked_fill(scores < scores.gather(1, won), 0).sum(-1, keepdim=True) - chances.gather(
            1, won
        )
        unclear = (above[:, 0] >= config.top_p - _CLEAR).nonzero()[:, 0]
        if len(unclear):
            kept = TopPLogitsWarper(config.top_p)(None, scores[unclear])
            drawn[unclear] = (kept + noise[unclear]).argmax(-1)
    return drawn


_CLEAR = 1e-3
"""A share of probability far above what the rounding of a sum over a vocabulary comes to."""


@dataclass
class _Row:
    """An answer under way: the place of its prompt, and its tokens so far."""

    place: int
    tokens: list[int]


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values (rows, heads, length, width) of one layer, of which each row writes at a place of its own."""

    is_compileable = False
    is_sliding = False

    def __init__(self, keys: Any, values: Any, at: Any) -> None:
        super().__init__()
        self.keys, self.values, self._at = keys, values, at
        self._rows = torch.arange(len(keys), device=keys.device)
        self.is_initialized = True

    def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
        """Nothing: there are keys and values from the beginning."""

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """One token more for every row, (rows, heads, 1, width)."""
        self.keys[self._rows, :, self._at] = key_states[:, :, 0]
        self.values[self._rows, :, self._at] = value_states[:, :, 0]
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Not asked: the mask is given whole."""
        return self.keys.shape[2], 0

    def get_seq_length(self) -> int:
        """Not asked: the positions are given."""
        return int(self.keys.shape[2])

    def get_max_length(self) -> int:
        """The length of the cache, in tokens."""
        return int(self.keys.shape[2])

    get_max_cache_shape = get_max_length
    """What transformers 5.3, the training image's, calls it."""


class _Table:
    """`config.batch` slots over a cache of `capacity` tokens of prompt and `max_new_tokens` of answer."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        encoded: Sequence[Encoded],
        config: SamplingConfig,
        seed: int,
        capacity: int,
    ) -> None:
        self._model, self._tokenizer, self._encoded, self._config = model, tokenizer, encoded, config
        self._seed, self._capacity, self._end = seed, capacity, tokenizer.eos_token_id
        self._rows: list[_Row | None] = [None] * config.batch
        self._group = max(1, config.batch // 8)
        whole = {"device": model.device, "dtype": torch.int64}
        self._keys = torch.zeros(config.batch, **whole)
        self._steps = torch.zeros(config.batch, **whole)  # tokens drawn so far
        self._last = torch.full((config.batch, 1), tokenizer.pad_token_id, **whole)
        self._positions = torch.zeros((config.batch, 1), **whole)
        self._at = torch.full((config.batch,), capacity, **whole)
        self._mask: Any = None
        self._cache: Any = None

    def drain(self, places: Sequence[int]) -> Iterator[Pair]:
        """The answers to the prompts of these places, in the order in which they end."""
        waiting = deque(places)
        while waiting or any(self._rows):
            free = [slot for slot, row in enumerate(self._rows) if row is None]
            if waiting and (len(free) >= self._group or len(free) == len(self._rows)):
                first = self._encoded[waiting[0]]
                taken = [waiting.popleft()]
                while waiting and len(taken) < self._group and self._alike(first, waiting[0]):
                    taken.append(waiting.popleft())
                yield from self._admit(free[: len(taken)], taken)
            else:
                yield from self._step()

    def _alike(self, one: Encoded, place: int) -> bool:
        return padded(one, self._config) == padded(self._encoded[place], self._config)

    def _admit(self, slots: list[int], places: list[int]) -> list[Pair]:
        """Read prompts of one padded length, in a group that is filled up with copies, and draw their first tokens."""
        length = padded(self._encoded[places[0]], self._config)
        ids = [list(self._encoded[p].ids) for p in places]
        ids += [ids[0]] * (self._group - len(ids))
        pad = self._tokenizer.pad_token_id
        device = self._model.device
        rows = torch.tensor([[pad] * (length - len(i)) + i for i in ids], device=device)
        mask = torch.tensor([[0] * (length - len(i)) + [1] * len(i) for i in ids], device=device)
        read = DynamicCache(config=self._model.config)
        with torch.no_grad(), _precision(self._model):
            said = self._model(
                input_ids=rows,
                attention_mask=mask,
                position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
                past_key_values=read,
                use_cache=True,
                logits_to_keep=1,
            )
        self._lay_out(read, said.logits.dtype)
        begin = self._capacity - length
        chosen = torch.tensor(slots, device=device)
        for layer, found in zip(self._cache.layers, read.layers, strict=True):
            layer.keys[chosen, :, begin : self._capacity] = found.keys[: len(slots)]
            layer.values[chosen, :, begin : self._capacity] = found.values[: len(slots)]
        least = torch.finfo(self._mask.dtype).min
        self._mask[chosen] = least
        self._mask[chosen, 0, 0, begin : self._capacity] = (1 - mask[: len(slots)]).to(
            self._mask.dtype
        ) * least
        self._keys[chosen] = torch.tensor(
            [key(self._seed, self._encoded[p].prompt) for p in places], device=device
        )
        self._steps[chosen] = 0
        self._at[chosen] = self._capacity - 1
        self._positions[chosen, 0] = mask[: len(slots)].sum(-1) - 1
        for slot, place in zip(slots, places, strict=True):
            self._rows[slot] = _Row(place, [])
        return self._take(said.logits[: len(slots), -1], slots, chosen)

    def _step(self) -> list[Pair]:
        """One token more for every row that is under way."""
        busy = [slot for slot, row in enumerate(self._rows) if row is not None]
        chosen = torch.tensor(busy, device=self._model.device)
        self._mask[chosen, 0, 0, self._at[chosen]] = 0
        with torch.no_grad(), _precision(self._model):
            said = self._model(
                input_ids=self._last,
                attention_mask=self._mask,
                position_ids=self._positions,
                past_key_values=self._cache,
                use_cache=True,
            )
        return self._take(said.logits[:, -1][chosen], busy, chosen)

    def _take(self, logits: Any, slots: list[int], chosen: Any) -> list[Pair]:
        """Draw a token for each of these slots; rows that end by it are told, and their slots are free."""
        ended = []
        drawn = draw(logits, self._keys[chosen], self._steps[chosen], self._config)
        self._last[chosen, 0] = drawn
        self._steps[chosen] += 1
        self._at[chosen] += 1
        self._positions[chosen, 0] += 1
        for slot, token in zip(slots, drawn.tolist(), strict=True):
            row = self._rows[slot]
            assert row is not None
            row.tokens.append(token)
            if token == self._end or len(row.tokens) == self._config.max_new_tokens:
                self._rows[slot] = None
                self._at[slot] = self._capacity  # goes on writing where the next answer begins
                said = to_output(self._tokenizer, self._encoded[row.place], row.tokens, self._config)
                ended.append((row.place, said))
        return ended

    def _lay_out(self, like: Any, dtype: Any) -> None:
        """Room for all rows, of the kind that the first prompts came out as; transformers knows the kind only then."""
        if self._cache is not None:
            return
        length = self._capacity + self._config.max_new_tokens
        layers = []
        for layer in like.layers:
            _, heads, _, width = layer.keys.shape
            whole = (len(self._rows), heads, length)
            layers.append(
                _Layer(
                    layer.keys.new_zeros(*whole, width),
                    layer.values.new_zeros(*whole, layer.values.shape[-1]),
                    self._at,
                )
            )
        self._cache = Cache(layers=layers)
        kind = like.layers[0].keys.dtype
        self._mask = torch.full(
            (len(self._rows), 1, 1, length),
            torch.finfo(kind).min,
            device=self._model.device,
            dtype=kind,
        )


def _classes(encoded: Sequence[Encoded], config: SamplingConfig) -> list[tuple[int, list[int]]]:
    """(tokens of prompt that the cache has room for, places), the shortest first and sorted by padded length within."""
    found: dict[int, list[int]] = {}
    for place, one in enumerate(encoded):
        buckets = padded(one, config) // config.bucket
        found.setdefault(config.bucket * (1 << (buckets - 1).bit_length()), []).append(place)
    return [
        (capacity, sorted(places, key=lambda p: padded(encoded[p], config)))
        for capacity, places in sorted(found.items())
    ]


def _precision(model: Any) -> AbstractContextManager[Any]:
    """On a GPU, bf16 for a student prepared for training, whose norms and embeddings are fp32."""
    return torch.autocast("cuda", torch.bfloat16) if model.device.type == "cuda" else nullcontext()


@contextmanager
def _attending(model: Any) -> Iterator[None]:
    """Have attention take a mask of four dimensions, which that of flash-attn does not."""
    was = model.config._attn_implementation
    if was.startswith("flash"):
        model.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        if model.config._attn_implementation != was:
            model.set_attn_implementation(was)
