"""A statechart interpreter of another kind, to hold the kernel against: tables, sets, and the rules word for word.

A token stands in each state of the place. The rules:

1.  An edge moves a token; all edges of a fork make a token each. Entering a composite is entering all its starts.
2.  A token that comes to the end of a composite is gone. When none is left inside, the composite is left: by all its
    edges if it is a fork, by the one its exits decide, by its only one; a handler decides where none of these does. A
    composite without edges ends its surroundings.
3.  Forks and joins are passed through at once, unless they wait.
4.  A state waits while another token that came from the same split can still come to it. Of two that can come to each
    other, the one nearer to the split goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fsm.drawing import Chart

Tokens = frozenset[str]


class Loop(Exception):
    """Forks and joins lead to each other without a state between."""


class Table:
    def __init__(
        self,
        chart: Chart,
        opaque: Iterable[str],
        forks: Iterable[str],
        exits: Mapping[str, Mapping[str, str]],
    ) -> None:
        self.order = list(chart.states)
        self.closed = {p for p, s in chart.states.items() if not s.composite} | set(opaque)
        self.pseudo = {p for p, s in chart.states.items() if s.kind in ("fork", "join")}
        self.regions = {p for p, s in chart.states.items() if s.kind == "region"}
        self.forks, self.exits = set(forks), exits
        self.starts = {p: s.initial for p, s in chart.states.items()} | {"": chart.initial}
        self.edges = {p: [e for e in chart.edges if e.source == p and not e.seen_outside] for p in self.order}
        self.next = {node: self._next(node) for p in self.order for node in (p, self._done(p))}
        splits = [
            (p, self.starts[p]) for p in self.starts if len(self.starts[p]) > 1 and p not in self.closed
        ]
        splits += [(self._node(p), tuple(e.target for e in self.edges[p])) for p in self.forks]
        self.splits = [(bar, self._steps(targets, bar)) for bar, targets in splits]

    # The graph that rule 4 is about

    def _done(self, scope: str) -> str:
        return f"{scope}.[*]" if scope else "[*]"

    def _node(self, state: str) -> str:
        return state if state in self.closed else self._done(state)

    def _next(self, node: str) -> set[str]:
        state = node.removesuffix(".[*]")
        targets = {e.target for e in self.edges[state]} if node == self._node(state) else set()
        if node != state and not targets and state not in self.closed:
            targets = {self._done(state.rpartition(".")[0])}
        return targets if node != state else targets | set(self.starts[state])

    def _steps(self, targets: Iterable[str], bar: str) -> dict[str, int]:
        near: dict[str, int] = {}
        front, distance = set(targets) - {bar}, 0
        while front:
            near |= dict.fromkeys(front, distance)
            front = {n for f in front for n in self.next.get(f, ())} - near.keys() - {bar}
            distance += 1
        return near

    def waits(self, state: str, tokens: Tokens) -> bool:
        here = self._node(state)
        for bar, near in self.splits:
            for other in tokens - {state}:
                there = self._node(other)
                if not {here, there} <= near.keys() or here not in self._steps([there], bar):
                    continue
                ranks = [(near[n], self.order.index(p)) for n, p in ((here, state), (there, other))]
                if there not in self._steps([here], bar) or ranks[1] < ranks[0]:
                    return True
        return False

    def first(self, tokens: Tokens) -> str:
        inorder = sorted(tokens, key=self.order.index)
        return next((s for s in inorder if not self.waits(s, tokens)), inorder[0])

    # Moving

    def enter(self) -> Tokens:
        return self._settled(frozenset(s for start in self.starts[""] for s in self._open(start)))

    def _open(self, state: str) -> set[str]:
        return (
            {state}
            if state in self.closed
            else {s for start in self.starts[state] for s in self._open(start)}
        )

    def step(self, tokens: Tokens, state: str, label: str | None) -> Tokens:
        return self._settled(self._fire(tokens - {state}, state, label))

    def _fire(self, tokens: Tokens, state: str, label: str | None) -> Tokens:
        edges = self.edges[state]
        if state not in self.forks and len(edges) > 1:
            edges = [e for e in edges if e.label == label]
        ends = [e for e in edges if e.target.endswith("[*]")]
        tokens |= {s for e in edges if e not in ends for s in self._open(e.target)}
        for edge in ends[:1]:
            tokens = self._end(tokens, edge.target.rpartition(".")[0], state.rpartition(".")[2], edge.label)
        return tokens

    def _end(self, tokens: Tokens, scope: str, last: str, label: str | None) -> Tokens:
        if not scope or (scope not in self.regions and any(t.startswith(scope + ".") for t in tokens)):
            return tokens
        if scope in self.regions or not self.edges[scope]:
            outer, _, name = scope.rpartition(".")
            return self._end(tokens, outer, last if scope in self.regions else name, label)
        if scope in self.exits:
            known = self.exits[scope]
            return self._fire(tokens, scope, known[label] if label and label in known else known[last])
        if len(self.edges[scope]) > 1 and scope not in self.forks:
            return tokens | {scope}
        return self._fire(tokens, scope, None)

    def _settled(self, tokens: Tokens) -> Tokens:
        for _ in range(len(self.order) + 1):
            free = [
                s for s in sorted(tokens & self.pseudo, key=self.order.index) if not self.waits(s, tokens)
            ]
            if not free and tokens and self.first(tokens) in self.pseudo:
                free = [self.first(tokens)]
            if not free:
                return tokens
            tokens = self._fire(tokens - {free[0]}, free[0], None)
        raise Loop
