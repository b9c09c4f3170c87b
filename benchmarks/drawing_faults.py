"""How many faults of a drawing does `fsm check` find? The shipped drawings with one seeded fault each, 300 of them; and how long it takes.

    python -m benchmarks.drawing_faults [--faults 300] [--seed 1]

A fault is made in the text of a drawing that runs as a machine (diagram 7 is recorded, not run), or in its phase: an edge taken out, a
label doubled or misspelt, a target misspelt, an end or a start taken out, a composite emptied, a state renamed, a handler registered for
another state. Found is a fault that is refused when the machine is built, or makes a finding where there was none. The times are seconds of CPU,
of all drawings without their handlers, and of random charts beside one of half their size. Results go to
benchmarks/results/drawing_faults.json.
"""

from __future__ import annotations

import argparse
import difflib
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, ROOT, machine
from fsm import mermaid
from fsm.check import check
from fsm.drawing import chart
from fsm.engine import Machine, Phase, Program, Registry
from fsm.errors import FsmError
from fsm.mermaid import Diagram, MermaidError, StateDiagram

MACHINES, PHASES = Registry("machines", Machine), Registry("phases", Phase)
SAID = (
    "forks", "inside", "exits", "ends", "bounds", "waits", "failures", "on_error", "calls", "counted", "entered_at",
)  # fmt: skip
"""What a machine says of its drawing."""


def again(program: Program, name: str, text: str) -> Program:
    """The program with another text for one drawing, of which the same is said; parts of it that run alone are of that text too."""
    file = program.machines[name].chart.file
    whole = chart.parse(text, name, file)
    changed = {}
    for other, old in program.machines.items():
        if old.chart.file == file:
            said = {word: getattr(old, word) for word in SAID}
            part = _part_of(old, program.machines[name])
            changed[other] = Machine(other, whole.inside(part, other) if part else whole, **said)
    return replace(program, machines={**program.machines, **changed})


def _part_of(machine: Machine, whole: Machine) -> str:
    """The composite that a machine is the inside of; empty for the whole drawing."""
    digests = {
        sha256(f"{whole.chart.digest}/{path}".encode()).hexdigest(): path for path in whole.chart.states
    }
    return digests.get(machine.chart.digest, "")


def everything() -> Program:
    """All machines that the project brings, and their phases."""
    machines = {name: MACHINES[name] for name in MACHINES.names}
    return Program("pipeline", machines, {name: PHASES[name] for name in PHASES.names}, "error_recovery")


# Faults: each takes the lines of a drawing and its diagram, and yields other lines

Lines = list[str]
Fault = Callable[[Lines, Diagram, random.Random], Lines | None]


def _edges(diagram: Diagram) -> list[Any]:
    return list(diagram.transitions if isinstance(diagram, StateDiagram) else diagram.edges)


def _alone(lines: Lines, edges: list[Any]) -> list[Any]:
    """The edges that have a line of their own."""
    count: dict[int, int] = defaultdict(int)
    for edge in edges:
        count[edge.line] += 1
    return [e for e in edges if count[e.line] == 1 and "-->" in lines[e.line - 1]]


def _without(lines: Lines, numbers: set[int]) -> Lines:
    return [line for n, line in enumerate(lines, 1) if n not in numbers]


def _swap(lines: Lines, number: int, old: str, new: str, *, behind: bool = True) -> Lines | None:
    """The lines with the last (or first) occurrence of a word in one of them replaced."""
    found = [*re.finditer(rf"(?<![\w]){re.escape(old)}(?![\w])", lines[number - 1])]
    if not found:
        return None
    at = found[-1 if behind else 0]
    line = lines[number - 1]
    return [*lines[: number - 1], line[: at.start()] + new + line[at.end() :], *lines[number:]]


def edge_removed(lines: Lines, diagram: Diagram, chance: random.Random) -> Lines | None:
    inner = [e for e in _alone(lines, _edges(diagram)) if "[*]" not in lines[e.line - 1]]
    return _without(lines, {chance.choice(inner).line}) if inner else None


def end_removed(lines: Lines, diagram: Diagram, chance: random.Random) -> Lines | None:
    ends = [
        n
        for n, line in enumerate(lines, 1)
        if re.search(r"--> \[\*\]", line) and not line.strip().startswith("%%")
    ]
    return _without(lines, {chance.choice(ends)}) if ends else None


