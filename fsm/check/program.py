"""What can be proved of a program before anything runs, reported as a compiler does.

diagrams/x.mmd:12:5: error[C102]: Draft is a trap: ...

drawings  C101 unreachable state            C102 trap: no edge leads on        C103 no end can be reached
          C104 two edges with one label     C105 fork with labelled edges      C106 composite's exit undecided
          C107 no start                     C108 unbounded cycle               C109 edge across a closed border
          C110 exit that is never taken (warning)
          C111 what Mermaid reads or draws otherwise than it is meant (warning)
          C112 branches at once that do not join    C113 branches at once that do not keep apart
          C114 a loop goes round past the counter that is to end it
phases    C201 state without a handler      C202 handler without a state       C203 handler never called (warning)
          C204 machine without a phase       C205 a label that is no edge's   C206 edge that no handler takes (warning)
programs  C301 called machine missing       C302 machines call in a ring       C303 on_error names what is not there
          C304 recovery machine undecided
details   C401 to C408: see fsm.refine
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fsm.check.at_once import concurrent
from fsm.check.bounds import exceeded
from fsm.check.finding import Finding, error, warning
from fsm.check.labels import returned, stands_near
from fsm.check.refine import refine
from fsm.drawing import END, ROOT, Arc, Edge, Flow, ancestors, join, leave_by
from fsm.engine import (
    COUNTED,
    Detail,
    Inside,
    Machine,
    Phase,
    Program,
    Registered,
    Verdict,
    callee,
    nearest,
    skeleton,
    whole,
)
from fsm.errors import CheckFailed, DiagramError

SHOWN = 5  # findings in the message of a refusal; `fsm check` shows them all

__all__ = ["Finding", "check", "refuse"]


def check(program: Program, *, phases: bool = True) -> list[Finding]:
    """Everything found in a program, machine by machine, in the order of the drawings.

    Without `phases`, only what the drawings and the machines say is held against each other.
    """
    found: list[Finding] = []
    read: set[str] = set()  # the files whose remarks were told: machines may be parts of one drawing
    for name, machine in program.machines.items():
        here = [*_Drawing(machine).findings(), *concurrent(machine), *_calls(program, machine)]
        if machine.chart.file not in read:
            read.add(machine.chart.file)
            here += _remarks(machine)
        if phases:
            here += _handlers(program, machine, program.phases.get(name))
        for composite, how in machine.inside.items():
            if isinstance(how, Detail) and how.machine in program.machines:
                here += refine(machine, composite, how, program.machines[how.machine])
        found += sorted(here, key=lambda f: (f.file != machine.chart.file, f.file, f.line, f.column))
    return [*found, *_rings(program), *_recovery(program)]


def refuse(program: Program) -> None:
    """Raises CheckFailed where `check` finds an error."""
    errors = [f for f in check(program) if f.severity == "error"]
    if errors:
        more = (
            f"\n(and {len(errors) - SHOWN} more; `fsm check` shows them all)" if len(errors) > SHOWN else ""
        )
        raise CheckFailed(
            f"The run was not begun, for {len(errors)} error{'s' * (len(errors) > 1)} can be proved of it; mend them first.\n"
            + "\n".join(map(str, errors[:SHOWN]))
            + more
        )


def _remarks(machine: Machine) -> Iterator[Finding]:
    """What the reader of the drawing remarked. A run does as it was read, so this stops none."""
    for said in machine.chart.remarks:
        if said.severity != "info":
            yield Finding("warning", "C111", machine.chart.file, said.line, said.column, f"{said.message}.")


class _Drawing:
    """What is wrong with one drawing, as its machine reads it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.chart = machine.chart
        self.file = machine.chart.file
        self.flow = Flow(machine.chart, opaque=machine.opaque, exits=machine.exits, ends=machine.ends)
        reached = self.flow.reach([*self.chart.initial, *machine.entered_at])
        around = {
            a for node in reached for a in ancestors(node)
        }  # a composite may be entered across its border
        self.reached = {n for n in (*reached, *around) if n in self.chart.states} | {
            n for n in reached if n not in around
        }

    def findings(self) -> Iterator[Finding]:
        yield from self._starts()
        yield from self._unreachable()
        yield from self._traps()
        yield from self._endless()
        yield from self._labels()
        yield from self._exits()
        yield from self._borders()
        yield from self._cycles()

    def _starts(self) -> Iterator[Finding]:
        if not self.chart.initial and not self.machine.entered_at:
            yield error("C107", self.file, None, f"{self.chart.name} has no start. Draw [*] --> at its top.")
        entered: dict[str, Edge | None] = {}
        for path, how in self.machine.inside.items():
            if how is not Inside.ELSEWHERE:
                entered[path] = None
        for target in (*self.chart.initial, *(t for s in self.chart.states.values() for t in s.initial)):
            entered.setdefault(target, None)
        for edge in self.chart.edges:
            if not edge.seen_outside and edge.target not in self.machine.opaque:
                entered[edge.target] = edge
        for path, by in entered.items():
            state = self.chart.states.get(path)
            if state is not None and state.composite and not state.initial:
                yield error(
                    "C107",
                    self.file,
                    by or state,
                    f"{path} is entered, but has no start. Draw [*] --> inside it.",
                )

    def _unreachable(self) -> Iterator[Finding]:
        if not self.chart.initial and not self.machine.entered_at:
            return
        lost: set[str] = set()
        for path, state in self.chart.states.items():
            if path not in self.reached:
                lost.add(path)
                if state.parent not in lost:
                    yield error(
                        "C101",
                        self.file,
                        state,
                        f"{path} cannot be reached. Draw an edge to it, or take it out.",
                    )

    def _traps(self) -> Iterator[Finding]:
        for path, state in self.chart.states.items():
            if path not in self.reached or path in self.machine.ends or self.chart.moves(path):
                continue
            if not state.composite or path in self.machine.opaque:
                yield error(
                    "C102",
                    self.file,
                    state,
                    f"{path} is a trap: no edge leads on. Draw one, to [*] if it is an end, or declare it in `ends`.",
                )
            elif state.kind == "composite" and join(path, END) in self.reached:
                yield error(
                    "C102",
                    self.file,
                    state,
                    f"{path} is a trap: its inside can end, but no edge leads on from {path} itself. Draw one.",
                )

    def _endless(self) -> Iterator[Finding]:
        goals = [n for n in self.reached if n not in self.flow.arcs and not self._inner(n)]
        leading = self.flow.leading_to(goals)
        endless = [
            p
            for p, s in self.chart.states.items()
            if p in self.reached and p not in leading and not self._inner(p)
        ]
        if endless:
            rest = f" (and neither from {', '.join(endless[1:])})" if endless[1:] else ""
            yield error(
                "C103",
                self.file,
                self.chart.states[endless[0]],
                f"from {endless[0]}{rest} no end can be reached. Draw the edge that leads out.",
            )

    def _inner(self, node: str) -> bool:
        """Whether a node is a composite that is only a border around the states in it."""
        state = self.chart.states.get(node)
        return state is not None and state.composite and node not in self.machine.opaque

    def _labels(self) -> Iterator[Finding]:
        for path in self.chart.states:
            moves = self.chart.moves(path)
            unlabelled = [e for e in moves if e.label is None]
            if len(unlabelled) > 1 and len(unlabelled) < len(moves):
                yield error(
                    "C105",
                    self.file,
                    unlabelled[1],
                    f"{path} has several unlabelled edges, which makes it a fork, and labelled ones beside them, which would be "
                    "taken with it. Label all of its edges, or none.",
                )
            if path in self.machine.forks:
                continue
            if self.chart.states[path].kind == "join" and len(moves) > 1:
                yield error(
                    "C105",
                    self.file,
                    moves[1],
                    f"{path} is a join with several labelled edges, and has no handler that could choose one. Leave its edges "
                    "without labels to take all, or draw a state behind it that chooses.",
                )
            seen: dict[str | None, Edge] = {}
            for edge in moves:
                if edge.label in seen:
                    yield error(
                        "C104",
                        self.file,
                        edge,
                        f"{path} has two edges {edge.label!r}, to {seen[edge.label].target} (line {seen[edge.label].line}) and to "
                        f"{edge.target}. Give them different labels.",
                    )
                seen.setdefault(edge.label, edge)

    def _exits(self) -> Iterator[Finding]:
        for composite, exits in self.machine.exits.items():
            moves = {e.label: e for e in self.chart.moves(composite)}
            taken, named = set(), set()
            for edge in self._inner_ends(composite):
                label = leave_by(exits, edge.source, edge.label)
                if label not in moves:
                    how = f"after {edge.source}" + (f" by {edge.label!r}" if edge.label else "")
                    yield error(
                        "C106",
                        self.file,
                        edge,
                        f"{composite} can end {how}, and its exits name neither, so that no edge is decided. Add one of them to "
                        f"`exits`, with one of {', '.join(repr(label) for label in moves)}.",
                    )
                taken.add(label)
                named |= {edge.label, edge.source.rpartition(".")[2]}
            state = self.chart.states[composite]
            for key in exits.keys() - named:
                yield warning(
                    "C110",
                    self.file,
                    state,
                    f"the exits of {composite} name {key!r}, by which its inside cannot end.",
                )
            for label in moves.keys() - taken:
                yield warning(
                    "C110",
                    self.file,
                    moves[label],
                    f"{moves[label].id} is never taken: the exits of {composite} decide for it in no case.",
                )

    def _inner_ends(self, composite: str) -> list[Edge]:
        """The reachable edges by which the inside of a composite ends."""
        regions = [s.path for s in self.chart.children(composite) if s.kind == "region"]
        ends = {join(scope, END) for scope in (composite, *regions)}
        return [
            e
            for e in self.chart.edges
            if e.target in ends and e.source in self.reached and not e.seen_outside
        ]

    def _borders(self) -> Iterator[Finding]:
        drawn = [e for e in self.chart.edges if not e.seen_outside]
        entries = [(self.chart.states.get(ROOT), t) for t in self.chart.initial]
        entries += [(s, t) for s in self.chart.states.values() for t in s.initial]
        for composite in self.machine.opaque:
            prefix = composite + "."
            for edge in drawn:
                leaves = edge.source.startswith(prefix) and not edge.target.startswith(prefix)
                enters = edge.target.startswith(prefix) and not edge.source.startswith(prefix)
                if leaves or enters:
                    yield self._crosses(edge, f"{edge.id} {'leaves' if leaves else 'enters'}", composite)
            for state, target in entries:
                if target.startswith(prefix) and (state is None or not (state.path + ".").startswith(prefix)):
                    yield self._crosses(None, f"[*] --> {target} enters", composite)

    def _crosses(self, edge: Edge | None, what: str, composite: str) -> Finding:
        return error(
            "C109",
            self.file,
            edge or self.chart.states[composite],
            f"{what} {composite} across its border, but to the engine {composite} is one state. Lead the edge to or from "
            f"{composite} itself, or take it out of `inside`.",
        )

    def _cycles(self) -> Iterator[Finding]:
        elsewhere = [c for c, how in self.machine.inside.items() if how is not COUNTED]
        waits = self.machine.waits  # a composite that waits does so before it ends
        waiting = {n for n in self.flow.arcs if any(n == w or n.startswith(join(w, END)) for w in waits)}
        bounded: dict[Arc, str] = {}
        for arc in (arc for arcs in self.flow.arcs.values() for arc in arcs):
            by = self.machine.bounds.get((arc.edge.source, arc.edge.label)) if arc.edge else None
            if by is not None or arc.source in waiting or any(a in elsewhere for a in ancestors(arc.source)):
                bounded[arc] = by or ""
        told: set[str] = set()
        for start in self.chart.states:
            if start not in told and (cycle := self.flow.way(start, start, frozenset(bounded))):
                told |= {arc.source for arc in cycle}
                yield self._unbounded(cycle)
        starts = frozenset((*self.chart.initial, *self.machine.entered_at))
        yield from exceeded(self.machine, self.flow, starts, bounded)

    def _unbounded(self, cycle: list[Arc]) -> Finding:
        edges = [arc.edge for arc in cycle if arc.edge is not None]
        order = {path: i for i, path in enumerate(self.chart.states)}
        back = next((e for e in edges if order.get(e.target, -1) <= order[e.source]), edges[-1])
        return error(
            "C108",
            self.file,
            back,
            f"nothing bounds the cycle {', '.join(e.id for e in edges)}. Declare in `bounds` what bounds one of its edges, or in "
            "`waits` which of its states waits on something outside.",
        )


