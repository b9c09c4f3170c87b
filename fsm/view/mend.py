"""What Mermaid's layout leaves hard to read, put right in the picture: lines, titles and labels that are in each other's way.

    lines    of a composite that do not start or end at its border are drawn from border to border
    titles   move along their bar to where no line runs through them
    labels   that hide their own line, another label, a state or a title move to the nearest place where they do not

The words, the boxes and who is connected with whom stay as Mermaid has them.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from itertools import product

from fsm.view.scene import Box, Cluster, Label, Line, Point, Scene, translation
from fsm.view.scene import scene as read_scene

Ends = tuple[str, str, str]  # the `data-id` of a line, and the states that it leads from and to

OFF = 6.0  # points that the end of a line may be off the border of a composite
CLEAR = 5.0  # points that are kept free around titles and labels
ASIDE = 9.0  # points between a title and a line beside it
MARGIN = 60.0  # points that the picture may grow for a label
HIDDEN = 0.35  # share of a line that its label may hide
SHARES = (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74, 0.18, 0.82)  # where along its line a label may stand


def mend(root: ET.Element, ends: Iterable[Ends]) -> None:
    """Put a picture right. `ends` are its edges by the ids that the picture has."""
    drawn = read_scene(root)
    _reroute(drawn, ends)
    for cluster in drawn.clusters:
        _clear_title(cluster, drawn)
    dots = {name: line.dots(12.0) for name, line in drawn.lines.items()}
    for _ in range(2):  # a label that gave way may have made room for another
        for name, label in drawn.labels.items():
            if (line := drawn.lines.get(name)) is not None:
                _clear_label(
                    label, line, drawn, [d for other, ds in dots.items() if other != name for d in ds]
                )
    _grow(root, drawn)


def _grow(root: ET.Element, drawn: Scene) -> None:
    """Make the picture as large as its labels need."""
    boxes = [drawn.size, *(label.box.grown(CLEAR) for label in drawn.labels.values())]
    x0, y0 = min(box.x0 for box in boxes), min(box.y0 for box in boxes)
    width, height = max(box.x1 for box in boxes) - x0, max(box.y1 for box in boxes) - y0
    if (width, height) != (drawn.size.width, drawn.size.height):
        root.set("viewBox", f"{x0:g} {y0:g} {width:g} {height:g}")
        root.set("width", f"{width:g}")
        root.set("height", f"{height:g}")


# Lines


def _reroute(drawn: Scene, ends: Iterable[Ends]) -> None:
    composites = {cluster.name: cluster.box for cluster in drawn.clusters}
    for data, source, target in ends:
        line = drawn.lines.get(data)
        a, b = composites.get(source), composites.get(target)
        if line is None or (a is None and b is None):
            continue
        begins, finishes = a or drawn.box(source), b or drawn.box(target)
        if begins is None or finishes is None or begins.around(finishes) or finishes.around(begins):
            continue
        first, last = line.points[0], line.points[-1]
        right = (a is None or (a.from_border(first) <= OFF and not a.grown(-OFF).holds(line.at(0.5)))) and (
            b is None or (b.from_border(last) <= OFF and not b.grown(-OFF).holds(line.at(0.5)))
        )
        if not right and (points := straight(begins, finishes, last)):
            _draw(line, points)


def straight(a: Box, b: Box, near: Point) -> list[Point]:
    """The shortest straight line from one box to another, upright or level where it can be; empty where they overlap."""
    left, right = max(a.x0, b.x0) + CLEAR, min(a.x1, b.x1) - CLEAR
    top, bottom = max(a.y0, b.y0) + CLEAR, min(a.y1, b.y1) - CLEAR
    if a.shared(b):
        return []
    if left <= right:
        x = min(max(near[0], left), right)
        return [(x, a.y1), (x, b.y0)] if a.y1 <= b.y0 else [(x, a.y0), (x, b.y1)]
    if top <= bottom:
        y = min(max(near[1], top), bottom)
        return [(a.x1, y), (b.x0, y)] if a.x1 <= b.x0 else [(a.x0, y), (b.x1, y)]
    xs = (a.x1, b.x0) if a.x1 <= b.x0 else (a.x0, b.x1)
    ys = (a.y1, b.y0) if a.y1 <= b.y0 else (a.y0, b.y1)
    return [(xs[0], ys[0]), (xs[1], ys[1])]


def _draw(line: Line, points: Sequence[Point]) -> None:
    own = [(x - line.shift[0], y - line.shift[1]) for x, y in points]
    line.element.set("d", "M" + "L".join(f"{x:g},{y:g}" for x, y in own))
    line.points = list(points)


# Titles


def _clear_title(cluster: Cluster, drawn: Scene) -> None:
    """Move a composite's title to the place on its bar that is nearest to the middle and free of lines and labels."""
    title, words, bar = cluster.title, cluster.words, cluster.bar
    if title is None or words is None or bar is None:
        return
    half = words.width / 2 + ASIDE
    taken = [
        (x, x) for line in drawn.lines.values() for x, y in line.dots(3.0) if bar.grown(-2.0).holds((x, y))
    ]
    taken += [(label.box.x0, label.box.x1) for label in drawn.labels.values() if label.box.shared(bar)]
    if bar.width < 2 * half:
        return
    middle = bar.middle[0]
    edges = [bar.x0, *(x for span in taken for x in span), bar.x1]
    places = [middle, *(x + half for x in edges), *(x - half for x in edges)]
    free = [
        x
        for x in places
        if bar.x0 <= x - half
        and x + half <= bar.x1
        and not any(a < x + half and b > x - half for a, b in taken)
    ]
    if free:
        dx = min(free, key=lambda x: (abs(x - middle), x)) - words.middle[0]
        _move(title, dx, 0.0)
        cluster.words = words.moved(dx, 0.0)


