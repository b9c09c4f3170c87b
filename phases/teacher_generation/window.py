"""Many prompts at once: a window that slides over them.

A worker that is done with a prompt takes the next one; nobody waits for the slowest of ten. Results are taken in the order
of the prompts, ten at a time, by visits that commit them, while the calls behind go on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from fsm.drawing import Edge
from fsm.errors import StoreError
from phases.teacher_generation.asking import Call, Result, Stopping, best
from phases.teacher_generation.config import AskingConfig
from phases.teacher_generation.desk import Desk, Terms, note
from phases.teacher_generation.ledger import Entry
from phases.teacher_generation.teacher import Teacher, is_response
from phases.turns import spell

READ_AT_ONCE = 64  # prompts whose entries are looked up together
AHEAD = 16 << 20  # bytes of results that may wait for an earlier one
OF_A_RESULT = 1500  # bytes of one besides its texts, about
LOOK = 0.2  # seconds between two looks of who waits for results: a signal gets through

Way = tuple[Edge, ...]


@dataclass(frozen=True)
class Done:
    """What became of one prompt, and the edges that its calls took."""

    result: Result
    way: Way
    size: int


@dataclass(frozen=True)
class Asked:
    """One prompt in its place: its names in the ledger, one for each answer that is wanted, and the entries there are."""

    place: int
    prompt: str
    question: Mapping[str, Any] | None
    names: tuple[str | None, ...]
    entries: tuple[Entry | None, ...]


class Window:
    """Prompts on their way, from the first to the last, by `asking.workers` threads.

    `way` takes a Call through ProcessFuture and says which edges it took. The prompts are read as they are needed. Once
    `stopping()` is true no further call begins, and pauses end early.

    Raises ConfigError where there is a budget and what the teacher costs is not known.
    """

    def __init__(
        self,
        teacher: Teacher,
        prompts: Iterable[str],
        *,
        asking: AskingConfig,
        desk: Desk,
        way: Callable[[Call], Way],
        scope: str = "",
        start: int = 0,
        stopping: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] | None = None,
        log: Any = None,
    ) -> None:
        self.place = start  # of the prompt whose result is the next to be taken
        self._teacher, self._asking, self._desk = teacher, asking, desk
        self._way = way
        self._ledger = desk.at(scope)
        self._stopping = stopping
        self._sleep = sleep or self._pause
        self._log = log
        self._prompts = iter(prompts)
        self._read: deque[Asked] = deque()
        self._reading = threading.Lock()
        self._next = start
        self._ended = False  # all prompts are read
        self._over = threading.Event()
        self._change = threading.Condition()
        self._done: dict[int, Done] = {}
        self._ready = start  # all before it are done
        self._wanted = start
        self._waiting_bytes = 0
        self._failure: BaseException | None = None
        self._ways: dict[Way, Way] = {}
        self._terms: Terms | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"teacher-{n}", daemon=True)
            for n in range(asking.workers)
        ]
        self._started = False

    # For who takes the results

    def take(self, number: int, progress: Callable[[], None] = lambda: None) -> list[Done]:
        """The next results, in the order of the prompts: so many, or as many as are left.

        Fewer where a stop was asked for: by then nothing is under way any more, so leave `ctx.deferring_stop()` before you
        use them. Raises what stopped the window, once calls under way have ended: NoCredentials, AccessDenied,
        BudgetReached, AttemptsSpent, StoreError.
        """
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()
        with self._change:
            self._wanted = self.place + number
            while self._ready < self._wanted and not self._at_rest() and not self._stopping():
                self._change.wait(LOOK)
                progress()
        if self._ready < self._wanted:
            self.close()
            if self._failure is not None and not self._stopping():
                raise self._failure
        with self._change:
            found = [self._done.pop(place) for place in range(self.place, min(self._ready, self._wanted))]
            self.place += len(found)
            self._waiting_bytes -= sum(done.size for done in found)
            self._change.notify_all()
        self._desk.tell(self._log)
        progress()
        return found

    def close(self) -> None:
        """No further call begins; calls under way are awaited, for they are paid for: their answers are in the ledger."""
        self._over.set()
        with self._change:
            self._change.notify_all()
        if self._started:
            for thread in self._threads:
                thread.join()
        with self._reading:  # whoever takes at this moment may begin the workers only now
            left = [name for asked in self._read for name in asked.names]
            self._read.clear()
        self._leave(left)

    @property
    def done(self) -> int:
        """How many of the prompts, from the first of all, are done."""
        return self.place + len(self._done)

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it: it was stopped, or it failed."""
        return self._over.is_set()

    def _at_rest(self) -> bool:
        """Whether nothing is under way and nothing will be."""
        return not any(thread.is_alive() for thread in self._threads)

    # The workers

    def _ending(self) -> bool:
        return self._over.is_set() or self._stopping()

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._ending():
                raise Stopping
            time.sleep(min(left, 0.1))

    def _work(self) -> None:
        try:
            while (asked := self._following()) is not None:
                done = self._one(asked)
                with self._change:
                    self._done[asked.place] = done
                    self._waiting_bytes += done.size
                    while self._ready in self._done:
                        self._ready += 1
                    if self._ready >= self._wanted:
                        self._change.notify_all()
        except Stopping:
            pass
        except BaseException as error:  # of everybody's, and so are errors in this very program
            with self._change:
                self._failure = self._failure or error
            self._over.set()  # before anything else of this window begins
        finally:
            with self._change:
                self._change.notify_all()

    def _following(self) -> Asked | None:
        """The next prompt; None at the end, or where a stop came first."""
        with self._change:
            while self._waiting_bytes > AHEAD and not self._ending():
                self._change.wait(LOOK)
        with self._reading:
            if self._ending():
                return None
            if not self._read and not self._ended:
                self._fill()
            return self._read.popleft() if self._read else None

    def _fill(self) -> None:
        """Read some prompts, and their entries in the ledger: many with one look."""
        prompts = list(islice(self._prompts, READ_AT_ONCE))
        self._ended = len(prompts) < READ_AT_ONCE
        if not prompts:
            return
        questions = [self._teacher.question(prompt) for prompt in prompts]
        if self._terms is None:
            self._terms = Terms.of(self._teacher, questions[0], self._asking, self._desk, self._ending)
        samples = self._asking.best_of if questions[0] is not None else 1
        names = [tuple(self._ledger.name(q, n) for n in range(samples)) for q in questions]
        there = self._found([name for several in names for name in several if name])
        for prompt, question, several in zip(prompts, questions, names, strict=True):
            entries = tuple(there.get(name or "") for name in several)
            self._read.append(Asked(self._next, prompt, question, several, entries))
            self._next += 1

    def _found(self, names: list[str]) -> dict[str, Entry]:
        """The entries there are. What has none is ours to ask from now on, where nobody else is at it: see `_walked`."""
        found = self._ledger.find(names)
        if missing := [name for name in names if name not in found]:
            self._ledger.claim(missing)
            since = self._ledger.find(missing)  # of somebody who was at it until now
            self._ledger.let_go(since)
            found |= since
        return found

    def _one(self, asked: Asked) -> Done:
        calls: list[Call] = []
        way: Way = ()
        try:
            for name, entry in zip(asked.names, asked.entries, strict=True):
                call, taken = self._walked(asked, name, entry)
                calls.append(call)
                way += taken
        except BaseException:
            self._leave(asked.names)
            raise
        result = best(calls, self._desk.checker.agreement)
        size = len(result.prompt) + len(result.text) + len(result.reason) + OF_A_RESULT
        self._desk.tally.add(result)
        return Done(result, self._ways.setdefault(way, way), size)

    def _leave(self, names: Iterable[str | None]) -> None:
        """What nobody comes for any more is others' to ask."""
        with suppress(StoreError):  # they wait until it is clear that nobody asks
            self._ledger.let_go(name for name in names if name)

    def _walked(self, asked: Asked, name: str | None, entry: Entry | None) -> tuple[Call, Way]:
        """One call, or what the ledger has of it, and the edges it took. Raises Stopping."""
        if entry is not None:
            self._desk.tally.reused(entry)
            return self._call(asked, name, entry)
        with self._ledger.held(name, self._ending) as look_again:
            if self._ending():
                raise Stopping
            entry = self._ledger.find([name]).get(name) if name and look_again else None
            if entry is not None:
                self._desk.tally.reused(entry)
                return self._call(asked, name, entry)
            call, way = self._call(asked, name, None)
        self._learn(call)
        return call, way

    def _call(self, asked: Asked, name: str | None, entry: Entry | None) -> tuple[Call, Way]:
        def keep(said: Entry) -> Entry:
            return self._ledger.keep(name, said)

        assert self._terms is not None  # by `_fill`
        call = Call(
            asked.prompt,
            self._teacher,
            self._asking,
            self._sleep,
            entered=entry,
            send=self._terms.send,
            keep=keep,
            check=self._desk.checker,
            name=name,
            question=asked.question,
        )
        return call, self._way(call)

    def _learn(self, call: Call) -> None:
        """What a call that was made shows of the teacher: that it answers, or that it fails like others before."""
        self._desk.tally.asked(call.entered)
        if call.fault is None or (call.response is not None and is_response(call.response)):
            self._desk.everybodys.answered()
        elif call.fault.kind.name != "ITEM":
            self._desk.everybodys.failed(call.fault, self._teacher.name, self._over.set)


