"""In which order the tests are handed out, and which of them stay together, when several processes run them.

    .venv/bin/python -m tests --durations=0 -vv > said.txt; .venv/bin/python -m tests.order said.txt

writes down anew what takes long.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LONG = Path(__file__).with_name("long.txt")
"""`seconds name`, longest first: of what stays together, or of a test by itself, as far as it takes LEAST or more."""
LEAST = 2.0
LOCAL_RUN = "local_run"
"""The fixture of the run that the README's first command makes: so costly that what asks for it stays together."""
_MADE_FOR_A_FILE = re.compile(r'@pytest\.fixture\([^)]*scope="(?:module|class)"')
_DURATION = re.compile(r"^(\d+\.\d+)s (?:call|setup|teardown) +(\S.*)$", re.MULTILINE)


@cache
def _shared(file: str) -> str | None:
    """What the tests of a file share that is made once: the local run, or what a fixture makes for the file; or None.

    Seen in its text, for the process that hands out the tests does not import them.
    """
    try:
        text = (ROOT / file).read_text("utf-8")
    except OSError:
        return None
    if re.search(rf"\b{LOCAL_RUN}\b: Place", text):
        return LOCAL_RUN
    return file if _MADE_FOR_A_FILE.search(text) else None


def group(nodeid: str) -> str:
    """What is handed out as one: by what a test shares, or the test itself."""
    return _shared(nodeid.partition("::")[0]) or nodeid


def long() -> list[str]:
    """The names in LONG, longest first."""
    return [line.split(maxsplit=1)[1] for line in LONG.read_text("utf-8").splitlines()]


def longest_first(items: Iterable[Any]) -> list[Any]:
    """The tests by how long they, or what they stay together with, take; the others after them as they stand."""
    places = {name: n for n, name in enumerate(long())}

    return sorted(items, key=lambda item: places.get(group(item.nodeid), len(places)))


def read(said: str) -> str:
    """What pytest said of durations, as LONG has it."""
    took: dict[str, float] = defaultdict(float)
    for seconds, nodeid in _DURATION.findall(said):
        took[group(nodeid)] += float(seconds)
    rows = sorted(((s, name) for name, s in took.items() if s >= LEAST), key=lambda row: (-row[0], row[1]))
    return "".join(f"{seconds:.0f} {name}\n" for seconds, name in rows)


if __name__ == "__main__":
    LONG.write_text(read(Path(sys.argv[1]).read_text("utf-8")), "utf-8")