# Labels


def _clear_label(label: Label, line: Line, drawn: Scene, crossing: Sequence[Point]) -> None:
    box = label.box
    others = [other.box for other in drawn.labels.values() if other is not label]
    others += [node.box for node in drawn.nodes]
    others += [cluster.words for cluster in drawn.clusters if cluster.words is not None]
    borders = [
        cluster.box for cluster in drawn.clusters
    ]  # what is within one is painted over what is without
    page = drawn.size.grown(MARGIN)
    own = line.dots(4.0)

    def harm(place: Box) -> float:
        """How much a place hides: 1 is as much as a label."""
        area = max(1.0, place.width * place.height)
        hidden = sum(place.holds(dot) for dot in own) / len(own)
        over = sum(place.grown(2.0).shared(other) for other in others) / area
        over += sum(border.shared(place) for border in borders if not border.around(place)) / area
        lines = sum(place.holds(dot) for dot in crossing) / 20
        outside = 0.0 if drawn.size.around(place) else 0.2 if page.around(place) else 3.0
        return over + max(0.0, hidden - HIDDEN) * 4 + lines + outside

    now = harm(box)
    if now < 0.05:
        return
    best, least = box, now
    far = drawn.size.width + drawn.size.height
    wide, high = box.width / 2 + CLEAR, box.height / 2 + CLEAR
    for share, (dx, dy) in product(SHARES, _BESIDE):
        x, y = line.at(share)
        place = box.moved(x + dx * wide - box.middle[0], y + dy * high - box.middle[1])
        away = abs(place.middle[0] - box.middle[0]) + abs(place.middle[1] - box.middle[1])
        cost = harm(place) + away / far + (0.02 if dx or dy else 0.0)
        if cost < least - 0.01:
            best, least = place, cost
    if best is not box:
        _move(label.element, best.x0 - box.x0, best.y0 - box.y0)
        label.box = best


_BESIDE: Sequence[Point] = ((0, 0), (1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1))


def _move(group: ET.Element, dx: float, dy: float) -> None:
    x, y = translation(group)
    group.set("transform", f"translate({x + dx:g}, {y + dy:g})")
