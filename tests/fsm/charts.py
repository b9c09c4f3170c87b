"""Random drawings: composites in composites, regions, forks, joins, declared exits, edges across borders."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import note, reject
from hypothesis import strategies as st

from fsm.drawing import Chart, ancestors, chart
from fsm.engine import COUNTED, Machine
from fsm.errors import DiagramError


@dataclass
class _Box:
    """One scope under construction. `within` are the states of it and of all inside it."""

    lines: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    within: list[str] = field(default_factory=list)
    boxes: set[str] = field(default_factory=set)
    pseudo: set[str] = field(default_factory=set)


@st.composite
def drawings(draw: st.DrawFn) -> str:
    """The text of a state diagram."""
    count = 0

    def pick(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    def box(depth: int) -> _Box:
        nonlocal count
        made = _Box()
        for _ in range(pick(1, 4 if depth < 2 else 2)):
            name = f"s{count}"
            count += 1
            made.own.append(name)
            made.within.append(name)
            if depth < 3 and pick(0, 3) == 0:
                made.boxes.add(name)
                made.lines.append(f"state {name} {{")
                for region in range(pick(1, 5) // 5 + 1):
                    inner = box(depth + 1)
                    made.lines += (["--"] if region else []) + inner.lines
                    made.within += inner.within
                made.lines.append("}")
            elif pick(0, 9) == 0:
                made.pseudo.add(name)
                made.lines.append(f"state {name} <<{draw(st.sampled_from(['fork', 'join']))}>>")
        starts = [made.within[0], *(made.own[pick(0, len(made.own) - 1)] for _ in range(pick(0, 5) // 5))]
        made.lines += [f"[*] --> {s}" for s in dict.fromkeys(starts)]
        for name in made.own:
            made.lines += edges(name, made)
        return made

    def edges(name: str, scope: _Box) -> list[str]:
        number = (1, 1, 2, 2, 3, 0 if name in scope.boxes else 1)[pick(0, 5)]
        fork = name in scope.pseudo or pick(0, 2) == 0  # nobody could decide where a fork or a join leads
        lines = []
        for i in range(number):
            where = pick(0, 9)
            if where < 3:
                target = "[*]"
            elif where < 8:
                target = scope.own[pick(0, len(scope.own) - 1)]
            else:  # across borders, in both directions
                target = f"s{pick(0, max(count - 1, 0))}"
            label = "" if fork or (number == 1 and i == 0) else f" : l{i}"
            lines.append(f"{name} --> {target}{label}")
        return lines

    return "stateDiagram-v2\n" + "\n".join(box(0).lines) + "\n"


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """A machine of a random drawing, with some composites closed and some exits declared."""
    text = draw(drawings())
    note(text)
    try:
        read = chart.parse(text, "random")
    except DiagramError:  # a composite without edges, named last inside itself
        reject()
    composites = [p for p, s in read.states.items() if s.kind == "composite"]
    closable = [c for c in composites if read.moves(c) and not _crossed(read, c)]
    inside = {c: COUNTED for c in closable if draw(st.integers(0, 4)) == 0}
    exits = {}
    for composite in composites:
        labels = [e.label for e in read.moves(composite) if e.label]
        if len(labels) > 1 and composite not in inside and draw(st.booleans()):
            names = [p.rpartition(".")[2] for p in read.states if p.startswith(composite + ".")]
            exits[composite] = {name: draw(st.sampled_from(labels)) for name in names}
    return Machine("random", read, inside=inside, exits=exits)


def _crossed(read: Chart, composite: str) -> bool:
    """Whether an edge or a start crosses the border of a composite: such a one cannot be closed."""

    def crosses(source: str, target: str) -> bool:
        return (composite in ancestors(source)) != (composite in ancestors(target))

    starts = [(p, t) for p, s in read.states.items() for t in s.initial if p != composite]
    starts += [("", t) for t in read.initial]
    drawn = [(e.source, e.target) for e in read.edges]
    return any(crosses(source, target) for source, target in (*starts, *drawn))
