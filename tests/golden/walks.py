"""The shipped machines walked by scripted handlers, and the journals that come of it.

Handlers name labels by a guide that takes every edge of a drawing in few runs: an edge not yet taken first, else the way to
the nearest state that has one, else the way to the end. What a journal says of them does not depend on any phase.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from fsm.drawing import END, Arc, Flow, chart, join
from fsm.engine import COUNTED, Context, Machine, Phase, Program, Registry, Runner, callee, closure
from fsm.journal import Fold, Journal, essence
from fsm.store.local import LocalRun
from machines import NAMES

RECOVERY = "error_recovery"
MOST_RUNS = 40
Lines = list[dict[str, Any]]


class Guide:
    """Chooses labels so that every edge of a machine is taken."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.flow = Flow(machine.chart, opaque=machine.opaque, exits=machine.exits, ends=machine.ends)
        self.left = {
            (state, label)
            for state in machine.states
            if state not in machine.forks
            for label in machine.kernel.labels(state)
        }

    def choose(self, state: str) -> str | None:
        """The label to take now; it counts as taken."""
        arcs = self._arcs(state)
        if state in self.machine.forks or not arcs:
            return None
        wanted = {self._node(s) for s, label in self.left if s != state}
        fresh = [a for a in arcs if a.edge and (state, a.edge.label) in self.left]
        chosen = fresh[0] if fresh else min(arcs, key=lambda a: (self._far(a, wanted), self._far(a, {END})))
        assert chosen.edge
        self.left.discard((state, chosen.edge.label))
        return chosen.edge.label

    def _node(self, state: str) -> str:
        open_composite = self.machine.chart.states[state].composite and state not in self.machine.opaque
        return join(state, END) if open_composite else state

    def _arcs(self, state: str) -> list[Arc]:
        return [a for a in self.flow.arcs.get(self._node(state), ()) if a.edge]

    def _far(self, arc: Arc, goals: set[str]) -> float:
        steps = self.flow.reach([arc.target])
        return min((steps[g] for g in goals if g in steps), default=float("inf"))


class Guides:
    """The guides of the machines that take part, and of the insides that are counted."""

    def __init__(self, machines: dict[str, Machine]) -> None:
        self.by_name = {name: Guide(m) for name, m in machines.items()}
        for name, m in machines.items():
            for composite, how in m.inside.items():
                if how is COUNTED:
                    self.by_name[f"{name} {composite}"] = Guide(m.counted_inside(composite))
        self.called: set[tuple[str, str]] = set()

    def left(self, name: str) -> list[tuple[str, str | None]]:
        """What of a machine and its counted insides was never taken."""
        own = [g for n, g in self.by_name.items() if n.partition(" ")[0] == name]
        return [edge for g in own for edge in g.left]


def scripted(machine: Machine, guides: Guides) -> Phase:
    """Handlers for every state of a machine that do a little of everything a handler can do."""
    phase = Phase(machine.name)
    guide = guides.by_name[machine.name]

    def handle(ctx: Context) -> str | None:
        ctx.data["steps"] = ctx.data.get("steps", 0) + 1
        _call_down(ctx, machine, guides)
        if machine.inside.get(ctx.state) is COUNTED:
            _walk(ctx, guides.by_name[f"{machine.name} {ctx.state}"])
        if len(guide.machine.kernel.labels(ctx.state)) < 2 and ctx.visit == 1:
            ctx.put(f"{machine.name}/{ctx.state}.txt", f"{ctx.place} {ctx.seed('text') % 1000}")
        return guide.choose(ctx.state)

    if not machine.counted:
        phase.state(*machine.states)(handle)
    else:
        _handle_items(phase, machine, guide)
    for composite, how in machine.inside.items():
        if how is COUNTED:
            inner = guides.by_name[f"{machine.name} {composite}"]
            _handle_items(phase, inner.machine, inner, composite + ".")
    return phase


def _call_down(ctx: Context, machine: Machine, guides: Guides) -> None:
    """Run or walk what the state may call, the first time it is stood in."""
    if (machine.name, ctx.state) in guides.called:
        return
    for call in machine.calls.get(ctx.state, ()):
        guide = guides.by_name[" ".join(filter(None, callee(call)))]
        if guide.machine.counted:
            _walk(ctx, guide, call)
        else:
            ctx.run(call, {"from": machine.name}, start=next(iter(guide.machine.entered_at), None))
    ctx.once("called", lambda: sorted(machine.calls.get(ctx.state, ())))
    guides.called.add((machine.name, ctx.state))


