"""What a drawing says about which counts belong together: worked out once a machine, looked up at every record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from fsm.drawing import Edge, ancestors
from fsm.engine import Machine

Move = tuple[str, str | None]  # a state's handler has named the label


@dataclass(frozen=True)
class Relations:
    """Of one machine.

    within     composite -> the states inside it, however deep
    innermost  composite -> those of them that are simple and have a name
    crossing   composite -> the moves that leave it by an edge from within
    edges      edge id -> the edge
    moved      move -> ids of the edges it takes
    outside    edge id -> ids of the edges that are drawn a second time from outside, for the same move
    crossed_by id of an edge drawn a second time -> the edges that are the same move
    """

    within: Mapping[str, tuple[str, ...]]
    innermost: Mapping[str, tuple[str, ...]]
    crossing: Mapping[str, tuple[Move, ...]]
    edges: Mapping[str, Edge]
    moved: Mapping[Move, tuple[str, ...]]
    outside: Mapping[str, tuple[str, ...]]
    crossed_by: Mapping[str, tuple[Edge, ...]]


@lru_cache(maxsize=256)
def relations(machine: Machine) -> Relations:
    """The relations of a machine's drawing."""
    chart = machine.chart
    within: dict[str, list[str]] = {}
    innermost: dict[str, list[str]] = {}
    for state in chart.states.values():
        for around in filter(None, ancestors(state.path)):
            within.setdefault(around, []).append(state.path)
            if not state.composite and state.kind not in ("fork", "join"):
                innermost.setdefault(around, []).append(state.path)
    crossing: dict[str, list[Move]] = {}
    moved: dict[Move, list[str]] = {}
    outside: dict[str, list[str]] = {}
    crossed_by: dict[str, tuple[Edge, ...]] = {}
    for edge in chart.edges:
        moved.setdefault((edge.source, edge.label), []).append(edge.id)
        if edge.label is not None and edge.source in machine.forks:
            moved.setdefault((edge.source, None), []).append(edge.id)  # a labelled fork names none
        if edge.seen_outside:
            same = tuple(
                e
                for e in chart.edges
                if e.source.startswith(edge.source + ".") and (e.target + ".").startswith(edge.target + ".")
            )
            crossed_by[edge.id] = same
            for e in same:
                outside.setdefault(e.id, []).append(edge.id)
        if edge.target in chart.states:
            for around in ancestors(edge.source):
                if around and not (edge.target + ".").startswith(around + "."):
                    crossing.setdefault(around, []).append((edge.source, edge.label))
    return Relations(
        {k: tuple(v) for k, v in within.items()},
        {k: tuple(v) for k, v in innermost.items()},
        {k: tuple(v) for k, v in crossing.items()},
        {e.id: e for e in chart.edges},
        {k: tuple(v) for k, v in moved.items()},
        {k: tuple(v) for k, v in outside.items()},
        crossed_by,
    )
