"""Where things lie in a picture that Mermaid has drawn: its boxes, lines and labels in the coordinates of the whole."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import dist

from fsm.view.svg import SVG

Point = tuple[float, float]

TRANSLATED = re.compile(r"translate\(\s*(-?[\d.eE+-]+)(?:[\s,]+(-?[\d.eE+-]+))?\s*\)")
TOKEN = re.compile(r"([MLCQHVZ])|(-?\d*\.?\d+(?:e[-+]?\d+)?)", re.I)
STEPS = 8  # points that a curve is read at
ROUND = 7.0  # half the size of the marks of `[*]`


@dataclass(frozen=True)
class Box:
    """A rectangle in points, y downwards."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def middle(self) -> Point:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def moved(self, dx: float, dy: float) -> Box:
        """The box elsewhere."""
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def grown(self, by: float) -> Box:
        """The box with so much more on each side."""
        return Box(self.x0 - by, self.y0 - by, self.x1 + by, self.y1 + by)

    def holds(self, point: Point) -> bool:
        """Whether a point lies inside."""
        return self.x0 <= point[0] <= self.x1 and self.y0 <= point[1] <= self.y1

    def around(self, other: Box) -> bool:
        """Whether another box lies inside."""
        return self.holds((other.x0, other.y0)) and self.holds((other.x1, other.y1))

    def shared(self, other: Box) -> float:
        """The area that two boxes share."""
        wide = min(self.x1, other.x1) - max(self.x0, other.x0)
        high = min(self.y1, other.y1) - max(self.y0, other.y0)
        return wide * high if wide > 0 and high > 0 else 0.0

    def from_border(self, point: Point) -> float:
        """How far a point is from the border, from inside or outside."""
        x, y = point
        if self.holds(point):
            return min(x - self.x0, self.x1 - x, y - self.y0, self.y1 - y)
        return dist(point, (min(max(x, self.x0), self.x1), min(max(y, self.y0), self.y1)))


@dataclass
class Node:
    """A state that holds nothing, a mark of `[*]` or a note. `name` is the diagram's; empty for what has none."""

    element: ET.Element
    name: str
    box: Box


@dataclass
class Cluster:
    """A composite or subgraph. `title` is its group of text, `bar` where that may stand."""

    element: ET.Element
    name: str
    box: Box
    title: ET.Element | None = None
    words: Box | None = None  # where the title's words stand
    bar: Box | None = None


@dataclass
class Line:
    """An edge. `points` lie along it; `shift` is what its own coordinates lack."""

    element: ET.Element
    points: list[Point]
    shift: Point

    @property
    def length(self) -> float:
        return sum(dist(a, b) for a, b in pairwise(self.points))

    def at(self, share: float) -> Point:
        """The point at a share of the length."""
        left = share * self.length
        for a, b in pairwise(self.points):
            step = dist(a, b)
            if step >= left and step > 0:
                return a[0] + (b[0] - a[0]) * left / step, a[1] + (b[1] - a[1]) * left / step
            left -= step
        return self.points[-1]

    def dots(self, apart: float) -> list[Point]:
        """Points at about equal distances along the line, both ends among them."""
        found = [self.points[0]]
        for a, b in pairwise(self.points):
            n = max(1, round(dist(a, b) / apart))
            found += [(a[0] + (b[0] - a[0]) * i / n, a[1] + (b[1] - a[1]) * i / n) for i in range(1, n + 1)]
        return found


@dataclass
class Label:
    """The words on an edge."""

    element: ET.Element
    box: Box


@dataclass
class Scene:
    """A picture by its parts; lines and labels by their `data-id`."""

    size: Box
    nodes: list[Node] = field(default_factory=list)
    clusters: list[Cluster] = field(default_factory=list)
    lines: dict[str, Line] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)

    def box(self, name: str) -> Box | None:
        """Where a state or node of the diagram lies; None where it is not drawn."""
        return self._boxes.get(name)

    def __post_init__(self) -> None:
        self._boxes: dict[str, Box] = {}


def scene(root: ET.Element) -> Scene:
    """Read a picture. What it does not know it passes over."""
    x, y, width, height = (float(n) for n in root.get("viewBox", "0 0 0 0").split())
    found = Scene(Box(x, y, x + width, y + height))
    name = root.get("id", "")
    ids = re.compile(rf"{re.escape(name)}-(?:state|flowchart)-(.*)-\d+")
    for element, shift in walk(root, (0.0, 0.0)):
        classes = element.get("class", "").split()
        own = ids.fullmatch(element.get("id", ""))
        if element.tag == f"{SVG}path":
            if (data := element.get("data-id")) and (points := path_points(element.get("d", ""))):
                moved = [(px + shift[0], py + shift[1]) for px, py in points]
                found.lines[data] = Line(element, moved, shift)
        elif "statediagram-cluster" in classes or "cluster" in classes:
            state = element.get("data-id") or element.get("id", "").removeprefix(f"{name}-")
            if cluster := _cluster(element, state, shift):
                found.clusters.append(cluster)
        elif "node" in classes:
            if box := _bounds(element, shift):
                found.nodes.append(Node(element, own[1] if own else "", box))
        elif "edgeLabel" in classes and (label := _label(element, shift)):
            data, box = label
            found.labels[data] = Label(element, box)
    found._boxes = {n.name: n.box for n in found.nodes if n.name} | {c.name: c.box for c in found.clusters}
    return found


