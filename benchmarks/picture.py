"""What a moment of a run costs as a picture: marking a base, beside having Mermaid draw the whole anew.

    python -m benchmarks.picture [--rounds 200] [--largest 100] [--no-drawing]

Of each drawing, and of one of as many states as `--largest` says, which Mermaid draws once. Times are of one process on a
machine that does other things too; `mark` is the median and the 95th percentile of the rounds, each with other counts.
Results go to benchmarks/results/picture.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, ROOT, machine
from fsm.view import mermaid_draw, picture
from fsm.view.picture import Picture
from fsm.view.projection import StateView

WIDE = 20  # states in each composite of the large drawing


def large(states: int) -> str:
    """A drawing of composites in a row, each a chain with a way back."""
    lines = ["stateDiagram-v2", "    [*] --> C0"]
    composites = max(1, states // (WIDE + 1))
    for c in range(composites):
        inner = [f"S{c}x{i}" for i in range(WIDE)]
        lines += [f"    state C{c} {{", f"        [*] --> {inner[0]}"]
        lines += [f"        {a} --> {b} : step" for a, b in pairwise(inner)]
        lines += [
            f"        {inner[-1]} --> {inner[0]} : again",
            f"        {inner[-1]} --> [*] : done",
            "    }",
        ]
        lines.append(f"    C{c} --> {f'C{c + 1}' if c + 1 < composites else '[*]'} : done")
    return "\n".join(lines) + "\n"


def view(path: str, chance: random.Random) -> StateView:
    """A state as a run may show it."""
    visits = chance.randrange(4)
    return StateView(
        path, chance.random() < 0.1, visits, visits * chance.random() * 100, failing=chance.random() < 0.05
    )


def marking(base: Picture, rounds: int) -> list[float]:
    """Seconds of each round."""
    chance, took = random.Random(7), []
    for _ in range(rounds):
        states = {path: view(path, chance) for path in base.states}
        edges = {edge: chance.randrange(50) for edge in base.edges}
        began = time.perf_counter()
        picture.mark(base, states, edges, "Run local (running), machine x: stands in y.")
        took.append(time.perf_counter() - began)
    return took


def row(path: Path, rounds: int, anew: bool) -> dict[str, Any]:
    """One drawing's line of the table."""
    text = path.read_text("utf-8")
    began = time.perf_counter()
    base = picture.of_file(path)
    opened = time.perf_counter() - began
    took = marking(base, rounds)
    drawn = None
    if anew:
        began = time.perf_counter()
        mermaid_draw.draw(text, path.stem, path.name, seconds=3600)
        drawn = time.perf_counter() - began
    return {
        "drawing": path.stem,
        "states": len(base.states),
        "edges": len(base.edges),
        "open_ms": round(opened * 1000, 1),
        "mark_ms": round(statistics.median(took) * 1000, 3),
        "mark_p95_ms": round(statistics.quantiles(took, n=20)[-1] * 1000, 3),
        "draw_anew_ms": round(drawn * 1000) if drawn is not None else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Marking a picture, beside drawing it anew.")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--largest", type=int, default=100)
    parser.add_argument("--no-drawing", action="store_true", help="leave out drawing anew")
    chosen = parser.parse_args()
    rows = [
        row(path, chosen.rounds, not chosen.no_drawing) for path in sorted((ROOT / "diagrams").glob("*.mmd"))
    ]
    with tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_CACHE_HOME"] = directory
        file = Path(directory) / f"of_{chosen.largest}_states.mmd"
        file.write_text(large(chosen.largest), "utf-8")
        rows.append(row(file, chosen.rounds, not chosen.no_drawing))
    for one in rows:
        print("  ".join(f"{key} {value}" for key, value in one.items()))
    result = {"machine": machine(("mermaidx",)), "rounds": chosen.rounds, "drawings": rows}
    (RESULTS / "picture.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
