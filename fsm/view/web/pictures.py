"""The drawings of machines as the page takes them over: the base picture, and which of its elements are what."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import lru_cache
from typing import Any

from fsm.engine import Machine
from fsm.view import picture

SVG = "http://www.w3.org/2000/svg"


@lru_cache(maxsize=64)
def drawn(machine: Machine) -> dict[str, Any]:
    """What `picture.Picture.as_json` says, and `svg`. Raises DrawingError, MermaidError, DiagramError."""
    found = picture.base(machine)
    return found.as_json() | {"svg": for_a_page(found.svg)}


def for_a_page(svg: str) -> str:
    """The picture without a style sheet, and with its style attributes under another name.

    A page whose policy allows no inline style may not even parse them; the page's script sets them, property by property.
    """
    root = ET.fromstring(svg)
    for element in root.iter():
        for child in [c for c in element if c.tag == f"{{{SVG}}}style"]:
            element.remove(child)
        if (style := element.attrib.pop("style", None)) and element is not root:
            element.set("data-style", style)
    ET.register_namespace("", SVG)
    return ET.tostring(root, encoding="unicode")
