"""The rooms of the house, and what each may import. `python -m tests.rooms` draws them anew in docs/architecture.md."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"

ENGINE: Sequence[tuple[str, str]] = (
    ("cli", "the command line"),
    ("upkeep", "a run answered, gone on with, cancelled, retired"),
    ("run", "begin a run, or go on with it"),
    ("step", "one state of a run, then out"),
    ("command", "what commands share"),
    ("new", "a pipeline to begin with"),
    ("testing", "help for tests of pipelines"),
    ("library", "a run, from Python"),
    ("view", "how a run is shown: one projection, its faces"),
    ("checking", "the command that checks"),
    ("exchange", "drawings in other formats, and back"),
    ("prove", "a run killed everywhere, and compared with one left alone"),
    ("moments", "points of a run, and dying at one"),
    ("session", "one run of one configuration"),
    ("amend", "other settings or drawings for a run that has begun"),
    ("telemetry", "a run's trace, sent to a collector"),
    ("config", "the configuration"),
    ("check", "what can be proved before anything runs"),
    ("engine", "handler, kernel, commit"),
    ("journal", "records and their fold"),
    ("store", "a directory, a bucket"),
    ("drawing", "the drawing as a statechart"),
    ("mermaid", "text to diagram"),
    ("speech", "how text leaves the process"),
    ("faults", "what an error of a service means, and going on through it"),
    ("secrets", "what may not be written"),
    ("text", "text from outside"),
    ("extras", "what is not installed, and what brings it"),
    ("errors", "the errors, numbered"),
)
"""The rooms of fsm/, from the top: each imports only from rooms below it."""

PHASES: Sequence[tuple[str, str]] = (
    ("rehearsal", "services on the loopback, and a run rehearsed against them"),
    ("pipeline", "the whole, and its validation"),
    ("error_recovery", "what an exception leads to"),
    ("distillation", "the epoch loop"),
    ("qlora_training", "one training"),
    ("student", "model, tokenizer, adapter, answers"),
    ("teacher_generation", "prompts to a teacher's answers"),
    ("quality_scoring", "the score of one answer"),
    ("data_preparation", "sources to examples"),
    ("sagemaker_job", "a job, followed from outside"),
    ("data_flow", "which data goes where"),
    ("convergence", "whether another epoch pays"),
    ("reading", "files that users bring"),
    ("decoding", "from bytes to text: UTF-8, then Latin-1"),
    ("services", "which entry of Diagram 8 a fault enters"),
    ("turns", "a prompt of one turn or several"),
    ("errors", "what goes wrong in them"),
)
"""The rooms of phases/, likewise."""

HOUSES: Mapping[str, Sequence[tuple[str, str]]] = {"fsm": ENGINE, "phases": PHASES}
BELOW = {"fsm": (), "machines": ("fsm",), "phases": ("machines", "fsm")}
"""What each of the three packages may import of the others."""


def floors(house: str) -> dict[str, int]:
    """The floor of each room, counted from the top."""
    return {name: floor for floor, (name, _) in enumerate(HOUSES[house])}


def room(module: str) -> str:
    """The room that a module stands in: `fsm.engine.kernel` is in `engine`; a package's own `__init__` is in none."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def modules(package: str) -> Iterator[tuple[str, Path]]:
    """The modules below a package by dotted name, in order."""
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """What a file imports, wherever in it: (line, module, names)."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module, tuple(a.name for a in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, ()


def arrows(house: str) -> set[tuple[str, str]]:
    """Which room imports from which, as the files say."""
    found = set()
    for module, path in modules(house):
        for _, named, names in imports(path):
            for target in targets(house, named, names):
                if room(module) and target != room(module):
                    found.add((room(module), target))
    return found


def targets(house: str, named: str, names: Sequence[str]) -> Iterator[str]:
    """The rooms of a house that an import reaches into."""
    if named == house:
        yield from (n for n in names if n in floors(house))
    elif named.startswith(f"{house}."):
        yield room(named)


def drawn(house: str) -> str:
    """The house as a Mermaid flowchart: its rooms from the top, and of the arrows those that no other path implies."""
    floor = floors(house)
    below: dict[str, set[str]] = {name: set() for name in floor}
    for name, target in arrows(house):
        below[name].add(target)
    implied: dict[str, set[str]] = {}  # of each room, all that lies under the rooms it imports
    for name in reversed(floor):
        implied[name] = set().union(*(below[b] | implied[b] for b in below[name]))
    lines = ["flowchart TD", *(f'    {name}["{name}<br/>{what}"]' for name, what in HOUSES[house])]
    for name in floor:
        lines += [f"    {name} --> {b}" for b in sorted(below[name] - implied[name], key=floor.__getitem__)]
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with each drawing between its marks as it is now."""
    for house in HOUSES:
        begin, end = f"<!-- rooms of {house} -->\n", f"<!-- end of {house} -->"
        before, _, rest = text.partition(begin)
        after = rest.partition(end)[2]
        text = f"{before}{begin}```mermaid\n{drawn(house)}\n```\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
    sys.exit(0)