def _handlers(program: Program, machine: Machine, phase: Phase | None) -> Iterator[Finding]:
    file = machine.chart.file
    if phase is None:
        yield error(
            "C204",
            file,
            None,
            f"machine {machine.name} has no phase. Name one of that name in the package's NAMES, or give `plug.handlers` a file that "
            f"begins so:\n\n{whole(machine)}",
        )
        return
    needed = set(machine.states)
    for composite, how in machine.inside.items():
        if how is COUNTED:
            try:
                walked = {join(composite, s) for s in machine.counted_inside(composite).states}
            except DiagramError:
                continue  # an edge across its border, which is told of the drawing
            # without any handler the walk is driven from outside, by the handler of the composite
            needed |= walked if walked & phase.handlers.keys() else set()
            if not walked & phase.handlers.keys() and composite in phase.handlers:
                yield from _labels_inside(machine, walked, phase.handlers[composite])
    for path in machine.chart.states:
        if path in needed and path not in phase.handlers:
            yield _without_handler(machine, path)
    for path, registered in phase.handlers.items():
        yield from _without_state(machine, phase, path, registered, needed)
        if path in needed:
            yield from _labels_of(program, machine, path, registered)


def _without_handler(machine: Machine, path: str) -> Finding:
    state = machine.chart.states[path]
    register = f"Paste this into the file of its phase:\n\n{skeleton(machine, path)}"
    if state.composite and path not in machine.opaque:
        labels = ", ".join(repr(e.label) for e in machine.chart.moves(path))
        return error(
            "C106",
            machine.chart.file,
            state,
            f"by which of {labels} {path} is left is not decided. Say in `exits` which end fits which edge. Or {register[0].lower()}{register[1:]}",
        )
    return error("C201", machine.chart.file, state, f"{path} has no handler. {register}")


