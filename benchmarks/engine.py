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
import subprocess
import sys
import tempfile
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
    in_memory,
    in_turns,
    machine,
    measure,
    paired,
    table,
    write,
)
from benchmarks.loops import Keep, counter, journal_of, realistic, rewriting, round_trip, seconds_to_resume

PEERS = Path(__file__).parent / "peers"
OURS = ("fsm-pipelines", "transitions", "pydantic", "pydantic_core")


@dataclass(frozen=True)
class Places:
    """Where to measure: a directory on a disk, and one on tmpfs."""

    disk: Path
    memory: Path


@contextmanager
def scratch(where: Path) -> Iterator[Path]:
    """A directory for one run."""
    path = Path(tempfile.mkdtemp(prefix="benchmark-", dir=where))
    try:
        yield path
    finally:
        shutil.rmtree(path)


# Durable transitions


def engine_cost(where: Path, steps: int, warm: int, states: int = 2, keep: Keep = counter) -> Cost:
    """Of a durable transition of the engine: a whole session on a new run."""
    meter = Meter(warm, steps)
    with scratch(where) as directory:
        round_trip(directory, states, steps, meter, keep)
    return meter.cost()


def bare_cost(where: Path, lines: Sequence[bytes], warm: int) -> Cost:
    """Of an append and an fdatasync of a line, and of nothing else."""
    meter = Meter(warm, len(lines))
    with scratch(where) as directory:
        fd = os.open(directory / "bare.jsonl", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            for number, line in enumerate(lines):
                meter.step(number)
                os.write(fd, line)
                os.fdatasync(fd)
            meter.step(len(lines))
        finally:
            os.close(fd)
    return meter.cost()


def lines_of(where: Path, steps: int, states: int, keep: Keep) -> list[bytes]:
    """The records that the engine writes for so many transitions."""
    with scratch(where) as directory:
        round_trip(directory, states, steps, Meter(0, steps), keep)
        records = journal_of(directory).read_bytes().splitlines(keepends=True)
    return [line for line in records if b'"kind":"transition"' in line]


@dataclass(frozen=True)
class Load:
    """What the states do, of how many, and whether the goals hold for it."""

    what: str
    states: int
    keep: Keep
    trivial: bool = False


LOADS = (
    Load("trivial handlers", 2, counter, trivial=True),
    Load("20 KB of data, 1 KB changed", 60, realistic),
)


def transitions(places: Places, warm: int = 20) -> Iterator[Measure]:
    """The engine beside a loop that does nothing but append the same bytes."""
    for load in LOADS:
        yield from _beside_bare(load, "disk", places.disk, 150 + warm, warm, 60)
    for load in LOADS:
        yield from _beside_bare(load, "tmpfs", places.memory, 2000 + warm, warm, 25)


def _beside_bare(load: Load, kind: str, where: Path, steps: int, warm: int, rounds: int) -> Iterator[Measure]:
    lines = lines_of(where, steps, load.states, load.keep)
    found = paired(
        rounds,
        lambda: engine_cost(where, steps, warm, load.states, load.keep),
        lambda: bare_cost(where, lines, warm),
    )
    yield measure(
        f"durable transitions on {kind}, {load.what}",
        "/s",
        "bare append + fdatasync of the same bytes",
        [(1 / own.wall, 1 / bare.wall) for own, bare in found],
        Goal("ratio", ">=", 0.80) if load.trivial and kind == "disk" else None,
    )
    yield measure(
        f"engine CPU a transition on {kind}, {load.what}",
        "µs",
        "CPU of that bare loop, taken off",
        [((own.cpu - bare.cpu) * 1e6, bare.cpu * 1e6) for own, bare in found],
        Goal("value", "<=", 100) if load.trivial else None,
    )


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
    goal: float
    states: int = 2
    keep: Keep = counter


SIZES = (
    Size("2,000 records", 2_000 - 2_000 % 64 + 63, 10),
    Size("100,000 records", 100_000 - 100_000 % 64 + 63, 50),
    Size("2,000 records, 60 states, 20 KB of data", 2_000 - 2_000 % 64 + 63, 10, 60, realistic),
    Size("100,000 records, 60 states, 20 KB of data", 100_000 - 100_000 % 64 + 63, 50, 60, realistic),
    Size("2,000 records, 60 states, 20 KB rewritten by each", 2_000, 10, 60, rewriting),
)


def opening(places: Places, rounds: int = 21) -> Iterator[Measure]:
    """From the beginning of a session on a run that was left to the call of the handler it is resumed with.

    The floor reads and parses what lies behind the newest snapshot and appends one durable line. Neither finds the
    journal in the page cache.
    """
    for size in SIZES:
        with scratch(places.memory) as made, scratch(places.disk) as directory:
            round_trip(made, size.states, size.steps, Meter(0, size.steps), size.keep)
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
        Goal("value", "<=", size.goal),
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