def ask(
    teacher: Teacher,
    prompts: Sequence[str],
    *,
    asking: AskingConfig,
    desk: Desk,
    way: Callable[[Call], Way],
    count: Callable[[Way], None] = lambda way: None,
    scope: str = "",
    stopping: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, note: None,
    log: Any = None,
) -> list[Result]:
    """The results for all prompts, in their order. A prompt that stands there twice is asked once.

    What is in the ledger goes the same way, and is not asked. See Window; the results are those there are where a stop was
    asked for: fewer than the prompts, so leave `ctx.deferring_stop()` before you use them.
    """
    asked = list(dict.fromkeys(prompts))
    window = Window(
        teacher,
        asked,
        asking=asking,
        desk=desk,
        way=way,
        scope=scope,
        stopping=stopping,
        sleep=sleep,
        log=log,
    )
    try:
        found = window.take(
            len(asked), lambda: progress(window.done, len(asked), note(desk, len(asked) - window.done))
        )
    finally:
        window.close()
    for done in found:
        count(done.way)
    results = {done.result.prompt: done.result for done in found}
    return [results[prompt] for prompt in prompts if prompt in results]


def prompts_of(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The prompts of rows that `phases.turns.shown` has made."""
    for row in rows:
        yield spell(row["messages"] if "messages" in row else [{"role": "user", "content": row["prompt"]}])
