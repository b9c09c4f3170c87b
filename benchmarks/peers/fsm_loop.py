"""The loop in this engine: a whole session on a new run in a local store."""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import Meter
from benchmarks.loops import counter, round_trip
from benchmarks.peers import main


def loop(directory: Path, steps: int, meter: Meter) -> None:
    round_trip(directory, 2, steps, meter.step, counter)


if __name__ == "__main__":
    main(loop)
