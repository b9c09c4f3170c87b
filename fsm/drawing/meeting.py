"""Which of several branches waits for another.

Where a fork, or a composite with several starts, has split a machine, a state that several branches come to is run once:
it waits while another branch can still come to it without passing the split again. Of two states that lead to each other
the one nearer to the split goes first.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from fsm.drawing.chart import END, ROOT, join
from fsm.drawing.flow import Flow


class Meetings:
    """The splits of a chart, and what waits behind them."""

    def __init__(self, flow: Flow, forks: Iterable[str]) -> None:
        self._flow = flow
        self._forks = frozenset(forks)
        self._order = {path: i for i, path in enumerate(flow.chart.states)}
        self._leads: dict[tuple[str, str], dict[str, int]] = {}

    def waits(self, state: str, place: Iterable[str]) -> bool:
        """Whether a branch in `place` may still lead to `state`, where several branches come."""
        return any(self._behind(state, other) for other in place if other != state)

    def _behind(self, state: str, other: str) -> bool:
        here, there = self._node(state), self._node(other)
        for split, distance in self._splits:
            if here not in distance or there not in distance or here not in self._from(there, split):
                continue
            mutual = there in self._from(here, split)
            rank = (distance[here], self._order[state])
            if not mutual or (distance[there], self._order[other]) < rank:
                return True
        return False

    @cached_property
    def _splits(self) -> list[tuple[str, dict[str, int]]]:
        """Each node that splits, with what lies behind it and how far."""
        chart = self._flow.chart
        starts = {s.path: s.initial for s in chart.states.values() if s.path not in self._flow.opaque}
        targets = {p: list(t) for p, t in ({ROOT: chart.initial} | starts).items() if len(t) > 1}
        targets |= {self._node(f): [e.target for e in chart.moves(f)] for f in self._forks}
        return [(node, self._flow.reach(to, frozenset({node}))) for node, to in targets.items()]

    def _from(self, node: str, split: str) -> dict[str, int]:
        key = (node, split)
        if key not in self._leads:
            self._leads[key] = self._flow.reach([node], frozenset({split}))
        return self._leads[key]

    def _node(self, state: str) -> str:
        """The node a state of a place is: an open composite stands at its end, for a handler to decide how it is left."""
        composite = self._flow.chart.states[state].composite and state not in self._flow.opaque
        return join(state, END) if composite else state
