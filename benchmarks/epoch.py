"""An epoch's answers generated, scored and corrected: one part after another, and early ones while late ones come.

    python -m benchmarks.epoch

The real loop with a micro student, GCC and the ledger. What a GPU and a service would do is paced, so that it takes no processor:
an answer comes every PACE seconds, a teacher's call takes LATENCY. Both runs do the same work in turns, and must leave the
same artifacts. Reported is what Generate to ParallelTeacherCalls take together, over the longest of these parts alone.

Prints the table and writes benchmarks/results/epoch.json. Exit code 1 where artifacts differ or it is over 1.3 times.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fsm.engine import Nobody, Program, Runner, Stop
from fsm.journal import Journal
from fsm.store import open_store

ROOT = Path(__file__).resolve().parent.parent
MOST = 1.3
PACE, LATENCY, WORKERS, PROMPTS = 0.25, 2.0, 10, 60
PARTS = {
    "generate": ("EpochN.Generate",),
    "score": ("EpochN.Evaluate",),
    "correct": ("EpochN.RequestCorrections.ParallelTeacherCalls",),
}
MACHINES = (
    "distillation", "qlora_training", "quality_scoring", "teacher_generation", "convergence", "error_recovery",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "epoch.json")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="epoch-") as directory:
        found = {early: run(Path(directory) / str(early), early) for early in (False, True)}
    (apart, files), (beside, same) = found[False], found[True]
    longest = max(apart.values())
    said: dict[str, Any] = {
        "pace_seconds": PACE, "latency_seconds": LATENCY, "workers": WORKERS, "prompts": PROMPTS,
        "one after another": apart, "beside": beside,
        "one after another / longest": sum(apart.values()) / longest,
        "beside / longest": sum(beside.values()) / longest,
        "equal": files == same,
    }  # fmt: skip
    print(json.dumps(said, indent=1))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(said, indent=1) + "\n")
    return 0 if said["equal"] and said["beside / longest"] <= MOST else 1


class _Seconds(Nobody):
    """How long each state took, by the place it stands at."""

    def __init__(self) -> None:
        self.taken: dict[str, float] = {}
        self._since = time.monotonic()

    def record(self, record: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if record["kind"] == "transition":
            self.taken[record["from"]] = self.taken.get(record["from"], 0.0) + now - self._since
        self._since = now


class _Paced:
    """The offline teacher, kept in the ledger like one that is paid, and as slow as one far away."""

    def __init__(self, teacher: Any) -> None:
        self._teacher = teacher

    def __getattr__(self, name: str) -> Any:
        return getattr(self._teacher, name)

    def question(self, prompt: str) -> dict[str, Any]:
        return {"kind": "paced", "prompt": prompt}

    def invoke(self, prompt: str) -> Any:
        time.sleep(LATENCY)
        return self._teacher.invoke(prompt)


def run(root: Path, early: bool) -> tuple[dict[str, float], dict[str, str]]:
    """(seconds of each part, digests of what was left) of one epoch."""
    import importlib

    from phases.student import generate, session
    from phases.teacher_generation import teachers

    session.forget()
    root.mkdir()
    phases = {name: importlib.import_module(f"phases.{name}").PHASE for name in MACHINES}
    sections = {name: phases[name].section(section(root, early).get(name, {})) for name in MACHINES}
    machines = {name: importlib.import_module(f"machines.{name}").MACHINE for name in MACHINES}
    store = open_store(str(root / "store")).run("epoch")
    store.write_header(b"{}")
    journal, seconds = Journal(store), _Seconds()
    fold = journal.open()
    program = Program("distillation", machines, phases, "error_recovery", sections)
    real, make = generate.answers, teachers.make_teacher

    def paced(*args: Any) -> Iterator[Any]:
        made = list(real(*args))  # the micro student's own time is neither a GPU's nor of interest: PACE is
        for found in made:
            time.sleep(PACE)
            yield found

    runner = Runner(program, store, journal, fold, seed=5, work=root / "work", observer=seconds, stop=Stop())
    with (
        patch.object(generate, "answers", paced),
        patch.object(teachers, "make_teacher", lambda *a: _Paced(make(*a))),
    ):
        outcome = runner.drive()
    journal.close()
    if outcome.outcome != "done":
        raise SystemExit(outcome.message)
    parts = {name: sum(seconds.taken.get(place, 0.0) for place in places) for name, places in PARTS.items()}
    return parts, {name: file["sha256"] for name, file in fold.files.items()}


def section(root: Path, early: bool) -> dict[str, Any]:
    """The settings: a student of one layer that is trained two steps, for its answers are all poor anyway."""
    texts = [f"uint32_t add_{n}(uint32_t value)\n{{\n    return value + {n}U;\n}}\n" for n in range(24)]
    rows = [
        {"messages": [{"role": "user", "content": f"Write add_{n}."}, {"role": "assistant", "content": text}]}
        for n, text in enumerate(texts)
    ]
    (root / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tiny = {
        "layers": 1,
        "width": 32,
        "heads": 2,
        "kv_heads": 1,
        "feed_forward": 64,
        "vocabulary": 320,
        "context": 256,
    }
    return {
        "qlora_training": {
            "model": "tiny-granite", "offline": True, "threads": 1, "min_free_gb": 0, "max_steps": 2, "max_length": 128,
            "quantization": "none", "gradient_checkpointing": False, "lora_rank": 4, "lora_alpha": 8,
            "tiny_student": {**tiny, "base_steps": 2, "base_length": 32},
        },
        "teacher_generation": {"teacher": {"kind": "offline"}, "workers": WORKERS, "backoff_base_s": 0},
        "distillation": {
            "train": str(root / "train.jsonl"), "train_on": "raw", "validation": "none", "max_epochs": 1, "early": early,
            "eval_prompts": PROMPTS, "held_out_prompts": 5,
            "sampling": {"max_new_tokens": 24, "max_prompt_tokens": 128, "batch": 16},
        },
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
