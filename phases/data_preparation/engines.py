"""Who works on the chunks: this process, worker processes beside it, or Ray. The results come in the order of the chunks.

No more chunks are begun than there are workers for, and two more: so neither chunks nor results pile up.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Literal

from phases.data_preparation.planning import Chunk
from phases.data_preparation.working import Done, Settings, work
from phases.errors import ContainerError, NotProvided

Map = Callable[[Iterable[Chunk]], Iterator[Done]]
"""What is done of chunks, in their order."""
Kind = Literal["local", "ray"]
WAITING = 2
"""Chunks that are begun, or done, besides those that are worked on."""
PACKAGES = ("fsm", "machines", "phases")

_settings: Settings | None = None  # of a worker process


class WorkerLost(Exception):
    """A worker process ended in the middle of its work."""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def of_work(workers: int, chunks: int) -> int:
    """How many worker processes: as many as asked for, or, for 0, as there are cores; none that would have one chunk."""
    return workers or max(1, min(cores(), chunks // 2))


@contextmanager
def engine(kind: Kind, workers: int, settings: Settings, address: str | None = None) -> Iterator[Map]:
    """The way to get chunks done, by so many workers at a time; what was begun for it ends with it."""
    if kind == "ray":
        with _ray(workers, settings, address) as mapping:
            yield mapping
    elif workers == 1:
        yield lambda chunks: (work(settings, chunk, chunk.contents()) for chunk in chunks)
    else:
        with _processes(workers, settings) as mapping:
            yield mapping


def _ordered(
    chunks: Iterable[Chunk], submit: Callable[[Chunk], Any], result: Callable[[Any], Done], most: int
) -> Iterator[Done]:
    begun: deque[Any] = deque()
    for chunk in chunks:
        begun.append(submit(chunk))
        if len(begun) >= most:
            yield result(begun.popleft())
    while begun:
        yield result(begun.popleft())


# Worker processes


@contextmanager
def _processes(workers: int, settings: Settings) -> Iterator[Map]:
    context = multiprocessing.get_context("forkserver")  # a fork of a process with threads may wait for ever
    context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(workers, context, _begin, (settings,))

    def mapping(chunks: Iterable[Chunk]) -> Iterator[Done]:
        try:
            yield from _ordered(chunks, lambda c: pool.submit(_work, c), Future.result, workers + WAITING)
        except BrokenProcessPool as error:  # by a result, or by a chunk that is handed in after it
            raise WorkerLost(
                "A worker process of data preparation was ended from outside, for its memory perhaps. What is in whole batches is "
                "kept: give the same command again, with fewer data_preparation.workers if it was for the memory"
            ) from error

    try:
        yield mapping
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(settings: Settings) -> None:
    """Make ready a worker process: signals are its parent's to decide on, and without a parent it ends."""
    global _settings
    _settings = settings
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def _work(chunk: Chunk) -> Done:
    assert _settings is not None  # by _begin
    return work(_settings, chunk, chunk.contents())


# Ray


@contextmanager
def _ray(workers: int, settings: Settings, address: str | None) -> Iterator[Map]:
    """On a cluster at an address, or on one of this machine alone. A cluster is given the code, and the files' bytes."""
    try:
        import ray
    except ImportError as error:
        raise NotProvided(
            "data_preparation.engine is ray, and Ray is not installed here. Install it with the extra `ray` "
            "(pip install 'fsm-pipelines[ray]'), or set data_preparation.engine: local."
        ) from error
    here: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False} if address is None else {}
    code = {"py_modules": [str(Path(_of(name)).parent) for name in PACKAGES]} if address else None
    try:
        ray.init(
            address=address or "local",
            runtime_env=code,
            log_to_driver=False,
            configure_logging=False,
            **here,
        )
    except ConnectionError as error:
        raise ContainerError(
            f"data_preparation.ray_address is {address!r}, and no Ray cluster answers there: {error}. Start it, or correct the address."
        ) from error
    try:
        remote = ray.remote(work)
        given = ray.put(settings)
        most = (int(ray.cluster_resources().get("CPU", 1)) if address else workers) + WAITING
        yield lambda chunks: _ordered(
            chunks, lambda c: remote.remote(given, c, c.contents()), lambda ref: ray.get(ref), most
        )
    finally:
        ray.shutdown()


def _of(package: str) -> str:
    file = import_module(package).__file__
    assert file is not None
    return file
