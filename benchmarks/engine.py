"""What a durable transition costs, what opening a run costs, and how soon the command line answers.

    python -m benchmarks.engine                     # everything: some minutes
    python -m benchmarks.engine transitions help    # parts: transitions peers opening help

Every number stands beside its floor, taken in the same run, in turns with it. Prints a table and keeps it as
benchmarks/results/engine.json. The other engines are installed into an environment of their own, at the versions in
benchmarks/peers/requirements.txt. Exit code 1 if a goal was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import (
    BUILD,
    ROOT,
    Cost,
    Goal,
    Measure,
    Meter,
    Moment,
    in_memory,
    in_turns,
    machine,
    measure,
    paired,
    scratch,
    table,
    write,
)
from benchmarks.loops import (
    Keep,
    journal_of,
    nothing,
    realistic,
    rewriting,
    round_trip,
    seconds_to_resume,
    untouched,
)
from fsm.journal.fold import MOST_BETWEEN

PEERS = Path(__file__).parent / "peers"
OURS = ("fsm-pipelines", "transitions", "pydantic", "pydantic_core")


@dataclass(frozen=True)
class Places:
    """Where to measure: a directory on a disk, and one on tmpfs."""

    disk: Path
    memory: Path


# Durable transitions


@dataclass(frozen=True)
class Load:
    """What the states do, of how many, and whether it is next to nothing."""

    what: str
    states: int
    keep: Keep
    trivial: bool = False


LOADS = (
    Load("trivial handlers", 2, nothing, trivial=True),
    Load("20 KB of data, 1 KB changed", 60, realistic),
)
FLOOR = "bare append + fdatasync of the same bytes"
BESIDE = 0.85  # of that floor's speed, on a disk
ENGINE = 100  # µs of CPU a transition


def transitions(places: Places) -> Iterator[Measure]:
    """The engine beside a loop that does nothing but append the same bytes."""
    yield _loop_by_loop(LOADS[0], places)
    yield _untouched(places)
    for kind, where, steps in (("disk", places.disk, 5_000), ("tmpfs", places.memory, 20_000)):
        for load in LOADS:
            yield from _turn_by_turn(load, kind, where, steps if load.trivial else steps // 4)


def lines_of(where: Path, steps: int, load: Load) -> list[bytes]:
    """The records that the engine writes for so many transitions."""
    with scratch(where) as directory:
        round_trip(directory, load.states, steps, lambda number: None, load.keep)
        records = journal_of(directory).read_bytes().splitlines(keepends=True)
    return [line for line in records if b'"kind":"transition"' in line]


def _loop_by_loop(load: Load, places: Places, warm: int = 20, steps: int = 70, rounds: int = 200) -> Measure:
    """A short session, then a short bare loop, and so on: each has the processor's caches for itself."""
    lines = lines_of(places.memory, steps, load)

    def own() -> float:
        meter = Meter(warm, steps)
        with scratch(places.disk) as directory:
            round_trip(directory, load.states, steps, meter.step, load.keep)
        return 1 / meter.cost().wall

    def bare() -> float:
        meter = Meter(warm, steps)
        with scratch(places.disk) as directory, opened(directory / "bare.jsonl") as fd:
            for number, line in enumerate(lines):
                meter.step(number)
                os.write(fd, line)
                os.fdatasync(fd)
            meter.step(steps)
        return 1 / meter.cost().wall

    goal = Goal("ratio", ">=", BESIDE)
    return measure(
        f"transitions on disk, {load.what}, loop by loop", "/s", FLOOR, paired(rounds, own, bare), goal
    )


def _untouched(places: Places, rounds: int = 11) -> Measure:
    """Transitions of a run that keeps 2 MB, beside those of one that keeps nothing: all of them, snapshots included."""

    def microseconds(keep: Keep) -> Callable[[], float]:
        def loop() -> float:
            meter = Meter(20, 20 + 2 * MOST_BETWEEN)
            with scratch(places.disk) as directory:
                round_trip(directory, 2, meter.last, meter.step, keep)
            return meter.cost().wall * 1e6

        return loop

    return measure(
        "a transition on disk, 2 MB of data that nothing touches",
        "µs",
        "the same without data",
        paired(rounds, microseconds(untouched), microseconds(nothing)),
        Goal("ratio", "<=", 1.2),
    )


