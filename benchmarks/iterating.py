"""Does iterating pay? One training on teacher answers against the epoch loop, at as many teacher calls and optimizer steps.

    python -m benchmarks.iterating [--seeds 1,2,3] [--calls 72] [--steps 360] [--pools even,skewed] [--arms NAME,...] [--most N]

Every arm of a seed begins with a tiny student of the same texts (the corpus, and those answers that every arm has paid
for before it begins; never a prompt), takes as many optimizer steps, may ask the teacher as many questions, and is
judged on the same frozen prompts, whose word orders and numbers no training has: by the score of Diagram 6, and by
what the answers do beside the teacher's (`right`: the same on every input). What an arm is about is its settings, which
are laid over those of configs/local.yaml.

One training is given the drawn set's prompts too, so that all arms may ask the same questions; the drawn set is never
what is compared. The pool that the teacher is asked of has every kind of function equally often (even), or by Zipf's
law, as real prompts come (skewed), and so has the pool of what a student answers by itself; the frozen set is even
always. Convergence is switched off, so that every loop has its number of epochs.

Results go to benchmarks/results/iterating.json, run by run: what is there already, of the same settings on the same kind
of machine, is not run again, and `--most` stops after so many. The figures depend on the processor: another kind sums
in another order, and seeds diverge.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.common import BUILD, RESULTS, ROOT, machine, rounded
from fsm.store.local import LocalStore
from phases.distillation import stored
from phases.qlora_training import data
from phases.student.config import QLoRAConfig
from phases.student.tiny import build
from phases.teacher_generation.offline.prompts import generate as prompts
from phases.teacher_generation.offline.teacher import write_function

FILE = RESULTS / "iterating.json"
ZIPF = 1.0  # the exponent of the skewed pool: the kind of rank r is asked for as often as 1 / r
POOLS = {"even": 0.0, "skewed": ZIPF}
EPOCHS = 3


@dataclass(frozen=True)
class Arm:
    """A way to spend calls and steps: in how many epochs, and by which settings, laid over those of configs/local.yaml.

    With one epoch all is asked at once; with more, two thirds to begin with, and the rest in equal parts after each epoch
    but the last: about what is poor of the drawn set, or wherever the settings say.
    """

    name: str
    epochs: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)


def _wordings(variants: int, **distillation: Any) -> dict[str, Any]:
    return {"distillation": {"wordings": {"variants": variants}, **distillation}}


RAW: dict[str, Any] = {
    "qlora_training": {
        "tiny_student": {
            "kv_heads": 2,
            "copying": False,
            "documented": 0.0,
            "number_digits": 1,
            "base_steps": 300,
            "base_batch": 16,
            "base_length": 128,
            "base_learning_rate": 4.0e-3,
        }
    }
}
"""A base of raw C alone, which copies nothing (docs/learning.md); the other arms have that of configs/local.yaml."""

ITSELF = {"prompts": 240, "samples": 2, "temperature": 0.5}
UNSURE = {"whom": "unsure"}
"""Going on by itself, and whom to ask (docs/self_training.md): of many prompts that no teacher was asked."""

ARMS = (
    Arm("raw base: one training", 1, _wordings(1) | RAW),
    Arm("raw base: one training, 8 wordings", 1, _wordings(8) | RAW),
    Arm("one training", 1, _wordings(1)),
    Arm("one training, 4 wordings", 1, _wordings(4)),
    Arm("one training, 8 wordings", 1, _wordings(8)),
    Arm("loop by itself", EPOCHS, _wordings(1, self_training=ITSELF)),
    Arm("loop, 8 wordings", EPOCHS, _wordings(8)),
    Arm("loop at 0.3 of the rate, 8 wordings", EPOCHS, _wordings(8, continued_rate=0.3)),
    Arm("loop from the base, 8 wordings", EPOCHS, _wordings(8, restart="base")),
    Arm("loop by itself, 8 wordings", EPOCHS, _wordings(8, self_training=ITSELF)),
    Arm(
        "loop that asks where unsure, 8 wordings",
        EPOCHS,
        _wordings(8, self_training=ITSELF | {"share": 0.0}, corrections=UNSURE),
    ),
    Arm(
        "loop that asks where unsure, at 0.3 of the rate, 8 wordings",
        EPOCHS,
        _wordings(8, self_training=ITSELF | {"share": 0.0}, corrections=UNSURE, continued_rate=0.3),
    ),
    Arm(
        "loop by itself that asks where unsure, 8 wordings",
        EPOCHS,
        _wordings(8, self_training=ITSELF, corrections=UNSURE),
    ),
    Arm(
        "loop by itself that asks where unsure, with preferences, 8 wordings",
        EPOCHS,
        _wordings(8, self_training=ITSELF, corrections=UNSURE, learn="sft+dpo"),
    ),
)


# One run


@dataclass(frozen=True)
class Case:
    """One run: an arm, of a pool, with a seed."""

    pool: str
    arm: Arm
    seed: int
    calls: int
    steps: int
    frozen: int

    @property
    def key(self) -> str:
        return f"{self.pool}, {self.calls} calls, {self.steps} steps, seed {self.seed}: {self.arm.name}"


def configuration(case: Case, where: Path) -> dict[str, Any]:
    """The distillation of a case, its files written below `where`."""
    local: dict[str, Any] = yaml.safe_load((ROOT / "configs" / "local.yaml").read_text())
    third = case.calls // 3
    skew = POOLS[case.pool]
    itself = (case.arm.settings.get("distillation") or {}).get("self_training") or {}
    begun = case.calls - third
    pool = [p.text for p in prompts("train", begun + itself.get("prompts", 0), case.seed, skew=skew)]
    first, unasked = pool[:begun], pool[begun:]
    drawn = [p.text for p in prompts("eval", third, case.seed, skew=skew)]
    asked = first if case.arm.epochs > 1 else first + drawn
    later = -(-third // max(1, case.arm.epochs - 1))
    frozen = [p.text for p in prompts("held_out", case.frozen, case.seed)]
    for name, rows in {
        "teacher": [_row(p) for p in asked],
        "drawn": [{"prompt": p} for p in drawn],
        "frozen": [{"prompt": p} for p in frozen],
        "unasked": [{"prompt": p} for p in unasked],
    }.items():
        (where / f"{name}.jsonl").write_text(data.lines(rows))
    config = {
        "machine": "distillation",
        "recovery": "error_recovery",
        "run": {"name": "arm", "seed": case.seed},
        "store": str(where / "runs"),
        "work": str(where / "work"),
        "teacher_generation": {"teacher": {"kind": "offline"}},
        # all of its steps, whatever the validation loss: early stopping would leave one training with fewer than a loop
        "qlora_training": local["qlora_training"]
        | {"max_steps": case.steps // case.arm.epochs, "patience": case.steps},
        "distillation": local["distillation"]
        | {
            "teacher": str(where / "teacher.jsonl"),
            "eval_file": str(where / "drawn.jsonl"),
            "eval_prompts": third,
            "held_out_file": str(where / "frozen.jsonl"),
            "held_out_prompts": case.frozen,
            "max_epochs": case.arm.epochs,
            "corrections": {"calls": later} if case.arm.epochs > 1 else {"most": 0},
        },
        "convergence": {"avg_score": 10.0, "epochs_at_threshold": 10**6, "low_correction_epochs": 10**6},
    }
    config = _over(config, case.arm.settings)
    if unasked:
        config["distillation"]["self_training"]["file"] = str(where / "unasked.jsonl")
    config["qlora_training"]["model"] = str(_base(config, first, case.seed))
    return config


def _base(config: Mapping[str, Any], paid: Sequence[str], seed: int) -> Path:
    import torch

    training = QLoRAConfig.model_validate(config["qlora_training"])
    torch.set_num_threads(training.threads or 1)
    recipe = training.tiny_student
    corpus = (p.read_text("utf-8", "replace") for p in sorted((ROOT / "configs" / "corpus").rglob("*.c")))
    texts = [t for t in (*corpus, *dict.fromkeys(map(write_function, paid))) if t.strip()]
    return build(recipe.model_copy(update={"seed": seed}), texts, BUILD / "students")


def run(case: Case) -> dict[str, Any]:
    """Run a case in a process of its own; what its epochs came to. Raises RuntimeError where it failed."""
    with tempfile.TemporaryDirectory(prefix="iterating-") as temporary:
        where = Path(temporary)
        config = configuration(case, where)
        file = where / "arm.yaml"
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
            raise RuntimeError(f"{case.key} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        return _came_to(Path(config["store"]), len((where / "teacher.jsonl").read_text().splitlines()))


def _came_to(store: Path, begun_with: int) -> dict[str, Any]:
    found = stored.find(LocalStore(store), "arm")
    epochs = [found.json(f"distillation/epoch-{n}/report.json") for n in range(1, found.finished + 1)]
    scores = found.rows(f"distillation/epoch-{found.finished}/held_out_scores.jsonl")
    told = epochs[-1].get("behaviour", {}).get("held_out")
    return {
        "calls": begun_with + sum(e["corrections"]["asked"] for e in epochs),
        "steps": sum(e["training"]["steps"] for e in epochs),
        "frozen": [e["held_out"]["overall"]["mean"] for e in epochs],
        "drawn": [e["drawn"]["overall"]["mean"] for e in epochs],
        "interval": [epochs[-1]["held_out"]["overall"][k] for k in ("low", "high")],
        "clean": sum(s["syntax"] == 10 for s in scores) / len(scores),
        "right": told["right"] / told["outputs"] if told else None,
        "behaviour": told["behaviour"]["mean"] if told else None,
    }


# Telling


def summary(runs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each arm of each pool: means over its seeds, and the lowest and highest seed. `runs`: by Case.key."""
    grouped: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for key, found in runs.items():
        where, _, arm = key.partition(": ")
        grouped.setdefault((where.rpartition(", seed")[0], arm), []).append(found)
    lines = []
    for (where, arm), of in grouped.items():
        frozen = [r["frozen"][-1] for r in of]
        right = [r["right"] for r in of if r["right"] is not None]
        lines.append(
            {
                "of": where,
                "arm": arm,
                "seeds": len(of),
                "calls": statistics.mean(r["calls"] for r in of),
                "steps": statistics.mean(r["steps"] for r in of),
                "frozen": statistics.mean(frozen),
                "frozen_seeds": [min(frozen), max(frozen)],
                "right": statistics.mean(right) if right else None,
                "right_seeds": [min(right), max(right)] if right else None,
                "clean": statistics.mean(r["clean"] for r in of),
            }
        )
    return lines


