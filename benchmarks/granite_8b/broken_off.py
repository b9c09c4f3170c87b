"""Killed and resumed, out of memory and survived: Diagram 5 by its real runner, in processes of their own."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.granite_8b.base import Base, shape_of
from benchmarks.granite_8b.sizes import SEED, Sizes
from fsm import config as configs
from fsm import session as runs
from fsm.engine import Nobody
from fsm.journal import Journal
from fsm.store import open_store
from phases.student import preflight
from phases.student.config import QLoRAConfig

ROOT = Path(__file__).resolve().parents[2]


def resume(sizes: Sizes, base: Base, work: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    """Uninterrupted beside killed and resumed; where the bytes differ, once more with deterministic algorithms."""
    said: dict[str, Any] = {"as configured": interrupted(sizes, base, work / "resume", False)}
    if not said["as configured"]["bytes_equal"]:
        said["deterministic algorithms"] = interrupted(sizes, base, work / "deterministic", True)
    return said | {"resumed": said["as configured"]["resumed"]}


def interrupted(sizes: Sizes, base: Base, work: Path, deterministic: bool) -> dict[str, Any]:
    """Checkpoints after steps 2, 4 and 6; killed by SIGKILL in step 5, resumed."""
    config = base.config(sizes, max_steps=6, micro_batch=1, gradient_accumulation_steps=2)
    config = config.model_copy(update={"log_steps": 1, "eval_steps": 2, "save_steps": 2})
    shutil.rmtree(work, ignore_errors=True)
    asked = {"deterministic": deterministic}
    whole = start(work / "whole", config, base, asked)
    killed = start(work / "killed", config, base, asked | {"kill_at": 5})
    resumed = start(work / "killed", config, base, asked)
    one, other = (adapter_of(work / name) for name in ("whole", "killed"))
    return {
        "killed_by": -killed["code"],
        "resumed": killed["code"] == -signal.SIGKILL and resumed["code"] == whole["code"] == 0,
        "bytes_equal": one is not None and one == other,
        "sha256": hashlib.sha256(one).hexdigest() if one else None,
        "difference": difference(one, other) if one and other else None,
        "not_deterministic": whole.get("warnings", []),
        "messages": [m for m in (whole.get("message"), resumed.get("message")) if m],
    }


def memory(sizes: Sizes, base: Base, work: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    """A micro-batch too large for the memory allowed: halved by Diagram 8 until it fits, the effective batch kept."""
    drawn = base.config(sizes)
    rows = sizes.micro_batch * sizes.accumulation
    config = base.config(
        sizes,
        micro_batch=sizes.provoked,
        gradient_accumulation_steps=max(1, rows // sizes.provoked),
        max_steps=2,
    )
    total = found["machine"]["memory_bytes"]
    if total:
        measured = found.get("step", {}).get("sdpa", {}).get("followed", {}).get("peak", {}).get("reserved")
        allowed = min(1.15 * (measured or preflight.need(shape_of(base), drawn).total), 0.95 * total)
        asked: dict[str, Any] = {"memory_bytes": int(allowed)}
        how = "the CUDA allocator, limited to a share of the memory"
    else:
        asked = {"rows": sizes.micro_batch}
        how = "a stand-in that raises the allocator's error, for there is no GPU"
    shutil.rmtree(work / "memory", ignore_errors=True)
    ended = start(work / "memory", config, base, asked)
    records = list(Journal(store(work / "memory")).records()) if ended["code"] == 0 else []
    patches = [r["patch"] for r in records if r["kind"] == "verdict" and "patch" in r]
    return {
        "refused_by": how,
        **asked,
        "errors": [r["error"] for r in records if r["kind"] == "error"],
        "through": [r["last"] for r in records if r["kind"] == "verdict"],
        "began_with": [config.micro_batch, config.gradient_accumulation_steps],
        "halved_to": [[p["micro_batch"], p["accumulation"]] for p in patches],
        "survived": ended["code"] == 0 and bool(patches),
        "message": ended.get("message") or ("" if ended["code"] == 0 else ended["log"]),
    }


def start(work: Path, config: QLoRAConfig, base: Base, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Diagram 5 from ParseHyperparams on, in a process of its own; how it ended, and what it said."""
    work.mkdir(parents=True, exist_ok=True)
    section = config.model_dump(mode="json") | {
        "train": str(base.train),
        "validation": str(base.validation),
        "min_free_gb": 1,
    }
    whole = {
        "machine": "qlora_training",
        "recovery": "error_recovery",
        "run": {"name": "bench", "seed": SEED},
        "store": str(work / "store"),
        "work": str(work / "work"),
        "qlora_training": section,
    }
    (work / "run.yaml").write_text(json.dumps(whole))  # JSON is YAML
    order, report = work / "order.json", work / "report.json"
    order.write_text(json.dumps({**asked, "config": str(work / "run.yaml"), "report": str(report)}))
    report.unlink(missing_ok=True)
    environment = os.environ | {"SM_HPS": "", "SM_TRAINING_ENV": "", "SM_CHANNEL_TRAIN": ""}
    if asked.get("deterministic"):
        environment["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    ended = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "qlora_8b.py"), "--child", str(order)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(report.read_text()) if report.is_file() else {}
    return {**said, "code": ended.returncode, "log": (ended.stdout + ended.stderr)[-2000:]}


def child(order: Mapping[str, Any]) -> int:
    """What `start` asks of a process: run the configuration, under a limit or up to a kill."""
    import torch

    if limit := order.get("memory_bytes"):
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(limit / total)
    if rows := order.get("rows"):
        _refuse_more_than(rows)

    class Killing(Nobody):
        def progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None:
            if state == "TrainingLoop" and done == order.get("kill_at"):
                os.kill(os.getpid(), signal.SIGKILL)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        if order.get("deterministic"):
            torch.use_deterministic_algorithms(True, warn_only=True)
        outcome = runs.run(configs.load(Path(order["config"])), observer=Killing())
    told = sorted({str(w.message).splitlines()[0] for w in seen if "deterministic" in str(w.message)})
    Path(order["report"]).write_text(json.dumps({"warnings": told, "message": outcome.message}))
    return outcome.exit_code


def _refuse_more_than(rows: int) -> None:
    """Have the trainer meet the allocator's error where a micro-batch has more rows, for want of a GPU to fill."""
    import torch

    from phases.qlora_training.trainer import FollowedTrainer

    inner = FollowedTrainer.compute_loss

    def compute_loss(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if inputs["input_ids"].shape[0] > rows:
            raise torch.OutOfMemoryError(f"more than {rows} rows")
        return inner(self, model, inputs, *args, **kwargs)

    setattr(FollowedTrainer, "compute_loss", compute_loss)  # noqa: B010  mypy lets no method be assigned


def store(work: Path) -> Any:
    """The run of `start` in `work`."""
    return open_store(str(work / "store")).run("bench")


def adapter_of(work: Path) -> bytes | None:
    """The weights that the run in `work` ended with; None where it did not come to that."""
    run = store(work)
    if run.read_header() is None:
        return None
    kept = Journal(run).load().files.get("qlora/adapter_model.safetensors")
    return run.artifact(kept["sha256"]).read_bytes() if kept else None


def difference(one: bytes, other: bytes) -> dict[str, float]:
    """How far two adapters are apart: the largest difference of an element, and of the whole relative to its norm."""
    from safetensors.torch import load

    a, b = load(one), load(other)
    apart = [(a[name] - b[name]).double() for name in sorted(a)]
    norm = math.sqrt(sum(float(t.double().pow(2).sum()) for t in a.values()))
    return {
        "largest": max(float(t.abs().max()) for t in apart),
        "relative": math.sqrt(sum(float(t.pow(2).sum()) for t in apart)) / norm,
    }