def _without_state(
    machine: Machine, phase: Phase, path: str, registered: Registered, needed: set[str]
) -> Iterator[Finding]:
    code = registered.handle.__code__ if hasattr(registered.handle, "__code__") else None
    file, line = (code.co_filename, code.co_firstlineno) if code else (machine.chart.file, 1)
    name = getattr(registered.handle, "__name__", repr(registered.handle))
    if path not in machine.chart.states:
        known = nearest(path, list(machine.chart.states))
        yield Finding(
            "error",
            "C202",
            file,
            line,
            1,
            f"{name} is the handler of {path}, a state that {machine.name} does not have{known}",
        )
    elif path not in needed and not _inside_elsewhere(machine, path):
        yield Finding(
            "warning",
            "C203",
            file,
            line,
            1,
            f"{name} is never called: the engine does not stand in {path} of {machine.name}.",
        )


def _labels_of(program: Program, machine: Machine, path: str, registered: Registered) -> Iterator[Finding]:
    """What a handler's own words say of the edges that it takes."""
    said = returned(registered.handle)
    if said is None or path in machine.forks:
        return
    edges = {edge.label: edge for edge in machine.chart.moves(path)}
    named = [(label, line) for label, line in said.labels if label is not None]
    for one, line in named:
        if one not in edges:
            known = nearest(one, [str(e) for e in edges])
            has = ", ".join(repr(e) for e in edges) or "none"
            yield Finding(
                "error",
                "C205",
                said.file,
                line,
                1,
                f"the handler of {path} returns {one!r}, and no edge of that label leaves {path} in {machine.name}{known or '.'} "
                f"It has: {has}.",
            )
    if len(edges) < 2:
        return
    taken = {label for label, _ in said.labels} | _by_recovery(machine, path)
    for edge in edges.values():
        label = edge.label
        if label is None or label in taken:
            continue
        if said.all_of_them and named:
            why = f"the handler of {path} returns other labels only"
        elif not stands_near(registered.handle, label) and label not in _words_below(program, machine):
            why = f"{label!r} stands nowhere in the files of its handler"
        else:
            continue
        yield warning("C206", machine.chart.file, edge, f"{edge.id} is never taken: {why}.")