def start_removed(lines: Lines, diagram: Diagram, chance: random.Random) -> Lines | None:
    starts = [n for n, line in enumerate(lines, 1) if re.match(r"\s*\[\*\] -->", line)]
    return _without(lines, {chance.choice(starts)}) if starts else None


def label_doubled(lines: Lines, diagram: Diagram, chance: random.Random) -> Lines | None:
    pairs = [
        (one, other)
        for one in _alone(lines, _edges(diagram))
        for other in _edges(diagram)
        if one.source == other.source and one.label and other.label and one.label != other.label
    ]
    if not pairs:
        return None
    one, other = chance.choice(pairs)
    line = lines[one.line - 1]
    return [*lines[: one.line - 1], line.replace(one.label, other.label), *lines[one.line :]]


def label_misspelt(lines: Lines, diagram: Diagram, chance: random.Random) -> Lines | None:
    # a label that is the only one of its state chooses nothing: it is a caption
    chosen = [
        e
        for e in _alone(lines, _edges(diagram))
        if e.label and sum(o.source == e.source for o in _edges(diagram)) > 1
    ]
    if not chosen:
        return None
    edge = chance.choice(chosen)
    line = lines[edge.line - 1]
    return [*lines[: edge.line - 1], line.replace(edge.label, edge.label + "x"), *lines[edge.line :]]


def target_misspelt(lines: Lines, diagram: Diagram, chance: random.Random) -> Lines | None:
    inner = [e for e in _alone(lines, _edges(diagram)) if f"--> {e.target}" in lines[e.line - 1]]
    if not inner:
        return None
    edge = chance.choice(inner)
    return _swap(lines, edge.line, edge.target, edge.target + "x", behind=False)


def state_renamed(lines: Lines, diagram: Diagram, chance: random.Random) -> Lines | None:
    names = sorted(
        {
            e.source
            for e in _edges(diagram)
            if re.fullmatch(r"\w+", e.source) and not e.source.startswith("root")
        }
    )
    if not names:
        return None
    name = chance.choice(names)
    return [re.sub(rf"(?<!\w){name}(?!\w)", name + "2", line) for line in lines]


def composite_emptied(lines: Lines, diagram: Diagram, chance: random.Random) -> Lines | None:
    opened = [n for n, line in enumerate(lines, 1) if re.match(r"\s*state \w+ \{\s*$", line)]
    if not opened:
        return None
    first = chance.choice(opened)
    depth, last = 1, first
    while depth:
        last += 1
        depth += lines[last - 1].count("{") - lines[last - 1].count("}")
    return _without(lines, set(range(first + 1, last)))


FAULTS: Mapping[str, Fault] = {
    "edge removed": edge_removed,
    "end removed": end_removed,
    "start removed": start_removed,
    "label doubled": label_doubled,
    "label misspelt": label_misspelt,
    "target misspelt": target_misspelt,
    "state renamed": state_renamed,
    "composite emptied": composite_emptied,
}
HANDLER = "handler renamed"


def renamed(phase: Phase, chance: random.Random) -> Phase:
    """The phase with one of its handlers registered for another name."""
    made = Phase(phase.machine, phase.config)
    wrong = chance.choice(list(phase.handlers))
    for path, one in phase.handlers.items():
        name = path + "2" if path == wrong else path
        made.handlers[name] = replace(one, state=name)
    return made


@dataclass(frozen=True)
class Mutant:
    """A program with one fault: its kind, the drawing, what was changed, and how it is made."""

    kind: str
    drawing: str
    change: str
    make: Callable[[], Program]


def mutants(program: Program, chance: random.Random, faults: int) -> Iterator[Mutant]:
    """Faults, the kinds in turn, the drawings by chance."""
    kinds = [*FAULTS, HANDLER]
    names = [n for n, m in program.machines.items() if Path(m.chart.file).stem == n]
    number = 0
    while number < faults:
        kind, name = kinds[number % len(kinds)], chance.choice(names)
        made = _handler(program, name, chance) if kind == HANDLER else _drawing(program, kind, name, chance)
        if made is not None:
            yield made
            number += 1


