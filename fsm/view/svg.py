"""A picture as Mermaid draws it, made one that any viewer shows and none obeys.

Labels that are HTML become SVG text. What is no shape, text or style goes, and with it whatever could run (scripts,
handlers, links to code) or load (images, style sheets, fonts): the words in a drawing may be anyone's.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from functools import lru_cache

SVG = "{http://www.w3.org/2000/svg}"
XHTML = "{http://www.w3.org/1999/xhtml}"
XLINK = "{http://www.w3.org/1999/xlink}"
DRAWN_ID = "my-svg"  # the id that the engine gives every picture

SHAPES = frozenset(
    [
        "svg",
        "g",
        "a",
        "path",
        "rect",
        "circle",
        "ellipse",
        "line",
        "polygon",
        "polyline",
        "text",
        "tspan",
        "title",
        "desc",
        "defs",
        "marker",
        "style",
        "clipPath",
        "mask",
        "pattern",
        "linearGradient",
        "radialGradient",
        "stop",
        "symbol",
        "use",
        "filter",
        "feDropShadow",
        "feGaussianBlur",
        "feOffset",
        "feMerge",
        "feMergeNode",
        "feFlood",
        "feComposite",
        "feColorMatrix",
        "feBlend",
    ]
)
LINK = re.compile(r"\s*(?:https?:|mailto:|#)", re.I)
LOADS = re.compile(r"""url\(\s*["']?(?!\s*["']?#)[^)]*\)?|@(?:import|font-face|namespace)[^;}]*[;}]?""", re.I)
CALLS = re.compile(r"\b(?:image-set|-webkit-image-set|image|src|cross-fade|element|expression)\s*\(", re.I)
SAID = re.compile(r"([\w-]+)\s*:\s*([^;]+)")
GROUND = "ground"  # the class of what a label that lies on an edge stands on
LINE_HEIGHT = 1.5  # what Mermaid writes on each label
BASELINE = 0.36  # of the size of the font, below the middle of a line
FONT = "DejaVu Sans, Verdana, Arial, sans-serif"


class NoPicture(ValueError):
    """The text is no SVG; the message says why."""


def clean(svg: str, name: str) -> str:
    """The picture with text for its HTML labels, on white, without anything that runs or loads.

    `name` is the id of the root element from then on. Raises NoPicture.
    """
    try:
        root = ET.fromstring(svg)
    except ET.ParseError as e:
        raise NoPicture(str(e)) from e
    if root.tag != f"{SVG}svg":
        raise NoPicture(f"its root is {root.tag}")
    size = _font_size(root)
    for parent in list(root.iter()):
        for place, child in enumerate(list(parent)):
            if child.tag == f"{SVG}foreignObject":
                parent.remove(child)
                title = "cluster-label" in parent.get("class", "")
                if title:  # its words are moved where lines cross them, and then their size must be known
                    parent.set("data-width", child.get("width", "0"))
                    parent.set("data-height", child.get("height", "0"))
                parent.insert(place, _label(child, size, title))
    _sieve(root, identifier(name))
    for style in root.iter(f"{SVG}style"):
        own = f"#{identifier(name)}"
        style.text = (
            f"{style.text or ''}{own} text{{font-family:{FONT}}}"
            f"{own} rect.{GROUND}{{fill:white!important;opacity:1!important;stroke:none!important}}"
        )
        break
    root.set("style", "background-color: white;")  # a dark page would swallow the black lines
    return text(root)


def sieved(svg: str, name: str) -> str:
    """A picture from a file, with nothing in it that runs or loads. Raises NoPicture."""
    try:
        root = ET.fromstring(svg)
    except ET.ParseError as e:
        raise NoPicture(str(e)) from e
    if root.tag != f"{SVG}svg" or root.get("id") != identifier(name):
        raise NoPicture(f"its root is {root.tag} {root.get('id')}")
    _sieve(root, identifier(name))
    return text(root)


def text(root: ET.Element) -> str:
    """A picture as text. Which prefixes ElementTree writes is of the whole process: they are told it again for each."""
    for prefix, uri in (("", SVG), ("xlink", XLINK)):
        ET.register_namespace(prefix, uri[1:-1])
    return ET.tostring(root, encoding="unicode")


def identifier(name: str) -> str:
    """A name as it may stand in an id and in CSS."""
    return re.sub(r"^(?=\W|\d|-)|[^\w-]", "_", name, flags=re.ASCII)


def size(svg: str) -> tuple[float, float]:
    """Width and height of a picture in points."""
    found = re.search(r'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"', svg)
    return (float(found[1]), float(found[2])) if found else (1600.0, 1200.0)


def harmless(css: str) -> str:
    """CSS that loads nothing. Escapes go first, for they could spell what is looked for."""
    return CALLS.sub("none(", LOADS.sub("none", css.replace("\\", "")))


def _sieve(element: ET.Element, name: str) -> None:
    stack = [element]
    while stack:
        one = stack.pop()
        for child in list(one):
            if str(child.tag).removeprefix(SVG) in SHAPES and str(child.tag).startswith(SVG):
                stack.append(child)
            else:
                one.remove(child)
        for key, value in list(one.attrib.items()):
            kept = _attribute(one, key, value)
            if kept is None:
                del one.attrib[key]
            elif key != "class":
                one.set(key, kept.replace(DRAWN_ID, name) if DRAWN_ID in kept else kept)
        if one.tag == f"{SVG}style":
            one.text = harmless((one.text or "").replace(DRAWN_ID, name))


def _attribute(element: ET.Element, key: str, value: str) -> str | None:
    """What may stay of an attribute: None where nothing may."""
    local = key.rpartition("}")[2].lower()
    if local.startswith("on") or local in ("base", "data-points", "target", "attributename"):
        return None
    if local in ("href", "src"):
        allowed = LINK.match(value) if element.tag == f"{SVG}a" else value.startswith("#")
        return value if allowed else None
    return harmless(value) if "(" in value or "\\" in value or "@" in value else value


# Labels


def _font_size(root: ET.Element) -> float:
    """The size of the picture's font in points, as its style says."""
    text = "".join(style.text or "" for style in root.iter(f"{SVG}style"))
    found = re.search(rf"#{DRAWN_ID}\{{[^}}]*font-size:([\d.]+)px", text)
    return float(found[1]) if found else 16.0


def _label(html: ET.Element, size: float, title: bool = False) -> ET.Element:
    """A label of HTML as a group of SVG text, one tspan a line, on a ground of its own where it lies on an edge.

    A composite's title stands in the middle of its box, for which Mermaid made room.
    """
    group = ET.Element(f"{SVG}g")
    if transform := html.get("transform"):
        group.set("transform", transform)
    width, height = float(html.get("width") or 0), float(html.get("height") or 0)
    x, y = float(html.get("x") or 0), float(html.get("y") or 0)
    box = html[0] if len(html) else html
    style = dict(SAID.findall(box.get("style", "")))
    span = next((e for e in box.iter() if e.tag == f"{XHTML}span"), box)
    lines = _lines(box)
    if "break-spaces" in style.get("white-space", ""):
        lines = [part for line in lines for part in wrapped(line, width, size)]
        words = max((_width(line, size) for line in lines), default=0.0) + 2
        x, width = x + max(0.0, width - words) / 2, min(width, words)  # its box is as wide as a label may be
    if not any(line.strip() for line in lines):
        return group
    if "labelBkg" in box.get("class", ""):
        ET.SubElement(group, f"{SVG}rect", {"class": GROUND} | _numbers(x=x, y=y, width=width, height=height))
    centred = title or style.get("text-align", "").strip() == "center"
    middle = x + width / 2 if centred else x
    text = ET.SubElement(group, f"{SVG}text", {"class": span.get("class", "")})
    text.set("text-anchor", "middle" if centred else "start")
    text.set("style", _said(box, span))
    step = size * LINE_HEIGHT
    first = y + (height - step * len(lines)) / 2 + step / 2 + BASELINE * size
    for number, line in enumerate(lines):
        tspan = ET.SubElement(text, f"{SVG}tspan", _numbers(x=middle, y=first + number * step))
        tspan.text = line
        if number + 1 < len(lines):
            tspan.tail = "\n"  # words on two lines stay two words for who copies or reads them
    return group


def _numbers(**values: float) -> dict[str, str]:
    return {key: f"{value:.3f}".rstrip("0").rstrip(".") for key, value in values.items()}


def _said(*elements: ET.Element) -> str:
    """What was said of the colour and weight of HTML, for SVG text."""
    kept = {"stroke": "none"}  # a class of Mermaid's gives its colour of lines to all that a state holds
    for element in elements:
        for key, value in SAID.findall(element.get("style", "")):
            if key in ("color", "fill"):
                kept["fill"] = value.strip()
            elif key in ("font-weight", "font-style", "opacity"):
                kept[key] = value.strip()
    return ";".join(f"{key}:{value}" for key, value in kept.items())


def _lines(html: ET.Element) -> list[str]:
    """The words of HTML by the lines that it breaks them into."""
    lines = [""]

    def walk(element: ET.Element) -> None:
        if element.tag == f"{XHTML}br":
            lines.append("")
        elif element.tag in (f"{XHTML}script", f"{XHTML}style"):
            return
        elif element.tag == f"{XHTML}p" and lines[-1].strip():
            lines.append("")
        lines[-1] += element.text or ""
        for child in element:
            walk(child)
            lines[-1] += child.tail or ""

    walk(html)
    return [" ".join(line.split()) for line in lines]


def wrapped(line: str, width: float, size: float) -> list[str]:
    """A line by the lines of at most `width` points that its words fill; a longer word stands alone."""
    out: list[str] = []
    for word in line.split(" "):
        if out and _width(f"{out[-1]} {word}", size) <= width:
            out[-1] += f" {word}"
        else:
            out.append(word)
    return out


@lru_cache(maxsize=4096)
def _width(text: str, size: float) -> float:
    from mermaidx.font_metrics import get_font

    return float(get_font("normal").measure(text, size)["width"])
