"""The ranks of one launch, training together: rank 0 calls the others to each training, and they are one group for it alone.

A training is called by its number in the launch's store, which every rank sees. In its group the ranks exchange gradients
(torch's DistributedDataParallel), the loss of every pass, whether a stop was asked for, and random states; the group ends
with the training. So what breaks one off breaks no other: a rank that fails writes its error into the store and leaves, the
others find their group broken and leave too, and rank 0 raises the error, which Diagram 8 decides on as on its own. A rank
that does not leave has died, and with it dies the launch: there is nothing to decide, and whoever starts it again goes on
from the checkpoint.

Imports torch; import it only in a process that trains.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from phases import errors
from phases.sagemaker_job.ranks import Rank, here

PATIENCE = timedelta(hours=1)
"""How long one rank waits for another in a training: the other may be loading the model, or writing a checkpoint."""
LEAVING_SECONDS = 20.0
"""How long a rank may take to leave a training that failed; one that takes longer has died."""
LOST = 75
"""The exit code of a rank that another one has left alone."""
_LOOK = 0.1  # seconds between two looks into the store
_CHUNK = 64 * 2**20  # bytes of a file that are sent at a time


class Agreed(Exception):
    """Ends a training on every rank at the same place, so that the ranks are still together after it."""


class RankFailed(RuntimeError):
    """Another rank failed, by an error that is none of Diagram 8's."""


class Alone:
    """A training by one process: what the ranks of a group would ask one another, it knows."""

    rank = Rank()

    def total(self, loss: float) -> float:
        """The loss of a pass, in shares of the step's, over the passes that all ranks make at the same time."""
        return loss

    def any(self, asked: bool) -> bool:
        """Whether some rank says yes."""
        return asked

    def gathered(self, value: bytes) -> list[bytes]:
        """What every rank gives, by rank, on rank 0; nothing on the others."""
        return [value]