class Alternately:
    """Before every transition, the same bytes appended and synchronised to a file beside the journal, and nothing else.

    Turns of one operation: whatever else the disk and the processor have to do falls on both alike.
    """

    def __init__(self, fd: int, lines: Sequence[bytes]) -> None:
        self._fd = fd
        self._lines = lines
        self._left: Moment | None = None
        self.own: list[Cost] = []
        self.bare: list[Cost] = []

    def begins(self, number: int) -> None:
        """To be called as each transition begins, which is the end of the one before."""
        begun = Moment.now()
        if self._left is not None:
            self.own.append(begun.since(self._left))
        if number < len(self._lines):
            os.write(self._fd, self._lines[number])
            os.fdatasync(self._fd)
            self._left = Moment.now()
            self.bare.append(self._left.since(begun))

    def blocks(self, size: int, warm: int) -> Iterator[tuple[list[Cost], list[Cost]]]:
        """Engine and floor in blocks of so many, the first `warm` left out."""
        for at in range(warm, len(self.own) - size + 1, size):
            yield self.own[at : at + size], self.bare[at : at + size]


def _turn_by_turn(load: Load, kind: str, where: Path, steps: int, block: int = 50) -> Iterator[Measure]:
    lines = lines_of(in_memory() or where, steps, load)
    with scratch(where) as directory, opened(directory / "bare.jsonl") as fd:
        turns = Alternately(fd, lines)
        round_trip(directory, load.states, steps, turns.begins, load.keep)
    blocks = list(turns.blocks(block, warm=block))

    def speed(costs: list[Cost]) -> float:
        return 1 / statistics.median(cost.wall for cost in costs)

    def cpu(costs: list[Cost]) -> float:
        return statistics.fmean(cost.cpu for cost in costs) * 1e6

    yield measure(
        f"transitions on {kind}, {load.what}, turn by turn",
        "/s",
        FLOOR,
        [(speed(own), speed(bare)) for own, bare in blocks],
        Goal("ratio", ">=", BESIDE) if load.trivial and kind == "disk" else None,
    )
    yield measure(
        f"engine CPU a transition on {kind}, {load.what}",
        "µs",
        "CPU of that floor, taken off",
        [(cpu(own) - cpu(bare), cpu(bare)) for own, bare in blocks],
        Goal("value", "<=", ENGINE),
    )


@contextmanager
def opened(file: Path) -> Iterator[int]:
    """A file to append to, by its descriptor."""
    fd = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        yield fd
    finally:
        os.close(fd)


# Beside other engines


PEER_GOALS = {"burr": 2, "langgraph": 7, "dbos": 17}


def environment() -> Path:
    """The Python of the other engines' environment, made when there is none yet for these versions."""
    wanted = (PEERS / "requirements.txt").read_text()
    home = BUILD / "peers"
    python = home / "bin" / "python"
    made_for = home / "made-for.txt"
    if not made_for.is_file() or made_for.read_text() != wanted:
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        subprocess.run(
            [python, "-I", "-m", "pip", "install", "-q", "-r", PEERS / "requirements.txt"], check=True
        )
        made_for.write_text(wanted)
    return python


