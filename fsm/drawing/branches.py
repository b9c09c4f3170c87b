"""The branches of a split that run at once: which states are whose, and where they meet again.

A split is a fork, or a composite with several starts. A branch is what only one of its starts leads to, before all of them
lead to the same. So that branches can go on without asking each other, they keep apart: each comes to the one place where
they meet, from its own states and by no other way, and nothing enters a branch but through the split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fsm.drawing.chart import Edge, State, join
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
        barred = frozenset({self.node, path})
        reached = [set(flow.reach([start], barred)) for start in self.starts]
        self.own = [mine - set().union(*(r for r in reached if r is not mine)) for mine in reached]

    def _order(self, path: str) -> int:
        return list(self.chart.states).index(path) if path in self.chart.states else len(self.chart.states)

    def found(self) -> Split | list[Apart]:
        wrong = [*self._empty()] or [*self._entered(), *self._meeting()]
        if wrong:
            return wrong
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
        return Split(self.path, branches, self._meets()[0])

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

    def _meets(self) -> list[str]:
        """Where the branches lead, in the order of the drawing."""
        return list(dict.fromkeys(arc.target for arc, _ in self._out()))

    def _out(self) -> list[tuple[Arc, str]]:
        """The arcs out of each branch, with its start."""
        return [
            (arc, start)
            for start, mine in zip(self.starts, self.own, strict=True)
            for arc in self._arcs()
            if arc.source in mine and arc.target not in mine
        ]

    def _meeting(self) -> Iterator[Apart]:
        out = self._out()
        for start in self.starts:
            if not any(of == start for _, of in out):
                yield Apart(
                    self.here, f"the branch that begins at {start} never leads to where the others do", True
                )
        for arc, start in out:
            if arc.target in (self.node, self.path):
                yield Apart(
                    arc.edge or self.here,
                    f"the branch that begins at {start} leads back to the split while others are under way",
                    True,
                )
            elif arc.target != out[0][0].target:
                yield Apart(
                    arc.edge or self.here,
                    f"the branch that begins at {start} leads to {_said(arc.target)}, and another one to {_said(out[0][0].target)}. "
                    "Lead all of them to one join, one state, or one end",
                    True,
                )


def _said(node: str) -> str:
    return f"the end of {node.rpartition('.')[0] or 'the machine'}" if is_end(node) else node


def splits(flow: Flow, named: Sequence[tuple[str, bool]]) -> Iterator[tuple[str, Split | list[Apart]]]:
    """Each of the paths (with whether it is a fork) and what `split_of` says of it; those around others first."""
    found = [(path, split_of(flow, path, fork)) for path, fork in named]
    yield from sorted(found, key=lambda f: -len(f[1].states) if isinstance(f[1], Split) else 0)
