"""A training by several ranks, each a process of its own that can be killed, all forked from one that has imported torch."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phases.rehearsal.process import free_port
from phases.student.config import QLoRAConfig
from tests.phases.qlora_training.micro import ROWS

LONGEST = 240.0  # seconds
AGENT = 30.0  # seconds that torchrun gives the ranks that are left
STOPPED = 3


@dataclass(frozen=True)
class Strike:
    """What happens to rank `rank` when optimizer step `step` is done; `how` is a signal, or an error to be raised."""

    rank: int
    step: int
    how: int | Exception = signal.SIGKILL


@dataclass(frozen=True)
class Ended:
    """How a training ended: the exit code of each rank (negative for a signal), and what rank 0 has told.

    `cpu` are the seconds of CPU that each rank took which came to its end.
    """

    codes: tuple[int, ...]
    adapter: bytes
    said: Mapping[str, Any]
    cpu: tuple[float, ...] = ()


def train(
    config: QLoRAConfig, directory: Path, world: int, at: Strike | None = None, rows: list[Any] | None = None
) -> Ended:
    """Train by `world` ranks, on from whatever checkpoints `directory` holds."""
    out = directory.with_name(directory.name + ".out")
    out.mkdir(parents=True, exist_ok=True)
    directory.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", rows or ROWS), ("validation", (rows or ROWS)[:3])):
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    for name in ("adapter", "said"):
        (out / name).unlink(missing_ok=True)
    port = str(free_port())
    fork = multiprocessing.get_context("fork")
    children = []
    for number in range(world):
        said = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "RANK": str(number),
            "LOCAL_RANK": str(number),
        }
        sizes = {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
        environment = said | sizes if world > 1 else {}
        children.append(fork.Process(target=_child, args=(environment, config, directory, out, at)))
    for child in children:
        child.start()
    if at is not None and at.how == signal.SIGKILL:
        children[at.rank].join(LONGEST)
        _ended_by_the_agent(children)
    for child in children:
        child.join(LONGEST)
        if child.exitcode is None:
            for left in children:
                left.kill()
            raise AssertionError("a rank did not end: " + _errors(out))
    codes = tuple(child.exitcode for child in children)
    assert 1 not in codes, _errors(out)
    adapter = out / "adapter"
    return Ended(
        codes,  # type: ignore[arg-type]
        adapter.read_bytes() if adapter.is_file() else b"",
        json.loads((out / "said").read_text()) if (out / "said").is_file() else {},
        tuple(float(path.read_text()) for path in sorted(out.glob("cpu-*"))),
    )


def _ended_by_the_agent(children: list[Any]) -> None:
    """End those that are left of a rank that has died and do not end by themselves, as torchrun's agent does."""
    until = time.monotonic() + AGENT
    for child in children:
        child.join(max(0.0, until - time.monotonic()))
        if child.exitcode is None:
            child.kill()


def _errors(out: Path) -> str:
    return "\n".join(p.read_text()[-4000:] for p in sorted(out.glob("error-*")))


def _child(
    environment: Mapping[str, str], config: QLoRAConfig, directory: Path, out: Path, at: Strike | None
) -> None:
    os.environ.update(environment)
    from phases.qlora_training import together
    from phases.sagemaker_job.ranks import here

    number = here().number
    if at and at.how == signal.SIGKILL:  # nobody is there who could be slow to leave
        together.LEAVING_SECONDS = 1.0
    error = os.open(out / f"error-{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(error, 2)
    code = 1
    try:
        if at and at.rank == number:
            _install(at)
        code = _lead(config, directory, out) if number == 0 else _follow()
        (out / f"cpu-{number}").write_text(str(time.process_time()))
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    os._exit(code)


def _follow() -> int:
    from phases.qlora_training import rank

    return rank.main(())


def _lead(config: QLoRAConfig, directory: Path, out: Path) -> int:
    import torch

    from fsm.engine import Walk
    from machines.qlora_training import MACHINE
    from phases.qlora_training import together, trainer
    from phases.qlora_training.order import Order
    from phases.student import adapters, session

    torch.set_num_threads(1)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    train, validation = out / "train.jsonl", out / "validation.jsonl"
    order = Order(
        config=config,
        base=config.model,
        adapter=None,
        train=train,
        validation=validation,
        names=(train.name, validation.name),
        root=directory,
        seed=11,
        adapter_seed=7,
        micro_batch=int(config.micro_batch),
        accumulation=config.gradient_accumulation_steps,
        checkpointing=config.gradient_checkpointing,
    )
    walk = Walk(MACHINE.counted_inside("TrainingLoop"))
    launched = together.ranks()
    quiet: Callable[..., None] = lambda *_, **__: None  # noqa: E731
    try:
        with order.called(own_base=False) as all_of_them:
            done = trainer.train(order.begin(all_of_them), config, walk, lambda: bool(asked), quiet, quiet)
    except trainer.StoppedAtCheckpoint:
        return STOPPED
    except Exception as e:
        (out / "said").write_text(json.dumps({"error": type(e).__name__, "text": str(e)}))
        return 4
    finally:
        if launched:
            launched.dismiss()
    student = session.held(config, config.model, 7).model
    (out / "adapter").write_bytes(adapters.weights(student))
    said = {
        "known": done.known.to_json(),
        "from": done.resumed_from,
        "note": done.note,
        "counts": walk.counts(),
    }
    (out / "said").write_text(json.dumps(said))
    return 0


def _install(at: Strike) -> None:
    from phases.qlora_training.trainer import Flow

    real: Callable[..., Any] = Flow.on_step_end

    def struck(self: Any, args: Any, state: Any, *rest: Any, **words: Any) -> Any:
        found = real(self, args, state, *rest, **words)
        if state.global_step == at.step:
            if isinstance(at.how, Exception):
                raise at.how
            os.kill(os.getpid(), at.how)
        return found

    Flow.on_step_end = struck  # type: ignore[method-assign]