def peer_cost(python: Path, name: str, where: Path, steps: int, warm: int) -> Cost:
    """Of a durable step of an engine, its loop run in a process of its own."""
    with scratch(where) as directory:
        done = subprocess.run(
            [python, "-m", f"benchmarks.peers.{name}_loop", directory, str(warm), str(steps)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise SystemExit(f"The loop of {name} failed:\n{done.stdout}{done.stderr}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def peers(places: Places, steps: int = 1000, warm: int = 50, rounds: int = 7) -> Iterator[Measure]:
    """The same loop of two states on tmpfs in other engines, each step durable before the next one begins."""
    theirs = environment()

    def loop(name: str) -> Callable[[], Cost]:
        python = Path(sys.executable) if name == "fsm" else theirs
        return lambda: peer_cost(python, name, places.memory, steps, warm)

    found = in_turns(rounds, *map(loop, ("fsm", *PEER_GOALS)))
    for place, (name, goal) in enumerate(PEER_GOALS.items(), 1):
        yield measure(
            f"durable steps on tmpfs beside {name}",
            "/s",
            f"{name} with SQLite",
            [(1 / costs[0].wall, 1 / costs[place].wall) for costs in found],
            Goal("ratio", ">=", goal),
        )


def peer_versions() -> dict[str, Any]:
    """The versions that are compared with, as they are installed."""
    names = [line.partition("==")[0] for line in (PEERS / "requirements.txt").read_text().split()]
    told = subprocess.run(
        [
            environment(),
            "-c",
            f"import json; from benchmarks.common import versions; print(json.dumps(versions({names!r})))",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(told.stdout))


# Opening


@dataclass(frozen=True)
class Size:
    """A run to be opened. One transition less than a snapshot's distance is left over: the most there is to read."""

    what: str
    steps: int
    goal: Goal
    states: int = 2
    keep: Keep = nothing


def within(milliseconds: float) -> Goal:
    return Goal("value", "<=", milliseconds)


SIZES = (
    Size("2,000 records", 2_000 - 2_000 % 64 + 63, within(10)),
    Size("100,000 records", 100_000 - 100_000 % 64 + 63, within(50)),
    Size(
        "2,000 records, 60 states, 20 KB of data",
        2_000 - 2_000 % 64 + 63,
        Goal("ratio", "<=", 2.35),  # 8 ms where the floor takes 3.4
        60,
        realistic,
    ),
    Size("100,000 records, 60 states, 20 KB of data", 100_000 - 100_000 % 64 + 63, within(50), 60, realistic),
    Size("2,000 records, 60 states, 20 KB rewritten by each", 2_000, within(10), 60, rewriting),
)


def opening(places: Places, rounds: int = 21) -> Iterator[Measure]:
    """From the beginning of a session on a run that was left to the call of the handler it is resumed with.

    The floor reads and parses what lies behind the newest snapshot and appends one durable line. Neither finds the
    journal in the page cache.
    """
    for size in SIZES:
        with scratch(places.memory) as made, scratch(places.disk) as directory:
            round_trip(made, size.states, size.steps, lambda number: None, size.keep)
            shutil.copytree(made, directory, dirs_exist_ok=True)
            yield _opening(size, directory, rounds)


def _opening(size: Size, directory: Path, rounds: int) -> Measure:
    journal = journal_of(directory)
    content = journal.read_bytes()
    whole = len(content)
    behind = whole - content.rfind(b"\n", 0, content.rfind(b'"snapshot":{')) - 1
    seconds_to_resume(directory, size.states)  # what a process does only once

    def own() -> float:
        _as_left(journal, whole)
        return seconds_to_resume(directory, size.states)

    def floor() -> float:
        _as_left(journal, whole)
        return _read_and_append(journal, behind)

    return measure(
        f"opening a run of {size.what}",
        "ms",
        f"reading and parsing its last {behind / 1000:,.0f} KB, one durable line",
        [(own * 1e3, floor * 1e3) for own, floor in paired(rounds, own, floor)],
        size.goal,
    )


def _as_left(journal: Path, size: int) -> None:
    """The journal as it was before it was opened last, and out of the page cache."""
    os.truncate(journal, size)
    fd = os.open(journal, os.O_RDWR)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def _read_and_append(journal: Path, behind: int) -> float:
    begun = time.perf_counter()
    fd = os.open(journal, os.O_RDWR | os.O_APPEND)
    try:
        lines = os.pread(fd, behind, os.fstat(fd).st_size - behind).splitlines()
        for line in lines:
            json.loads(line)
        os.write(fd, lines[-1])
        os.fdatasync(fd)
    finally:
        os.close(fd)
    return time.perf_counter() - begun


# The command line


def help_(places: Places, rounds: int = 21) -> Iterator[Measure]:
    """How soon `--help` has answered, beside an interpreter that does nothing."""

    def seconds(*arguments: str) -> Callable[[], float]:
        def call() -> float:
            begun = time.perf_counter()
            subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            return time.perf_counter() - begun

        return call

    yield measure(
        "python -m fsm.run --help",
        "s",
        "python -c pass",
        paired(rounds, seconds("-m", "fsm.run", "--help"), seconds("-c", "pass")),
        Goal("value", "<=", 0.25),
    )


PARTS: dict[str, Callable[[Places], Iterator[Measure]]] = {
    "transitions": transitions,
    "peers": peers,
    "opening": opening,
    "help": help_,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all, without")
    parser.add_argument("--disk", type=Path, default=BUILD, help="a directory on the disk to measure")
    parser.add_argument("--memory", type=Path, default=in_memory(), help="a directory on tmpfs")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    if args.memory is None:
        parser.error("this system has no tmpfs at /dev/shm; name another with --memory")
    args.disk.mkdir(parents=True, exist_ok=True)
    places = Places(args.disk, args.memory)
    found: list[Measure] = []
    for part in args.parts or PARTS:
        print(f"measuring {part} ...", file=sys.stderr)
        found += PARTS[part](places)
    print(table(found))
    if not args.parts:
        write(
            "engine",
            found,
            machine=machine(OURS, disk=places.disk, memory=places.memory),
            peers=peer_versions(),
        )
    return 1 if any(m.met is False for m in found) else 0


if __name__ == "__main__":
    sys.exit(main())
