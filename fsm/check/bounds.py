"""Loops that a counter is to end: whether it is asked on every way round.

What asks is read off the drawing: a state whose words compare a counter with a bound (`epoch >= max_epochs?`, left by Yes and No), an edge
whose label does (`attempt >= 5`), or one that says that a most is reached (`MaxRetries exceeded`), where that leads out of the
loop for good. A counter that the loop sets back (`Reset streak = 0`) ends it only after so many rounds in a row, and bounds nothing.
Every way round that begins where the loop is entered (where a state says that it counts: there) must pass such a state, or an edge
that something else bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fsm.check.finding import Finding, error
from fsm.drawing import Arc, Edge, Flow
from fsm.engine import Machine

_COMPARED = re.compile(
    r"(?P<counter>[A-Za-z_]\w*)\s*(?P<sign>>=|>|==|<=|<)\s*(?P<bound>[A-Za-z_]\w*|\d+)\s*\??", re.ASCII
)
_REACHED = re.compile(r"(?P<bound>max\w*(?:[ _]\w+){0,2}?)\s+(?:is\s+)?(?:exceeded|reached)", re.IGNORECASE)
_YES = frozenset({"yes", "true", "y"})
_NO = frozenset({"no", "false", "n"})


@dataclass(frozen=True)
class Asked:
    """A way out of a loop that depends on a counter: the node that asks, the edge taken where the bound is reached."""

    node: str
    edge: Edge
    words: str
    counter: str
    bound: str


def exceeded(
    machine: Machine, flow: Flow, starts: frozenset[str], bounded: Mapping[Arc, str]
) -> Iterator[Finding]:
    """What can go round past the counter that is to end it. `starts` are where the machine is entered; `bounded` are the arcs
    that cannot be taken for ever, and by what."""
    asked: dict[str, list[Asked]] = {}
    for one in _asked(machine, flow):
        asked.setdefault(one.bound, []).append(one)
    for bound, ways_out in asked.items():
        loops: dict[frozenset[str], list[Asked]] = {}
        for one in ways_out:
            if (loop := _loop(flow, one)) and not _set_back(machine, flow, one.counter, loop):
                loops.setdefault(loop, []).append(one)
        others = frozenset(arc for arc, by in bounded.items() if _key(bound) not in _key(by))
        for loop, asking in loops.items():
            counting = _counting(machine, loop, asking[0].counter)
            if walk := _past(
                flow, loop, counting or starts, {one.node for one in asking}, others, bool(counting)
            ):
                yield _finding(machine, flow, asking[0], walk)


def _asked(machine: Machine, flow: Flow) -> Iterator[Asked]:
    for node, arcs in flow.arcs.items():
        drawn = [arc.edge for arc in arcs if arc.edge is not None]
        for edge in drawn:
            state = machine.chart.states[edge.source]
            label = (edge.label or "").strip()
            title = " ".join(state.title.split())
            if found := _COMPARED.fullmatch(title):
                wanted = _NO if found["sign"].startswith("<") else _YES
                if label.lower() in wanted:
                    yield Asked(node, edge, title, found["counter"], found["bound"])
            elif found := _COMPARED.fullmatch(label):
                if found["sign"].startswith("<"):
                    for other in (
                        e for e in drawn if e is not edge and not _COMPARED.fullmatch(e.label or "")
                    ):
                        yield Asked(node, other, label, found["counter"], found["bound"])
                else:
                    yield Asked(node, edge, label, found["counter"], found["bound"])
            elif found := _REACHED.fullmatch(label):
                yield Asked(node, edge, label, "", found["bound"])


def _loop(flow: Flow, asked: Asked) -> frozenset[str]:
    """The nodes of the loop that an edge leads out of for good; none where it does not."""
    loop = frozenset(flow.reach([asked.node])) & flow.leading_to([asked.node])
    return frozenset() if flow.after(asked.edge) in loop or not flow.way(asked.node, asked.node) else loop


def _set_back(machine: Machine, flow: Flow, counter: str, loop: frozenset[str]) -> bool:
    if not counter:
        return False
    reset = re.compile(rf"\b(?:reset|clear)\w*\s+{counter}\b|\b{counter}\s*:?=\s*0\b", re.IGNORECASE)
    states = machine.chart.states
    said = [states[node].title for node in loop if node in states]
    said += [
        arc.edge.label or ""
        for node in loop
        for arc in flow.arcs.get(node, ())
        if arc.edge and arc.target in loop
    ]
    return any(reset.search(text) for text in said)


def _counting(machine: Machine, loop: frozenset[str], counter: str) -> frozenset[str]:
    """The states of a loop that say they count (`Increment attempts`, IncrementPatience); where none does, each round counts."""
    if not counter:
        return frozenset()
    counts = re.compile(rf"increment(?:s|ed|ing)?[\s_]*{counter}(?!\w)", re.IGNORECASE)
    states = machine.chart.states
    return frozenset(n for n in loop if n in states and counts.search(states[n].title))


def _past(
    flow: Flow,
    loop: frozenset[str],
    starts: frozenset[str],
    asking: set[str],
    others: frozenset[Arc],
    alone: bool = False,
) -> list[Arc]:
    """A way round the loop that nobody asks on, from one of `starts` or, unless those `alone` matter, from where the loop is
    entered; none where there is none."""
    entered = set(starts)
    if not alone:
        entered |= {arc.target for node, arcs in flow.arcs.items() if node not in loop for arc in arcs}
    left_out = others | {
        arc
        for node, arcs in flow.arcs.items()
        for arc in arcs
        if node in asking or arc.target in asking or node not in loop or arc.target not in loop
    }
    for node in flow.arcs:
        if node in loop and node in entered and (way := flow.way(node, node, left_out)):
            return way
    return []


def _finding(machine: Machine, flow: Flow, asked: Asked, walk: list[Arc]) -> Finding:
    edges = [arc.edge for arc in walk if arc.edge is not None]
    entry = frozenset({walk[0].source})
    behind = flow.reach([arc.target for arc in flow.arcs[asked.node]], entry)
    joins = [arc.edge for arc in walk if arc.edge and arc.target in behind]
    counted = (
        f"{asked.bound} can be exceeded"
        if not asked.bound.isdigit()
        else f"{asked.counter} can exceed {asked.bound}"
    )
    return error(
        "C114",
        machine.chart.file,
        joins[0] if joins else edges[-1],
        f"{counted}: it is asked in {asked.edge.source} ({asked.words!r}), and the cycle {', '.join(e.id for e in edges)} goes round "
        f"without that. Lead it through {asked.edge.source}. Declare in `bounds` what else bounds one of its edges, if something does.",
    )


def _key(words: str) -> str:
    """Words as a name: `distillation.max_epochs`, `Max epochs` and `maxEpochs` all have `maxepochs` in them."""
    return re.sub(r"[^a-z0-9]", "", words.lower())
