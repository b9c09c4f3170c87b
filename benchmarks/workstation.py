"""What configs/workstation.yaml would take on a machine like this one: its steps measured, the rest reckoned.

    python -m benchmarks.workstation [--threads 1] [--base 3] [--steps 4]

The whole student, of few steps: its base step is timed; then the distillation is run as the configuration has it, but
for the numbers of steps and prompts, stopped by SIGTERM in the middle of a training, and taken up again, which has to
go on from the checkpoint of the step it was stopped at. The seconds of all steps of the configuration are **reckoned**
from those measured, not run. Results go to benchmarks/results/workstation.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from benchmarks.common import RESULTS, ROOT, machine, rounded
from phases.student import tiny
from phases.student.config import QLoRAConfig
from phases.teacher_generation.offline.prompts import generate as prompts
from phases.teacher_generation.offline.teacher import write_function

ANSWERED = 4  # prompts in each set of the short run
NEW_TOKENS = 32


def base_step(training: QLoRAConfig, texts: list[str], steps: int) -> float:
    """Seconds of one optimizer step of the base step: of `steps` more, so that what comes before does not count."""
    import torch

    torch.set_num_threads(training.threads or 1)
    recipe, spent = training.tiny_student, []
    tokenizer = tiny.train_tokenizer(recipe, texts)
    for number in (1, 1 + steps):
        batches = tiny.batches(recipe, tokenizer, texts)
        began = time.perf_counter()
        tiny.base_step(recipe.model_copy(update={"base_steps": number}), batches, lambda *_: None)
        spent.append(time.perf_counter() - began)
    return (spent[1] - spent[0]) / steps


def shortened(config: dict[str, Any], where: Path, steps: int, threads: int) -> dict[str, Any]:
    """The distillation alone, its student whole, with few steps and prompts; its files below `where`."""
    rows = [_row(p.text) for p in prompts("train", 54, 1)]
    (where / "teacher.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    training, loop = config["qlora_training"], config["distillation"]
    return {
        "machine": "distillation",
        "recovery": "error_recovery",
        "run": {"name": "short", "seed": 42},
        "store": str(where / "runs"),
        "work": str(where / "work"),
        "teacher_generation": {"teacher": {"kind": "offline"}},
        "qlora_training": training
        | {
            "threads": threads,
            "max_steps": steps,
            "log_steps": 1,
            "tiny_student": training["tiny_student"] | {"base_steps": 1},
        },
        "distillation": loop
        | {
            "teacher": str(where / "teacher.jsonl"),
            "eval_prompts": ANSWERED,
            "held_out_prompts": ANSWERED,
            "max_epochs": 1,
            "sampling": loop["sampling"] | {"max_new_tokens": NEW_TOKENS},
        },
    }


def run(file: Path, stop_after: int | None = None) -> tuple[int, list[dict[str, Any]]]:
    """(exit status, log lines) of a run; SIGTERM is sent once so many training steps have been told."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fsm.run", str(file), "--log", "json"],
        cwd=ROOT,
        env=os.environ | {"FSM_CACHE": str(file.parent / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        try:
            said.append(json.loads(line))
        except ValueError:
            continue
        if said[-1].get("event") == "training" and said[-1].get("step") == stop_after:
            process.send_signal(signal.SIGTERM)
    return process.wait(), said


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--base", type=int, default=3, help="steps of the base step that are timed")
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps of the short training")
    args = parser.parse_args()
    config = yaml.safe_load((ROOT / "configs" / "workstation.yaml").read_text())
    training = QLoRAConfig.model_validate(config["qlora_training"] | {"threads": args.threads})
    texts = [write_function(p.text) for p in prompts("train", 54, 1)]
    base = base_step(training, texts, args.base)
    with tempfile.TemporaryDirectory(prefix="workstation-") as temporary:
        where = Path(temporary)
        file = where / "short.yaml"
        file.write_text(yaml.safe_dump(shortened(config, where, args.steps, args.threads), sort_keys=False))
        stopped, before = run(file, stop_after=args.steps // 2)
        ended, after = run(file)
    told = _steps(before), _steps(after)
    step = _seconds(after)
    loop = config["distillation"]
    epochs, steps = loop["max_epochs"], training.max_steps
    said = {
        "machine": machine(("torch", "transformers", "trl", "peft", "bitsandbytes")),
        "threads": args.threads,
        "measured": {
            "base_step_seconds": base,
            "optimizer_step_seconds": step,
            "exit_when_stopped": stopped,
            "exit_when_resumed": ended,
            "steps_before_the_stop": told[0],
            "steps_after_the_resume": told[1],
        },
        "reckoned_not_run": {
            "base_step_minutes": base * training.tiny_student.base_steps / 60,
            "training_minutes": step * epochs * steps / 60,
            "of": f"{training.tiny_student.base_steps} base steps, {epochs} epochs of {steps} optimizer steps; answers and scores not counted",
        },
    }
    print(json.dumps(rounded(said), indent=1))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "workstation.json").write_text(json.dumps(rounded(said), indent=1) + "\n")


def _steps(said: list[dict[str, Any]]) -> list[int]:
    return [line["step"] for line in said if line.get("event") == "training"]


def _seconds(said: list[dict[str, Any]]) -> float:
    """Between the first training step that was told and the last."""
    times = [datetime.fromisoformat(line["timestamp"]) for line in said if line.get("event") == "training"]
    return (times[-1] - times[0]).total_seconds() / max(1, len(times) - 1)


def _row(prompt: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": write_function(prompt)}]
    return {"messages": turns}


if __name__ == "__main__":
    main()