def _labels_inside(machine: Machine, walked: Iterable[str], driver: Registered) -> Iterator[Finding]:
    """The labels of a counted inside that the composite's own handler walks: each has to stand somewhere in its files."""
    for path in machine.chart.states:
        edges = machine.chart.moves(path) if path in walked else ()
        for edge in edges if len(edges) > 1 and path not in machine.forks else ():
            if edge.label is not None and not stands_near(driver.handle, edge.label):
                why = f"{edge.label!r} stands nowhere in the files of the handler that walks it"
                yield warning("C206", machine.chart.file, edge, f"{edge.id} is never taken: {why}.")


def _words_below(program: Program, machine: Machine) -> set[str | None]:
    """The labels and states of the machines that this one may call, by which its handlers may go on."""
    names = {callee(call)[0] for calls in machine.calls.values() for call in calls}
    charts = [program.machines[name].chart for name in names if name in program.machines]
    return {e.label for c in charts for e in c.edges} | {s.name for c in charts for s in c.states.values()}


def _by_recovery(machine: Machine, path: str) -> set[str | None]:
    """The edges of a state that are taken for it where it fails."""
    return {label for (state, _), label in machine.on_error.items() if state == path}


def _inside_elsewhere(machine: Machine, path: str) -> bool:
    return any(machine.inside.get(a) is Inside.ELSEWHERE for a in ancestors(path))


