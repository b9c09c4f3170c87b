"""A model with random weights in shards, its tokenizer, the rows to train on, and the student made of it."""

from __future__ import annotations

import math
import random
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.granite_8b.device import peak, release, synchronize
from benchmarks.granite_8b.sizes import GRANITE_8B, SEED, Sizes, parameters
from phases.qlora_training import data
from phases.student.config import QLoRAConfig, TinyStudentConfig
from phases.student.session import Session
from phases.student.tiny import train_tokenizer


@dataclass(frozen=True)
class Base:
    """A model's directory with its tokenizer, the rows to train on, and what was measured while making it."""

    path: Path
    train: Path
    validation: Path
    said: Mapping[str, Any]

    def config(self, sizes: Sizes, **changes: Any) -> QLoRAConfig:
        """The drawn settings, on this model."""
        said: dict[str, Any] = {
            "model": str(self.path),
            "offline": True,
            "lora_rank": sizes.rank,
            "lora_alpha": 2 * sizes.rank,
            "max_length": sizes.length,
            "micro_batch": sizes.micro_batch,
            "gradient_accumulation_steps": sizes.accumulation,
            "max_steps": sizes.warm + sizes.timed,
            "keep": "last",
            "threads": None if sizes.shape is GRANITE_8B else 1,
        }
        return QLoRAConfig.model_validate(said | changes)


def make(sizes: Sizes, work: Path) -> Base:
    """Random weights in shards, a tokenizer and rows; made once in `work`."""
    import torch
    from transformers import AutoModelForCausalLM, GraniteConfig

    base = Base(work / "model", work / "train.jsonl", work / "validation.jsonl", {})
    started = time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    rng = random.Random(SEED)
    texts = [source(rng, 40) for _ in range(40)]
    tokenizer = train_tokenizer(TinyStudentConfig(vocabulary=sizes.shape["vocab_size"] // 2), texts)
    steps = sizes.warm + sizes.timed
    count = steps * sizes.micro_batch * sizes.accumulation
    written = [row(rng, tokenizer, length) for length in lengths(rng, count, sizes.length)]
    base.train.write_text(data.lines(written))
    base.validation.write_text(data.lines(row(rng, tokenizer, sizes.length // 4) for _ in range(2)))
    made = not base.path.is_dir()
    if made:
        making = work / ".model"
        shutil.rmtree(making, ignore_errors=True)
        torch.manual_seed(SEED)
        shape = GraniteConfig(**sizes.shape, bos_token_id=0, eos_token_id=0, pad_token_id=0)
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            model = AutoModelForCausalLM.from_config(shape, dtype=torch.bfloat16)
        model.save_pretrained(making, max_shard_size=sizes.shard)
        del model
        release()
        tokenizer.save_pretrained(making)
        making.rename(base.path)
    shards = sorted(base.path.glob("*.safetensors"))
    said = {
        "shape": dict(sizes.shape),
        "parameters": parameters(sizes.shape)["all"],
        "shards": len(shards),
        "bytes": sum(p.stat().st_size for p in shards),
        "made_seconds": round(time.monotonic() - started, 1) if made else None,
        "rows": count,
    }
    return Base(base.path, base.train, base.validation, said)


def lengths(rng: random.Random, count: int, longest: int) -> list[int]:
    """Lengths of rows in tokens as instruction data has them: many short, few long (log-normal, median a quarter)."""
    drawn = (int(rng.lognormvariate(math.log(longest / 4), 0.6)) for _ in range(count))
    return [min(max(n, longest // 16), longest - longest // 16) for n in drawn]


def row(rng: random.Random, tokenizer: Any, length: int) -> dict[str, Any]:
    """A row of about `length` tokens; a sixth of them the prompt."""
    ids = tokenizer(source(rng, length // 4), add_special_tokens=False)["input_ids"]
    split = length // 6
    turns = [
        {"role": "user", "content": tokenizer.decode(ids[:split])},
        {"role": "assistant", "content": tokenizer.decode(ids[split : length - 8])},
    ]
    return {"messages": turns}


def source(rng: random.Random, lines: int) -> str:
    """C-like text of so many lines, each of ten tokens or more."""
    words = ("gate", "vlan", "queue", "slot", "stream", "credit", "shaper", "frame")
    return "".join(
        f"uint32_t {rng.choice(words)}_{rng.choice(words)} = read_{rng.choice(words)}({rng.randrange(4096)}U);\n"
        for _ in range(lines)
    )


@contextmanager
def loaded(config: QLoRAConfig) -> Iterator[tuple[Session, dict[str, Any]]]:
    """A student as the phase makes it: quantised, prepared, adapted; and what that took."""
    started = time.monotonic()
    with peak() as most:
        own = Session(config, config.model, SEED).reach("pad")
        synchronize()
    yield own, {"seconds": round(time.monotonic() - started, 2), "peak": most}
    own.model = None
    release()


def shape_of(base: Base) -> Any:
    """The model's transformers configuration."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(str(base.path))
