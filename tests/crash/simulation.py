"""Runners on a simulated bucket and clock: which one goes on, and what happens to its request, is decided step by step.

The runners are the real ones, with the real store above the bucket's calls. Each stands in a thread of its own and waits
before every call to the bucket until it is told to go on, so only one runs at a time and the same decisions make the same
history. A request can be carried out and its answer lost, not be carried out, be carried out long after its sender gave up
(or died), be answered 409 or 503; a runner can be killed before its request or after it.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from fsm.engine import Program, Runner
from fsm.errors import FsmError
from fsm.journal import FORMAT, Journal, audit, digest, essence
from fsm.store import RunStore
from fsm.store.bucket import Exists, Got, Missing, Page, Part, Unsure
from fsm.store.s3 import S3Store
from fsm.testing import Clock

T = TypeVar("T")
FAULTS = ("none", "lost", "cut", "late", "conflict", "killed before", "killed after")
MOST_STEPS = 3000  # of the runner that ends a history, in calm


class Killed(BaseException):
    """The runner is dead: nothing of it runs on but what unwinds its stack here."""


class Inline:
    """A pool of no threads."""

    def map(self, do: Callable[[Any], T], items: Iterable[Any]) -> Iterator[T]:
        return map(do, items)


@dataclass
class World:
    """The bucket as it is: its objects, and the puts that are still on their way though nobody waits for them.

    `acknowledged` is what some runner was told is durable. With `conditions` off the bucket is one that ignores them.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    under_way: list[tuple[str, bytes, bool]] = field(default_factory=list)
    acknowledged: dict[int, str] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    conditions: bool = True

    def put(self, key: str, body: bytes, absent: bool) -> bool:
        if absent and self.conditions and key in self.objects:
            return False
        self.objects[key] = body
        return True

    def deliver(self, n: int) -> None:
        """A put that was given up arrives after all."""
        self.put(*self.under_way.pop(n % len(self.under_way)))

    def acknowledge(self, seq: int, line: bytes) -> None:
        if self.acknowledged.setdefault(seq, digest(line)) != digest(line):
            self.doubled.append(f"record {seq} was acknowledged twice, with different content")

    def store(self, wire: Wire) -> S3Store:
        return S3Store("s3://bucket", bucket=wire, clock=self.clock, patience=300.0, cache="/nonexistent")

    def check(self) -> None:
        """What must hold at every moment."""
        assert not self.doubled, self.doubled
        for seq, sha256 in self.acknowledged.items():
            there = self.objects.get(f"runs/run/journal/{seq:012}.json")
            assert there is not None, f"record {seq} was acknowledged and is gone"
            assert digest(there) == sha256, f"record {seq} was acknowledged and is another now"


class Wire:
    """One runner's calls to the bucket. Each waits for `go`, which says what becomes of it."""

    name = "bucket"

    def __init__(self, world: World) -> None:
        self.world = world
        self.go = (
            threading.Lock()
        )  # both held but for a moment: whoever takes one waits until the other side lets go
        self.waits = threading.Lock()
        self.go.acquire()
        self.waits.acquire()
        self.fault = "none"
        self.calm = False

    def _ask(self, key: str, do: Callable[[], T], late: tuple[str, bytes, bool] | None = None) -> T:
        if not self.calm:
            self.waits.release()
            self.go.acquire()
        fault = "none" if self.calm else self.fault
        if fault == "killed before":
            raise Killed
        if fault in ("cut", "conflict") or (fault == "late" and late is None):
            raise Unsure(fault)
        if fault == "late" and late:
            self.world.under_way.append(late)
            raise Unsure(fault)
        try:
            answer = do()
        finally:
            if fault == "killed after":
                raise Killed
            if fault == "lost":
                raise Unsure(fault)
        return answer

    def put(self, key: str, body: bytes, *, absent: bool) -> None:
        def do() -> None:
            if not self.world.put(key, body, absent):
                raise Exists(key)

        self._ask(key, do, (key, body, absent))

    def get(self, key: str) -> Got:
        def do() -> Got:
            if key not in self.world.objects:
                raise Missing(key)
            return Got(self.world.objects[key], 0.0)

        return self._ask(key, do)

    def size(self, key: str) -> int | None:
        return self._ask(key, lambda: len(self.world.objects[key]) if key in self.world.objects else None)

    def list(self, prefix: str, *, after: str = "", limit: int = 1000, folders: bool = False) -> Page:
        def do() -> Page:
            keys = sorted(k for k in self.world.objects if k.startswith(prefix) and k > after)
            return Page(tuple((k, len(self.world.objects[k])) for k in keys[:limit]), (), len(keys) > limit)

        return self._ask(prefix, do)

    def stream(self, key: str, start: int = 0) -> Iterator[bytes]:
        yield self.get(key).body[start:]

    def delete(self, keys: tuple[str, ...]) -> None:
        raise AssertionError("a runner deletes nothing")

    def uploads(self, key: str) -> tuple[str, ...]:
        raise AssertionError("artifacts of a simulation are small")

    def parts(self, key: str, upload: str) -> tuple[Part, ...]:
        raise AssertionError("artifacts of a simulation are small")

    def begin(self, key: str) -> str:
        raise AssertionError("artifacts of a simulation are small")

    def put_part(self, key: str, upload: str, number: int, body: BinaryIO | bytes, sha256: str) -> Part:
        raise AssertionError("artifacts of a simulation are small")

    def complete(self, key: str, upload: str, parts: tuple[Part, ...]) -> None:
        raise AssertionError("artifacts of a simulation are small")


