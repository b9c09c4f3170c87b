"""Proving that a detail refines its overview.

Every detail state stands at a state of the overview. Then every move of the detail must be a stutter (it stays at the
overview's state) or a move that the overview draws; it must begin where the overview begins, and end where the overview
ends. The states of a counted composite, which is walked once for each item, may stand at several states of the
overview, as the item in hand says; from item to item the overview then moves by its own edges.

    C401  `stands` names no simple state of the overview's inside    C402  a pattern fits no state of the detail
    C403  a detail state stands nowhere                              C404  a detail state stands in several places
    C405  a move that the overview does not draw                     C406  the detail begins elsewhere
    C407  an overview state in which nothing stands                  C408  items lead the overview nowhere
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from fsm.check.finding import Finding, error
from fsm.drawing import END, Arc, Chart, Edge, Flow, State, ancestors, join
from fsm.engine import COUNTED, Detail, Machine

Stands = dict[str, list[str]]  # detail state -> the overview's states it stands at


def refine(overview: Machine, composite: str, how: Detail, detail: Machine) -> list[Finding]:
    """What is wrong with `detail` as the inside of `composite`."""
    return list(_Refinement(overview, composite, how, detail).findings())


def stands_at(how: Detail, detail: Chart) -> Stands:
    """Where each simple state of the detail stands; several places only where `stands` says so."""
    found: Stands = {}
    for place, patterns in how.stands.items():
        for pattern in patterns:
            for path in _fitting(pattern, detail):
                if place not in (places := found.setdefault(path, [])):
                    places.append(place)
    return found


def _fitting(pattern: str, detail: Chart) -> list[str]:
    root = pattern.removesuffix(".*")
    return [p for p, s in detail.states.items() if _simple(s) and (p == root or p.startswith(root + "."))]


def _simple(state: State) -> bool:
    """Whether something can stand there: forks and joins are passed through."""
    return not state.composite and state.kind not in ("fork", "join")


def _landings(flow: Flow, starts: Iterable[Arc]) -> Iterator[tuple[str, Edge | None]]:
    """The simple states and the end to which arcs lead, composites entered and left, each with the last edge taken."""
    todo = [(arc.target, arc.edge) for arc in starts]
    for node, edge in todo:
        state = flow.chart.states.get(node)
        onward = flow.arcs.get(node, [])
        if (state is not None and _simple(state)) or not onward:
            yield node, edge
            continue
        for arc in onward:
            if (step := (arc.target, arc.edge or edge)) not in todo:
                todo.append(step)


class _Refinement:
    def __init__(self, overview: Machine, composite: str, how: Detail, detail: Machine) -> None:
        self.overview = overview
        self.composite = composite
        self.how = how
        self.detail = detail
        self.box = overview.chart.states[composite]
        self.stands = stands_at(how, detail.chart)
        self.above = Flow(overview.chart, opaque=frozenset({composite}), exits=overview.exits)
        self.below = Flow(detail.chart, exits=detail.exits, ends=detail.ends)

    def findings(self) -> Iterator[Finding]:
        mapping = [*self._mapping()]
        yield from mapping
        if mapping:
            return  # moves between states that stand nowhere say nothing more
        yield from self._beginning()
        yield from self._moves()
        yield from self._items()

    # Where the states stand

    def _mapping(self) -> Iterator[Finding]:
        inside = self.composite + "."
        leaves = [
            p.removeprefix(inside)
            for p, s in self.overview.chart.states.items()
            if p.startswith(inside) and _simple(s)
        ]
        for place, patterns in self.how.stands.items():
            if place not in leaves:
                yield self._at_box(
                    "C401",
                    f"{self.detail.name} stands at {place!r}, which is no simple state inside {self.composite}; there are "
                    f"{', '.join(leaves)}. Name one of them.",
                )
            for pattern in patterns:
                if not _fitting(pattern, self.detail.chart):
                    yield self._at_box(
                        "C402",
                        f"{pattern!r}, which is to stand at {place}, fits no state of {self.detail.name}. Name a state by its "
                        "dotted path, or all below a composite by PATH.*.",
                    )
        for leaf in leaves:
            if leaf not in self.how.stands:
                at = self.overview.chart.states[inside + leaf]
                yield error(
                    "C407",
                    self.overview.chart.file,
                    at,
                    f"no state of {self.detail.name} stands at {at.path}: it would never be seen. Say in `stands` which do.",
                )
        for path, state in self.detail.chart.states.items():
            if _simple(state):
                yield from self._mapped_once(path, state)

    def _mapped_once(self, path: str, state: State) -> Iterator[Finding]:
        places = self.stands.get(path, [])
        where = f"the inside of {self.overview.name}'s {self.composite}"
        if not places:
            yield error(
                "C403",
                self.detail.chart.file,
                state,
                f"{path} stands at no state of {where}. Say in `stands` at which.",
            )
        elif len(places) > 1 and self._counted(path) is None:
            yield error(
                "C404",
                self.detail.chart.file,
                state,
                f"{path} stands at {' and at '.join(places)} of {where}. Keep one; only inside a counted composite can the item "
                "in hand decide.",
            )

    def _counted(self, path: str) -> str | None:
        return next((a for a in ancestors(path) if self.detail.inside.get(a) is COUNTED), None)

    # How it moves

    def _beginning(self) -> Iterator[Finding]:
        starts = [Arc("", target, None) for target in self.detail.chart.initial]
        drawn = {node for node, _ in self._overview_landings(self.box.initial)}
        for node, _ in _landings(self.below, starts):
            if node in self.stands and not drawn.intersection(self.stands[node]):
                yield error(
                    "C406",
                    self.detail.chart.file,
                    self.detail.chart.states[node],
                    f"{self.detail.name} begins in {node}, which stands at {' or '.join(self.stands[node])}; {self.composite} of "
                    f"{self.overview.name} begins in {' or '.join(sorted(drawn)) or 'no state'}. Let both begin alike.",
                )

    def _overview_landings(self, targets: Iterable[str]) -> Iterator[tuple[str, Edge | None]]:
        inside = self.composite + "."
        arcs = [Arc(self.composite, target, None) for target in targets]
        for node, edge in _landings(self.above, arcs):
            yield node.removeprefix(inside), edge

    def _drawn(self) -> Mapping[str, set[str]]:
        """The overview's moves: from each simple state inside to the states, or the end, it can lead to."""
        inside = self.composite + "."
        return {
            path.removeprefix(inside): {
                node
                for node, _ in self._overview_landings(arc.target for arc in self.above.arcs.get(path, ()))
            }
            for path, s in self.overview.chart.states.items()
            if path.startswith(inside) and _simple(s)
        }

    def _moves(self) -> Iterator[Finding]:
        drawn = self._drawn()
        seen = set()
        for path in self.stands:
            for target, edge in _landings(self.below, self.below.arcs.get(path, ())):
                key = (path, target)
                if key not in seen and not self._allowed(path, target, drawn):
                    seen.add(key)
                    yield self._breaks(path, target, edge)

    def _allowed(self, path: str, target: str, drawn: Mapping[str, set[str]]) -> bool:
        if target != END and target not in self.stands:
            return True  # a dead end, which is not the refinement's to report
        goals = {END} if target == END else set(self.stands[target])
        ways = [bool(goals & {place, *drawn[place]}) for place in self.stands[path]]
        same_item = (
            target != END and self._counted(path) is not None and self._counted(path) == self._counted(target)
        )
        return all(ways) if same_item else any(ways)

    def _breaks(self, path: str, target: str, edge: Edge | None) -> Finding:
        source = " or ".join(self.stands[path])
        to = "its end" if target == END else " or ".join(self.stands[target])
        what = edge.id if edge else f"the end of {path}"
        return error(
            "C405",
            self.detail.chart.file,
            edge or self.detail.chart.states[path],
            f"{what} breaks the refinement of {self.overview.name}'s {self.composite}: from {path} to "
            f"{'the end' if target == END else target} it moves from {source} to {to}, and the overview draws no such edge. Draw it "
            f"in {self.overview.chart.file}, or say in `stands` where these states stand.",
        )

    def _items(self) -> Iterator[Finding]:
        """From item to item of a counted composite the overview must find its way, by its own edges."""
        drawn = self._drawn()
        for composite, how in self.detail.inside.items():
            inside = [p for p in self.stands if p.startswith(composite + ".")]
            group = {place for p in inside for place in self.stands[p]}
            if how is not COUNTED or len(group) < 2:
                continue
            entered = self._entered(composite, group, drawn)
            lost = group - _closure(entered, drawn, group)
            for place in self._last(inside, composite):
                if not _closure({place}, drawn, group) & self._first(composite):
                    lost |= self._first(composite)
            if lost:
                yield self._at_box(
                    "C408",
                    f"the items of {self.detail.name}'s {composite} begin at {' or '.join(sorted(entered)) or 'no state'}, and "
                    f"from item to item no edges of {self.composite} lead to {', '.join(sorted(lost))}. Draw them, or say in "
                    "`stands` where the composite's states stand.",
                )

    def _first(self, composite: str) -> set[str]:
        """Where the first states of an item stand."""
        arcs = [a for a in self.below.arcs.get(composite, ()) if a.edge is None]
        return {place for node, _ in _landings(self.below, arcs) for place in self.stands.get(node, ())}

    def _last(self, inside: list[str], composite: str) -> set[str]:
        """Where the last states of an item stand."""
        done = join(composite, END)
        lasts = [p for p in inside if any(a.target == done for a in self.below.arcs.get(p, ()))]
        return {place for p in lasts for place in self.stands[p]}

    def _entered(self, composite: str, group: set[str], drawn: Mapping[str, set[str]]) -> set[str]:
        """The places of `group` to which the moves into the composite lead."""
        found = set()
        outside = [p for p in self.stands if not p.startswith(composite + ".")]
        for path in outside:
            for target, _ in _landings(self.below, self.below.arcs.get(path, ())):
                if target.startswith(composite + "."):
                    steps = {s for place in self.stands[path] for s in (place, *drawn[place])}
                    found |= group & steps
        begun = {node for node, _ in self._overview_landings(self.box.initial)}
        return found or group & begun

    def _at_box(self, code: str, message: str) -> Finding:
        return error(code, self.overview.chart.file, self.box, message)


def _closure(start: set[str], drawn: Mapping[str, set[str]], within: set[str]) -> set[str]:
    found, todo = set(start), list(start)
    for place in todo:
        for onward in sorted(drawn[place] & within - found):
            found.add(onward)
            todo.append(onward)
    return found
