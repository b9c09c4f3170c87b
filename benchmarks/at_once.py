"""What going at once gains: branches that wait, branches that write, and items of a map.

    python -m benchmarks.at_once

Branches that wait are held against the same drawing one after the other; branches that write against that too, and against the
disk: as many threads that append lines as long to one file and wait for one fdatasync together. Items are held against the ideal,
a pool of threads that sleep as long. Prints a table and keeps it as benchmarks/results/at_once.json. Exit code 1 if a goal was missed.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.common import BUILD, Goal, Measure, in_turns, machine, measure, scratch, table, write
from fsm.drawing import chart
from fsm.engine import Context, Machine, Phase, Program, Runner
from fsm.journal import Journal
from fsm.store.local import LocalRun

BRANCHES = 8
WAIT = 0.3
RECORDS = 200  # of each branch that writes
ITEMS, AT_ONCE, TAKES = 1000, 16, 0.02

NAMES = [f"B{n}" for n in range(BRANCHES)]
FORK = "\n".join(["stateDiagram-v2", "[*] --> F", "J --> [*]"] + [f"F --> {n}\n{n} --> J" for n in NAMES])
LOOP = "\n".join(
    ["stateDiagram-v2", "[*] --> F", "J --> [*]"]
    + [f"F --> {n}\n{n} --> {n} : again\n{n} --> J : done" for n in NAMES]
)
MAP = "stateDiagram-v2\n[*] --> All\nAll --> [*]"
ONE = "stateDiagram-v2\n[*] --> Take\nTake --> [*]"


def nothing(ctx: Context) -> None:
    """A state that does nothing."""


def forked(text: str, handle: Callable[[Context], str | None], at_once: bool) -> Program:
    """Eight branches, each of one state."""
    drawn = Machine(
        "f",
        chart.parse(text, "f"),
        concurrent={"F"} if at_once else (),
        bounds={(n, "again"): "the records" for n in NAMES} if text is LOOP else {},
    )
    phase = Phase("f")
    phase.state("F", "J")(nothing)
    phase.state(*NAMES)(handle)
    return Program("f", {"f": drawn}, {"f": phase})


def mapped(items: int, at_once: int, takes: float) -> Program:
    """A state that maps items through a machine of one state."""
    outer = Machine("f", chart.parse(MAP, "f"), calls={"All": ("one",)})
    one = Machine("one", chart.parse(ONE, "one"))
    phases = {"f": Phase("f"), "one": Phase("one")}

    @phases["f"].state("All")
    def all_(ctx: Context) -> None:
        ctx.map("one", range(items), at_once=at_once)

    @phases["one"].state("Take")
    def take(ctx: Context) -> None:
        time.sleep(takes)

    return Program("f", {"f": outer, "one": one}, phases)


def waits(ctx: Context) -> None:
    """As one that waits for something outside."""
    time.sleep(WAIT)


def writes(ctx: Context) -> str:
    """One record after the other."""
    return "again" if ctx.visit < RECORDS else "done"


def driven(of: Program, where: Path) -> tuple[float, int]:
    """(seconds, bytes of the journal) of a run from its beginning to its end."""
    with scratch(where) as directory:
        run = LocalRun(directory / "runs" / "r")
        run.write_header(b'{"format": 1}')
        journal = Journal(run)
        runner = Runner(of, run, journal, journal.open(), seed=1, work=directory / "work")
        for made in of.machines.values():
            _ = made.kernel, made.splits
        began = time.perf_counter()
        outcome = runner.drive()
        took = time.perf_counter() - began
        journal.close()
        assert outcome.outcome == "done", outcome
        return took, run.journal.stat().st_size


def disk(where: Path, threads: int, lines: int, length: int) -> float:
    """Seconds in which so many threads append so many lines each, waiting for one fdatasync together: nothing but the disk."""
    with scratch(where) as directory:
        fd = os.open(directory / "floor", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        line, writing, syncing = b"x" * (length - 1) + b"\n", threading.Lock(), threading.Lock()
        written, durable = 0, 0

        def work() -> None:
            nonlocal written, durable
            for _ in range(lines):
                with writing:
                    os.write(fd, line)
                    written += 1
                    mine = written
                with syncing:
                    if durable < mine:
                        upto = written
                        os.fdatasync(fd)
                        durable = upto

        started = [threading.Thread(target=work) for _ in range(threads)]
        began = time.perf_counter()
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        took = time.perf_counter() - began
        os.close(fd)
        return took


def pool() -> float:
    """Seconds in which a pool of threads sleeps as long as the items take."""
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for done in [threads.submit(time.sleep, TAKES) for _ in range(ITEMS)]:
            done.result()
    return time.perf_counter() - began


def waiting(where: Path, rounds: int) -> Measure:
    """Branches that wait: how many times as fast as one after the other."""
    pairs = in_turns(
        rounds,
        lambda: driven(forked(FORK, waits, False), where)[0],
        lambda: driven(forked(FORK, waits, True), where)[0],
    )
    return measure(
        f"{BRANCHES} branches of {WAIT:g} s, one after the other",
        "s",
        "the same at once",
        [(one, both) for one, both in pairs],
        Goal("ratio", ">=", 7.0),
    )


def writing(where: Path, rounds: int) -> list[Measure]:
    """Branches that write: beside the disk, and beside one after the other."""
    size = driven(forked(LOOP, writes, True), where)[1]
    length = size // (BRANCHES * RECORDS)
    found = in_turns(
        rounds,
        lambda: driven(forked(LOOP, writes, True), where)[0],
        lambda: disk(where, BRANCHES, RECORDS, length),
        lambda: driven(forked(LOOP, writes, False), where)[0],
    )
    what = f"{BRANCHES} branches of {RECORDS} records at once"
    return [
        measure(
            what,
            "s",
            f"{BRANCHES} threads appending {RECORDS} lines each",
            [(mine, floor) for mine, floor, _ in found],
            Goal("ratio", "<=", 2.0),
        ),
        measure(
            f"{what}, again", "s", "the same one after the other", [(mine, one) for mine, _, one in found]
        ),
    ]


def items(where: Path, rounds: int) -> Measure:
    """Items of a map: how much of the ideal is left, which is a pool of threads that sleep and do nothing else."""
    found = in_turns(rounds, pool, lambda: driven(mapped(ITEMS, AT_ONCE, TAKES), where)[0])
    return measure(
        f"the ideal of {ITEMS} items of {TAKES * 1000:g} ms, {AT_ONCE} at once",
        "s",
        "map",
        [(ideal, mine) for ideal, mine in found],
        Goal("ratio", ">=", 0.9),
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--disk", type=Path, default=BUILD, help="a directory on the disk to measure on")
    args = parser.parse_args()
    args.disk.mkdir(parents=True, exist_ok=True)
    measures = [
        waiting(args.disk, args.rounds),
        *writing(args.disk, args.rounds),
        items(args.disk, args.rounds),
    ]
    print(table(measures))
    where = machine(("fsm-pipelines", "transitions", "pydantic_core"), disk=args.disk)
    write("at_once", measures, **where)
    return 0 if all(m.met is not False for m in measures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
