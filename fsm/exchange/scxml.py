"""State Chart XML (W3C Recommendation of 1 September 2015), both ways.

What it calls by another word: a state's label is an event (its characters that no event may have become dots, and the label itself
stands in `fsm:label`); an edge without a label is a transition without an event; the end of a scope is a `final`, with `fsm:end`; the
edges of a composite are transitions on `done.state.ID`, where there are several with the label as their condition.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter

from fsm.exchange.events import Chosen, Statechart, settled
from fsm.exchange.tree import Node, Read, Unsayable, entered

SCXML = "http://www.w3.org/2005/07/scxml"
FSM = "urn:fsm-pipelines"
_WORK = ("onentry", "onexit", "datamodel", "script", "invoke")
_ACTIONS = {"raise", "if", "foreach", "log", "assign", "script", "send", "cancel"}


def write(root: Node, name: str) -> str:
    """A drawing as SCXML. Raises Unsayable."""
    # The prefixes are written out: those that ElementTree is told are told to the whole process.
    said = {"xmlns": SCXML, "xmlns:fsm": FSM, "version": "1.0", "name": name, "datamodel": "ecmascript"}
    top = ET.Element("scxml", said)
    _inside(top, root, entered(root))
    ET.indent(top)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(top, encoding="unicode") + "\n"


def _inside(above: ET.Element, node: Node, come_to: set[str]) -> None:
    """The states in a node, where it begins, and its end where one leads there."""
    regions = [c for c in node.children if c.kind == "region"]
    if not regions and not node.initial and node.name and node.name not in come_to:
        above.set("fsm:start", "none")  # it is only come into across its border
    elif not regions:
        if len(node.initial) != 1:
            where = node.name or "the drawing"
            raise Unsayable(
                f"SCXML begins in one state, and {where} in {len(node.initial)}: draw regions (`--`) or one start."
            )
        above.set("initial", node.initial[0])
    for child in node.children:
        _state(above, child, come_to)
    if any(m.target is None for c in node.children for m in c.moves):
        ET.SubElement(above, "final", {"id": _end(node), "fsm:end": "true"})
    for child, element in zip(node.children, above, strict=False):
        _moves(element, child, _end(node))


def _state(above: ET.Element, node: Node, come_to: set[str]) -> None:
    if node.kind in ("fork", "join"):
        raise Unsayable(f"SCXML has no {node.kind}, which {node.name} is: draw regions (`--`).")
    parallel = any(c.kind == "region" for c in node.children)
    element = ET.SubElement(above, "parallel" if parallel else "state", {"id": node.name})
    if node.title:
        element.set("fsm:title", node.title)
    if node.kind in ("choice", "region"):
        element.set("fsm:kind", node.kind)
    if node.children:
        _inside(element, node, come_to)


def _moves(element: ET.Element, node: Node, end: str) -> None:
    labels = Counter(m.label for m in node.moves)
    if (most := max(labels.values(), default=0)) > 1 and labels[None] != most:
        raise Unsayable(
            f"SCXML goes one way by one label, and {node.name} several: that is a fork, which it does not have."
        )
    if labels[None] > 1:
        raise Unsayable(f"SCXML has no fork, which {node.name} is: draw regions (`--`), or label its edges.")
    for move in node.moves:
        said = {}
        if node.children:
            said["event"] = f"done.state.{node.name}"
            if move.label is not None and len(node.moves) > 1:
                said["cond"] = f"_event.data === {_quoted(move.label)}"
        elif move.label is not None:
            said["event"] = re.sub(r"\W+", ".", move.label).strip(".") or "unnamed"
        said["target"] = end if move.target is None else move.target
        if move.label is not None and (node.children or said["event"] != move.label):
            said["fsm:label"] = move.label
        ET.SubElement(element, "transition", said)


def _end(node: Node) -> str:
    return f"{node.name}.end" if node.name else "end"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _of_ours(name: str) -> str:
    return f"{{{FSM}}}{name}"


def read(text: str) -> Read:
    """SCXML as a drawing. Raises Unsayable for what is no SCXML."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Unsayable("A document type with entities is not read: take it out of the SCXML.")
    try:
        top = ET.fromstring(text)
    except ET.ParseError as e:
        raise Unsayable(f"This is not XML: {e}.") from e
    if _local(top) != "scxml":
        raise Unsayable(f"This is not SCXML: its outermost element is {_local(top)}.")
    chart = Statechart()
    _work(top, "", chart)
    for element in top:
        _element(element, chart.root, chart)
    chart.root.initial = (top.get("initial") or "").split()
    return settled(chart)


def _element(element: ET.Element, above: Chosen, chart: Statechart) -> None:
    kind = _local(element)
    if kind == "initial":
        above.initial = [t for move in element for t in (move.get("target") or "").split()]
        for move in element:
            _actions(move, f"the start of {above.name}", chart)
        return
    if kind not in ("state", "parallel", "final", "history"):
        return
    node = chart.add(above, element.get("id") or "", kind, element.get(_of_ours("title")) or "")
    node.initial = (element.get("initial") or "").split()
    node.our_kind = element.get(_of_ours("kind")) or ""
    node.our_start = element.get(_of_ours("start")) != "none"
    node.our_end = element.get(_of_ours("end")) == "true"
    _work(element, node.name, chart)
    for child in element:
        if _local(child) == "transition":
            _transition(child, node, chart)
        elif _local(child) == "donedata":
            chart.note(f"{node.name} hands on data at the end (<donedata>)")
        else:
            _element(child, node, chart)


def _transition(element: ET.Element, node: Chosen, chart: Statechart) -> None:
    event, cond = element.get("event"), element.get("cond")
    targets = (element.get("target") or "").split()
    _actions(element, f"the transition of {node.name}" + (f" on {event}" if event else ""), chart)
    label = element.get(_of_ours("label"))
    events = [e.removesuffix(".*") for e in (event or "").split()] or [""]
    for one in events:
        done = one == f"done.state.{node.name}"
        if label is None:
            words = [] if done or not one else [one]
            label_here = " ".join([*words, *([f"[{cond}]"] if cond else [])]) or None
        else:
            label_here = label
        node.move(label_here, targets, "done" if done else "event" if one else "always", one == "*")


def _work(element: ET.Element, name: str, chart: Statechart) -> None:
    for child in element:
        if _local(child) in _WORK:
            chart.note(f"{name or 'the whole'}: <{_local(child)}> is for handlers to do")


def _actions(element: ET.Element, where: str, chart: Statechart) -> None:
    found = sorted({_local(c) for c in element} & _ACTIONS)
    if found:
        chart.note(f"{where}: {', '.join(f'<{f}>' for f in found)} is for the handler to do")


def _local(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2]