def _handler(program: Program, name: str, chance: random.Random) -> Mutant:
    phase = renamed(program.phases[name], chance)
    change = ", ".join(phase.handlers.keys() - program.phases[name].handlers.keys())
    return Mutant(HANDLER, name, change, lambda: replace(program, phases={**program.phases, name: phase}))


def _drawing(program: Program, kind: str, name: str, chance: random.Random) -> Mutant | None:
    text = Path(program.machines[name].chart.file).read_text("utf-8")
    lines = FAULTS[kind](text.split("\n"), mermaid.parse(text), chance)
    if lines is None or lines == text.split("\n"):
        return None
    changed = [line for line in difflib.ndiff(text.split("\n"), lines) if line[:1] in "+-"]
    return Mutant(
        kind, name, " ".join(" ".join(changed[:2]).split()), lambda: again(program, name, "\n".join(lines))
    )


def found(make: Callable[[], Program], before: int) -> bool:
    """Whether the fault is refused, or makes a finding more than there were."""
    try:
        return len(check(make())) > before
    except (FsmError, MermaidError):
        return True


def random_chart(states: int, chance: random.Random) -> str:
    """A state diagram of so many states: a chain with jumps ahead, and a way back here and there."""
    lines = ["stateDiagram-v2", "    [*] --> S0"]
    for n in range(states):
        if n + 1 < states:
            lines.append(f"    S{n} --> S{n + 1} : on")
            lines.append(f"    S{n} --> S{chance.randrange(n + 1, min(n + 50, states))} : ahead")
        if n % 10 == 9:
            lines.append(f"    S{n} --> S{chance.randrange(max(0, n - 20), n)} : back")
    return "\n".join([*lines, f"    S{states - 1} --> [*] : done", ""])


def seconds(work: Callable[[], Any], rounds: int = 3) -> float:
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def checked(text: str) -> Callable[[], Any]:
    def work() -> Any:
        made = Machine("random", chart.parse(text, "random"))
        return check(Program("random", {"random": made}, {}), phases=False)

    return work


def times(program: Program) -> dict[str, float]:
    """Seconds for all drawings without handlers, and for random charts."""
    files = sorted(
        {Path(m.chart.file) for m in program.machines.values()} | {ROOT / "diagrams/data_flow.mmd"}
    )
    texts = [path.read_text("utf-8") for path in files]

    def drawings() -> None:
        for text in texts:
            mermaid.parse(text)
        check(program, phases=False)

    sizes = {n: random_chart(n, random.Random(n)) for n in (500, 1000, 2000)}
    charts = {f"a random chart of {n} states": seconds(checked(text)) for n, text in sizes.items()}
    return {f"all {len(texts)} drawings": seconds(drawings), **charts}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    program = everything()
    before = [str(f) for f in check(program)]
    chance = random.Random(args.seed)
    tally: dict[str, list[int]] = {kind: [0, 0] for kind in (*FAULTS, HANDLER)}
    missed = []
    for mutant in mutants(program, chance, args.faults):
        one = found(mutant.make, len(before))
        tally[mutant.kind][0] += one
        tally[mutant.kind][1] += 1
        if not one:
            missed.append(f"{mutant.kind} in {mutant.drawing}: {mutant.change}")
    took = times(program)
    total = sum(hit for hit, _ in tally.values())
    for kind, (hit, of) in tally.items():
        print(f"{kind:20} {hit:4} of {of:4}  {hit / of:6.1%}")
    print(
        f"{'all':20} {total:4} of {args.faults:4}  {total / args.faults:6.1%}; {len(before)} findings without a fault"
    )
    for what, took_seconds in took.items():
        print(f"{what:30} {took_seconds:7.3f} s")
    RESULTS.mkdir(exist_ok=True)
    result = {
        "faults": args.faults,
        "seed": args.seed,
        "found": total / args.faults,
        "findings_without_a_fault": before,
        "by_kind": {kind: {"found": hit, "of": of} for kind, (hit, of) in tally.items()},
        "missed": missed,
        "seconds": {what: round(s, 4) for what, s in took.items()},
        "machine": machine(),
    }
    (RESULTS / "drawing_faults.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0 if total >= 0.95 * args.faults and not before else 1


if __name__ == "__main__":
    raise SystemExit(main())
