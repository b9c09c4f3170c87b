"""The branches of a split that run at once: which states are whose, and where they meet again.

A split is a fork, or a composite with several starts. A branch is what only one of its starts leads to, before all of them
lead to the same. So that branches can go on without asking each other, they keep apart: each comes to the one place where
they meet, from its own states and by no other way, and nothing enters a branch but through the split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fsm.drawing.chart import ROOT, Edge, State, join, parent_of
from fsm.drawing.flow import Arc, Flow, is_end


@dataclass(frozen=True)
class Branch:
    """One branch: its name among those of its split, and its states, ends of composites in it aside.

    `witness` is a state of another branch: while a machine stands there too, nothing around the two is left, and no join
    behind them passed.
    """

    name: str
    states: frozenset[str]
    witness: str


@dataclass(frozen=True)
class Split:
    """Where a machine goes several ways at once; its branches in the order of the drawing, and the node they meet at."""

    path: str
    branches: tuple[Branch, ...]
    meeting: str

    @property
    def states(self) -> frozenset[str]:
        return frozenset[str]().union(*(b.states for b in self.branches))


@dataclass(frozen=True)
class Apart:
    """Why branches cannot run at once: `at` is the edge or the state that shows it. `joins`: it is about where they meet."""

    at: Edge | State
    why: str
    joins: bool = False


def split_of(flow: Flow, path: str, fork: bool) -> Split | list[Apart]:
    """The split at a fork, or at a composite with several starts; or what keeps its branches from running at once."""
    return _Reading(flow, path, fork).found()


class _Reading:
    """One split of one drawing, looked at."""

    def __init__(self, flow: Flow, path: str, fork: bool) -> None:
        self.flow = flow
        self.chart = flow.chart
        self.path = path
        self.here = self.chart.states[path]
        composite = self.here.composite and path not in flow.opaque
        self.node = join(path, "[*]") if fork and composite else path
        self.edges = self.chart.moves(path) if fork else ()
        starts = [e.target for e in self.edges] if fork else list(self.here.initial)
        self.starts = sorted(dict.fromkeys(starts), key=self._order)
        self.nodes = flow.reach(self.chart.states)  # an end of a region, say, is never stood at
        self.barred = frozenset({self.node, path})
        self.meeting = self._nearest_meeting()
        self.own = self._apart(self.meeting)

    def _nearest_meeting(self) -> str | None:
        """The first node that all branches lead to and before which they keep apart; None where there is none."""
        reached = [self.flow.reach([start], self.barred) for start in self.starts]
        common = [node for node in reached[0] if all(node in mine for mine in reached)]
        common.sort(key=lambda node: sum(mine[node] for mine in reached))
        for node in common:
            apart = self._apart(node)
            if len(frozenset[str]().union(*apart)) == sum(map(len, apart)):
                return node
        return None

    def _apart(self, meeting: str | None) -> list[set[str]]:
        """What each branch leads to before it comes to the meeting; without one, what it alone leads to."""
        barred = self.barred | ({meeting} if meeting else frozenset())
        reached = [set(self.flow.reach([start], barred)) for start in self.starts]
        if meeting:
            return reached
        return [mine - set().union(*(r for r in reached if r is not mine)) for mine in reached]

    def _order(self, path: str) -> int:
        return list(self.chart.states).index(path) if path in self.chart.states else len(self.chart.states)

    def found(self) -> Split | list[Apart]:
        wrong = [*self._empty()] or [*self._meeting(), *self._entered()]
        if wrong or self.meeting is None:
            return wrong or [Apart(self.here, "they never lead to the same", True)]
        names = self._names()
        witness = {start: self._witness(mine) for start, mine in zip(self.starts, self.own, strict=True)}
        branches = tuple(
            Branch(
                names[start],
                frozenset(p for p in mine if p in self.chart.states),
                next(witness[other] for other in self.starts if other != start),
            )
            for start, mine in zip(self.starts, self.own, strict=True)
        )
        return Split(self.path, branches, self.meeting)

    def _names(self) -> Mapping[str, str]:
        """The last name of each start, or its path where two are called alike."""
        last = [start.rpartition(".")[2] for start in self.starts]
        alone = len(set(last)) == len(last)
        return dict(zip(self.starts, last if alone else self.starts, strict=True))

    def _witness(self, mine: set[str]) -> str:
        return next(p for p in self.chart.states if p in mine and self._stood_in(p))

    def _stood_in(self, path: str) -> bool:
        state = self.chart.states[path]
        return state.kind not in ("fork", "join") and (not state.composite or path in self.flow.opaque)

    def _empty(self) -> Iterator[Apart]:
        """Starts that have no state for themselves."""
        for start, mine in zip(self.starts, self.own, strict=True):
            if not any(p in mine and self._stood_in(p) for p in self.chart.states):
                edge = next((e for e in self.edges if e.target == start), None)
                what = "the end" if is_end(start) else start
                yield Apart(
                    edge or self.here,
                    f"the branch that begins at {what} has no state of its own: another branch leads there too. Draw a state in "
                    "that branch, and lead what comes back to the split itself",
                )

    def _arcs(self) -> Iterator[Arc]:
        for node, arcs in self.flow.arcs.items():
            if node in self.nodes:
                yield from arcs

    def _entered(self) -> Iterator[Apart]:
        """Ways into a branch that are not through the split."""
        for mine in self.own:
            for arc in self._arcs():
                if arc.target in mine and arc.source not in mine and arc.source not in (self.node, self.path):
                    yield Apart(
                        arc.edge or self.here,
                        f"{arc.source} leads into the middle of a branch, to {arc.target}. Lead it to the split itself",
                    )

    def _out(self) -> list[tuple[Arc, str]]:
        """The arcs out of each branch, or to an end of something around it, with the branch's start."""
        return [
            (arc, start)
            for start, mine in zip(self.starts, self.own, strict=True)
            for arc in self._arcs()
            if arc.source in mine and (arc.target not in mine or self._ends_around(arc.target))
        ]

    def _ends_around(self, node: str) -> bool:
        """Whether a node is the end of something that the split is in."""
        scope = parent_of(node)
        return is_end(node) and (scope == ROOT or f"{self.path}.".startswith(f"{scope}."))

    def _meeting(self) -> Iterator[Apart]:
        out = self._out()
        meeting = self.meeting or (out[0][0].target if out else "")
        for start in self.starts:
            if not any(of == start for _, of in out):
                yield Apart(
                    self.here, f"the branch that begins at {start} never leads to where the others do", True
                )
        for arc, start in out:
            if arc.target in self.barred:
                yield Apart(
                    arc.edge or self.here,
                    f"the branch that begins at {start} leads back to the split while others are under way",
                    True,
                )
            elif arc.target != meeting:
                yield Apart(
                    arc.edge or self.here,
                    f"the branch that begins at {start} leads to {_said(arc.target)}, and another one to {_said(meeting)}. "
                    "Lead all of them to one join, one state, or one end",
                    True,
                )


def _said(node: str) -> str:
    return f"the end of {node.rpartition('.')[0] or 'the machine'}" if is_end(node) else node


def splits(flow: Flow, named: Sequence[tuple[str, bool]]) -> Iterator[tuple[str, Split | list[Apart]]]:
    """Each of the paths (with whether it is a fork) and what `split_of` says of it; those around others first."""
    found = [(path, split_of(flow, path, fork)) for path, fork in named]
    yield from sorted(found, key=lambda f: -len(f[1].states) if isinstance(f[1], Split) else 0)
