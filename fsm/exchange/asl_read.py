"""The Amazon States Language, read: a definition of AWS Step Functions as a drawing.

A state of the definition is a state of the drawing. A task's handler does what its resource does; the answers of a Choice are the labels of
its edges; `Catch` is an edge for each list of errors; a Parallel is a composite with regions, a Map a composite whose inside is walked
once for each item. Data (paths, parameters, variables) is the handlers', and `Retry` the recovery machine's: both are told as notes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fsm.exchange.asl import OURS
from fsm.exchange.tree import Move, Node, Read, Unsayable, plain

Json = Any
OTHERWISE, DONE = "otherwise", "done"
_DATA = frozenset(
    {
        *(
            "InputPath",
            "OutputPath",
            "ResultPath",
            "Parameters",
            "ResultSelector",
            "Arguments",
            "Output",
            "Assign",
            "Result",
        ),
        *("ItemsPath", "Items", "ItemSelector", "ItemReader", "ItemBatcher", "ResultWriter"),
    }
)
_SIGNS = {
    "Equals": "==",
    "LessThan": "<",
    "GreaterThan": ">",
    "LessThanEquals": "<=",
    "GreaterThanEquals": ">=",
}
_IS = ("IsNull", "IsPresent", "IsNumeric", "IsString", "IsBoolean", "IsTimestamp")
_TYPES = ("Task", "Pass", "Wait", "Choice", "Parallel", "Map", "Succeed", "Fail")


def read(text: str) -> Read:
    """A definition as a drawing. Raises Unsayable for what is none."""
    try:
        said = json.loads(text)
    except ValueError as e:
        raise Unsayable(f"This is not JSON: {e}.") from e
    if not isinstance(said, dict) or not isinstance(said.get("States"), dict) or "StartAt" not in said:
        raise Unsayable("This is no definition of the States Language: it has no StartAt and States.")
    found = Read(Node("", kind="composite"))
    if str(said.get("Comment", "")).startswith(OURS) and (back := _back(said)):
        found.root = back
        return found
    _machine(said, found.root, found, set())
    if said.get("TimeoutSeconds"):
        found.notes.append(f"the whole may take {said['TimeoutSeconds']} seconds")
    return found


def _machine(said: Mapping[str, Json], scope: Node, found: Read, taken: set[str]) -> None:
    """The states of a definition, or of a branch of it, in a scope. Names are unique in the whole, by the language's rules."""
    states: Mapping[str, Json] = said["States"]
    names: dict[str, str] = {}
    for key in states:
        number, name = 2, key
        while name in taken:
            name, number = f"{key} {number}", number + 1
        names[key] = name
        taken.add(name)
    scope.initial = [names[said["StartAt"]]] if said["StartAt"] in names else []
    if not scope.initial:
        found.unsaid.append(f"it begins in {said['StartAt']}, which is not there")
    for key, state in states.items():
        node = Node(names[key])
        scope.children.append(node)
        if not isinstance(state, dict):
            found.unsaid.append(f"{key}: this is no state")
            continue
        if state.get("Type") not in _TYPES:
            found.unsaid.append(f"{key}: there is no type {state.get('Type')!r}")
            continue
        node.moves = _told_apart(list(_moves(key, state, names, found)), key, found)
        _notes(key, state, found)
        _inside(key, state, node, found, taken)


def _moves(key: str, state: Mapping[str, Json], names: Mapping[str, str], found: Read) -> Iterator[Move]:
    def to(target: Json, label: str | None) -> Iterator[Move]:
        if target in names:
            yield Move(" ".join(label.split()) if label else None, names[target])
        else:
            found.unsaid.append(f"{key}: it leads to {target}, which is not there")

    caught = state.get("Catch") or []
    for choice in state.get("Choices") or ():
        yield from to(choice.get("Next"), _condition(choice))
    if "Default" in state:
        yield from to(state["Default"], OTHERWISE)
    elif state["Type"] == "Choice":
        found.notes.append(f"{key}: where no answer fits, the run is to stop (States.NoChoiceMatched)")
    if state["Type"] in ("Succeed", "Fail") or state.get("End"):
        yield Move(DONE if caught else None, None)
    elif "Next" in state:
        yield from to(state["Next"], DONE if caught else None)
    for one in caught:
        yield from to(one.get("Next"), " or ".join(one.get("ErrorEquals") or ["an error"]))


def _told_apart(moves: list[Move], key: str, found: Read) -> list[Move]:
    labels = [m.label for m in moves]
    for label in dict.fromkeys(labels):
        if labels.count(label) > 1:
            found.unsaid.append(
                f"{key}: {label!r} leads to several states: only the order of the answers says which"
            )
    return moves