def _walk(ctx: Context, guide: Guide, name: str | None = None) -> None:
    walk = ctx.walk(name)
    for _ in range(MOST_RUNS):
        walk.run(None)
        if not guide.left:
            break


def _handle_items(phase: Phase, machine: Machine, guide: Guide, prefix: str = "") -> None:
    for state in machine.states:
        phase.state(prefix + state)(lambda item, state=state: guide.choose(state))


class Failure(Exception):
    """An error that enters the recovery at a state of a given name."""

    def __init__(self, entry: str) -> None:
        super().__init__(f"{entry} happened")
        self.entry = entry
        self.item = "an item"


def _drawn(name: str, text: str, **said: Any) -> Machine:
    return Machine(name, chart.parse(f"stateDiagram-v2\n{text}\n", name, f"{name}.mmd"), **said)


def failing(recovery: Machine) -> tuple[Machine, Phase]:
    """A machine that fails by every entry of the recovery machine, twice."""
    machine = _drawn("failing", "[*] --> Work\nWork --> Work : next\nWork --> [*] : done")
    phase = Phase("failing")
    entries = [path.rpartition(".")[2] for path in recovery.entered_at] * 2

    @phase.state("Work")
    def work(ctx: Context) -> str:
        if ctx.visit > len(entries):
            return "done"
        if not ctx.failures:
            raise Failure(entries[ctx.visit - 1])
        return "next"

    return machine, phase


@cache
def shipped() -> Registry:
    """The shipped machines."""
    return Registry("machines", Machine)


def program(name: str) -> tuple[Program, Guides]:
    """The program of which the golden journal of a diagram is the journal."""
    registry = shipped()
    machines = closure(name, None, registry)
    root, phases = name, {}
    if name == RECOVERY:
        failer, phases["failing"] = failing(registry[name])
        root, machines["failing"] = "failing", failer
    elif registry[name].counted:
        root = "walking"
        machines[root] = _drawn(root, "[*] --> Item\nItem --> [*]", calls={"Item": (name,)})
    guides = Guides(machines)
    phases = {n: scripted(m, guides) for n, m in machines.items() if n not in phases} | phases
    if name == RECOVERY:
        phases[name].classifies(lambda error: error.entry if isinstance(error, Failure) else None)
    return Program(root, machines, phases, RECOVERY if name == RECOVERY else None), guides


def walked(name: str) -> Lines:
    """The golden lines of a machine: for each run its number, its records, its state at the end."""
    made, guides = program(name)
    lines: Lines = []
    with tempfile.TemporaryDirectory() as directory:
        for number in range(MOST_RUNS):
            if number and not guides.left(name):
                break
            lines += [{"run": number}, *_run(made, Path(directory) / f"{name.replace('_', '-')}-{number}")]
    assert not guides.left(name), f"{name}: {guides.left(name)} are never taken"
    return lines


def _run(made: Program, directory: Path) -> Iterator[dict[str, Any]]:
    run = LocalRun(directory)
    run.write_header(b'{"format": 1}')
    for _ in range(MOST_RUNS):
        journal = Journal(run)
        outcome = Runner(made, run, journal, journal.open(), seed=42, work=directory / "work").drive()
        journal.close()
        if outcome.outcome != "stopped":
            break
    records = [without_snapshot(essence(r)) for r in Journal(run).records() if r["kind"] != "claim"]
    yield from records
    yield {"state": Fold.of(records).state}


def without_snapshot(record: dict[str, Any]) -> dict[str, Any]:
    """When a snapshot is written may change from version to version; the state is compared by itself."""
    return {k: v for k, v in record.items() if k != "snapshot"}


def file_of(name: str) -> Path:
    """Where the golden journal of a machine is kept."""
    return Path(__file__).parent / f"{name}.jsonl"


def read(name: str) -> Lines:
    """The golden lines as they are kept."""
    return [json.loads(line) for line in file_of(name).read_text("utf-8").splitlines()]


def write(name: str, lines: Lines) -> None:
    """Keep golden lines."""
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    file_of(name).write_text(text, "utf-8")


def names() -> list[str]:
    """The machines that have a golden journal: all the shipped ones."""
    return list(NAMES)