def table(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The arms of each pool below its heading."""
    heading = None
    for row in lines:
        if row["of"] != heading:
            heading = row["of"]
            yield f"\n{heading:46}{'seeds':>6}{'asked':>7}{'frozen set':>12}{'right':>18}{'clean':>7}"
        low, high = row["frozen_seeds"]
        right = "not measured"
        if row["right"] is not None:
            least, most = row["right_seeds"]
            right = f"{row['right']:.0%} ({least:.0%} to {most:.0%})"
        yield (
            f"{row['arm']:46}{row['seeds']:6}{row['calls']:7.0f}"
            f"{row['frozen']:6.2f} {low:.2f}–{high:.2f}{right:>18}{row['clean']:7.0%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--calls", type=int, default=72, help="teacher calls of every arm, at most")
    parser.add_argument("--steps", type=int, default=360, help="optimizer steps of every arm")
    parser.add_argument("--frozen", type=int, default=60, help="prompts of the frozen set")
    parser.add_argument("--pools", default="even,skewed")
    parser.add_argument("--arms", help="names, separated by semicolons; all by default")
    parser.add_argument("--most", type=int, default=10**6, help="runs, of those that are not there yet")
    args = parser.parse_args()
    chosen = [a for a in ARMS if not args.arms or a.name in args.arms.split(";")]
    cases = [
        Case(pool, arm, seed, args.calls, args.steps, args.frozen)
        for pool in args.pools.split(",")
        for seed in map(int, args.seeds.split(","))
        for arm in chosen
    ]
    here = machine(("torch", "transformers", "trl", "peft", "bitsandbytes"))
    runs = _there(here)
    for case in [c for c in cases if c.key not in runs][: args.most]:
        came = run(case)
        print(f"{case.key}: {came}", file=sys.stderr, flush=True)
        runs = _there(here) | {case.key: came}  # another process may measure others meanwhile
        runs = dict(sorted(runs.items(), key=lambda of: _place(of[0])))
        FILE.write_text(
            json.dumps(rounded({"machine": here, "arms": summary(runs), "runs": runs}), indent=1) + "\n"
        )
    print("\n".join(table(summary(runs))))


def _there(here: Mapping[str, Any]) -> dict[str, Any]:
    """The runs that were measured on such a machine."""
    said = json.loads(FILE.read_text()) if FILE.is_file() else {}
    return said.get("runs", {}) if said.get("machine") == here else {}


def _place(key: str) -> tuple[str, int, str]:
    where, _, arm = key.partition(": ")
    names = [a.name for a in ARMS]
    return where.rpartition(", seed")[0], names.index(arm) if arm in names else len(names), key


def _over(base: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `settings` laid over it, section by section."""
    found = dict(base)
    for name, value in settings.items():
        inner = found.get(name)
        found[name] = (
            _over(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
        )
    return found


def _row(prompt: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": write_function(prompt)}]
    return {"messages": turns}


if __name__ == "__main__":
    main()