def _calls(program: Program, machine: Machine) -> Iterator[Finding]:
    for path, called in machine.calls.items():
        state = machine.chart.states[path]
        for name, inside in map(callee, called):
            if name not in program.machines:
                yield error(
                    "C301",
                    machine.chart.file,
                    state,
                    f"{path} calls machine {name!r}, which this program does not have{nearest(name, list(program.machines))}",
                )
            elif inside and program.machines[name].inside.get(inside) is not COUNTED:
                yield error(
                    "C301",
                    machine.chart.file,
                    state,
                    f"{path} is to walk {inside} of machine {name}, which is no composite whose inside is counted.",
                )
        if path not in machine.states:
            yield error(
                "C301",
                machine.chart.file,
                state,
                f"{path} is to call {', '.join(called)}, but the engine does not stand in it: it has no handler that could.",
            )


def _rings(program: Program) -> Iterator[Finding]:
    told: set[str] = set()
    for name in program.machines:
        todo = [[name]]
        for way in todo:
            for onward in _called(program, way[-1]):
                if onward == name and not told.intersection(way):
                    told.update(way)
                    yield error(
                        "C302",
                        program.machines[name].chart.file,
                        None,
                        f"machines call each other in a ring: {' > '.join([*way, name])}. Nothing bounds how deep they would stand.",
                    )
                elif onward not in way:
                    todo.append([*way, onward])


def _called(program: Program, name: str) -> list[str]:
    called = program.machines[name].calls.values()
    names = (callee(call)[0] for calls in called for call in calls)
    return [name for name in names if name in program.machines]


def _recovery(program: Program) -> Iterator[Finding]:
    recovery = program.machines.get(program.recovery or "")
    if recovery is None:
        return
    entries = {p.rpartition(".")[2] for p in recovery.entered_at}
    for path in recovery.entered_at:
        scope = recovery.chart.states.get(recovery.chart.states[path].parent)
        if scope and scope.initial and path not in scope.initial:
            yield error(
                "C107",
                recovery.chart.file,
                recovery.chart.states[path],
                f"errors enter {path}, says `entered_at`, and the drawing does not show it. Draw [*] --> {path} beside the other starts.",
            )
    for path, verdict in recovery.ends.items():
        if not isinstance(verdict, Verdict):
            yield error(
                "C304",
                recovery.chart.file,
                recovery.chart.states[path],
                f"{path} ends the recovery, and what that decides is not said. Give it a Verdict in `ends`.",
            )
    for machine in program.machines.values():
        for (path, entry), label in machine.on_error.items():
            state = machine.chart.states[path]
            if entry not in entries:
                yield error(
                    "C303",
                    machine.chart.file,
                    state,
                    f"on_error of {path} names {entry!r}, at which {recovery.name} is not entered"
                    f"{nearest(entry, sorted(entries)) or '.'}",
                )
            if path not in machine.states:
                yield error(
                    "C303",
                    machine.chart.file,
                    state,
                    f"on_error leaves {path} by {label!r}, but the engine does not stand in {path}. Name the states in it that can fail.",
                )
