"""QLoRA on a model of Granite 8B's shape, by this project's own code, beside bare TRL and transformers.

    python benchmarks/qlora_8b.py                    on a CUDA machine; nothing is downloaded, 20 GB of disk are used
    python benchmarks/qlora_8b.py --short            the same for some minutes: few steps, short answers
    python benchmarks/qlora_8b.py --laptop           the same on the tiny student of configs/local.yaml and a CPU
    python benchmarks/qlora_8b.py --tiny             on a shape so small that it proves the code, not the speed
    python benchmarks/qlora_8b.py --parts step       a part alone: step, generation, resume, memory

The weights are random, which changes no time and no memory. Every number stands beside a peer or a floor measured in the
same run:

*step*        a training step beside bare TRL with the same settings: tokens/s, share of the peak arithmetic, peak memory;
              following by Diagram 5; flash attention and packing where flash-attn is installed
*generation*  500 prompts one by one as Diagram 4 draws it, in the project's batches, by continuous batching
*resume*      killed after a checkpoint and resumed: are the adapter's bytes those of the uninterrupted training
*memory*      out of memory provoked under a limit, and survived through ReduceBatchSize of Diagram 8

Prints the results and writes them as JSON after every part; a part that is run alone later joins those that are there.
Exit code 1 if a resume or a survival failed, 2 where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("step", "generation", "resume", "memory")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts asked for; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--short", action="store_true", help="few steps and short answers, for some minutes")
    shape.add_argument(
        "--laptop", action="store_true", help="the tiny student's shape, so that a CPU will do"
    )
    shape.add_argument("--tiny", action="store_true", help="a tiny shape, in seconds")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "qlora_8b", help="weights, runs, scratch"
    )
    parser.add_argument("--output", type=Path, help="where the JSON goes")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if str(ROOT) not in sys.path:  # run as a script, Python looks beside the script only
        sys.path.insert(0, str(ROOT))
    from phases.student import hub

    hub.quiet(offline=True)
    if args.child:
        from benchmarks.granite_8b.broken_off import child

        return child(json.loads(args.child.read_text()))
    import torch

    if not (args.tiny or args.laptop or torch.cuda.is_available()):
        print(
            "There is no CUDA device here, so a model of 8B cannot be measured. Run this on a machine with an NVIDIA GPU "
            "of 24 GB or more, or give --laptop to run the same code on a small shape.",
            file=sys.stderr,
        )
        return 2
    size = next((one for one in ("tiny", "laptop", "short") if getattr(args, one)), "")
    name = "_".join(filter(None, ("qlora_8b", size)))
    output = args.output or ROOT / "benchmarks" / "results" / f"{name}.json"
    found = measure(size, args.parts, args.work.resolve() / name, output)
    print(f"written to {output}")
    good = found.get("memory", {}).get("survived", True) and found.get("resume", {}).get("resumed", True)
    return 0 if good else 1


def measure(size: str, parts: Sequence[str], work: Path, output: Path) -> dict[str, Any]:
    """Run the parts, each written to `output` as soon as it is there."""
    from benchmarks.granite_8b.base import make
    from benchmarks.granite_8b.broken_off import memory, resume
    from benchmarks.granite_8b.device import machine
    from benchmarks.granite_8b.generating import generation
    from benchmarks.granite_8b.sizes import FULL, LAPTOP, SHORT, SMALL
    from benchmarks.granite_8b.steps import step

    measures = {"step": step, "generation": generation, "resume": resume, "memory": memory}
    sizes = {"tiny": SMALL, "laptop": LAPTOP, "short": SHORT, "": FULL}[size]
    here = machine(sizes)
    found: dict[str, Any] = json.loads(output.read_text()) if output.is_file() else {}
    if any(found.get("machine", {}).get(key) != here[key] for key in ("device", "versions")):
        found = {}  # of another machine: not to be mixed with what is measured here
    base = make(sizes, work)
    found |= {"machine": here, "model": base.said}
    output.parent.mkdir(parents=True, exist_ok=True)
    for part in parts:
        started = time.monotonic()
        found[part] = measures[part](sizes, base, work, found)
        found[part]["took_seconds"] = round(time.monotonic() - started, 1)
        output.write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps({part: found[part]}, indent=1), flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
