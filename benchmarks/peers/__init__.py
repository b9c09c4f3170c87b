"""One loop in four engines: two states, A and B, and a number that each raises by one, durable before the next begins.

Each module runs in a process of its own, `python -m benchmarks.peers.NAME_loop DIRECTORY FIRST LAST`, and prints as JSON
what one step costs, from the beginning of step FIRST to the beginning of step LAST. The engines are driven as their own
documentation shows, with nothing set that would slow them down; what is set is said in each module.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.common import Meter


def main(loop: Callable[[Path, int, Meter], None]) -> None:
    """Run a loop of LAST + 1 steps: loop(directory, steps, meter)."""
    directory, first, last = sys.argv[1:]
    meter = Meter(int(first), int(last))
    loop(Path(directory), int(last) + 1, meter)
    print(json.dumps(asdict(meter.cost())))
