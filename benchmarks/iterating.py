"""Does iterating pay? One training on teacher answers against the epoch loop, by the score of the frozen set.

    python -m benchmarks.iterating [--seeds 1,2,3] [--calls 216] [--epochs 5] [--frozen 60] [--jobs 1]

Every arm of a seed begins with the same tiny student (its base step has seen the corpus and the teacher's answers to
all training prompts, never a prompt) and is judged on the same frozen prompts, whose word orders and numbers no
training has. An arm differs in what it may ask the teacher, and when:

    base         nothing: the student before any training
    one-shot     all prompts at once; one training with as many passes over the rows as all the loop's epochs together
    loop         two thirds of them to begin with; the rest is the drawn set, of which the loop asks what is poor
    ... / 3      with a third of the calls
    restart      the whole loop that begins each epoch from the base, with as many passes every time as one-shot has

One-shot is given the drawn set's prompts too, so that both may ask the same questions; the drawn set is never what is
compared. Convergence is switched off, so that every loop has the same number of epochs. Results go to
benchmarks/results/iterating.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.common import BUILD, RESULTS, ROOT, machine, rounded
from fsm.store.local import LocalStore
from phases.distillation import stored
from phases.qlora_training import data
from phases.quality_scoring import score_many
from phases.quality_scoring.config import QualityScoringConfig
from phases.student import generate
from phases.student.config import QLoRAConfig
from phases.student.session import Session
from phases.student.tiny import build
from phases.teacher_generation.offline.prompts import generate as prompts
from phases.teacher_generation.offline.teacher import write_function

PASSES = 4  # over the rows, in an epoch of the loop
THIRD = 3


@dataclass(frozen=True)
class Arm:
    """`first` teacher answers to begin with, and a drawn set of `drawn` prompts to ask about later, if `epochs` > 1."""

    name: str
    first: int
    drawn: int
    epochs: int
    passes: int
    restart: str = "adapter"

    @property
    def corrects(self) -> bool:
        return self.epochs > 1


def arms(calls: int, epochs: int) -> list[Arm]:
    """The arms but `base`."""
    found = []
    for share, said in ((1, ""), (THIRD, " / 3")):
        drawn = calls // share // 3
        first = calls // share - drawn
        found += [
            Arm(f"one-shot{said}", first, drawn, 1, PASSES * epochs),
            Arm(f"loop{said}", first, drawn, epochs, PASSES),
        ]
    whole = found[1]
    return [*found, Arm("restart", whole.first, whole.drawn, epochs, PASSES * epochs, "base")]


# One seed


@dataclass(frozen=True)
class Seed:
    """What the arms of a seed share: a directory, the number, the base model, the frozen prompts in a file."""

    directory: Path
    number: int
    base: Path
    frozen: Path


def prepare(directory: Path, number: int, calls: int, frozen: int) -> Seed:
    """Make the base, once for all arms of the seed."""
    directory.mkdir(parents=True, exist_ok=True)
    local = _local()
    recipe = QLoRAConfig.model_validate(local["qlora_training"]).tiny_student
    seen = [write_function(p.text) for p in prompts("train", calls, number)]
    corpus = sorted((ROOT / "configs" / "corpus").rglob("*.c"))
    texts = [*(p.read_text("utf-8", "replace") for p in corpus), *dict.fromkeys(seen)]
    base = build(
        recipe.model_copy(update={"seed": number}), [t for t in texts if t.strip()], BUILD / "students"
    )
    file = directory / "frozen.jsonl"
    file.write_text(data.lines({"prompt": p.text} for p in prompts("held_out", frozen, number)))
    return Seed(directory, number, base, file)


def configuration(seed: Seed, arm: Arm) -> dict[str, Any]:
    """The distillation of an arm: that of configs/local.yaml, but for what the arm is about."""
    local = _local()
    where = seed.directory / arm.name.replace(" / ", "-")
    where.mkdir()
    first = [p.text for p in prompts("train", arm.first, seed.number)]
    drawn = [p.text for p in prompts("eval", arm.drawn, seed.number)]
    asked = first if arm.corrects else first + drawn
    (where / "teacher.jsonl").write_text(data.lines(_row(p) for p in asked))
    (where / "drawn.jsonl").write_text(data.lines({"prompt": p} for p in drawn))
    return {
        "machine": "distillation",
        "recovery": "error_recovery",
        "run": {"name": "arm", "seed": seed.number},
        "store": str(where / "runs"),
        "work": str(where / "work"),
        "teacher_generation": {"teacher": {"kind": "offline"}},
        "qlora_training": local["qlora_training"] | {"model": str(seed.base), "epochs": arm.passes},
        "distillation": local["distillation"]
        | {
            "teacher": str(where / "teacher.jsonl"),
            "eval_file": str(where / "drawn.jsonl"),
            "eval_prompts": arm.drawn,
            "held_out_file": str(seed.frozen),
            "held_out_prompts": _lines(seed.frozen),
            "restart": arm.restart,
            "max_epochs": arm.epochs,
            "corrections": {"most": 500 if arm.corrects else 0},
        },
        "convergence": {"avg_score": 10.0, "epochs_at_threshold": 10**6, "low_correction_epochs": 10**6},
    }


def run(seed: Seed, arm: Arm) -> dict[str, Any]:
    """Run one arm in a process of its own; what its epochs came to."""
    config = configuration(seed, arm)
    file = seed.directory / f"{Path(config['store']).parent.name}.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    done = subprocess.run(
        [sys.executable, "-m", "fsm.run", str(file)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"{arm.name} of seed {seed.number} ended with {done.returncode}:\n{done.stderr[-3000:]}"
        )
    found = stored.find(LocalStore(Path(config["store"])), "arm")
    epochs = [found.json(f"distillation/epoch-{n}/report.json") for n in range(1, found.finished + 1)]
    scores = found.rows(f"distillation/epoch-{found.finished}/held_out_scores.jsonl")
    return {
        "calls": _lines(Path(config["distillation"]["teacher"]))
        + sum(e["corrections"]["asked"] for e in epochs),
        "steps": sum(e["training"]["steps"] for e in epochs),
        "frozen": [e["held_out"]["overall"]["mean"] for e in epochs],
        "drawn": [e["drawn"]["overall"]["mean"] for e in epochs],
        "interval": [epochs[-1]["held_out"]["overall"][k] for k in ("low", "high")],
        "clean": sum(s["syntax"] == 10 for s in scores) / len(scores),
    }


def untrained(seed: Seed) -> dict[str, Any]:
    """The base with a fresh adapter, which changes nothing, on the frozen set."""
    local = _local()
    config = QLoRAConfig.model_validate(local["qlora_training"])
    sampling = generate.SamplingConfig.model_validate(local["distillation"]["sampling"])
    student = Session(config, str(seed.base), seed.number).reach("pad")
    asked = [json.loads(line)["prompt"] for line in seed.frozen.read_text().splitlines()]
    made = dict(generate.answers(student.model, student.tokenizer, asked, sampling, seed.number))
    scores = score_many([(made[i].text, p) for i, p in enumerate(asked)], QualityScoringConfig())
    return {
        "calls": 0,
        "steps": 0,
        "frozen": [statistics.mean(s.overall for s in scores)],
        "clean": sum(s.syntax == 10 for s in scores) / len(scores),
    }


# Telling


def summary(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A line an arm: means over the seeds, and the lowest and highest seed's frozen score. `results`: seed -> arm -> run."""
    lines = []
    for name in next(iter(results.values())):
        runs = [of[name] for of in results.values()]
        last = [r["frozen"][-1] for r in runs]
        lines.append(
            {
                "arm": name,
                "calls": statistics.mean(r["calls"] for r in runs),
                "steps": statistics.mean(r["steps"] for r in runs),
                "frozen": statistics.mean(last),
                "lowest": min(last),
                "highest": max(last),
                "clean": statistics.mean(r["clean"] for r in runs),
            }
        )
    return lines


