"""Where control can go in a drawing: into composites, along edges, and out of composites at their end.

The nodes of a `Flow` are the states and the ends (`EpochN.[*]`) of a chart; a composite whose exits are declared has
one end for each label it can be left by. What a handler decides is not known here: every label may be taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fsm.drawing.chart import END, ROOT, Chart, Edge, join, parent_of


@dataclass(frozen=True)
class Arc:
    """A step from node to node. `edge` is None where a composite is entered, or its end is its surroundings' end."""

    source: str
    target: str
    edge: Edge | None


def is_end(path: str) -> bool:
    """Whether a path is the `[*]` of some composite, or of the chart."""
    return path == END or path.endswith("." + END)


def leave_by(exits: Mapping[str, str], last: str, label: str | None) -> str | None:
    """The label by which a composite is left whose inside ended after `last` by `label`; None where `exits` name neither."""
    return exits.get(label or "", exits.get(last.rpartition(".")[2]))


class Flow:
    """A chart as a graph.

    `opaque` composites are left from where they stand; their insides are graphs of their own. `exits` and `ends` are
    those of a machine.
    """

    def __init__(
        self,
        chart: Chart,
        *,
        opaque: frozenset[str] = frozenset(),
        exits: Mapping[str, Mapping[str, str]] | None = None,
        ends: Iterable[str] = (),
    ) -> None:
        self.chart = chart
        self.opaque = opaque
        self._exits = exits or {}
        self.arcs: dict[str, list[Arc]] = {}
        for state in chart.states.values():
            for target in state.initial:
                self._add(state.path, target, None)
            if state.composite and state.path not in opaque:
                self._ways_out(state.path)
            else:
                for edge in chart.moves(state.path):
                    self._add(state.path, self.after(edge), edge)
        for path in ends:
            self._add(path, END, None)

    def _ways_out(self, composite: str) -> None:
        done = join(composite, END)
        moves = self.chart.moves(composite)
        if not moves:
            for end in self._ends_of(parent_of(composite)):
                self._add(done, end, None)
        for edge in moves:
            named = f"{done} : {edge.label}" if composite in self._exits else done
            self._add(named, self.after(edge), edge)

    def _ends_of(self, scope: str) -> list[str]:
        """All the ends of a scope: which of them, when what ended is a composite without edges, is left open."""
        done = join(scope, END)
        return [f"{done} : {e.label}" for e in self.chart.moves(scope)] if scope in self._exits else [done]

    def _add(self, source: str, target: str, edge: Edge | None) -> None:
        self.arcs.setdefault(source, []).append(Arc(source, target, edge))

    def after(self, edge: Edge) -> str:
        """The node an edge leads to."""
        scope = parent_of(edge.target)
        if scope == ROOT or not is_end(edge.target):
            return edge.target
        while self.chart.states[scope].kind == "region":
            scope = parent_of(scope)
        done = join(scope, END)
        if scope not in self._exits:
            return done
        label = leave_by(self._exits[scope], edge.source, edge.label)
        return done if label is None else f"{done} : {label}"

    def reach(self, starts: Iterable[str], barred: frozenset[str] = frozenset()) -> dict[str, int]:
        """The nodes that can be come to from `starts` without passing `barred`, and in how many steps; nearest first."""
        steps = {s: 0 for s in starts if s not in barred}
        todo = list(steps)
        for node in todo:
            for arc in self.arcs.get(node, ()):
                if arc.target not in steps and arc.target not in barred:
                    steps[arc.target] = steps[node] + 1
                    todo.append(arc.target)
        return steps

    def leading_to(self, goals: Iterable[str]) -> set[str]:
        """The nodes from which one of `goals` can be come to, the goals included."""
        back: dict[str, list[str]] = {}
        for arcs in self.arcs.values():
            for arc in arcs:
                back.setdefault(arc.target, []).append(arc.source)
        found = set(goals)
        todo = list(found)
        for node in todo:
            for source in back.get(node, ()):
                if source not in found:
                    found.add(source)
                    todo.append(source)
        return found

    def way(self, start: str, goal: str, without: frozenset[Arc] = frozenset()) -> list[Arc]:
        """The arcs of a shortest way of at least one step; none where there is no way."""
        came: dict[str, Arc] = {}
        todo = [start]
        for node in todo:
            for arc in self.arcs.get(node, ()):
                if arc in without or arc.target in came:
                    continue
                came[arc.target] = arc
                if arc.target == goal:
                    return self._traced(start, goal, came)
                todo.append(arc.target)
        return []

    def _traced(self, start: str, goal: str, came: Mapping[str, Arc]) -> list[Arc]:
        way = [came[goal]]
        while way[-1].source != start:
            way.append(came[way[-1].source])
        return way[::-1]
