"""How the rows of a set are dealt to the ranks of a training: the same rows to a step as on one, whatever the number of ranks.

The micro-batches of one process, in its order (a function of seed and epoch), go to the ranks in turn; of A passes to a step
each of W ranks makes A / W. Where the rows do not come out even, accelerate would fill the last ones up with the epoch's
first rows, which would count twice; here they are filled up with rows of which no token counts.

Imports torch; import it only in a process that trains.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any

from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import Dataset, Sampler, SequentialSampler

from phases.errors import InvalidStructure


class Filled(Dataset[Any]):  # type: ignore[misc]
    """A set with one row more than its length says, of which no token counts: the one that is behind the last."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        first = rows[0]
        # TRL makes labels of the mask as a trainer is created; before 1.0, as rows are put together
        uncounted = {"completion_mask": [0, 0], "labels": [-100, -100]}
        self.blank = {name: uncounted.get(name, first[name][:2]) for name in first}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Any:
        return self.rows[place] if place < len(self.rows) else self.blank


class Dealt(Sampler[int]):  # type: ignore[misc]
    """The places of a set's rows as one process goes through them, filled up to a multiple of `whole` by blank ones.

    Shuffled anew in every epoch where there is a `seed`.
    """

    def __init__(self, rows: Filled, whole: int, seed: int | None = None) -> None:
        self.count = len(rows)
        self.blanks = -self.count % whole
        self.order: Any = (
            SequentialSampler(rows) if seed is None else SeedableRandomSampler(rows, data_seed=seed)
        )

    def __iter__(self) -> Iterator[int]:
        yield from self.order
        yield from repeat(self.count, self.blanks)

    def __len__(self) -> int:
        return self.count + self.blanks

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate as an epoch begins."""
        if hasattr(self.order, "set_epoch"):
            self.order.set_epoch(epoch)


def one_device(arguments: Any) -> Any:
    """The arguments with one GPU at most: transformers takes all that are visible by nn.DataParallel, which is another training."""
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def share(accumulation: int, world: int) -> int:
    """The forward passes to an optimizer step that each of `world` ranks makes, the step's rows being the same as of one.

    Raises InvalidStructure where they cannot be dealt out evenly.
    """
    if accumulation % world:
        raise InvalidStructure(
            f"gradient_accumulation_steps is {accumulation}, and these passes are to be dealt out evenly to {world} ranks, so that "
            "a step has the same rows as on one. Take a number of hosts and GPUs that divides it, or set "
            "gradient_accumulation_steps to a multiple of theirs, and micro_batch lower as that is higher."
        )
    return accumulation // world
