"""The program of every rank: `torchrun --nproc-per-node 2 -m phases.qlora_training.rank -- CONFIG [...]`.

Rank 0 does what `fsm run CONFIG [...]` does: it alone has the journal and walks the machines. The others wait to be called to
a training, take from rank 0 what there is to be trained, take part, and wait again. In a container there are no words:
rank 0 is the container's run.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from phases.sagemaker_job.kept import die_with
from phases.sagemaker_job.ranks import here

if TYPE_CHECKING:
    from phases.qlora_training.together import Group


def main(words: Sequence[str]) -> int:
    """Lead, or follow; the exit code."""
    rank = here()
    if rank.leads:
        return _lead(words)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _: asked.append(n))
    return _follow(asked)


def _lead(words: Sequence[str]) -> int:
    from phases.qlora_training import together

    launched = together.ranks()  # its store may be this process's, and the others look for it from now on
    try:
        if words:
            from fsm import run

            return run.main(list(words))
        from phases.sagemaker_job import container

        return container.led()
    finally:
        if launched:
            launched.dismiss()


def _follow(asked: list[int]) -> int:
    from torch.distributed import DistNetworkError

    from phases.qlora_training import together

    launched = together.ranks()
    assert launched is not None, "a rank that does not lead is one of several"
    try:
        with TemporaryDirectory(prefix="fsm-rank-") as scratch:
            while number := launched.next():
                with launched.joined(number) as group:
                    _train(group, Path(scratch), lambda: bool(asked))
    except DistNetworkError:
        print("fsm: rank 0 has gone, and this one ends with it.", file=sys.stderr)
        return together.LOST
    return 0


def _train(group: Group, scratch: Path, stopping: Callable[[], bool]) -> None:
    """One training, by the same code as on rank 0; its walk is nobody's journal."""
    from fsm.engine import Walk
    from machines.qlora_training import MACHINE
    from phases.qlora_training import trainer
    from phases.qlora_training.order import Order

    order = Order.taken(group, scratch)
    with trainer.memory_explained(order.micro_batch):
        walk = Walk(MACHINE.counted_inside("TrainingLoop"))
        trainer.train(order.begin(group), order.config, walk, stopping, _nobody)


def _nobody(step: int, total: int, note: str) -> None:
    """Rank 0 tells how far it is."""


if __name__ == "__main__":
    die_with(os.getppid())  # no rank outlives who has launched it
    sys.exit(main(sys.argv[1:]))
