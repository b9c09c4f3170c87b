"""The drawings of machines as the page takes them over: the base picture, and which of its elements are what."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from functools import lru_cache
from typing import Any

from fsm.engine import Machine
from fsm.view import picture
from fsm.view import svg as pictures
from fsm.view.svg import SVG

TRANSLATE = re.compile(r"translate\(\s*([-+\d.e]+)(?:[\s,]+([-+\d.e]+))?\s*\)")
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?")
ABSOLUTE = re.compile(r"[MLCQSTZ\d\s,.e+-]*")  # a path of pairs of coordinates, none of them relative
PLACED = {
    "rect": ("x", "y"),
    "image": ("x", "y"),
    "circle": ("cx", "cy"),
    "ellipse": ("cx", "cy"),
    "tspan": ("x", "y"),
}
APART = ("defs", "marker", "clipPath", "symbol", "pattern")  # in coordinates of their own


@lru_cache(maxsize=64)
def drawn(machine: Machine) -> dict[str, Any]:
    """What `picture.Picture.as_json` says, and `svg`. Raises DrawingError, MermaidError, DiagramError."""
    found = picture.base(machine)
    return found.as_json() | {"svg": for_a_page(found.svg)}


def for_a_page(svg: str) -> str:
    """The picture without a style sheet, its style attributes under another name, and its shapes where they are.

    A page whose policy allows no inline style may not even parse them; the page's script sets them, property by property.
    Mermaid moves each label and state by a group around it; to a browser every one of these is a coordinate system to keep,
    which costs it more in each frame than all the shapes.
    """
    root = ET.fromstring(svg)
    for element in root.iter():
        for child in [c for c in element if c.tag == f"{SVG}style"]:
            element.remove(child)
        if (style := element.attrib.pop("style", None)) and element is not root:
            element.set("data-style", style)
    _move(root, 0.0, 0.0)
    return pictures.text(root)


def _move(element: ET.Element, dx: float, dy: float) -> None:
    """Move an element and all in it, in place of the groups that did."""
    kind = element.tag.rpartition("}")[2]
    if kind in APART:
        return
    if given := element.get("transform"):
        own = TRANSLATE.fullmatch(given.strip())
        if own is None:
            _wrap(element, dx, dy)
            return
        del element.attrib["transform"]
        dx, dy = dx + float(own[1]), dy + float(own[2] or 0)
    if (dx or dy) and not _placed(element, kind, dx, dy):
        _wrap(element, dx, dy)
        return
    for child in element:
        _move(child, dx, dy)


def _placed(element: ET.Element, kind: str, dx: float, dy: float) -> bool:
    """Whether an element that is no group could be moved by its own coordinates."""
    if kind in PLACED:
        for name, by in zip(PLACED[kind], (dx, dy), strict=True):
            if kind != "tspan" or name in element.attrib:
                element.set(name, _number(float(element.get(name, "0")) + by))
        return True
    if kind == "polygon":
        element.set("points", _shifted(element.get("points", ""), dx, dy))
        return True
    if kind == "path":
        d = element.get("d", "")
        if ABSOLUTE.fullmatch(d):
            element.set("d", _shifted(d, dx, dy))
            return True
        return False
    if kind == "text":
        return (
            all("x" in line.attrib and "y" in line.attrib for line in element)
            and not (element.text or "").strip()
        )
    return kind in ("g", "title", "desc")


def _shifted(pairs: str, dx: float, dy: float) -> str:
    by = [dx, dy]
    count = iter(range(len(pairs)))
    return NUMBER.sub(lambda found: _number(float(found[0]) + by[next(count) % 2]), pairs)


def _wrap(element: ET.Element, dx: float, dy: float) -> None:
    """Move an element as it was moved before."""
    if dx or dy:
        own = element.get("transform", "")
        element.set("transform", f"translate({_number(dx)}, {_number(dy)}) {own}".strip())


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