def _condition(rule: Mapping[str, Json]) -> str:
    """A rule of a Choice in words, for a label."""
    if isinstance(rule.get("Condition"), str):  # JSONata
        return str(rule["Condition"]).removeprefix("{%").removesuffix("%}").strip()
    for word in ("And", "Or"):
        if word in rule:
            return f" {word.lower()} ".join(
                f"({_condition(r)})" if "And" in r or "Or" in r else _condition(r) for r in rule[word]
            )
    if "Not" in rule:
        return f"not ({_condition(rule['Not'])})"
    variable = str(rule.get("Variable", "")).removeprefix("$.")
    for key, value in rule.items():
        if key in _IS:
            return f"{variable} {'is' if value else 'is not'} {key.removeprefix('Is').lower()}"
        if key == "StringMatches":
            return f"{variable} matches {value}"
        base = key.removesuffix("Path")
        for sign, mark in sorted(_SIGNS.items(), key=lambda s: -len(s[0])):
            kind = base.removesuffix(sign)
            if base.endswith(sign) and kind in ("String", "Numeric", "Boolean", "Timestamp"):
                shown = (
                    str(value).removeprefix("$.")
                    if key.endswith("Path")
                    else json.dumps(value, ensure_ascii=False)
                )
                return f"{variable} {mark} {shown.strip(chr(34))}"
    return json.dumps({k: v for k, v in rule.items() if k != "Next"}, ensure_ascii=False)


def _notes(key: str, state: Mapping[str, Json], found: Read) -> None:
    kind = state["Type"]
    if kind == "Task":
        found.notes.append(f"{key}: its handler does what {state.get('Resource')} does")
    if kind == "Wait":
        until = {k: state[k] for k in ("Seconds", "SecondsPath", "Timestamp", "TimestampPath") if k in state}
        found.notes.append(f"{key}: its handler waits, {json.dumps(until)}")
    if kind == "Fail":
        found.notes.append(
            f"{key}: a failure, {state.get('Error') or state.get('ErrorPath') or 'unnamed'}: say so in the machine's `failures`"
        )
    if data := sorted(_DATA & state.keys()):
        found.notes.append(f"{key}: data is its handler's, {', '.join(data)}")
    for retry in state.get("Retry") or ():
        found.notes.append(
            f"{key}: {' or '.join(retry.get('ErrorEquals') or [])} is tried again, by the recovery machine"
        )


def _inside(key: str, state: Mapping[str, Json], node: Node, found: Read, taken: set[str]) -> None:
    if state["Type"] == "Parallel":
        branches = state.get("Branches") or []
        node.kind = "composite" if branches else "state"
        scopes = (
            [node]
            if len(branches) == 1
            else [Node(f"{node.name}.region{n}", kind="region") for n in range(1, len(branches) + 1)]
        )
        if len(branches) > 1:
            node.children = scopes
        for branch, scope in zip(branches, scopes, strict=True):
            _machine(branch, scope, found, taken)
    elif state["Type"] == "Map":
        inner = state.get("ItemProcessor") or state.get("Iterator")
        if not isinstance(inner, dict) or "States" not in inner:
            found.unsaid.append(f"{key}: a Map without an ItemProcessor")
            return
        node.kind = "composite"
        found.notes.append(
            f"{key}: its inside is walked once for each item: say COUNTED of it in the machine's `inside`"
        )
        _machine(inner, node, found, taken)


def _back(said: Mapping[str, Json]) -> Node | None:
    """A definition that this project wrote of a drawing without composites, as it was; None where that cannot be told."""
    states: Mapping[str, Json] = said["States"]
    tasks = {k: s for k, s in states.items() if s["Type"] == "Task"}
    if any("." in k or " (and " in k for k in tasks):
        return None

    def to(target: str) -> str | None:
        return target if target in tasks else None

    root = Node("", kind="composite", initial=[states[said["StartAt"]]["Next"]])
    for key, task in tasks.items():
        title = plain(str(task["Comment"]).removeprefix(f"{OURS} {key}").removeprefix(": "))
        node = Node(key, title)
        behind = states[task["Next"]]
        if behind["Type"] == "Choice":
            node.moves = [
                Move(plain(c["StringEquals"]) if "StringEquals" in c else None, to(c["Next"]))
                for c in behind["Choices"]
            ]
        else:
            node.moves = [Move(None, to(task["Next"]))]
        root.children.append(node)
    return root
