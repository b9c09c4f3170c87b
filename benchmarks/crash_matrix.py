"""A real pipeline killed at every record, before its put, after it, and in the middle of the handler; each run taken to its
end and compared with the one that was left alone.

    python -m benchmarks.crash_matrix configs/local.yaml [--machine NAME] [--every N] [--where before,after,middle]
                                      [--set KEY=VALUE ...] [--import torch,transformers,trl,peft]

All runs use one directory, one after the other, for records may name paths. Results go to
benchmarks/results/crash_matrix_<machine>.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from fsm import config as configs
from fsm.config import Config
from fsm.store.local import LocalStore
from tests.crash import harness
from tests.crash.harness import Kill

RESULTS = Path(__file__).parent / "results"


Of = Callable[[Mapping[str, Any]], bool]
"""Whether a run is killed at a record."""


def any_record(record: Mapping[str, Any]) -> bool:
    """At every one."""
    return True


def prepared(file: Path, directory: Path, overrides: dict[str, Any]) -> Config:
    """The configuration with its store and its scratch below a directory."""
    return configs.load(
        file, {**overrides, "store": str(directory / "store"), "work": str(directory / "work")}
    )


def chosen(reference: harness.History, wheres: Sequence[str], every: int, of: Of) -> list[Kill]:
    """Every nth point; in the middle of a handler means after half the time it took in the reference."""
    kills = [
        Kill(seq, where, took / 2 if where == harness.MIDDLE else None)
        for record, seq, took in zip(reference.records, reference.seqs, reference.took, strict=True)
        if of(record)
        for where in wheres
    ]
    return kills[::every]


def matrix(
    file: Path,
    overrides: dict[str, Any],
    *,
    wheres: Sequence[str] = (harness.BEFORE, harness.AFTER, harness.MIDDLE),
    every: int = 1,
    modules: Sequence[str] = (),
    of: Of = any_record,
) -> dict[str, Any]:
    """Run the matrix; returns what a result file says."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary) / "now"
        directory.mkdir()
        config = prepared(file, directory, overrides)
        harness.warm(config, modules)
        store = LocalStore(directory / "store")
        log = Path(temporary) / "log"
        name = config.engine.run.name
        harness.to_the_end(config, store, log)
        reference = harness.history(store.run(name))
        alone = time.perf_counter() - began
        kills = chosen(reference, wheres, every, of)
        wrong: dict[str, list[str]] = {}
        for n, kill in enumerate(kills):
            shutil.rmtree(directory)
            directory.mkdir()
            log.write_text("")
            try:
                said = harness.differences(harness.killed(config, store, log, kill), reference)
            except AssertionError as e:
                said = [str(e)[-500:]]
            if said:
                wrong[str(kill)] = said
            print(f"{n + 1}/{len(kills)} {kill}: {'the same' if not said else said[0][:300]}", flush=True)
    states = Counter(r["machine"] for r in reference.records)
    return {
        "machine": config.engine.machine,
        "records": len(reference.records),
        "records_by_machine": dict(states),
        "artifacts": len(reference.files),
        "points": len(kills),
        "different": wrong,
        "seconds_alone": round(alone, 1),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--machine", help="run this machine instead: a phase alone")
    parser.add_argument("--every", type=int, default=1, help="take every nth point")
    parser.add_argument("--where", default="before,after,middle")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the configuration"
    )
    parser.add_argument("--import", dest="modules", default="", help="import these before forking")
    args = parser.parse_args()
    overrides: dict[str, Any] = {k: yaml.safe_load(v) for k, _, v in (s.partition("=") for s in args.set)}
    if args.machine:
        overrides["machine"] = args.machine
    result = matrix(
        args.config,
        overrides,
        wheres=args.where.split(","),
        every=args.every,
        modules=[m for m in args.modules.split(",") if m],
    )
    result |= {"load": round(os.getloadavg()[0], 1), "cpus": os.cpu_count()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"crash_matrix_{result['machine']}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({**result, "different": len(result["different"])}))
    return 1 if result["different"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
