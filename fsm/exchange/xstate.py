"""XState's machine configurations as JSON, both ways: version 5's words, and those of version 4 where they differ.

What it calls by another word: a label is an event of `on`; an edge without one is `always`; the end of a scope is a state of type `final`
(with `meta.fsm` "end"); the edges of a composite are its `onDone`, where there are several with the label as their guard.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from fsm.exchange.events import Chosen, Statechart, settled
from fsm.exchange.tree import Node, Read, Unsayable, entered

Json = Any
_WORK = ("entry", "exit", "onEntry", "onExit", "activities", "context", "output", "data", "actors", "tags")


def write(root: Node, name: str) -> str:
    """A drawing as a configuration of XState. Raises Unsayable."""
    return json.dumps({"id": name, **_inside(root, entered(root))}, indent=2, ensure_ascii=False) + "\n"


def _inside(node: Node, come_to: set[str]) -> dict[str, Json]:
    regions = any(c.kind == "region" for c in node.children)
    said: dict[str, Json] = {}
    if regions:
        said["type"] = "parallel"
    elif node.children and not node.initial and node.name and node.name not in come_to:
        said |= {
            "initial": _key(node.children[0]),
            "meta": {"fsm": "no start"},
        }  # it is only come into across its border
    elif node.children:
        if len(node.initial) != 1:
            raise Unsayable(
                f"XState begins in one state, and {node.name or 'the drawing'} in {len(node.initial)}: draw regions (`--`) or one start."
            )
        inside = next((c.name for c in node.children if c.name == node.initial[0]), None)
        if inside is None:
            raise Unsayable(
                f"XState begins in a state inside, and {node.name or 'the drawing'} in {node.initial[0]}."
            )
        said["initial"] = inside
    if node.children:
        said["states"] = {_key(c): _state(c, node, come_to) for c in node.children}
        if any(m.target is None for c in node.children for m in c.moves):
            said["states"][END] = {"id": _end(node), "type": "final", "meta": {"fsm": "end"}}
    return said


END = "[*]"


def _state(node: Node, above: Node, come_to: set[str]) -> dict[str, Json]:
    if node.kind in ("fork", "join"):
        raise Unsayable(f"XState has no {node.kind}, which {node.name} is: draw regions (`--`).")
    said: dict[str, Json] = {"id": _id(node.name)}
    if node.title:
        said["description"] = node.title
    if node.kind in ("choice", "region"):
        said["meta"] = {"fsm": node.kind}
    said |= _inside(node, come_to)
    labels = Counter(m.label for m in node.moves)
    if (most := max(labels.values(), default=0)) > 1 and labels[None] != most:
        raise Unsayable(
            f"XState goes one way by one label, and {node.name} several: that is a fork, which it does not have."
        )
    if labels[None] > 1:
        raise Unsayable(f"XState has no fork, which {node.name} is: draw regions (`--`), or label its edges.")
    for move in node.moves:
        to: dict[str, Json] = {"target": "#" + (_end(above) if move.target is None else _id(move.target))}
        if node.children:
            said.setdefault("onDone", []).append(
                to | ({"guard": move.label} if move.label is not None else {})
            )
        elif move.label is None:
            said.setdefault("always", []).append(to)
        else:
            said.setdefault("on", {}).setdefault(move.label, []).append(to)
    return said


def _key(node: Node) -> str:
    return node.name.rpartition(".")[2]


def _id(name: str) -> str:
    """An id that a target can name: a dot in it would lead inside."""
    return name.replace(".", "_")


def _end(node: Node) -> str:
    return f"{_id(node.name)}--end"


def read(text: str) -> Read:
    """A configuration as a drawing. Raises Unsayable for what is none."""
    try:
        said = json.loads(text)
    except ValueError as e:
        raise Unsayable(
            f"This is not JSON: {e}. Of a machine in code, save `machine.config` by JSON.stringify."
        ) from e
    if not isinstance(said, dict) or not isinstance(said.get("states"), dict):
        raise Unsayable("This is no configuration of XState: it has no states.")
    return settled(_Reading(Statechart(), {}, {}).all(said))


class _Reading:
    """Keys are unique among the states beside each other, ids in the whole; a state's name is its key where no other has it."""

    def __init__(
        self, chart: Statechart, ids: dict[str, Chosen], nodes: dict[tuple[str, ...], Chosen]
    ) -> None:
        self.chart = chart
        self.ids = ids
        self.nodes = nodes
        self.keys: Counter[str] = Counter()

    def all(self, said: Mapping[str, Json]) -> Statechart:
        self._count(said)
        self._states(said, self.chart.root, ())
        self.ids.setdefault(str(said.get("id") or "(machine)"), self.chart.root)
        self._taken(said, self.chart.root, ())
        return self.chart

    def _count(self, said: Mapping[str, Json]) -> None:
        for key, inner in _inner(said):
            self.keys[key] += 1
            self._count(inner)

    def _states(self, said: Mapping[str, Json], above: Chosen, path: tuple[str, ...]) -> None:
        self.nodes[path] = above
        if said.get("type") == "parallel" and path:
            above.kind = "parallel"
        for key, inner in _inner(said):
            deeper = (*path, key)
            ours = (inner.get("meta") or {}).get("fsm") if isinstance(inner.get("meta"), dict) else None
            kind = str(inner.get("type") or "state")
            name = key if self.keys[key] == 1 and ours != "region" else "_".join(deeper)
            if ours == "end":
                name = f"{'_'.join(path)}--end"
            node = self.chart.add(
                above,
                name,
                kind if kind in ("parallel", "final", "history") else "state",
                str(inner.get("description") or ""),
            )
            node.our_kind, node.our_end = (ours if ours in ("choice", "region") else ""), ours == "end"
            node.our_start = ours != "no start"
            if self.keys[key] > 1 and not node.title and not ours:
                node.title = key
            if "id" in inner:
                self.ids[str(inner["id"])] = node
            self._states(inner, node, deeper)
        if isinstance(initial := said.get("initial"), str):
            above.initial = [self._target(initial, path, inside=True)]
        elif isinstance(initial, dict) and isinstance(initial.get("target"), str):
            above.initial = [self._target(initial["target"], path, inside=True)]
        if not path and said.get("type") == "parallel":
            self.chart.unsayable(
                "the whole is parallel: a drawing has regions inside a composite; wrap it in a state"
            )

    def _taken(self, said: Mapping[str, Json], node: Chosen, path: tuple[str, ...]) -> None:
        where = node.name or "the whole"
        for word in _WORK:
            if said.get(word):
                self.chart.note(f"{where}: `{word}` is for handlers to do")
        for event, to in (said.get("on") or {}).items():
            self._moves(to, node, path, event, "always" if event == "" else "event")
        self._moves(said.get("always"), node, path, "", "always")
        self._moves(said.get("onDone"), node, path, "", "done")
        if node.name and node.children and (said.get("after") or said.get("invoke")):
            self.chart.unsayable(
                f"{where}: a time, or what it invokes, that takes it out of any state inside"
            )
        for delay, to in (said.get("after") or {}).items():
            self._moves(to, node, path, f"after {delay}", "event")
        invoked = said.get("invoke") or []
        for number, invoke in enumerate(invoked if isinstance(invoked, list) else [invoked], 1):
            if not isinstance(invoke, dict):
                continue
            self.chart.note(
                f"{where}: what it invokes ({invoke.get('src', 'something')}) is for its handler to do"
            )
            mark = f" {number}" if isinstance(invoked, list) and len(invoked) > 1 else ""
            self._moves(invoke.get("onDone"), node, path, f"done{mark}", "event")
            self._moves(invoke.get("onError"), node, path, f"error{mark}", "event")
        for key, inner in _inner(said):
            self._taken(inner, self.nodes[(*path, key)], (*path, key))

    def _moves(self, to: Json, node: Chosen, path: tuple[str, ...], event: str, how: str) -> None:
        if to is None:
            return
        for one in to if isinstance(to, list) else [to]:
            said = {"target": one} if isinstance(one, str) else one if isinstance(one, dict) else {}
            guard = said.get("guard", said.get("cond"))
            if isinstance(guard, dict):
                guard = guard.get("type") or guard.get("name") or "a guard"
            if said.get("actions"):
                self.chart.note(
                    f"{node.name or 'the whole'}: the actions of {event or 'a transition'!r} are for its handler to do"
                )
            if said.get("in"):
                guard = f"in {said['in']}"
            targets = said.get("target")
            named = [targets] if isinstance(targets, str) else [str(t) for t in targets or ()]
            label = str(guard) if guard and not event else f"{event} [{guard}]" if guard else event or None
            node.move(label, [self._target(t, path) for t in named], how, event == "*")

    def _target(self, said: str, path: tuple[str, ...], inside: bool = False) -> str:
        """The name of the state that a target means: `#id`, `#id.child`, `.child`, `sibling` or `sibling.child`."""
        if said.startswith("#"):
            first, *rest = said[1:].split(".")
            whole = self.ids.get(said[1:])
            if whole is not None:
                return whole.name
            base = self.ids.get(first)
            start = next((p for p, n in self.nodes.items() if n is base), None)
        elif said.startswith(".") or inside:
            start, rest = path, said.removeprefix(".").split(".")
        else:
            start, rest = path[:-1], said.split(".")
        found = self.nodes.get((*start, *rest)) if start is not None else None
        return found.name if found is not None else said


def _inner(said: Mapping[str, Json]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    states = said.get("states")
    for key, inner in (states if isinstance(states, dict) else {}).items():
        yield key, inner if isinstance(inner, dict) else {}
