"""What the score sees and what the behaviour sees: cheating answers, real functions, and those changed in one place.

    python -m benchmarks.behaviour [--functions 300] [--seconds 0]

Three tables: answers that only look right, with score and behaviour (those of the tests); real functions beside themselves,
and beside themselves with one thing changed; texts a second, cold, with two workers. With `--seconds` it stops looking at
functions after so many, and goes on where it stopped when it is started again (build/benchmarks/behaviour.jsonl). Writes
results/behaviour.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import resource
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks.behaviour_texts import Function, corpus, linuxptp, mutants
from benchmarks.common import BUILD, machine, write
from phases.quality_scoring import score, score_many
from phases.quality_scoring.behaviour import beside, judging
from phases.quality_scoring.config import BehaviourConfig
from phases.teacher_generation.offline import generate
from phases.teacher_generation.offline.teacher import write_function
from tests.phases.quality_scoring.behaviour import cheats

CONFIG = BehaviourConfig()
WORKERS = 2
KEPT = BUILD / "behaviour.jsonl"
_MOST_MUTANTS = 8  # of one function that do not compile; then it has none


def cheating() -> list[dict[str, Any]]:
    """Each answer of the table with its drawn score and its behaviour."""
    table = cheats.read()
    texts = {"honest": table.honest, **table.right, **table.wrong}
    rows = []
    for name, text in texts.items():
        found = score(text, table.prompt, reference=table.honest)
        assert found.behaviour is not None
        kind = "wrong" if name in table.wrong else "right"
        rows.append(
            {"answer": name, "kind": kind, "score": found.overall, "behaviour": found.behaviour.score,
             "why": found.behaviour.reason}
        )  # fmt: skip
    return rows


def look(function: Function) -> dict[str, Any]:
    """A function beside itself, and beside itself changed in one place."""
    own = beside(function.text, function.text, function.prompt, CONFIG)
    row: dict[str, Any] = {
        "function": f"{function.where}:{function.name}",
        "own": own.score,
        "weak": own.weak,
        "why": own.reason,
    }
    if own.score is None:
        return row
    for n, mutant in enumerate(mutants(function)):
        if n >= _MOST_MUTANTS:
            break
        found = beside(mutant.text, function.text, function.prompt, CONFIG)
        if found.score is not None and not found.reason.startswith("it does not compile"):
            row |= {"kind": mutant.kind, "change": mutant.change, "told": found.score < 10}
            break
    return row


def functions(most: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Rows of real functions: all of the corpus, and of linuxptp, in a seeded order, as many as are still wanted."""
    own = list(corpus())
    others = list(linuxptp())
    random.Random(0).shuffle(others)
    chosen = [*own, *others][:most]
    done = (
        {r["key"]: r for r in map(json.loads, KEPT.read_text("utf-8").splitlines())} if KEPT.exists() else {}
    )
    begun = time.monotonic()
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    with KEPT.open("a", encoding="utf-8") as kept:
        for function in chosen:
            key = hashlib.sha256(f"{function.name}\0{function.text}".encode()).hexdigest()
            if key not in done:
                if seconds and time.monotonic() - begun > seconds:
                    raise SystemExit("time is up: start it again, and it goes on from here")
                done[key] = {"key": key, **look(function)}
                kept.write(json.dumps(done[key]) + "\n")
                kept.flush()
            yield done[key]


def speed() -> dict[str, Any]:
    """Texts a second with two workers: answers of the offline teacher, each beside another wording's; nothing kept before."""
    prompts = [p.text for p in generate("eval", 60, 1)]
    answers = [write_function(p) for p in prompts]
    judging.forget()
    beside(
        "int f(int x) { return x; }", "int f(int x) { return x; }", "", CONFIG
    )  # the library is compiled once
    begun, used = time.perf_counter(), _cpu()
    score_many(
        list(zip((a + "\n" for a in answers), prompts, strict=True)), references=answers, workers=WORKERS
    )
    wall = time.perf_counter() - begun
    here, compilers = (now - before for now, before in zip(_cpu(), used, strict=True))
    return {
        "texts": len(answers),
        "texts/s": len(answers) / wall,
        "CPU seconds a text, here": here / len(answers),
        "CPU seconds a text, compilers": compilers / len(answers),
    }


def _cpu() -> tuple[float, float]:
    """Seconds of CPU of this process, and of those that it started."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    here, children = (u.ru_utime + u.ru_stime for u in used)
    return here, children


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many agree with themselves, how many changes are told apart."""
    compared = [r for r in rows if r["own"] is not None]
    changed = [r for r in compared if "told" in r]
    strong = [r for r in changed if not r["weak"]]
    reasons = Counter(re.sub(r"`[^`]*`|\d+", "...", r["why"]) for r in rows if r["own"] is None)
    return {
        "functions": len(rows),
        "agree with themselves": sum(r["own"] == 10.0 for r in compared),
        "disagree with themselves": sum(r["own"] != 10.0 for r in compared),
        "not comparable": len(rows) - len(compared),
        "weak tests": sum(r["weak"] for r in compared),
        "changed": len(changed),
        "told apart": sum(r["told"] for r in changed),
        "changed, the test not weak": len(strong),
        "told apart, the test not weak": sum(r["told"] for r in strong),
        "by kind": {
            kind: f"{sum(r['told'] for r in strong if r['kind'] == kind)} of {sum(r['kind'] == kind for r in strong)}"
            for kind in ("operator", "constant", "condition", "off by one")
        },
        "why not comparable": dict(reasons.most_common(8)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--functions", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=0.0)
    args = parser.parse_args()
    rows = list(functions(args.functions, args.seconds))
    table = cheating()
    lines = ["| answer | score | behaviour | why |", "|---|---|---|---|"]
    for row in table:
        behaviour = "" if row["behaviour"] is None else f"{row['behaviour']:.2f}"
        lines.append(f"| {row['answer']} | {row['score']:.2f} | {behaviour} | {row['why']} |")
    by_source = {
        name: summary([r for r in rows if r["function"].startswith(name)]) for name in ("corpus", "linuxptp")
    }
    said = {"all": summary(rows), **by_source}
    fast = speed()
    print("\n".join(lines), json.dumps(said, indent=1), json.dumps(fast, indent=1), sep="\n\n")
    print(
        write(
            "behaviour",
            [],
            answers=table,
            functions=said,
            speed=fast,
            machine=machine(["ziglang", "wasmtime"]),
        )
    )


if __name__ == "__main__":
    main()
