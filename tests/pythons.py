"""`python -m tests.pythons python3.12 python3.13`: the engine's tests under other interpreters.

Each gets a virtual environment below build/, with the project, the extras that those tests have use for, and what runs them. An
interpreter is one that is on the path, or a path to one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOME = ROOT / "build" / "pythons"
EXTRAS = "watch,aws,data"
TOOLS = ("pytest", "hypothesis", "openai")  # the last is a client whose errors are told apart
VIEWS = ("commands", "compare", "lines", "projection", "render", "terminal", "timeline", "tree")
TESTS = (
    *(
        f"tests/fsm/{room}"
        for room in (
            "check",
            "config",
            "drawing",
            "engine",
            "faults",
            "journal",
            "mermaid",
            "prove",
            "speech",
        )
    ),
    *(
        f"tests/fsm/store/test_{name}.py"
        for name in ("access", "audit", "local", "scratch", "shelf", "trail")
    ),
    *(f"tests/fsm/test_{name}.py" for name in ("cli", "errors", "imports", "live", "new", "notify", "text")),
    *(f"tests/fsm/view/test_{name}.py" for name in VIEWS),
    "tests/machines",
    "tests/examples",
)
"""What takes no training, no browser and no server."""


def main(pythons: Sequence[str]) -> int:
    """The first exit code that is not 0."""
    for python in pythons:
        home = HOME / Path(python).name if "/" not in python else HOME / python.strip("/").replace("/", "-")
        here = home / "bin" / "python"
        extras = f".[{EXTRAS}]"
        steps = [
            [python, "-m", "venv", str(home)],
            [str(here), "-m", "pip", "install", "-q", "-c", "constraints.txt", "-e", extras, *TOOLS],
            [str(here), "-W", "error::SyntaxWarning", "-m", "compileall", "-qf", "fsm", "machines", "phases"],
            [str(here), "-m", "pytest", "-p", "no:cacheprovider", *TESTS],
        ]
        for step in steps:
            print(f"$ {' '.join(step[:6])}", flush=True)
            if code := subprocess.run(step, cwd=ROOT, check=False).returncode:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