def walk(element: ET.Element, shift: Point) -> Iterator[tuple[ET.Element, Point]]:
    """All groups and lines with the sum of the translations that hold for what is in them."""
    dx, dy = translation(element)
    here = shift[0] + dx, shift[1] + dy
    yield element, here
    for child in element:
        if child.tag in (f"{SVG}g", f"{SVG}path"):
            yield from walk(child, here)


def translation(element: ET.Element) -> Point:
    """How far an element's own transform moves it."""
    moved = TRANSLATED.match(element.get("transform", ""))
    return (float(moved[1]), float(moved[2] or 0)) if moved else (0.0, 0.0)


def path_points(d: str) -> list[Point]:
    """Points along a path of absolute moves, lines and curves, two at least; empty where it is written otherwise.

    Mermaid writes `M1,2Z` for a line of which it has cut all away.
    """
    points: list[Point] = []
    command = ""
    numbers: list[float] = []
    need = {"M": 2, "L": 2, "C": 6, "Q": 4, "H": 1, "V": 1}
    for found in TOKEN.finditer(d):
        if found[1]:
            command, numbers = found[1], []
            if command not in (*need, "Z"):
                return []
            continue
        if command not in need:
            return []
        numbers.append(float(found[2]))
        if len(numbers) == need[command]:
            _advance(points, command, numbers)
            numbers = []
    return points if len(points) != 1 else points * 2


def _advance(points: list[Point], command: str, n: list[float]) -> None:
    here = points[-1] if points else (0.0, 0.0)
    if command in "ML":
        points.append((n[0], n[1]))
    elif command == "H":
        points.append((n[0], here[1]))
    elif command == "V":
        points.append((here[0], n[0]))
    else:
        bends = [here, *zip(n[::2], n[1::2], strict=True)]
        points += [_bezier(bends, i / STEPS) for i in range(1, STEPS + 1)]


def _bezier(bends: list[Point], t: float) -> Point:
    while len(bends) > 1:
        bends = [(a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t) for a, b in pairwise(bends)]
    return bends[0]


def rectangle(element: ET.Element, shift: Point) -> Box | None:
    """Where a rect lies; None for one without a size."""
    dx, dy = translation(element)
    try:
        x, y = float(element.get("x", 0)) + shift[0] + dx, float(element.get("y", 0)) + shift[1] + dy
        return Box(x, y, x + float(element.attrib["width"]), y + float(element.attrib["height"]))
    except (KeyError, ValueError):
        return None


def _bounds(group: ET.Element, shift: Point) -> Box | None:
    """The box of a node, by the largest of its shapes."""
    boxes = []
    for shape in group:
        if shape.tag == f"{SVG}rect":
            boxes.append(rectangle(shape, shift))
        elif shape.tag == f"{SVG}circle":
            r = float(shape.get("r", ROUND))
            boxes.append(Box(shift[0] - r, shift[1] - r, shift[0] + r, shift[1] + r))
        elif shape.tag == f"{SVG}polygon":
            dx, dy = translation(shape)
            numbers = [float(n) for n in re.findall(r"-?[\d.]+", shape.get("points", ""))]
            xs, ys = numbers[::2], numbers[1::2]
            if xs and ys:
                boxes.append(Box(min(xs), min(ys), max(xs), max(ys)).moved(shift[0] + dx, shift[1] + dy))
        elif shape.tag == f"{SVG}g" and "label" not in shape.get("class", ""):
            boxes += [rectangle(r, shift) for r in shape if r.tag == f"{SVG}rect"]
    known = [box for box in boxes if box is not None and box.width > 0]
    if known:
        return max(known, key=lambda box: box.width * box.height)
    return Box(shift[0] - ROUND, shift[1] - ROUND, shift[0] + ROUND, shift[1] + ROUND)


def _cluster(group: ET.Element, name: str, shift: Point) -> Cluster | None:
    rects = [r for r in group.iter(f"{SVG}rect") if "inner" not in r.get("class", "")]
    box = rectangle(rects[0], shift) if rects else None
    if box is None:
        return None
    inner = next((r for r in group.iter(f"{SVG}rect") if r.get("class") == "inner"), None)
    body = rectangle(inner, shift) if inner is not None else None
    title = next((g for g in group if "cluster-label" in g.get("class", "")), None)
    words = _words(title, shift) if title is not None else None
    bar = None
    if words is not None:
        bar = Box(box.x0, box.y0, box.x1, body.y0 if body else words.y1)
    return Cluster(group, name, box, title, words, bar)


def _words(group: ET.Element, shift: Point) -> Box | None:
    """Where the text of a label stands, by the size that Mermaid gave it."""
    dx, dy = translation(group)
    size = group.get("data-width"), group.get("data-height")
    if size[0] is None or size[1] is None:
        return None
    x, y = shift[0] + dx, shift[1] + dy
    return Box(x, y, x + float(size[0]), y + float(size[1]))


def _label(group: ET.Element, shift: Point) -> tuple[str, Box] | None:
    for inner in group:
        ground = next(inner.iter(f"{SVG}rect"), None)
        if (data := inner.get("data-id")) and ground is not None:
            dx, dy = translation(inner)
            if box := rectangle(ground, (shift[0] + dx, shift[1] + dy)):
                return data, box
    return None
