"""`fsm resume-due` over a store of 1,000 waiting runs of which 10 are due, beside going on with the ten by name.

    python -m benchmarks.waiting [--runs N] [--due N] [--rounds N]      writes benchmarks/results/waiting.json

All runs are real ones that have come to rest, in a directory. Both contestants are processes of their own, their start included, and
go on with the same ten: what lies between them is the price of finding these among the others. How many journals were written
to is counted, and is an error where it is not those of the ten.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import BUILD, Goal, measure, paired, table, write

DRAWING = """
stateDiagram-v2
    [*] --> Rest
    Rest --> Rest : Again
    Rest --> [*] : Enough
"""
HANDLERS = """
from pathlib import Path

from fsm.engine import Context, Machine, Phase

MACHINE = Machine("sleeper", Path(__file__).with_name("sleeper.mmd"), waits={"Rest": "the clock"})
PHASE = Phase("sleeper")


@PHASE.state("Rest")
def rest(ctx: Context) -> str:
    ctx.wait(ctx.config["seconds"])
    return "Again"
"""
LATE, SOON = "late", "soon"
BY_NAME = """
import os, sys
from pathlib import Path
from fsm.store import open_store
from fsm.upkeep import going
url, names = sys.argv[1], sys.argv[2:]
store = open_store(url)
going.warm()
for first in range(0, len(names), 4):
    begun = [going.begin(n, going.words(store.run(n), url, store.run(n).read_live(), None)) for n in names[first:first + 4]]
    for one in begun:
        assert going.end(one, os.waitpid(one.pid, 0)[1])["outcome"] == "waiting"
"""


def prepared(directory: Path, runs: int, due: int) -> tuple[Path, list[str]]:
    """A store of so many runs at rest, and the names of those that are due again and again."""
    from fsm import config as configs
    from fsm import session
    from fsm.view import telling

    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / "sleeper.mmd").write_text(DRAWING)
    (directory / "sleeper.py").write_text(HANDLERS)
    store, soon = directory / "store", []
    for name, seconds in ((LATE, 86400), (SOON, 0.02)):
        words = f"plug: {{drawing: sleeper.mmd, handlers: sleeper.py}}\nwork: {directory / 'work'}\nsleeper: {{seconds: {seconds}}}\n"
        (directory / f"{name}.yaml").write_text(words)
    for n in range(runs):
        kind = SOON if n % (runs // due) == 0 else LATE
        name = f"{kind}-{n:04}"
        config = configs.load(directory / f"{kind}.yaml", {"run.name": name, "store": str(store)})
        with telling(config, "none") as (observer, logger):
            assert session.run(config, observer=observer, logger=logger, stay=False).outcome == "waiting"
        soon += [name] if kind == SOON else []
    return store, soon[:due]


def of_children() -> float:
    """Seconds of processor time of all processes that were begun here and have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def sizes(store: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_size for path in store.glob("runs/*/journal.jsonl")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--due", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    store, soon = prepared(BUILD / "waiting", args.runs, args.due)
    opened: set[int] = set()

    def found() -> tuple[float, float]:
        time.sleep(0.1)  # until they are due again
        before, began, used = sizes(store), time.perf_counter(), of_children()
        done = subprocess.run(
            [sys.executable, "-m", "fsm.cli", "resume-due", str(store), "--json"],
            capture_output=True,
            check=True,
            text=True,
        )
        took = time.perf_counter() - began, of_children() - used
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert sorted(row["run"] for row in rows) == soon, rows
        assert {row["outcome"] for row in rows} == {"waiting"}, rows
        grown = sorted(name for name, size in sizes(store).items() if size != before[name])
        assert grown == soon, grown
        opened.add(len(grown))
        return took

    def by_name() -> tuple[float, float]:
        time.sleep(0.1)
        began, used = time.perf_counter(), of_children()
        subprocess.run([sys.executable, "-c", BY_NAME, str(store), *soon], check=True)
        return time.perf_counter() - began, of_children() - used

    pairs = paired(args.rounds, found, by_name)
    what = f"resume-due over {args.runs:,} runs, {args.due} of them due"
    beside = "the same ones gone on with by name"
    walls, cpus = ([(one[n], other[n]) for one, other in pairs] for n in (0, 1))
    rows = [
        measure(what, "s", beside, walls, Goal("value", "<=", 2.0)),
        measure("its processor time", "CPU s", beside, cpus),
    ]
    print(table(rows))
    print(f"opened: {sorted(opened)} of {args.runs}")
    write("waiting", rows, runs=args.runs, due=args.due, opened=sorted(opened))
    return 0 if all(m.met for m in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
