"""Two processes train one student: how much faster than one, and what the death of either costs.

    python -m benchmarks.ranks [--parts speed cpu kills] [--rounds 5] [--steps 12]

speed   tokens a second of whole runs as a user begins them, `fsm run` beside torchrun with two ranks, in turns; a thread each.
        The effective batch is the same. Of a run it is the median over its logging steps but the first.
cpu     seconds of CPU that a step more takes one process, beside the busier of two: what two gain with a core free for each
        and no waiting for one another. It can be measured on a machine that has other things to do.
kills   a job of two ranks on this machine, through the container's own program: as it comes, and with either rank killed
        by SIGKILL after the first checkpoint. Its bytes are compared, and the claims on its journal counted.

Results go to benchmarks/results/ranks.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.common import BUILD, RESULTS, ROOT, Goal, Measure, machine, measure, paired, rounded, table
from fsm.journal import Journal
from fsm.store import open_store
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import Job, JobSpec
from phases.sagemaker_job.local import LocalProvider
from phases.sagemaker_job.ranks import children
from phases.teacher_generation.offline.prompts import generate
from phases.teacher_generation.offline.teacher import write_function

PARTS = ("speed", "cpu", "kills")
GOAL = 1.6
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate")
SHAPE = {
    "layers": 4, "width": 256, "heads": 4, "kv_heads": 2, "feed_forward": 1024, "vocabulary": 1024, "context": 1024,
    "base_steps": 0,
}  # fmt: skip
"""A tiny Granite of 4 million weights. The shipped one (2 layers of width 128) computes a pass in the time that two processes
take to agree on one."""


def training(steps: int, **changes: Any) -> dict[str, Any]:
    """The section `qlora_training`: 16 rows to a step, in 4 passes."""
    return {
        "model": "tiny-granite",
        "offline": True,
        "quantization": "none",
        "threads": 1,
        "min_free_gb": 0,
        "max_length": 512,
        "gradient_checkpointing": False,
        "micro_batch": 4,
        "gradient_accumulation_steps": 4,
        "epochs": 100,
        "max_steps": steps,
        "log_steps": 2,
        "eval_steps": steps,
        "save_steps": steps,
        "tiny_student": SHAPE,
        **changes,
    }


def configuration(home: Path, section: Mapping[str, Any], rows: int) -> Path:
    """A run of Diagram 5 alone, below `home`."""
    home.mkdir(parents=True)
    for name, seed, count in (("train", 1, rows), ("validation", 2, 16)):
        (home / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in _rows(count, seed)))
    path = home / "config.yaml"
    data = {name: str(home / f"{name}.jsonl") for name in ("train", "validation")}
    engine = {"machine": "qlora_training", "store": str(home / "store"), "work": str(home / "work")}
    path.write_text(yaml.safe_dump({**engine, "run": {"seed": 7}, "qlora_training": {**data, **section}}))
    return path


def _rows(count: int, seed: int) -> list[dict[str, Any]]:
    found = []
    for prompt in generate("train", count, seed):
        answer = {"role": "assistant", "content": write_function(prompt.text)}
        found.append({"messages": [{"role": "user", "content": prompt.text}, answer]})
    return found


# Speed


def speed(rounds: int, steps: int, work: Path) -> Measure:
    """Tokens a second of two ranks beside those of one."""
    number = iter(range(1000))

    def one() -> float:
        return _tokens_a_second(["-m", "fsm.run"], work / f"{next(number)}", steps)

    def two() -> float:
        words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        return _tokens_a_second(
            [*words, "-m", "phases.qlora_training.rank", "--"], work / f"{next(number)}", steps
        )

    pairs = paired(rounds, two, one)
    return measure("two ranks", "tokens/s", "one process", pairs, Goal("ratio", ">=", GOAL))


def _tokens_a_second(command: Sequence[str], home: Path, steps: int) -> float:
    config = configuration(home, training(steps), 200)
    words = [sys.executable, *command, str(config), "--log", "json"]
    done = subprocess.run(words, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found = [
        float(json.loads(line)["tokens_per_second"])
        for line in (done.stdout + done.stderr).splitlines()
        if '"tokens_per_second"' in line
    ]
    return statistics.median(found)


def _environment() -> dict[str, str]:
    BUILD.mkdir(parents=True, exist_ok=True)
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "FSM_CACHE": str(BUILD)}


# CPU


def cpu(rounds: int, steps: int, work: Path) -> Measure:
    """By trainings of two lengths, which have all in common but their steps."""
    from phases.student import hub, tiny
    from phases.student.config import QLoRAConfig, TinyStudentConfig
    from tests.phases.qlora_training import ranked

    hub.quiet(offline=True)
    import torch

    from phases.qlora_training import trainer  # noqa: F401 - imported here, not in every child

    torch.set_num_threads(1)
    rows = _rows(200, 1)
    texts = [row["messages"][1]["content"] for row in rows]
    base = tiny.build(TinyStudentConfig.model_validate(SHAPE), texts, work / "base")
    number = iter(range(1000))

    def of(world: int, length: int) -> float:
        config = QLoRAConfig.model_validate(training(length, model=str(base)))
        return max(ranked.train(config, work / f"{world}-{next(number)}", world, rows=rows).cpu)

    def taken(world: int) -> float:
        return (of(world, steps) - of(world, 2)) / (steps - 2)

    pairs = paired(rounds, lambda: taken(1), lambda: taken(2))
    return measure("one process", "s of CPU a step", "the busier of two", pairs, Goal("ratio", ">=", GOAL))


# Kills


def kills(work: Path) -> dict[str, Any]:
    """What jobs come to of which a rank is killed, beside one that is left alone."""
    os.environ.update(_environment())
    shape = {**SHAPE, "layers": 1, "width": 64, "feed_forward": 128}
    config = configuration(
        work,
        training(24, eval_steps=4, save_steps=4, lora_dropout=0.1, patience=100, tiny_student=shape),
        100,
    )
    alone = _job(config, work / "alone", None)
    return {
        "alone": alone,
        **{f"rank {rank} killed": _job(config, work / str(rank), rank) for rank in (0, 1)},
    }


def _job(config: Path, home: Path, killed: int | None) -> dict[str, Any]:
    settings = SageMakerJobConfig(output=str(home / "out"), ranks_per_host=2, grace_seconds=60)
    provider = LocalProvider(home / "jobs", settings)
    words = {"machine": "qlora_training", "run": "run", "store": str(home / "store"), "seed": "7"}
    channels = {"config": {"pipeline.yaml": config}}
    name = provider.create(JobSpec("job", channels, {**words, "ranks_per_host": "2"}))
    layout = home / "jobs" / name / "opt" / "ml"
    began = time.monotonic()
    at = -1.0
    while not (job := provider.describe(name)).over:
        if (
            killed is not None
            and at < 0
            and list(layout.glob("checkpoints/qlora/checkpoint-*/complete.json"))
        ):
            os.kill(_rank(home / "jobs" / name, killed), signal.SIGKILL)
            at = time.monotonic()
        time.sleep(0.02)
    return _came_to(job, home, time.monotonic() - began)


def _rank(home: Path, number: int) -> int:
    """The process of a rank: supervisor, container, torchrun, ranks."""
    found = [int((home / "job.lock").read_text())]
    for _ in range(3):
        found = [child for parent in found for child in children(parent)]
    for pid in found:
        if f"LOCAL_RANK={number}" in Path(f"/proc/{pid}/environ").read_text().split("\0"):
            return pid
    raise SystemExit(f"there is no rank {number} among {found}")


def _came_to(job: Job, home: Path, seconds: float) -> dict[str, Any]:
    if job.status != "Completed":
        raise SystemExit(f"{job}\n{(home / 'jobs' / job.name / 'container.log').read_text()[-3000:]}")
    records = list(Journal(open_store(str(home / "store")).run("run")).records())
    with tarfile.open(job.model) as tar:
        adapter = tar.extractfile("adapter_model.safetensors")
        assert adapter is not None
        digest = hashlib.sha256(adapter.read()).hexdigest()
    said = {"adapter": digest, "claims": sum(r["kind"] == "claim" for r in records)}
    return {**said, "errors": sum("error" in r["kind"] for r in records), "seconds": seconds}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    args = parser.parse_args()
    path = RESULTS / "ranks.json"
    said = json.loads(path.read_text()) if path.is_file() else {}
    said["machine"] = machine(PACKAGES)
    with tempfile.TemporaryDirectory(prefix="fsm-ranks-") as work:
        for name, part in (("speed", speed), ("cpu", cpu)):
            if name in args.parts:
                found = part(args.rounds, args.steps, Path(work) / name)
                print(table([found]))
                said[name] = rounded({**found.__dict__, "goal": GOAL, "met": found.met, "shape": SHAPE})
        if "kills" in args.parts:
            said["kills"] = rounded(kills(Path(work) / "kills"))
            print(json.dumps(said["kills"], indent=1))
            assert len({k["adapter"] for k in said["kills"].values()}) == 1, "other bytes after a kill"
    path.write_text(json.dumps(said, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
