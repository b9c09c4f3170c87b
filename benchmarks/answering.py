"""Answers of lengths as they come: in slots, beside batches that last as long as their longest answer.

    python -m benchmarks.answering              on the tiny student of configs/local.yaml and a CPU
    python -m benchmarks.answering --tiny       on a shape that proves the code, not the speed

Lengths are log-normal, a third of them full length, and forced: at the step drawn for a prompt its noise makes the end of
text the likeliest token, in both ways alike. Both ways answer the same prompts in turns, `--rounds` times; the best of each
counts. Both must give the same texts. transformers' continuous batching stands beside them by tokens a second: it has no
answers of its own length here, so all of its answers are full length, which is kind to it.

Prints the table and writes benchmarks/results/answering.json. Exit code 1 where texts differ or slots are under 1.8 times.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.granite_8b.sizes import LAPTOP, PROMPTS, SEED, SMALL, Sizes

ROOT = Path(__file__).resolve().parent.parent
LEAST = 1.8
FULL_SHARE = 1 / 3


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="a tiny shape, in seconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "answering")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "answering.json")
    args = parser.parse_args(argv)
    found = measure(SMALL if args.tiny else LAPTOP, args.rounds, args.work.resolve())
    for name, way in found["ways"].items():
        print(
            f"{name:24} {way.get('seconds', float('nan')):8.2f} s {way.get('tokens_per_second', 0):10.0f} tokens/s"
        )
    print(f"slots are {found['slots_over_batches']:.2f} times batches; texts equal: {found['equal']}")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written to {args.output}")
    return 0 if found["equal"] and (args.tiny or found["slots_over_batches"] >= LEAST) else 1


def measure(sizes: Sizes, rounds: int, work: Path) -> dict[str, Any]:
    """Seconds and tokens of each way, and what the two exact ones have in common."""
    from phases.student import hub

    hub.quiet(offline=True)
    from benchmarks.granite_8b.base import loaded, make
    from benchmarks.granite_8b.device import machine
    from benchmarks.granite_8b.generating import continuous, questions, spoken
    from phases.student import slots
    from phases.student.generate import SamplingConfig, answer, encode, plan

    base = make(sizes, work)
    config = base.config(sizes)
    rows = max(sizes.batches)
    with loaded(config) as (own, _):
        prompts = questions(own.tokenizer, min(PROMPTS, 16 * rows), sizes.prompt)
        sampling = SamplingConfig(
            batch=rows, max_new_tokens=sizes.new_tokens, max_prompt_tokens=sizes.length, bucket=64
        )
        encoded = encode(own.tokenizer, prompts, sizes.length)
        ends = dict(zip(prompts, lengths(len(prompts), sizes.new_tokens), strict=True))

        def batches() -> dict[int, Any]:
            made: dict[int, Any] = {}
            for one in plan(encoded, sampling):
                found = answer(own.model, own.tokenizer, encoded, one, sampling, SEED)
                made |= zip(one.places, found, strict=True)
            return made

        def in_slots() -> dict[int, Any]:
            return dict(slots.answers(own.model, own.tokenizer, encoded, sampling, SEED))

        with ending(ends, own.tokenizer.eos_token_id):
            taken = in_turns({"batches": batches, "slots": in_slots}, rounds)
        tokenizer = own.tokenizer
    ways = {name: said(made, seconds) for name, (made, seconds) in taken.items()}
    few = encoded[:rows]
    ways["continuous batching"] = spoken(sizes, len(few), lambda: continuous(config, tokenizer, few, sizes))
    return {
        "machine": machine(sizes),
        "shape": dict(sizes.shape),
        "prompts": len(prompts),
        "rows": rows,
        "new_tokens": sizes.new_tokens,
        "full_length": sum(n >= sizes.new_tokens for n in ends.values()),
        "ways": ways,
        "slots_over_batches": ways["batches"]["seconds"] / ways["slots"]["seconds"],
        "equal": taken["batches"][0] == taken["slots"][0],
    }


def lengths(count: int, longest: int) -> list[int]:
    """Log-normal lengths in tokens, median a sixth of the longest, and a third of them the longest."""
    rng = random.Random(SEED)
    full = round(count * FULL_SHARE)
    drawn = [longest] * full
    drawn += [
        max(2, min(longest - 1, int(rng.lognormvariate(0, 0.7) * longest / 6))) for _ in range(count - full)
    ]
    rng.shuffle(drawn)
    return drawn


@contextmanager
def ending(ends: dict[str, int], end: int) -> Iterator[None]:
    """Have the answer to each prompt end after so many tokens, and not before."""
    import torch

    from phases.student import generate, slots

    real = generate.gumbel
    known = {generate.key(SEED, prompt): n for prompt, n in ends.items()}

    def forced(keys: Any, step: Any, vocabulary: int) -> Any:
        noise = real(keys, step, vocabulary)
        due = torch.tensor([known[k] for k in keys.tolist()], device=keys.device) <= torch.as_tensor(step) + 1
        noise[:, end] = torch.where(due, 1e9, -1e9)
        return noise

    with patch.object(generate, "gumbel", forced), patch.object(slots, "gumbel", forced):
        yield


def in_turns(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[Any, float]]:
    """What each way made, and its best time of so many rounds."""
    best: dict[str, tuple[Any, float]] = {}
    for _ in range(rounds):
        for name, do in ways.items():
            started = time.perf_counter()
            made = do()
            seconds = time.perf_counter() - started
            if name not in best or seconds < best[name][1]:
                best[name] = (made, seconds)
    return best


def said(made: dict[int, Any], seconds: float) -> dict[str, Any]:
    """A way in numbers."""
    tokens = sum(output.tokens for output in made.values())
    return {"seconds": round(seconds, 3), "tokens": tokens, "tokens_per_second": round(tokens / seconds, 1)}


if __name__ == "__main__":
    sys.exit(main())
