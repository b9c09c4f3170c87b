"""How many outputs a second are scored, beside the bare compiler on the same texts and cores.

    python -m benchmarks.quality_scoring [--rounds 5]

Two sets of texts: answers (the tests' hand-scored snippets, as models write them) and functions of real code out of
their projects (from Debian's linuxptp, lldpd and iproute2). Prints a table and writes results/quality_scoring.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from benchmarks.common import ROOT, Goal, machine, measure, paired, table, write
from benchmarks.quality_scoring_texts import PACKAGES, fetch, functions
from phases.quality_scoring import QualityScoringConfig, extract, score, score_many
from phases.quality_scoring.config import SyntaxConfig

WORKERS = 2
HEURISTIC = QualityScoringConfig(syntax=SyntaxConfig(use="heuristic"))


def answers() -> list[tuple[str, str]]:
    """(text, prompt) of the hand-scored snippets that have code in them."""
    tables = sorted((ROOT / "tests/phases/quality_scoring/hand_scored").glob("*.yaml"))
    rows = [row for path in tables for row in yaml.safe_load(path.read_text("utf-8"))]
    return [(row["text"], "for TSN") for row in rows if row.get("syntax") != "0 nothing to compile"]


def real_functions(most: int) -> list[tuple[str, str]]:
    """(text, prompt) of functions of real code."""
    return [(f.code, PACKAGES[f.package]) for files in fetch().values() for f in functions(files, most)]


def bare(texts: list[tuple[str, str]], folder: Path) -> Callable[[], float]:
    """Texts a second of `gcc -fsyntax-only` with as many at once."""
    paths = []
    for i, (text, prompt) in enumerate(texts):
        paths.append(folder / f"{i}.c")
        paths[-1].write_text(extract.code(text, prompt), "utf-8")

    def read(path: Path) -> None:
        subprocess.run(["gcc", "-fsyntax-only", str(path)], stderr=subprocess.PIPE, check=False)

    def run() -> float:
        begun = time.perf_counter()
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(read, paths))
        return len(paths) / (time.perf_counter() - begun)

    return run


def scored(texts: list[tuple[str, str]]) -> Callable[[], float]:
    """Texts a second, scored with the compiler."""

    def run() -> float:
        begun = time.perf_counter()
        score_many(texts, workers=WORKERS)
        return len(texts) / (time.perf_counter() - begun)

    return run


def heuristic(texts: list[tuple[str, str]]) -> float:
    """Texts a second of one core's time, scored without a compiler."""
    begun = time.process_time()
    for text, prompt in texts:
        score(text, prompt, HEURISTIC)
    return len(texts) / (time.process_time() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:WORKERS])
    measures = []
    sizes = {}
    for name, texts in (("answers", answers()), ("functions of real code", real_functions(100))):
        sizes[name] = {"texts": len(texts), "median_chars": statistics.median(len(t) for t, _ in texts)}
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = scored(texts), bare(texts, Path(folder))
            pairs = [(a, b) for a, b in paired(rounds, ours, theirs)]
        beside = f"gcc -fsyntax-only, {WORKERS} at once"
        measures.append(
            measure(f"{name}, {WORKERS} workers", "texts/s", beside, pairs, Goal("ratio", ">=", 0.9))
        )
        pairs = [(heuristic(texts), 2000.0) for _ in range(rounds)]
        goal = Goal("value", ">=", 2000.0)
        measures.append(measure(f"{name}, heuristic", "texts/s/core", "the goal", pairs, goal))
    print(table(measures))
    print(write("quality_scoring", measures, texts=sizes, machine=machine(["tree-sitter", "tree-sitter-c"])))


if __name__ == "__main__":
    main()
