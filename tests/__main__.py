"""The whole test command: `python -m tests` runs ruff, mypy and pytest, and ends with the first failure's code.

What the tests need beside the project's packages is set up before they run (tests/needs); what cannot be had is said, here and at
the end, with the number of tests that were not run for it. Arguments go to pytest: `python -m tests tests/fsm -k kernel`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.needs import prepare

ROOT = Path(__file__).parents[1]
WHOLE = ["-n", "2", "--dist", "loadscope"]  # as tests/conftest.py spreads them


def main(arguments: list[str]) -> int:
    """Run the three, with the set-up before the last; returns the exit code."""
    steps = [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["pytest", *(arguments or WHOLE)],
    ]
    for step in steps:
        if step[0] == "pytest":
            prepare(lambda line: print(line, flush=True))
        print(f"$ {' '.join(step)}", flush=True)
        code = subprocess.run([sys.executable, "-m", *step], cwd=ROOT, check=False).returncode
        if code != 0:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
