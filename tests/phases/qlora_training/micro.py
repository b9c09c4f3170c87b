"""A micro student, and trainings in processes of their own that can be killed.

Children are forked: torch is imported once, and each training still is a process that dies for real.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phases.errors import NaNLoss
from phases.student.config import QLoRAConfig, TinyStudentConfig

C_TEXTS = [
    f"/** @brief Add {n}. */\nuint32_t add_{n}(uint32_t value)\n{{\n    return value + {n}U;\n}}\n"
    for n in range(24)
]
ROWS = [
    {"messages": [{"role": "user", "content": f"Write add_{n}."}, {"role": "assistant", "content": text}]}
    for n, text in enumerate(C_TEXTS)
]
RECIPE = TinyStudentConfig(
    layers=1,
    width=32,
    heads=2,
    kv_heads=1,
    feed_forward=64,
    vocabulary=320,
    context=256,
    base_steps=2,
    base_length=32,
)


def diverged(base: Path, to: Path) -> Path:
    """A copy of a base whose weights are not all finite, as a training that diverged leaves them: no loss is a number."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(base, to)
    weights = load_file(to / "model.safetensors")
    weights["model.norm.weight"][0] = math.inf
    save_file(weights, to / "model.safetensors", {"format": "pt"})
    return to


def settings(base: Path, **changes: Any) -> QLoRAConfig:
    """A training of 12 steps in 2 epochs of 6, 2 forward passes each, that logs, evaluates and saves on the way."""
    said: dict[str, Any] = {
        "model": str(base),
        "offline": True,
        "quantization": "none",
        "gradient_checkpointing": False,
        "lora_rank": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.1,  # draws random numbers, whose state must come back
        "max_length": 128,
        "micro_batch": 2,
        "gradient_accumulation_steps": 2,
        "epochs": 2,
        "warmup_steps": 2,
        "learning_rate": 5e-3,
        "log_steps": 1,
        "eval_steps": 2,
        "save_steps": 4,
        "patience": 100,
        "threads": 1,
    }
    return QLoRAConfig.model_validate(said | changes)


@dataclass
class Ending:
    """How a training in a process of its own ended: `code` is negative for a signal."""

    code: int
    adapter: bytes = b""
    said: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Interruption:
    """Where a training is interrupted: after `step` optimizer steps, at `point`, by `how`.

    point  step (before what follows it), pass (in the middle of the next accumulation), evaluation (in the middle of
           it), save (a checkpoint is written but not sealed), begin (a checkpoint's directory is made), end (training
           has returned, and nothing is kept of it yet)
    how    kill, stop as a SIGTERM asks for it, or poison: a weight becomes NaN
    """

    step: int
    point: str = "step"
    how: str = "kill"

    @property
    def name(self) -> str:
        """As it stands in a test's name."""
        return f"{self.how}-{self.point}-{self.step}"


def train(
    config: QLoRAConfig, directory: Path, at: Interruption | None = None, rows: list[Any] | None = None
) -> Ending:
    """Train in a process of its own, on from whatever checkpoints `directory` holds."""
    out = directory.with_name(directory.name + ".out")
    out.mkdir(parents=True, exist_ok=True)
    process = multiprocessing.get_context("fork").Process(
        target=_child, args=(config, directory, out, at, rows or ROWS)
    )
    process.start()
    process.join()
    code = process.exitcode
    assert code is not None
    if code == 0:
        return Ending(0, (out / "adapter").read_bytes(), json.loads((out / "said").read_text()))
    if code == 1:
        raise AssertionError((out / "error").read_text())
    return Ending(code, said=json.loads((out / "said").read_text()) if code == HALTED else {})


STOPPED, HALTED = 3, 4


def _child(config: QLoRAConfig, directory: Path, out: Path, at: Interruption | None, rows: list[Any]) -> None:
    from phases.qlora_training import trainer

    try:
        _train(config, directory, out, at, rows)
        code = 0
    except trainer.StoppedAtCheckpoint:
        code = STOPPED
    except NaNLoss:
        code = HALTED
    except BaseException:
        (out / "error").write_text(traceback.format_exc())
        code = 1
    os._exit(code)


def _train(config: QLoRAConfig, directory: Path, out: Path, at: Interruption | None, rows: list[Any]) -> None:
    import torch

    from fsm.engine import Walk
    from machines.qlora_training import MACHINE
    from phases.qlora_training import data, trainer
    from phases.student import adapters, model, preflight

    torch.set_num_threads(1)
    student = model.apply_lora(model.prepare(model.load(config), config), config, 7)
    tokenizer = model.load_tokenizer(config)
    model.set_pad(tokenizer, student)
    sets = [
        data.dataset(data.tokenize(part, tokenizer, config.max_length, "rows")) for part in (rows, rows[:3])
    ]
    directory.mkdir(parents=True, exist_ok=True)
    made = trainer.create(
        config,
        student,
        tokenizer,
        sets[0],
        sets[1],
        directory,
        11,
        preflight.rows_at_once(config),
        config.gradient_accumulation_steps,
    )
    walk = Walk(MACHINE.counted_inside("TrainingLoop"))
    asked = []

    def strike() -> None:
        if at and at.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        asked.append(True)

    def stopping() -> bool:
        return bool(asked)

    def progress(step: int, total: int, note: str) -> None:
        if at and at.step == step and at.how == "poison":
            with torch.no_grad():
                next(p for p in student.parameters() if p.requires_grad).fill_(math.nan)
        elif at and at.step == step and at.point == "step":
            strike()

    if at:
        _strike_inside(at, made, strike)
    try:
        done = trainer.train(made, config, walk, stopping, progress)
        if stopping():
            raise trainer.StoppedAtCheckpoint("as the machine does before it keeps what came out")
    except NaNLoss as error:
        said = {"counts": walk.counts(), "error": str(error)}
        (out / "said").write_text(json.dumps(said))
        raise
    (out / "adapter").write_bytes(adapters.weights(student))
    (out / "said").write_text(
        json.dumps(
            {
                "counts": walk.counts(),
                "known": done.known.to_json(),
                "from": done.resumed_from,
                "note": done.note,
            }
        )
    )


def _strike_inside(at: Interruption, made: Any, strike: Callable[[], None]) -> None:
    from phases.qlora_training import checkpoints

    def struck(do: Callable[..., Any], before: bool = False) -> Callable[..., Any]:
        def instead(*args: Any, **kwargs: Any) -> Any:
            if before and made.state.global_step >= at.step:
                strike()
            found = do(*args, **kwargs)
            if not before and made.state.global_step >= at.step:
                strike()
            return found

        return instead

    def begin(path: Path) -> None:
        real(path)
        (path / "optimizer.pt").write_bytes(b"half")

    if at.point == "save":
        checkpoints.seal = struck(checkpoints.seal, before=True)
    elif at.point == "begin":
        real = checkpoints.begin
        checkpoints.begin = struck(begin)
    elif at.point == "pass":
        made.training_step = struck(made.training_step)
    elif at.point == "evaluation":
        made.prediction_step = struck(made.prediction_step)
    elif at.point == "end":
        made.train = struck(made.train)
