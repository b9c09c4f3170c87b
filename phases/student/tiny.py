"""A tiny student of Granite's architecture, made by the run itself: tokenizer, weights and a base step on raw C.

LoRA adapts what a model knows already; on random weights it learns nothing. So the base step first trains the
whole model as a language model on C sources (never on prompts), in full precision, for a fixed number of steps.
What comes out is a model directory like any other, quantised and trained by the code that trains the 8B.

The result depends on the recipe, the texts and the kind of processor, and on nothing else: it is cached under
the digest of these three.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phases.student.config import TinyStudentConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|end_of_text|>"
START_OF_ROLE = "<|start_of_role|>"
END_OF_ROLE = "<|end_of_role|>"
SPECIAL_TOKENS = (END_OF_TEXT, START_OF_ROLE, END_OF_ROLE)

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + '<|end_of_text|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|start_of_role|>assistant<|end_of_role|>' -}}{%- endif -%}"
)
"""Roles and turns as in Granite's own template, less its default system prompt."""

_FENCE = re.compile(r"^```.*$\n?", re.MULTILINE)

Progress = Callable[[int, int, str], None]


def build(
    recipe: TinyStudentConfig, texts: Sequence[str], cache: Path, progress: Progress | None = None
) -> Path:
    """The directory of the tiny student for `recipe` and `texts` (C sources), made now or found in `cache`.

    A directory is complete as soon as it is there: it is made under another name and moved. Raises ValueError
    when the texts hold too little to train on.
    """
    target = cache / f"tiny-granite-{digest(recipe, texts)[:16]}"
    if target.is_dir():
        return target
    tokenizer = train_tokenizer(recipe, texts)
    model = base_step(recipe, _blocks(recipe, tokenizer, texts), progress or _quiet)
    # only now: a stop in the base step, nearly all of the time, leaves nothing behind
    making = cache / f".{target.name}.{os.getpid()}"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    model.save_pretrained(making)
    tokenizer.save_pretrained(making)
    (making / "recipe.json").write_text(json.dumps(recipe.model_dump(), indent=1, sort_keys=True) + "\n")
    try:
        making.rename(target)
    except OSError:  # another process made the same one meanwhile
        shutil.rmtree(making, ignore_errors=True)
        if not target.is_dir():
            raise
    return target


def texts(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The C that the base step sees: the answers of the training rows, fences off, each once; never a prompt."""
    found = dict.fromkeys(_FENCE.sub("", row["messages"][-1]["content"]).strip() + "\n" for row in rows)
    return [text for text in found if text.strip()]


def digest(recipe: TinyStudentConfig, texts: Iterable[str]) -> str:
    """The cache key: recipe, texts in their order, versions that change the arithmetic, and the processor's kind."""
    import torch

    from phases.student.processor import kind

    h = hashlib.sha256(json.dumps(recipe.model_dump(), sort_keys=True).encode())
    h.update(f"{torch.__version__} {kind()}".encode())
    for text in texts:
        data = text.encode()
        h.update(len(data).to_bytes(8, "big") + data)
    return h.hexdigest()


def train_tokenizer(recipe: TinyStudentConfig, texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of `recipe.vocabulary` tokens, digits split, with Granite's role tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    # digits one by one: a number never seen as a whole can still be read and written
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TEXT,
        bos_token=END_OF_TEXT,
        additional_special_tokens=[START_OF_ROLE, END_OF_ROLE],
        model_max_length=recipe.context,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def granite(recipe: TinyStudentConfig, vocabulary: int) -> Any:
    """A GraniteForCausalLM with random weights, seeded by the recipe."""
    import torch
    from transformers import GraniteConfig, GraniteForCausalLM

    config = GraniteConfig(
        vocab_size=vocabulary,
        hidden_size=recipe.width,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        # Granite's default of 1.0 is tuned for its own width; without 1/sqrt(d) attention saturates at this size
        attention_multiplier=1.0 / math.sqrt(recipe.width / recipe.heads),
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    torch.manual_seed(recipe.seed)
    return GraniteForCausalLM(config)


def base_step(recipe: TinyStudentConfig, blocks: Any, progress: Progress) -> Any:
    """Train all weights as a language model on `blocks`, int64 (n, base_length); returns the model in fp32."""
    import torch

    model = granite(recipe, recipe.vocabulary)
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.base_learning_rate, betas=(0.9, 0.95), weight_decay=0.1
    )
    generator = torch.Generator().manual_seed(recipe.seed)
    warmup = max(1, recipe.base_steps // 20)
    for step in range(recipe.base_steps):
        rows = torch.randint(len(blocks), (recipe.base_batch,), generator=generator)
        batch = blocks[rows]
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        decay = 0.5 * (1 + math.cos(math.pi * step / recipe.base_steps))
        for group in optimizer.param_groups:
            group["lr"] = recipe.base_learning_rate * min(1.0, (step + 1) / warmup) * max(0.05, decay)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 20 == 0 or step + 1 == recipe.base_steps:
            progress(step + 1, recipe.base_steps, f"base step on raw C, loss {loss.item():.2f}")
    return model.eval()


def _blocks(recipe: TinyStudentConfig, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> Any:
    """The texts end to end, cut into windows of `base_length` tokens that overlap by half."""
    import torch

    stream: list[int] = []
    for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]:
        stream += [*ids, tokenizer.eos_token_id]
    starts = range(0, len(stream) - recipe.base_length, recipe.base_length // 2)
    if not starts:
        raise ValueError(
            f"The texts for the tiny student's base step hold {len(stream)} tokens, fewer than one window of "
            f"{recipe.base_length}. Give it more C sources, or a smaller tiny_student.base_length."
        )
    return torch.tensor([stream[i : i + recipe.base_length] for i in starts])


def _quiet(done: int, total: int, note: str) -> None:
    pass
