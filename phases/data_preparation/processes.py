"""Worker processes: how many there are to be, what they are forked from, and how they do something of many things in order.

The process that they are forked from is begun before there is work: it imports what they need while files are still brought.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from typing import Any, Protocol, TypeVar

G = TypeVar("G")
G_co = TypeVar("G_co", covariant=True)
T = TypeVar("T")
R = TypeVar("R")
WAITING = 2
"""Things that are begun, or done, besides those that are worked on: neither they nor results pile up."""
PRELOADED = (
    "phases.data_preparation.engines",
    "phases.data_preparation.corpus",
    "phases.data_preparation.handlers",
    "tree_sitter",
    "tree_sitter_c",
)
"""What every worker has from its first moment on."""

_given: Any = None  # to a worker process


class WorkerLost(Exception):
    """A worker process ended in the middle of its work."""


class Each(Protocol[G_co]):
    """What comes of doing a module's function, with what is given to all workers, of several things, in their order."""

    def __call__(self, function: Callable[[G_co, T], R], things: Iterable[T], /) -> Iterator[R]: ...


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def of_work(workers: int, chunks: int) -> int:
    """How many worker processes: as many as asked for, or, for 0, as there are cores; none that would have one chunk."""
    return workers or max(1, min(cores(), chunks // 2))


def begin(workers: int) -> None:
    """Begin the process that so many workers are to be forked from, where they are more than one."""
    if workers > 1:
        _context()
        ensure_running()


@contextmanager
def several(workers: int, given: G) -> Iterator[Each[G]]:
    """So many processes, each of which is given something once; for one, this process. They end with the block."""
    if workers == 1:
        yield lambda function, things: (function(given, thing) for thing in things)
        return
    pool = ProcessPoolExecutor(workers, _context(), _begin, (given,))

    def each(function: Callable[[G, T], R], things: Iterable[T]) -> Iterator[R]:
        def submitted(thing: T) -> Future[R]:
            return pool.submit(_done, function, thing)

        try:
            yield from ordered(things, submitted, Future.result, workers + WAITING)
        except BrokenProcessPool as error:  # by a result, or by a thing that is handed in after it
            raise WorkerLost(
                "A worker process of data preparation was ended from outside, for its memory perhaps. What is in whole batches is "
                "kept: give the same command again, with fewer data_preparation.workers if it was for the memory"
            ) from error

    try:
        yield each
    finally:
        pool.shutdown(cancel_futures=True)


def ordered(
    things: Iterable[T], submit: Callable[[T], Any], result: Callable[[Any], R], most: int
) -> Iterator[R]:
    """The results of things that are begun, at most so many before the first of them is done."""
    begun: deque[Any] = deque()
    for thing in things:
        begun.append(submit(thing))
        if len(begun) >= most:
            yield result(begun.popleft())
    while begun:
        yield result(begun.popleft())


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")  # a fork of a process with threads may wait for ever
    context.set_forkserver_preload(list(PRELOADED))
    return context


def _forget() -> None:
    """In a process forked from one that began it: a fork server that is not its child is none to it, and it begins its own.

    Python looks for the server by `waitpid`, which fails for another one's child (python/cpython, multiprocessing.forkserver).
    """
    server: Any = multiprocessing.forkserver._forkserver
    if server._forkserver_pid is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_pid = server._forkserver_address = server._forkserver_alive_fd = None
        server._lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)


def _begin(given: Any) -> None:
    """Make ready a worker process: signals are its parent's to decide on, and without a parent it ends."""
    global _given
    _given = given
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def _done(function: Callable[[Any, T], R], thing: T) -> R:
    return function(_given, thing)
