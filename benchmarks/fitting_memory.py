"""What the preflight says a training step takes, beside the peak that is measured.

    python -m benchmarks.fitting_memory

On a CPU, where the bytes of all tensors are counted as they come and go (`phases.student.memory.Tracked`), so that the
measured side is exact: seven settings of a small Granite, trained two steps by the phase's own trainer. On a CUDA machine
`benchmarks/qlora_8b.py --parts step` sets the same estimate beside the allocator's peak.

Prints the table and writes benchmarks/results/fitting_memory.json. Exit code 1 where one is off by more than a tenth.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.granite_8b.sizes import LAPTOP, SEED, STUDENT

ROOT = Path(__file__).resolve().parent.parent
LENGTH = 256
SIZES = replace(
    LAPTOP,
    shape={
        **STUDENT,
        "vocab_size": 4096,
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
    },
    length=2 * LENGTH,
)
SETTINGS: dict[str, dict[str, Any]] = {
    "as drawn": {},
    "full precision": {"quantization": "none"},
    "activations kept": {"gradient_checkpointing": False},
    "8 rows, kept": {"micro_batch": 8, "gradient_checkpointing": False},
    "8 rows, full precision": {"quantization": "none", "micro_batch": 8},
    "by tokens": {"micro_batch": 8, "micro_batch_of": "tokens"},
    "rank 8, two kinds of layers": {"lora_rank": 8, "target_modules": ["q_proj", "v_proj"], "micro_batch": 4},
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "fitting_memory")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "benchmarks" / "results" / "fitting_memory.json"
    )
    args = parser.parse_args(argv)
    from phases.student import hub

    hub.quiet(offline=True)
    from benchmarks.granite_8b.base import make
    from benchmarks.granite_8b.device import machine

    base = make(SIZES, args.work.resolve())
    found = {}
    for name, said in SETTINGS.items():
        found[name] = one(base, said, args.work / "training")
        print(
            f"{name:30} said {found[name]['said'] / 1e6:8.1f} MB  measured {found[name]['measured'] / 1e6:8.1f} MB  "
            f"{found[name]['ratio']:.3f}",
            flush=True,
        )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(
        json.dumps({"machine": machine(SIZES), "shape": dict(SIZES.shape), "settings": found}, indent=1)
        + "\n"
    )
    return 0 if all(abs(row["ratio"] - 1) <= 0.1 for row in found.values()) else 1


def one(base: Any, said: dict[str, Any], directory: Path) -> dict[str, Any]:
    """What is said and what is measured of one setting, in bytes."""
    from benchmarks.granite_8b.base import loaded, row, shape_of
    from fsm.engine import Walk
    from machines.qlora_training import MACHINE
    from phases.qlora_training import data
    from phases.qlora_training import trainer as trainers
    from phases.student import memory, preflight

    config = base.config(SIZES, **{"max_steps": 2, "gradient_accumulation_steps": 2, **said})
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with loaded(config) as (own, _):
        rng = random.Random(SEED)
        texts = [row(rng, own.tokenizer, LENGTH) for _ in range(32)]
        rows = data.tokenize(texts, own.tokenizer, config.max_length, "rows")
        longest = max(len(e.input_ids) for e in rows.examples)
        set_ = data.dataset(rows)
        sizes = (preflight.rows_at_once(config), config.gradient_accumulation_steps)
        trainer = trainers.create(config, own.model, own.tokenizer, set_, set_, directory, SEED, *sizes)
        there = [*own.model.parameters(), *own.model.buffers(), *states(own.model)]
        held = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in there}
        with memory.Tracked(there) as tracked:
            walk = Walk(MACHINE.counted_inside("TrainingLoop"))
            trainers.train(trainer, config, walk, lambda: False, lambda done, total, note: None)
        measured = sum(held.values()) + tracked.peak
    # by tokens, a pass is filled up to as many as rows of full length would have
    length = longest if config.micro_batch_of == "rows" else config.max_length
    needed = preflight.need(shape_of(base), config, length, gpu=False)
    return {
        "settings": said,
        "said": round(needed.total),
        "measured": measured,
        "ratio": needed.total / measured,
        "parts": {k: round(v) for k, v in needed.__dict__.items()},
    }


def states(model: Any) -> list[Any]:
    """The tensors beside its weights that a quantised layer computes with."""
    found = []
    for module in model.modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        for part in (state, getattr(state, "state2", None)):
            found += [t for t in vars(part).values() if hasattr(t, "untyped_storage")] if part else []
    return found


if __name__ == "__main__":
    sys.exit(main())
