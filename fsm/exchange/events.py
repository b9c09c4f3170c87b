"""Statecharts that are driven by events, brought into the form of a drawing.

There an event may take a composite out of any state inside it; in a drawing the edges of a composite are taken at the end of its inside, and
what leaves it from within is drawn from within. So an event of a composite becomes an edge of each state in it that does not take that event
itself. What has no counterpart (history, several targets, events across regions, a wildcard) is listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from fsm.exchange.tree import Move, Node, Read, strays


@dataclass
class Taken:
    """A transition as the format has it. `how` is event, always or done."""

    label: str | None
    targets: list[str]
    how: str
    wildcard: bool = False


@dataclass
class Chosen:
    """A state as the format has it. `kind` is state, parallel, final or history; `our_kind` and `our_end` are what this project's own
    export says beside."""

    name: str
    kind: str = "state"
    title: str = ""
    initial: list[str] = field(default_factory=list)
    children: list[Chosen] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    our_kind: str = ""
    our_end: bool = False
    our_start: bool = True

    def move(self, label: str | None, targets: list[str], how: str, wildcard: bool = False) -> None:
        label = " ".join(label.split()) if label else None
        self.taken.append(Taken(label, targets, how, wildcard))

    def walk(self) -> Iterator[Chosen]:
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass
class Statechart:
    """All of it, and what was said of it while it was read."""

    root: Chosen = field(default_factory=lambda: Chosen(""))
    unsaid: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _names: Counter[str] = field(default_factory=Counter)

    def add(self, above: Chosen, name: str, kind: str, title: str = "") -> Chosen:
        """A state in another one; one without a name is given one."""
        if not name:
            self._names["state"] += 1
            name = f"state{self._names['state']}"
        node = Chosen(name, kind, title)
        above.children.append(node)
        return node

    def note(self, words: str) -> None:
        self.notes.append(words)

    def unsayable(self, words: str) -> None:
        if words not in self.unsaid:
            self.unsaid.append(words)


def settled(chart: Statechart) -> Read:
    """The statechart as a drawing."""
    by_name: dict[str, Chosen] = {}
    for node in chart.root.walk():
        if node.name in by_name:
            chart.unsayable(f"two states are called {node.name}")
        by_name[node.name] = node
    above = {child.name: node for node in by_name.values() for child in node.children}
    root = _Settling(chart, by_name, above).tree(chart.root)
    _led_out(root)
    lost = strays(root)
    for end in root.children:
        if end.name in lost and not end.children:  # Mermaid would have it in the composite that leads to it
            end.moves.append(Move(None, None))
            chart.note(f"{end.name}: nothing leads on from it, so it is taken for an end")
    return Read(root, chart.unsaid, chart.notes)


def _led_out(root: Node) -> None:
    """Where a composite leads on to a state that something inside it leads to as well, its ends lead there themselves.

    In a drawing an edge of a composite beside one that crosses its border to the same place is that one, seen from outside.
    """
    for node in root.walk():
        if not node.name or node.kind != "composite" or not node.moves or node.children[0].kind == "region":
            continue
        below = {n.name for n in node.walk()}
        inside = {m.target for n in node.walk() if n is not node for m in n.moves} - below - {None}
        ends = [(child, m) for child in node.children for m in child.moves if m.target is None]
        decided = len(node.moves) == 1 or all(m.label is None for _, m in ends)
        if (
            not decided
            or not inside & {m.target for m in node.moves}
            or None in {m.target for m in node.moves}
        ):
            continue
        for child, end in ends:
            at = child.moves.index(end)
            child.moves[at : at + 1] = [
                Move(end.label if m.label is None else m.label, m.target) for m in node.moves
            ]
        node.moves = []


@dataclass
class _Settling:
    chart: Statechart
    by_name: dict[str, Chosen]
    above: dict[str, Chosen]

    def tree(self, node: Chosen) -> Node:
        made = Node(node.name, node.title, "composite" if node.children or not node.name else "state")
        if node.our_kind in ("choice", "region"):
            made.kind = node.our_kind
        for history in (c for c in node.children if c.kind == "history"):
            self.chart.unsayable(
                f"{history.name}: a drawing has no history; which state was left last is for a handler to keep"
            )
        inner = [c for c in node.children if not c.our_end and c.kind != "history"]
        if node.kind == "parallel":
            made.children = [self._region(node, n, child) for n, child in enumerate(inner, 1)]
            if len(made.children) == 1:  # one region is none
                (only,) = made.children
                made.children, made.initial = only.children, only.initial
        else:
            made.children = [self.tree(child) for child in inner]
            made.initial = self._initial(node)
        made.moves = self._moves(node)
        return made

    def _region(self, node: Chosen, number: int, child: Chosen) -> Node:
        if child.our_kind == "region":
            return self.tree(child)
        own = self.tree(child)
        if not any(t.how == "done" for t in child.taken) and child.kind != "final":
            own.moves.append(Move(None, None))
        return Node(f"{node.name}.region{number}", kind="region", initial=[own.name], children=[own])

    def _initial(self, node: Chosen) -> list[str]:
        if not node.children or not node.our_start:
            return []
        found = node.initial or [next((c.name for c in node.children if c.kind != "history"), "")]
        for name in found:
            if name not in self.by_name:
                self.chart.unsayable(f"{node.name or 'the whole'} begins in {name}, which is not there")
            elif self.by_name[name].kind == "history":
                self.chart.unsayable(f"{node.name or 'the whole'} begins in a history, {name}")
        if len(found) > 1:
            self.chart.unsayable(
                f"{node.name or 'the whole'} begins in several states inside regions: {', '.join(found)}"
            )
        return [n for n in found if n in self.by_name and self.by_name[n].kind != "history"]

    def _moves(self, node: Chosen) -> list[Move]:
        own = list(node.taken)
        if node.children:
            own = [t for t in own if t.how == "done"]  # the others are taken by the states inside
        else:
            own += self._inherited(node)
        if node.kind == "final":
            return [Move(None, None)] if not node.our_end else []
        moves = [m for t in own if (m := self._move(node, t)) is not None]
        return self._told_apart(node, moves)

    def _inherited(self, node: Chosen) -> Iterator[Taken]:
        """The events of the composites around a state that it does not take itself."""
        known = {t.label for t in node.taken if t.how == "event"}
        inside, around = node, self.above.get(node.name)
        while around is not None and node.kind != "final":
            for taken in around.taken:
                if taken.how == "done" or (taken.how == "event" and taken.label in known):
                    continue
                if taken.how == "always":
                    self.chart.unsayable(
                        f"{around.name or 'the whole'}: a transition without an event that leaves it from any state inside"
                    )
                elif around.kind == "parallel" or any(
                    a.kind == "parallel" for a in self._between(inside, around)
                ):
                    self.chart.unsayable(
                        f"{around.name or 'the whole'}: {taken.label!r} ends all of its regions at once"
                    )
                else:
                    known.add(taken.label)
                    yield taken
            around = self.above.get(around.name) if around.name else None

    def _between(self, inside: Chosen, around: Chosen) -> Iterator[Chosen]:
        found = self.above.get(inside.name)
        while found is not None and found is not around:
            yield found
            found = self.above.get(found.name) if found.name else None

    def _move(self, node: Chosen, taken: Taken) -> Move | None:
        how = f"{node.name}: {taken.label!r}" if taken.label else f"{node.name}: a transition"
        if taken.wildcard:
            self.chart.unsayable(f"{how} is taken by any event: an edge has a label of its own")
        if not taken.targets:
            self.chart.note(f"{how} leads nowhere: what it does is for the handler of {node.name}")
            return None
        if len(taken.targets) > 1:
            self.chart.unsayable(f"{how} leads to several states at once: {', '.join(taken.targets)}")
            return None
        target = self.by_name.get(taken.targets[0])
        if target is None:
            self.chart.unsayable(f"{how} leads to {taken.targets[0]}, which is not there")
            return None
        if target.kind == "history":
            self.chart.unsayable(f"{how} leads to a history, {target.name}")
            return None
        if target.our_end:
            if self.above[target.name] is not self.above.get(node.name):
                self.chart.unsayable(f"{how} leads to the end of another scope, {target.name}")
            return Move(taken.label, None)
        while target.name and any(
            target is a for a in self._around(node)
        ):  # out of it and in again: where it begins
            inner = [self.by_name[n] for n in self._initial(target)]
            if len(inner) != 1 or target.kind == "parallel":
                self.chart.unsayable(
                    f"{how} leads out of {target.name} and into it again, in several regions"
                )
                return None
            target = inner[0]
        if self._region_of(node) is not self._region_of(target):
            self.chart.unsayable(f"{how} leads into or out of a region: {target.name}")
        return Move(taken.label, target.name)

    def _around(self, node: Chosen) -> Iterator[Chosen]:
        """The composites that a state stands in, innermost first."""
        found = self.above.get(node.name)
        while found is not None and found.name:
            yield found
            found = self.above.get(found.name)

    def _region_of(self, node: Chosen) -> Chosen | None:
        """The innermost part of a parallel that a state stands in."""
        found: Chosen | None = node
        while found is not None and found.name:
            around = self.above.get(found.name)
            if around is not None and around.kind == "parallel":
                return found
            found = around
        return None

    def _told_apart(self, node: Chosen, moves: list[Move]) -> list[Move]:
        """A handler names a label, so no two edges may have the same."""
        seen: Counter[str | None] = Counter()
        for move in moves:
            seen[move.label] += 1
            if seen[move.label] == 2:
                self.chart.unsayable(
                    f"{node.name}: {move.label!r} leads to several states, and nothing says which"
                )
        return moves
