"""A handler that is a coroutine: run to its end within its visit, stopped where it awaits, and nothing of it left behind."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent import futures
from contextlib import AbstractContextManager, suppress
from typing import Any, TypeVar

from fsm.engine.stop import Stop, StopRequested
from fsm.errors import RunReplaced, StoreError

T = TypeVar("T")
TICK = 0.001  # seconds after a limit, so that it has passed by every clock


def finished(
    coroutine: Coroutine[Any, Any, T],
    stop: Stop,
    lent: Callable[[], AbstractContextManager[None]],
    place: str,
    left: Callable[[], float] | None = None,
) -> T:
    """Run a coroutine to its end in an event loop of its own, as `asyncio.run` does, and return what it returns.

    The loop is this thread's, and goes with the visit, and with it the tasks that the coroutine has left. Below another
    coroutine, and where a loop is running already (a notebook, a run that is driven by async code), it runs in a thread beside
    this one, which waits, and stands for this one inside `lent`.

    A stop cancels the coroutine where it awaits something, and is raised here once it has ended; where it ends otherwise, what
    it returned is returned, and the stop comes with the next record. One that blocks is not interrupted: it hears of the stop
    when it awaits something, or by a second signal, and until then its `place` is in `Stop.deaf`. Inside `Stop.deferred` it is
    not cancelled. It is cancelled too when no seconds are `left` of a limit, however it defers a stop.

    Raises what the coroutine raises. Of a group, what no handler may swallow comes alone: a stop, a store that failed, a run
    that was taken over. A cancellation that nobody has asked for is `concurrent.futures.CancelledError`, an Exception like
    others, for asyncio's own is none.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _here(coroutine, stop, place, left)
    return _beside(lambda: _here(coroutine, stop, place, left), stop, lent)


def _here(coroutine: Coroutine[Any, Any, T], stop: Stop, place: str, left: Callable[[], float] | None) -> T:
    async def main() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def ask() -> None:  # in the loop, so between two steps of the coroutine
            stop.deaf.discard(place)
            if stop.depth == 0:
                task.cancel()

        def wake() -> None:
            if not loop.is_closed():
                stop.deaf.add(place)
                with suppress(RuntimeError):  # it was closed just now
                    loop.call_soon_threadsafe(ask)

        def limit(seconds: Callable[[], float]) -> None:
            if rest := seconds():  # the first time, and where something waited that no limit counts
                loop.call_later(rest + TICK, limit, seconds)
            else:
                task.cancel()

        if left is not None:
            limit(left)
        with stop.waking(wake):
            return await coroutine

    try:
        with asyncio.Runner() as runner:
            return runner.run(main())
    except asyncio.CancelledError as cancelled:
        if stop.requested:
            raise StopRequested from None
        raise futures.CancelledError(
            "it was cancelled, though no stop was asked for: something that it awaited was, or it cancelled itself"
        ) from cancelled
    except BaseExceptionGroup as group:
        if (alone := _alone(group)) is not None:
            raise alone from group
        raise
    finally:
        stop.deaf.discard(place)


def _beside(work: Callable[[], T], stop: Stop, lent: Callable[[], AbstractContextManager[None]]) -> T:
    """Call in a thread beside this one, and wait; left at once by a second signal, which closes the journal to what is left."""
    done: futures.Future[T] = futures.Future()

    def call() -> None:
        try:
            with lent():
                result = work()
        except BaseException as e:
            done.set_exception(e)
        else:
            done.set_result(result)

    context = contextvars.copy_context()
    with stop.waking(_nothing):  # the coroutine there has a waker of its own
        threading.Thread(target=context.run, args=(call,), name="coroutine", daemon=True).start()
        return done.result()


def _nothing() -> None:
    """Wakes nobody."""


def _alone(group: BaseExceptionGroup[Any]) -> BaseException | None:
    """What in a group of exceptions is the engine's to hear of, and no handler's."""
    for inner in group.exceptions:
        leaf = _alone(inner) if isinstance(inner, BaseExceptionGroup) else inner
        if leaf is not None and (
            not isinstance(leaf, Exception) or isinstance(leaf, StoreError | RunReplaced)
        ):
            return leaf
    return None
