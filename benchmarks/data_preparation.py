"""Data preparation on real trees: beside bare parsing, by two processes, its memory, its artifacts, what leaks, and kills.

    python -m benchmarks.data_preparation [--megabytes 58] [--more 350] [--rounds 3] [--kills 100] [--killed-on 4] [--only NAME,...]

The trees are source packages of the machine's Debian, fetched by apt below build/benchmarks: linuxptp, lldpd and iproute2
as TSN sources, gstreamer1.0 as AVB's, drivers of the linux source as CARLA's; `--more` adds more of linux. Every run is a process of
its own. Measured are

    speed      the whole phase, by one process, beside tree-sitter parsing the same bytes and doing nothing else; seconds of
               CPU, which others on the machine disturb less than those of the clock
    processes  two worker processes over one, by the clock; and how much CPU stays with the process that has them
    memory     the peak of a run on --more megabytes beside that of one on --megabytes
    artifacts  bytes in the store beside those of the sources
    twins      validation rows of which a row for training shares 0.7 of the 5-grams of tokens, all held against all
    kills      kill -9 at random moments, again and again until the run is done: other bytes, and batches done again

Results go to benchmarks/results/data_preparation.json; with --only, what is not measured stays there as it was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import trees
from benchmarks.common import BUILD, RESULTS, ROOT, Goal, Measure, machine, measure, paired, table, write
from fsm.journal import Journal
from fsm.store import open_store

SUFFIXES = (".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh")
MOST = 1_000_000  # bytes of a file, as the phase has it
SMALL = {"tsn_data": ("linuxptp", "lldpd", "iproute2"), "avb_data": ("gstreamer1.0",)}
LINUX = (
    "drivers/net",
    "drivers/media",
    "drivers/scsi",
    "drivers/usb",
    "drivers/infiniband",
    "net",
    "fs",
    "sound",
    "kernel",
)
BATCH, CHUNKS = 8 << 20, 32  # bytes of a batch, and chunks of it, as the phase has it
KILLED_IN = 1 << 18  # bytes of the batches of runs that are killed: as many kills, a thirtieth of the work
HOME = BUILD / "data_preparation"


# The sources


def corpus(megabytes: int) -> Path:
    """A directory of sources of so many megabytes, made once of hard links."""
    root = HOME / "corpora" / str(megabytes)
    if root.is_dir():
        return root
    part = root.with_name(f".{root.name}")
    shutil.rmtree(part, ignore_errors=True)
    left = megabytes * 1_000_000
    for path, key in _sources(megabytes):
        target = part / key
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target)
        left -= path.stat().st_size
        if left <= 0:
            break
    else:
        raise SystemExit(f"The trees have {megabytes - left // 1_000_000} MB of sources, not {megabytes}.")
    part.rename(root)
    return root


def _sources(megabytes: int) -> Iterator[tuple[Path, str]]:
    found = [(folder, package, trees.tree(package)) for folder, names in SMALL.items() for package in names]
    folders = LINUX[:1] if megabytes < 130 else LINUX
    found.append(("carla", "linux", trees.tree("linux", *folders)))
    for folder, package, root in found:
        for path in sorted(root.rglob("*")):
            if path.suffix in SUFFIXES and path.is_file() and path.stat().st_size <= MOST:
                yield path, f"{folder}/{package}/{path.relative_to(root)}"


def size_of(root: Path) -> int:
    """Bytes of all files below a directory."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


# Runs


@dataclass(frozen=True)
class Ran:
    """A finished run: seconds from its first record to its last, of CPU, the peak of its process in MB, and where it is."""

    seconds: float
    cpu: float
    peak: float
    directory: Path


def prepare(source: Path, name: str, batch: int = BATCH, **section: Any) -> Ran:
    """Prepare the data of a source, in a process and a store of its own."""
    directory, process = begin(source, name, batch=batch, **section)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"The run in {directory} failed. See log.txt there.")
    times = [record["time"] for record in Journal(open_store(str(directory)).run("dp")).records()]
    cpu = float((directory / "cpu.txt").read_text())
    return Ran(times[-1] - times[0], cpu, used.ru_maxrss / 1e3, directory)