class Acknowledging:
    """A run that tells the world what was acknowledged."""

    def __init__(self, run: RunStore, world: World) -> None:
        self._run = run
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def append(self, seq: int, line: bytes) -> None:
        self._run.append(seq, line)
        self._world.acknowledge(seq, line)


class Simulated:
    """One runner. `ended` is "" while it runs; then done, stopped, killed, or the message of the error that ended it."""

    def __init__(self, world: World, program: Program, probe: bool = True) -> None:
        self.wire = Wire(world)
        self.ended = ""
        self._world = world
        self._program = program
        self._probe = probe
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self.wire.waits.acquire()

    def step(self, fault: str = "none") -> None:
        """Let the runner's call happen so, and the runner come to its next."""
        if not self.ended:
            self.wire.fault = fault
            self.wire.go.release()
            self.wire.waits.acquire()
        if self.ended:
            self._thread.join()

    def _work(self) -> None:
        try:
            self.ended = self._drive()
        except Killed:
            self.ended = "killed"
        except FsmError as e:
            self.ended = e.message
        except BaseException as e:  # a bug, to be told by whoever looks
            self.ended = f"BUG {e!r}"
            raise
        finally:
            self.wire.waits.release()

    def _drive(self) -> str:
        store = self._world.store(self.wire)
        store._probed = not self._probe
        found = store.run("run")
        found._pool = Inline()  # type: ignore[assignment]
        run: Any = Acknowledging(found, self._world)
        run.write_header(HEADER)
        journal = Journal(run)
        fold = journal.open(takeover=True)
        return Runner(self._program, run, journal, fold, seed=1, work=Path("/nonexistent")).drive().outcome


HEADER = json.dumps({"format": FORMAT}).encode()


def essences(world: World) -> list[dict[str, Any]]:
    """The run without times, writers and claims; the audit must have nothing to say of it."""
    wire = Wire(world)
    wire.calm = True
    run = world.store(wire).run("run")
    run._pool = Inline()  # type: ignore[assignment]
    found = audit(run)
    assert found.whole, [str(f) for f in found.findings[:3]]
    return [essence(r) for r in Journal(run).records() if r["kind"] != "claim"]


def to_the_end(world: World, program: Program, probe: bool = True) -> None:
    """Runners in calm until one is done."""
    for _ in range(20):
        runner = Simulated(world, program, probe)
        for _ in range(MOST_STEPS):
            if runner.ended:
                break
            runner.step()
        if runner.ended == "done":
            return
        assert runner.ended == "stopped", runner.ended
    raise AssertionError("the run is never done")


def reference(program: Program) -> list[dict[str, Any]]:
    """What a run comes to that is left alone."""
    world = World()
    to_the_end(world, program)
    return essences(world)


def simulate(
    seed: int,
    program: Program,
    expected: list[dict[str, Any]],
    *,
    world: World | None = None,
    probe: bool = True,
) -> int:
    """One history, all of it decided by the seed; returns its steps. Raises AssertionError where a law is broken."""
    chance = random.Random(seed)
    world = world or World()
    runners: list[Simulated] = []
    steps = 0
    rough = chance.choice((0.0, 0.02, 0.1, 0.3))
    for _ in range(chance.randrange(20, 200)):
        alive = [r for r in runners if not r.ended]
        if not alive or (len(alive) < 4 and chance.random() < 0.03):
            runners.append(Simulated(world, program, probe))
            continue
        if world.under_way and chance.random() < 0.1:
            world.deliver(chance.randrange(len(world.under_way)))
        runner = chance.choice(alive)
        for _ in range(chance.randrange(1, 8)):
            runner.step(chance.choice(FAULTS[1:]) if chance.random() < rough else "none")
            steps += 1
        world.check()
    finish(world, runners, program, expected, probe)
    return steps


def finish(
    world: World,
    runners: list[Simulated],
    program: Program,
    expected: list[dict[str, Any]],
    probe: bool = True,
) -> None:
    """Everybody dies, what is under way arrives, one runner goes on: the run is the one that was left alone."""
    for runner in runners:
        while not runner.ended:
            runner.step("killed before")
        assert not runner.ended.startswith("BUG"), runner.ended
    while world.under_way:
        world.deliver(0)
    world.check()
    to_the_end(world, program, probe)
    world.check()
    assert essences(world) == expected