def table(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield f"{'':14}{'teacher calls':>14}{'steps':>8}{'frozen set':>12}{'seeds':>16}{'clean':>8}"
    for row in lines:
        spread = f"{row['lowest']:.2f} to {row['highest']:.2f}"
        yield (
            f"{row['arm']:14}{row['calls']:14.0f}{row['steps']:8.0f}{row['frozen']:12.2f}{spread:>16}{row['clean']:8.0%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--calls", type=int, default=216, help="teacher calls of the full arms")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--frozen", type=int, default=60, help="prompts of the frozen set")
    parser.add_argument("--jobs", type=int, default=1, help="arms at a time, a thread each")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="iterating-") as temporary:
        seeds = [
            prepare(Path(temporary) / str(n), n, args.calls, args.frozen)
            for n in map(int, args.seeds.split(","))
        ]
        results: dict[str, dict[str, Any]] = {str(s.number): {"base": untrained(s)} for s in seeds}
        todo = [(s, arm) for s in seeds for arm in arms(args.calls, args.epochs)]
        with ThreadPoolExecutor(args.jobs) as pool:
            for (s, arm), found in zip(todo, pool.map(lambda of: run(*of), todo), strict=True):
                results[str(s.number)][arm.name] = found
                print(f"seed {s.number}, {arm.name}: {found['frozen']}", file=sys.stderr, flush=True)
    lines = summary(results)
    print("\n".join(table(lines)))
    said = {
        "machine": machine(("torch", "transformers", "trl", "peft", "bitsandbytes")),
        "settings": {k: v for k, v in vars(args).items() if k != "jobs"},
        "arms": lines,
        "runs": results,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "iterating.json").write_text(json.dumps(rounded(said), indent=1) + "\n")


def _local() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "configs" / "local.yaml").read_text())
    return found


def _row(prompt: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": write_function(prompt)}]
    return {"messages": turns}


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines())


if __name__ == "__main__":
    main()
