"""What the benchmarks share: paired rounds, a meter, the table of ratios and the file of results.

Needs nothing but Python, so that the loops of other engines can use it in an environment of their own.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeVar

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
BUILD = ROOT / "build" / "benchmarks"  # ignored by git: what benchmarks make and may find again

T = TypeVar("T")


# Measuring


@dataclass(frozen=True)
class Cost:
    """Of one step: seconds that passed, and seconds of CPU (user and system, all threads) that were used."""

    wall: float
    cpu: float


def cpu_time() -> float:
    """Seconds of CPU that this process has used, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Moment:
    """Now: by the clock, and by the CPU time of this process."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Moment:
        return cls(time.perf_counter(), cpu_time())

    def since(self, other: Moment, steps: int = 1) -> Cost:
        """What each of so many steps has cost from then to now."""
        return Cost((self.wall - other.wall) / steps, (self.cpu - other.cpu) / steps)


class Meter:
    """The cost of the steps of a loop from number `first` on, up to the moment when number `last` begins."""

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last
        self._at: dict[int, Moment] = {}

    def step(self, number: int) -> None:
        """To be called as each step begins."""
        if number == self.first or number == self.last:
            self._at[number] = Moment.now()

    def cost(self) -> Cost:
        """Per step. Raises KeyError where the loop was not that long."""
        return self._at[self.last].since(self._at[self.first], self.last - self.first)


def in_turns(rounds: int, *contestants: Callable[[], T]) -> list[tuple[T, ...]]:
    """What each contestant gave in each round. Every other round takes them backwards.

    On a machine that has other things to do too, two numbers can be compared only if they were taken at the same time:
    compare within a round, then take the median over the rounds.
    """
    found = []
    order = list(enumerate(contestants))
    for _ in range(rounds):
        given = {place: contestant() for place, contestant in order}
        found.append(tuple(given[place] for place in range(len(contestants))))
        order.reverse()
    return found


def paired(rounds: int, one: Callable[[], T], other: Callable[[], T]) -> list[tuple[T, T]]:
    """`in_turns` of two."""
    return [(first, second) for first, second in in_turns(rounds, one, other)]


# Telling


@dataclass(frozen=True)
class Goal:
    """What is asked for: of the `ratio`, or of the `value` itself, in its unit."""

    of: Literal["ratio", "value"]
    relation: Literal[">=", "<="]
    number: float


@dataclass(frozen=True)
class Measure:
    """One line of the table: a quantity beside its floor, medians over the rounds of one run.

    `ratio` is the median of the rounds' own ratios, which is not the ratio of the medians; `spread` holds its quartiles.
    """

    name: str
    unit: str
    value: float
    floor: float
    beside: str  # what the floor is
    ratio: float
    spread: tuple[float, float]
    rounds: int
    goal: Goal | None = None

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        found = self.ratio if self.goal.of == "ratio" else self.value
        return found >= self.goal.number if self.goal.relation == ">=" else found <= self.goal.number


def measure(
    name: str, unit: str, beside: str, pairs: Iterable[tuple[float, float]], goal: Goal | None = None
) -> Measure:
    """The line of (quantity, floor) pairs, one a round; at least two."""
    pairs = list(pairs)
    ratios = [value / floor for value, floor in pairs]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Measure(
        name,
        unit,
        statistics.median(value for value, _ in pairs),
        statistics.median(floor for _, floor in pairs),
        beside,
        statistics.median(ratios),
        (low, high),
        len(pairs),
        goal,
    )


def table(measures: Sequence[Measure]) -> str:
    """The measures as aligned text."""
    head = ("what", "measured", "floor", "", "ratio", "quartiles", "goal", "")
    rows = [head]
    for m in measures:
        goal = (
            f"{m.goal.of if m.goal.of == 'ratio' else m.unit} {m.goal.relation} {m.goal.number:g}"
            if m.goal
            else ""
        )
        met = {True: "met", False: "MISSED", None: ""}[m.met]
        value, floor = (f"{_short(x)} {m.unit}" for x in (m.value, m.floor))
        rows.append(
            (m.name, value, floor, m.beside, _short(m.ratio), " to ".join(map(_short, m.spread)), goal, met)
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    right = (1, 2, 4)  # columns of numbers
    lines = [
        "  ".join(
            c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def write(name: str, measures: Sequence[Measure], **more: Any) -> Path:
    """Keep the measures as results/NAME.json, with `more` beside them; returns the file."""
    rows = [asdict(m) | {"met": m.met} for m in measures]
    path = RESULTS / f"{name}.json"
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps({**more, "measures": rounded(rows)}, indent=1, ensure_ascii=False) + "\n")
    return path


def rounded(value: Any) -> Any:
    """Numbers to four digits: more are noise, and noise in every line of a diff."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, (list, tuple)) else value


# Where


def machine(packages: Iterable[str] = (), **directories: Path) -> dict[str, Any]:
    """What decides the numbers: processor, Python, package versions, file systems. Nothing that names this machine."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": versions(packages),
        "file_systems": {name: file_system(path) for name, path in directories.items()},
    }


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The versions of installed packages; None for one that is not."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def file_system(path: Path) -> str:
    """The type of the file system that holds a path: ext4, tmpfs, ...; empty where the system does not say."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return ""
    path = path.resolve()
    holding = [(len(point), kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(holding)[1] if holding else ""


@contextmanager
def scratch(where: Path) -> Iterator[Path]:
    """A directory for one run, gone with the block."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=where) as path:
        yield Path(path)


def in_memory() -> Path | None:
    """A directory on tmpfs, where there is one."""
    shm = Path("/dev/shm")
    return shm if shm.is_dir() and file_system(shm) == "tmpfs" and os.access(shm, os.W_OK) else None
