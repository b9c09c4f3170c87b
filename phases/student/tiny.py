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
import random
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phases.student import documented, induction
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
    model = base_step(recipe, batches(recipe, tokenizer, texts), progress or _quiet)
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
    """A byte-level BPE tokenizer of `recipe.vocabulary` tokens, digits split, with Granite's role tokens.

    To these come, where `recipe.number_digits` is more than 1, all numbers of so many digits and fewer.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
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
    tokenizer.add_tokens([AddedToken(number, normalized=False) for number in _numbers(recipe)])
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


def _numbers(recipe: TinyStudentConfig) -> list[str]:
    """The numbers that are tokens besides the single digits."""
    return [f"{n:0{digits}d}" for digits in range(2, recipe.number_digits + 1) for n in range(10**digits)]


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
        tie_word_embeddings=not recipe.copying,
        # Granite's default of 1.0 is tuned for its own width; without 1/sqrt(d) attention saturates at this size
        attention_multiplier=1.0 / math.sqrt(recipe.width / recipe.heads),
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        # with heads that copy, the embeddings are what the residual stream begins with, at the scale of a norm's output
        embedding_multiplier=math.sqrt(recipe.width) if recipe.copying else 1.0,
    )
    torch.manual_seed(recipe.seed)
    model = GraniteForCausalLM(config)
    if recipe.copying:
        induction.begin_with(model)
    return model


def base_step(recipe: TinyStudentConfig, batches: Iterator[tuple[Any, Any]], progress: Progress) -> Any:
    """Train all weights as a language model on `batches`: tokens and labels, int64 (base_batch, base_length) each; the
    model, in fp32.
    """
    import torch

    model = granite(recipe, recipe.vocabulary + len(_numbers(recipe)))
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.base_learning_rate, betas=(0.9, 0.95), weight_decay=0.1
    )
    warmup = max(1, recipe.base_steps // 20)
    for step in range(recipe.base_steps):
        ids, labels = next(batches)
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss
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


def batches(
    recipe: TinyStudentConfig, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> Iterator[tuple[Any, Any]]:
    """(tokens, what is learned of them) for the base step, without end: windows of the texts, and as many rows of C below
    its notes as `recipe.documented` has it. A note is read and not learned.
    """
    import torch

    blocks = _blocks(recipe, tokenizer, texts)
    generator = torch.Generator().manual_seed(recipe.seed)
    rng = random.Random(recipe.seed)
    notes = round(recipe.documented * recipe.base_batch)
    functions, words = documented.functions(texts), documented.words(texts)
    if notes and not functions:
        raise ValueError(
            "None of the texts for the tiny student's base step defines one function, so there is nothing to write a note "
            "about. Give it functions, or set tiny_student.documented to 0."
        )

    def row() -> tuple[list[int], list[int]]:
        """A function below its note, where most of it has room, and constants below theirs behind it."""
        ids: list[int] = []
        labels: list[int] = []
        first = True
        while len(ids) < recipe.base_length:
            said = documented.noted(rng.choice(functions), rng) if first else documented.constant(words, rng)
            note, code = tokenizer(list(said), add_special_tokens=False)["input_ids"]
            room = len(note) + len(code) <= _CUT * recipe.base_length
            if room or not first:
                ids += [*note, *code, tokenizer.eos_token_id]
                labels += [IGNORED] * len(note) + [*code, tokenizer.eos_token_id]
            first = False
        return ids[: recipe.base_length], labels[: recipe.base_length]

    while True:
        windows = blocks[torch.randint(len(blocks), (recipe.base_batch - notes,), generator=generator)]
        rows = torch.tensor([row() for _ in range(notes)], dtype=torch.long)
        ids, labels = rows.view(notes, 2, recipe.base_length).unbind(1)
        yield torch.cat([windows, ids]), torch.cat([windows, labels])


IGNORED = -100  # by the loss
_CUT = 1.5  # a row's length: of a function that is longer so much would be cut off that its note stands above nothing


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