class Group(Alone):
    """The ranks of one training, while it goes on."""

    def __init__(self, rank: Rank) -> None:
        self.rank = rank

    def total(self, loss: float) -> float:
        """Each rank scales its loss by the number of ranks, for gradients are averaged over them: so the mean is the sum.

        Not a number on one rank is not a number on all.
        """
        said = torch.tensor([loss], dtype=torch.float64)
        dist.all_reduce(said)
        return float(said) / self.rank.world

    def any(self, asked: bool) -> bool:
        """A stop that only another rank was asked for becomes one of rank 0's, as its own signal would."""
        said = torch.tensor([int(asked)])
        dist.all_reduce(said)
        found = bool(said)
        if found and not asked and self.rank.leads:
            signal.raise_signal(signal.SIGTERM)
        return found

    def gathered(self, value: bytes) -> list[bytes]:
        found: list[Any] = [None] * self.rank.world
        dist.gather_object(value, found if self.rank.leads else None)
        return found if self.rank.leads else []

    def give(self, order: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        """Rank 0 tells the others what is trained, and sends them the files, each under its name."""
        dist.broadcast_object_list(
            [{"order": dict(order), "files": {n: p.stat().st_size for n, p in files.items()}}]
        )
        for path in files.values():
            with path.open("rb") as f:
                while chunk := f.read(_CHUNK):
                    dist.broadcast_object_list([chunk])

    def take(self, directory: Path) -> dict[str, Any]:
        """What rank 0 gives: the order; the files then lie below `directory`."""
        said: list[Any] = [None]
        dist.broadcast_object_list(said)
        for name, size in said[0]["files"].items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as f:
                while f.tell() < size:
                    chunk: list[Any] = [None]
                    dist.broadcast_object_list(chunk)
                    f.write(chunk[0])
        order: dict[str, Any] = said[0]["order"]
        return order


class Ranks:
    """The launch, as this rank sees it."""

    def __init__(self, rank: Rank, store: Any) -> None:
        self.rank = rank
        self.store = store
        self._numbers = count(1)

    @classmethod
    def of_launch(cls) -> Ranks:
        """By torchrun's variables: where its agent has no store for the ranks, the first process has."""
        agents = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        store: Any = dist.TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=os.environ["RANK"] == "0" and not agents,
            timeout=PATIENCE,
            wait_for_workers=False,
        )
        if agents:  # which keeps one store for all the attempts at a launch
            store = dist.PrefixStore(f"attempt/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        return cls(here(), store)

    # Rank 0

    @contextmanager
    def called(self) -> Iterator[Group]:
        """The others called to the next training, and together in it."""
        number = next(self._numbers)
        self.store.set(f"called/{number}", b"train")
        try:
            with self._joined(number) as group:
                yield group
        except dist.DistNetworkError:  # the store is in a rank that has died
            _end()

    def dismiss(self) -> None:
        """The run is at its end, and the others may go. Gives them the time to hear of it from a store of this process's."""
        number = next(self._numbers)
        self.store.set(f"called/{number}", b"end")
        self._all_left(number, LEAVING_SECONDS)

    # The others

    def next(self) -> int | None:
        """Wait until called to a training, however long; its number, None at the end."""
        number = next(self._numbers)
        while not self.store.check([f"called/{number}"]):
            time.sleep(_LOOK)
        if self.store.get(f"called/{number}") == b"train":
            return number
        self._left(number)
        return None

    @contextmanager
    def joined(self, number: int) -> Iterator[Group]:
        """Together with the others in a training. What breaks it off is told to rank 0, and not raised here."""
        try:
            with self._joined(number) as group:
                yield group
        except dist.DistNetworkError:
            raise  # the store has gone, and rank 0 with it
        except Exception:
            traceback.print_exc()

    # All

    @contextmanager
    def _joined(self, number: int) -> Iterator[Group]:
        try:
            _device(self.rank)
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
                store=dist.PrefixStore(f"training/{number}", self.store),
                rank=self.rank.number,
                world_size=self.rank.world,
                timeout=PATIENCE,
            )
            yield Group(self.rank)
        except (Agreed, errors.NaNLoss):
            raise
        except BaseException as error:
            # the first to write is the one that failed: the others' groups break only when it has left
            self.store.compare_set(f"failed/{number}", "", json.dumps(_told(self.rank, error)))
            _let_go(error)
            self._leave(number)
            if not self.rank.leads or not isinstance(error, Exception):
                raise
            self._raise(number, error)
        finally:
            self._leave(number)

    def _raise(self, number: int, own: Exception) -> None:
        """Raise what has broken a training off; or end, where a rank has died. On rank 0."""
        if not self._all_left(number, LEAVING_SECONDS):
            _end()
        said = json.loads(self.store.get(f"failed/{number}"))
        if said["rank"] == self.rank.number:
            raise own
        kind: Any = getattr(errors, said["kind"], None)
        text = f"Rank {said['rank']}: {said['text']}"
        if isinstance(kind, type) and issubclass(kind, errors.PipelineError):
            raise kind(text) from own
        raise RankFailed(f"{text}\n{said['trace']}") from own

    def _leave(self, number: int) -> None:
        if dist.is_initialized():
            dist.destroy_process_group()
            gc.collect()
        self._left(number)

    def _left(self, number: int) -> None:
        with suppress(RuntimeError):  # a store that has gone with rank 0: nobody is there to be told
            self.store.set(f"left/{number}/{self.rank.number}", b"")

    def _all_left(self, number: int, seconds: float) -> bool:
        others = [f"left/{number}/{n}" for n in range(self.rank.world) if n != self.rank.number]
        end = time.monotonic() + seconds
        while not self.store.check(others):
            if time.monotonic() > end:
                return False
            time.sleep(_LOOK)
        return True


def _end() -> NoReturn:
    """End rank 0 as its own death would: nothing of it may come into the journal."""
    print(
        "fsm: a rank has died. All end, and whoever starts them again goes on from the newest checkpoint.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(LOST)


def _told(rank: Rank, error: BaseException) -> dict[str, Any]:
    trace = "".join(traceback.format_exception(error)[-6:])
    return {"rank": rank.number, "kind": type(error).__name__, "text": str(error), "trace": trace[-4000:]}


def _let_go(error: BaseException | None) -> None:
    """Clear what the calls that an error broke off still hold, the trainer above all.

    A group's connections are closed when nothing refers to it any more, and only then do the ranks hear that wait for this one.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _device(rank: Rank) -> None:
    """Have the GPU of this rank be the one that is meant where none is named."""
    if torch.cuda.is_available():
        torch.cuda.set_device(rank.local)


_ranks: list[Ranks] = []


def ranks() -> Ranks | None:
    """The launch that this process is a rank of; None where it is alone."""
    if here().world == 1:
        return None
    if not _ranks:
        _ranks.append(Ranks.of_launch())
    return _ranks[0]
