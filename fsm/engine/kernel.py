"""The step function: (place, event) -> place.

A `Place` is the tuple of states the machine stands in, in the order of the drawing: one, several in a fork, none
when it has ended. The moves themselves are those of a `transitions` HierarchicalMachine, used as nothing but a
function: no callbacks, no model kept. Forks, joins and the ends of composites, which the drawing has and
`transitions` does not, are decided here from the chart. The function is pure, so its answers are kept.

transitions 0.9.3: `auto_transitions` would add edges that bypass the drawing (and take 20 times as long to
build); `on_final` fires wrongly; `NestedState.separator` is global unless subclassed; `set_state` on a composite
does not enter its initial state. None of them is relied on here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from transitions.extensions.nesting import HierarchicalMachine, NestedState

from fsm.drawing import END, ROOT, Chart, Edge, Flow, Meetings, ancestors, is_end, leave_by, parent_of
from fsm.errors import DiagramError, MachineError, UnknownLabel

Place = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """One move: the place after it, and the edges taken, those of composites it left included, in order.

    `label` is that of the state's own edge, drawn if it has only one; `also` are the ids of the other edges.
    """

    place: Place
    edges: tuple[Edge, ...]
    label: str | None
    also: tuple[str, ...]


class _State(NestedState):
    separator = "."


class _Machine(HierarchicalMachine):
    state_cls = _State


class _Model:
    state: str


class Kernel:
    """The moves of one chart.

    opaque  composites that are one state here: entered without entering their inside
    forks   states all of whose edges are taken at once
    exits   composite -> {last inner state or label: label to leave by}
    ends    states at which the machine ends, though no edge is drawn
    """

    def __init__(
        self,
        chart: Chart,
        *,
        opaque: frozenset[str] = frozenset(),
        forks: frozenset[str] = frozenset(),
        exits: Mapping[str, Mapping[str, str]] | None = None,
        ends: frozenset[str] = frozenset(),
    ) -> None:
        self.chart = chart
        self.opaque = opaque
        self.forks = forks
        self.ends = ends
        self._exits = exits or {}
        self._order = {path: i for i, path in enumerate(chart.states)}
        self._moves: dict[str, tuple[Edge, ...]] = {path: chart.moves(path) for path in chart.states}
        self._machine = self._build()
        self._model = _Model()
        self._machine.add_model(self._model, initial=END)
        self._meetings = Meetings(Flow(chart, opaque=opaque), forks)
        self._known: dict[tuple[Place, str, str | None], Step] = {}
        self._next: dict[Place, str] = {}
        self._lock = threading.Lock()

    # What a state may do

    def labels(self, state: str) -> list[str | None]:
        """The labels a handler of the state may name, as drawn."""
        return [e.label for e in self._moves.get(state, ())]

    def edges(self, state: str, label: str | None) -> tuple[Edge, ...]:
        """The edges that `label` takes out of `state`: all of a fork's, one of any other's, none of an end's.

        A state with a single edge needs no label. Raises UnknownLabel for a label the state does not have.
        """
        moves = self._moves.get(state, ())
        if state in self.forks or (not moves and state in self.ends):
            if label is None:
                return moves
        elif label is None and len(moves) == 1:
            return moves
        elif found := tuple(e for e in moves if e.label == label):
            return found[:1]
        has = ", ".join(repr(e.label) if e.label else "(unlabelled)" for e in moves) or "none"
        said = "no label, though it has several edges" if label is None else f"{label!r}"
        raise UnknownLabel(
            f"{self.chart.name}: the handler of {state} returned {said}; the labels of its edges are: {has}. "
            f"Return one of them, or draw the edge in {self.chart.file}."
        )

    @property
    def undecided(self) -> frozenset[str]:
        """Open composites with several ways out that the machine's `exits` do not settle: a handler decides them."""
        return frozenset(
            s.path
            for s in self.chart.states.values()
            if s.composite
            and s.path not in self.opaque
            and len(self._moves[s.path]) > 1
            and s.path not in self.forks
            and s.path not in self._exits
        )

    # Moving

    def enter(self, start: str | None = None) -> Place:
        """The place at the beginning: the drawn start, or the state named.

        Raises MachineError where the drawing has no start.
        """
        if start is None and not self.chart.initial:
            raise MachineError(
                f"{self.chart.file}: the drawing has no [*] --> at its top; say in which state the machine begins."
            )
        starts = self.chart.initial if start is None else (self._begin(start),)
        with self._lock:
            return self._sorted(self._pass([p for s in starts for p in self._open(s)], []))

    def _begin(self, start: str) -> str:
        """Where a composite named as the start begins: at its [*], or where the one edge from outside crosses into it."""
        state = self.chart.states.get(start)
        if state is None or not state.composite or start in self.opaque or state.initial:
            return start
        inside = start + "."
        crossing = {
            e.target
            for e in self.chart.edges
            if e.target.startswith(inside) and not e.source.startswith(inside)
        }
        return crossing.pop() if len(crossing) == 1 else start

    def runnable(self, place: Place) -> str:
        """The state whose handler runs next: the first in the order of the drawing that no branch still leads to."""
        found = self._next.get(place)
        if found is None:
            with self._lock:
                free = (state for state in place if not self._meetings.waits(state, place))
                found = self._next[place] = next(free, place[0])
        return found

    def step(self, place: Place, state: str, label: str | None) -> Step:
        """The move of `state`, one of `place`, by the edge `label`. Safe to call from several threads.

        Raises UnknownLabel for a label the state does not have.
        """
        key = (place, state, label)
        known = self._known.get(key)
        if known is None:
            with self._lock:
                taken: list[Edge] = []
                after = self._pass(self._step([p for p in place if p != state], state, label, taken), taken)
                own = [e.label for e in taken if e.source == state]
                known = self._known[key] = Step(
                    self._sorted(after),
                    tuple(taken),
                    own[0] if label is None and len(own) == 1 else label,
                    tuple(e.id for e in taken if e.source != state),
                )
        return known

    def _step(self, rest: list[str], state: str, label: str | None, taken: list[Edge]) -> list[str]:
        """`rest` and where `state` leads; what is taken on the way is added to `taken`."""
        return self._take(rest, self.edges(state, label), taken)  # no edges: a declared end

    def _take(self, rest: list[str], edges: Iterable[Edge], taken: list[Edge]) -> list[str]:
        """All the edges at once: what ends a composite is settled when every branch stands where it leads."""
        moved = [(edge, reached) for edge in edges for reached in self._move(edge)]
        taken.extend(edges)
        rest = [*rest, *(reached for _, reached in moved if not is_end(reached))]
        ended = {parent_of(reached): edge for edge, reached in reversed(moved) if is_end(reached)}
        for scope, edge in ended.items():
            rest = self._settle(rest, scope, edge.source, edge.label, taken)
        return rest

    def _pass(self, rest: list[str], taken: list[Edge]) -> list[str]:
        """Forks and joins have no handler: they are passed through, those that wait for a branch when it has come."""
        for _ in range(len(self._order) + 1):
            place = self._sorted(rest)
            state = self._free_pseudo_state(place)
            if state is None:
                return rest
            rest = self._step([p for p in place if p != state], state, None, taken)
        raise DiagramError(
            f"{self.chart.file}: forks and joins lead to each other without a state between them. Draw a state in that circle."
        )

    def _free_pseudo_state(self, place: Place) -> str | None:
        pseudo = [p for p in place if self.chart.states[p].kind in ("fork", "join")]
        if not pseudo:
            return None
        free = [p for p in place if not self._meetings.waits(p, place)] or place[:1]
        return next((p for p in pseudo if p in free), None)

    def _settle(
        self, rest: list[str], scope: str, last: str, label: str | None, taken: list[Edge]
    ) -> list[str]:
        """A branch has come to the end of `scope`: leave the composite, unless another branch is still inside."""
        if scope == ROOT:
            return rest
        if self.chart.states[scope].kind == "region":
            return self._settle(rest, parent_of(scope), last, label, taken)
        if any(p.startswith(scope + ".") for p in rest):
            return rest
        moves = self._moves[scope]
        if not moves:
            return self._settle(rest, parent_of(scope), scope, label, taken)
        if scope in self._exits:
            return self._take(rest, (self._exit(scope, last, label),), taken)
        if len(moves) > 1 and scope not in self.forks:
            return [*rest, scope]  # a handler decides
        return self._take(rest, moves, taken)

    def _exit(self, scope: str, last: str, label: str | None) -> Edge:
        exits = self._exits[scope]
        leave = leave_by(exits, last, label)
        for edge in self._moves[scope]:
            if edge.label == leave:
                return edge
        raise DiagramError(
            f"{self.chart.file}: {scope} ended after {last} ({label or 'unlabelled'}), and its exits name neither; they name "
            f"{', '.join(exits)}. Add it to the exits of machine {self.chart.name}."
        )

    # The transitions machine

    def _build(self) -> _Machine:
        def nested(path: str) -> list[dict[str, Any]]:
            inner = []
            for s in self.chart.children(path):
                spec: dict[str, Any] = {"name": s.name}
                if s.composite and s.path not in self.opaque:
                    spec["children"] = [*nested(s.path), {"name": END}]
                    if len(s.initial) == 1 and s.initial[0].startswith(s.path + "."):
                        spec["initial"] = (
                            s.initial[0].removeprefix(s.path + ".").replace(".", _State.separator)
                        )
                inner.append(spec)
            return inner

        machine = _Machine(
            model=None,
            states=[*nested(ROOT), {"name": END}],
            initial=None,
            auto_transitions=False,
            send_event=False,
            queued=False,
        )
        for i, edge in enumerate(self.chart.edges):
            if not edge.seen_outside and self._visible(edge.source) and self._visible(edge.target):
                machine.add_transition(f"edge{i}", edge.source, edge.target)
        return machine

    def _visible(self, path: str) -> bool:
        return not any(a in self.opaque for a in ancestors(path))

    def _move(self, edge: Edge) -> Place:
        """Where an edge leads, composites entered."""
        if edge.target in self.chart.states and self._several(edge.target):
            return self._open(edge.target)
        index = next(i for i, e in enumerate(self.chart.edges) if e is edge)
        self._machine.set_state(edge.source, self._model)
        self._machine.trigger_event(self._model, f"edge{index}")
        reached = self._model.state
        if (
            reached in self.chart.states
            and self.chart.states[reached].composite
            and reached not in self.opaque
        ):
            raise DiagramError(
                f"{self.chart.file}: {reached} is entered, but has no [*] --> inside. Draw where it begins."
            )
        return (reached,)

    def _several(self, path: str) -> bool:
        """Whether entering `path` enters several states at once, or leads outside it: not a thing of `transitions`."""
        s = self.chart.states[path]
        if not s.composite or path in self.opaque or not s.initial:
            return False
        return len(s.initial) > 1 or not s.initial[0].startswith(path + ".") or self._several(s.initial[0])

    def _open(self, path: str) -> Place:
        s = self.chart.states.get(path)
        if s is None:
            raise MachineError(f"{self.chart.file}: there is no state {path}.")
        if not s.composite or path in self.opaque:
            return (path,)
        if not s.initial:
            raise DiagramError(
                f"{self.chart.file}: {path} is entered, but has no [*] --> inside. Draw where it begins."
            )
        return tuple(p for target in s.initial for p in self._open(target))

    def _sorted(self, states: Iterable[str]) -> Place:
        return tuple(sorted(set(states), key=self._order.__getitem__))
