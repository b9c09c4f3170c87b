"""What docs/gpu.md says of a CPU alone, on a GPU, in eight minutes: every part under a limit, its result written at once.

    python benchmarks/eight_minutes.py            on a CUDA machine; nothing is downloaded, 6 GB of disk are used
    python benchmarks/eight_minutes.py --tiny     the same on a shape that proves the code, on a CPU

Eight of the 8B's forty layers: times of a layer and shares are those of the whole, and what a layer does not change (head,
embedding) weighs more than in the whole, which is said with the numbers.

Writes benchmarks/results/eight_minutes.json. Exit code 2 where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMITS = {"step": 200, "answers over nf4": 120, "answers over full weights": 90}
"""Seconds of each part; making the model takes the rest."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run all parts; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "eight_minutes")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(os.environ.get("OUT") or ROOT / "benchmarks" / "results") / "eight_minutes.json",
    )
    args = parser.parse_args(argv)
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from phases.student import hub

    hub.quiet(offline=True)
    import torch

    if not (args.tiny or torch.cuda.is_available()):
        print("There is no CUDA device here; --tiny runs the same code on a small shape.", file=sys.stderr)
        return 2
    from benchmarks.granite_8b.base import make
    from benchmarks.granite_8b.device import machine
    from benchmarks.granite_8b.sizes import FULL, SMALL

    layers = {**FULL.shape, "num_hidden_layers": 8}
    sizes = (
        SMALL if args.tiny else replace(FULL, shape=layers, rounds=1, timed=2, batches=(128,), new_tokens=256)
    )
    base = make(sizes, args.work.resolve())
    found: dict[str, Any] = {"machine": machine(sizes), "model": base.said}
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "step": lambda: trained(sizes, base, args.work, found),
        "answers over nf4": lambda: answered(sizes, base, ("batches", "slots"), "nf4"),
        "answers over full weights": lambda: answered(sizes, base, ("slots",), "none"),
    }
    for name, do in parts.items():
        started = time.monotonic()
        try:
            with limit(LIMITS[name]):
                found[name] = do()
        except (
            Exception
        ) as e:  # a part that fails or takes too long leaves its reason, and the others their time
            found[name] = {"does_not_work": f"{type(e).__name__}: {e}"[:500]}
        found[name]["took_seconds"] = round(time.monotonic() - started, 1)
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps({name: found[name]}, indent=1), flush=True)
    return 0


def trained(sizes: Any, base: Any, work: Path, found: dict[str, Any]) -> dict[str, Any]:
    """A step by bare TRL, followed, and by tokens; peaks beside the preflight."""
    from benchmarks.granite_8b import steps
    from benchmarks.granite_8b.base import loaded, shape_of
    from phases.student import preflight

    config = base.config(sizes)
    with loaded(config) as (own, _):
        ways = ("bare", "followed", *steps.PASSES)
        made = steps.variants(sizes, base, own, work, ways, found["machine"]["flops_ceiling"])
    bare = made["bare"]["tokens_per_second"]
    return {
        "variants": made,
        "tokens a second, times bare": {name: way["tokens_per_second"] / bare for name, way in made.items()},
        "preflight_bytes": preflight.need(
            shape_of(base), config, gpu=bool(found["machine"]["memory_bytes"])
        ).total,
    }


def answered(sizes: Any, base: Any, ways: Sequence[str], quantization: str) -> dict[str, Any]:
    """384 prompts, lengths log-normal and a third of full length, in batches of 128 and in slots."""
    import torch

    from benchmarks.answering import ending, in_turns, lengths, said
    from benchmarks.granite_8b.base import loaded
    from benchmarks.granite_8b.generating import questions
    from benchmarks.granite_8b.sizes import SEED
    from phases.student import slots
    from phases.student.generate import SamplingConfig, answer, encode, plan

    gpu = torch.cuda.is_available()
    config = base.config(sizes, quantization=quantization, compute_dtype="bfloat16" if gpu else "float32")
    rows = max(sizes.batches)
    sampling = SamplingConfig(batch=rows, max_new_tokens=sizes.new_tokens, max_prompt_tokens=sizes.length)
    with loaded(config) as (own, _):
        prompts = questions(own.tokenizer, 3 * rows, sizes.prompt)
        encoded = encode(own.tokenizer, prompts, sizes.length)
        ends = dict(zip(prompts, lengths(len(prompts), sizes.new_tokens), strict=True))

        def batches() -> dict[int, Any]:
            return {
                place: one
                for part in plan(encoded, sampling)
                for place, one in zip(
                    part.places, answer(own.model, own.tokenizer, encoded, part, sampling, SEED), strict=True
                )
            }

        def in_slots() -> dict[int, Any]:
            return dict(slots.answers(own.model, own.tokenizer, encoded, sampling, SEED))

        with ending(ends, own.tokenizer.eos_token_id):
            done = in_turns({name: {"batches": batches, "slots": in_slots}[name] for name in ways}, 1)
    return {name: said(made, seconds) for name, (made, seconds) in done.items()}


@contextmanager
def limit(seconds: int) -> Iterator[None]:
    """Raises TimeoutError inside after so many seconds."""

    def late(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    sys.exit(main())