def begin(
    source: Path, name: str, fresh: bool = True, batch: int = BATCH, **section: Any
) -> tuple[Path, subprocess.Popen[bytes]]:
    """Begin a run, or go on with it, in batches of so many bytes."""
    directory = HOME / "runs" / name
    if fresh:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    words = {
        "machine": "data_preparation",
        "recovery": "error_recovery",
        "run": {"name": "dp", "seed": 42},
        "store": ".",
        "data_preparation": {"source": str(source), "workers": 1, **section},
    }
    (directory / "dp.yaml").write_text(yaml.safe_dump(words))
    command = [sys.executable, "-m", "benchmarks.data_preparation", "--run", "dp.yaml", "--batch", str(batch)]
    with (directory / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=directory, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
    return directory, process


def run(config: str, batch: int) -> int:
    """One run in this process, in batches of so many bytes, which notes down every chunk that it begins."""
    from fsm.run import main as fsm_run
    from phases.data_preparation import engines, planning, working

    planning.BATCH, planning.CHUNK = batch, batch // CHUNKS

    def noted(settings: Any, chunk: Any, contents: Any, work: Any = working.work) -> Any:
        with Path("chunks.txt").open("a") as file:
            file.write(f"{chunk.size} {chunk.files[0].member.key}\n")
        return work(settings, chunk, contents)

    setattr(engines, "work", noted)  # noqa: B010
    sys.argv = ["fsm", config, "--log", "none"]
    began = time.process_time()
    code = int(fsm_run() or 0)
    Path("cpu.txt").write_text(str(time.process_time() - began))
    return code


def parse(source: Path) -> float:
    """Seconds of CPU in which tree-sitter, in a process of its own, parses all files of a source, which were read before."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.data_preparation", "--parse", str(source)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def parsed(source: Path) -> float:
    """The same in this process."""
    import tree_sitter
    import tree_sitter_c
    import tree_sitter_cpp

    c, cpp = (
        tree_sitter.Parser(tree_sitter.Language(g.language())) for g in (tree_sitter_c, tree_sitter_cpp)
    )
    files = [(path.suffix, path.read_bytes()) for path in sorted(source.rglob("*")) if path.is_file()]
    began = time.process_time()
    for suffix, content in files:
        (c if suffix in (".c", ".h") else cpp).parse(content)
    return time.process_time() - began


def files_of(directory: Path) -> dict[str, dict[str, Any]]:
    """The artifacts of a run."""
    found: dict[str, dict[str, Any]] = {}
    for record in Journal(open_store(str(directory)).run("dp")).records():
        found |= record.get("files") or {}
    return found


# What is measured


def speed(source: Path, rounds: int) -> Iterator[Measure]:
    """One process beside bare parsing, without near-duplicates and with them."""
    for near, goal in (("off", 0.65), ("keep-one", 0.40)):

        def prepared(near: str = near) -> float:
            return prepare(source, "speed", near_dedup=near).cpu

        yield measure(
            f"one process, near_dedup {near}",
            "s",
            "the phase; measured is bare tree-sitter",
            paired(rounds, lambda: parse(source), prepared),
            Goal("ratio", ">=", goal),
        )


def processes(source: Path, rounds: int) -> Iterator[Measure]:
    """Two worker processes over one: by the clock, and by what CPU is not shared, which bounds that on a machine of one's own."""
    cpu: dict[int, list[float]] = {1: [], 2: []}

    def by(workers: int) -> float:
        ran = prepare(source, f"workers-{workers}", workers=workers)
        cpu[workers].append(ran.cpu)
        return ran.seconds

    pairs = paired(rounds, lambda: by(1), lambda: by(2))
    yield measure("two processes over one", "s", "two; measured is one", pairs, Goal("ratio", ">=", 1.6))
    # of a whole of which a share s is one process's alone, two take s + (1 - s) / 2: 1 / 1.6 where s is a quarter
    alone = list(zip(cpu[2], cpu[1], strict=True))
    yield measure(
        "what two processes do not share", "s", "all of it, by one", alone, Goal("ratio", "<=", 0.25)
    )


def memory(small: Path, large: Path) -> Iterator[Measure]:
    """The peak on many sources beside that on few."""
    pairs = [(prepare(large, "large").peak, prepare(small, "small").peak)] * 2
    yield measure(
        "peak memory",
        "MB",
        f"peak at {small.name} MB of source; measured at {large.name}",
        pairs,
        Goal("ratio", "<=", 1.25),
    )


def artifacts(source: Path) -> Iterator[Measure]:
    """All artifacts beside the sources."""
    done = prepare(source, "artifacts")
    kept = {file["sha256"]: file["size"] for file in files_of(done.directory).values()}
    pairs = [(sum(kept.values()) / 1e6, size_of(source) / 1e6)] * 2
    yield measure("artifacts", "MB", "source", pairs, Goal("ratio", "<=", 3.5))


def twins(source: Path) -> Iterator[Measure]:
    """Validation rows with a twin in training, where near-duplicates are looked for and where they are not."""
    found = {
        near: _twins(prepare(source, f"twins-{near}", near_dedup=near).directory)
        for near in ("keep-one", "off")
    }
    pairs = [(found["keep-one"], found["off"])] * 2
    yield measure("validation rows with a twin", "%", "near_dedup off", pairs, Goal("value", "<=", 0))


def _twins(directory: Path) -> float:
    """Percent of validation rows: each held exactly against every row for training."""
    from phases.data_preparation.near_duplicates import SIMILAR, shingles

    of, names = open_store(str(directory)).run("dp"), files_of(directory)
    texts = {}
    for split in ("train", "val"):
        lines = of.artifact(names[f"data/splits/{split}.jsonl"]["sha256"]).read_bytes().split(b"\n")[:-1]
        texts[split] = shingles([json.loads(line)["messages"][1]["content"].encode() for line in lines])
    train, val = texts["train"], texts["val"]
    owner = np.repeat(np.arange(len(train)), train.sizes)
    order = np.argsort(train.hashes, kind="stable")
    hashes, owner = train.hashes[order], owner[order]
    count = 0
    for number in range(len(val)):
        first, last = (np.searchsorted(hashes, val[number], side) for side in ("left", "right"))
        rows = np.concatenate([owner[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True)])
        shared = np.bincount(rows, minlength=len(train))
        count += bool((shared / (len(val[number]) + train.sizes - shared) >= SIMILAR).any())
    return 100 * count / len(val)


def kills(source: Path, number: int) -> Iterator[Measure]:
    """Kill a run at random moments until it is done, and another, and so on."""
    began = time.monotonic()
    reference = prepare(source, "reference", batch=KILLED_IN)
    whole, files = time.monotonic() - began, files_of(reference.directory)
    once = _chunks(reference.directory)
    largest = max(_batches(once))
    chance, killed, other, again, runs = random.Random(42), 0, 0, 0, 0
    while killed < number:
        runs += 1
        directory, process = begin(source, "killed", batch=KILLED_IN)
        before = 0
        while True:
            again = max(again, _again(directory, before))
            before = len(_chunks(directory))
            try:
                process.wait(timeout=chance.uniform(0.2 * whole, whole) if killed < number else 600)
                break
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                killed += 1
                _, process = begin(source, "killed", fresh=False, batch=KILLED_IN)
        again = max(again, _again(directory, before))
        other += files_of(directory) != files or set(_chunks(directory)) != set(once)
        print(f"{killed} kills, {runs} runs, {other} with other bytes", file=sys.stderr, flush=True)
    yield measure(
        "runs that came to other bytes",
        "runs",
        f"runs, after {killed} kills",
        [(other, runs)] * 2,
        Goal("value", "<=", 0),
    )
    yield measure(
        "done again after a kill",
        "KB",
        "the largest batch",
        [(again / 1e3, largest / 1e3)] * 2,
        Goal("ratio", "<=", 1),
    )


def _chunks(directory: Path) -> list[str]:
    """The chunks that were begun, in order."""
    path = directory / "chunks.txt"
    return path.read_text().splitlines() if path.exists() else []


def _batches(chunks: list[str]) -> Iterator[int]:
    """The bytes of each batch of a run that was left alone."""
    held = 0
    for size in map(_size, chunks):
        held += size
        if held >= KILLED_IN:
            yield held
            held = 0
    yield held


def _again(directory: Path, before: int) -> int:
    """Bytes of the chunks that were begun lately and had been begun before."""
    lines = _chunks(directory)
    return sum(map(_size, set(lines[before:]) & set(lines[:before])))


def _size(chunk: str) -> int:
    return int(chunk.partition(" ")[0])


def _before(measured: set[str]) -> list[Measure]:
    """What the file of results has of the last time, of what was not measured now."""
    path = RESULTS / "data_preparation.json"
    rows = json.loads(path.read_text())["measures"] if path.exists() else []
    for row in rows:
        row.pop("met")
        row["goal"] = row["goal"] and Goal(**row["goal"])
        row["spread"] = tuple(row["spread"])
    return [Measure(**row) for row in rows if row["name"] not in measured]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=58)
    parser.add_argument("--more", type=int, default=350)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--killed-on", type=int, default=4, help="megabytes, in batches of 256 KB")
    parser.add_argument("--only", default="speed,processes,memory,artifacts,twins,kills")
    parser.add_argument("--run", metavar="CONFIG", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=BATCH, help=argparse.SUPPRESS)
    parser.add_argument("--parse", metavar="DIR", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.run:
        return run(args.run, args.batch)
    if args.parse:
        print(parsed(args.parse))
        return 0
    source = corpus(args.megabytes)
    todo: dict[str, Callable[[], Iterator[Measure]]] = {
        "speed": lambda: speed(source, args.rounds),
        "processes": lambda: processes(source, args.rounds),
        "memory": lambda: memory(source, corpus(args.more)),
        "artifacts": lambda: artifacts(source),
        "twins": lambda: twins(source),
        "kills": lambda: kills(corpus(args.killed_on), args.kills),
    }
    found: list[Measure] = []
    for name in args.only.split(","):
        found += todo[name]()
        print(table(found), flush=True)
    found = [*_before({one.name for one in found}), *found]
    counts = Counter(path.suffix for path in source.rglob("*") if path.is_file())
    write(
        "data_preparation",
        found,
        machine=machine(("tree-sitter", "tree-sitter-c", "rensa", "numpy"), runs=HOME),
        versions=trees.versions("linuxptp", "lldpd", "iproute2", "gstreamer1.0", "linux"),
        source={"bytes": size_of(source), "files": dict(counts)},
        settings={
            name: getattr(args, name) for name in ("megabytes", "more", "rounds", "kills", "killed_on")
        },
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
