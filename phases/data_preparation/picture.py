"""The report as a picture: what became of each source's examples, as an SVG whose bytes depend on nothing else.

Drawn here and by no library of charts: four kinds of rectangles need none, and such a one takes a quarter of a second to begin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

PARTS = {
    "training": (("train",), "#1f6f8b", "#ffffff"),
    "validation": (("val",), "#b5472f", "#ffffff"),
    "near-duplicates": (("near-duplicates",), "#d9b23a", "#222222"),
    "duplicates and held out": (("duplicates", "held out"), "#b0b0b0", "#222222"),
}
"""What an example may have become, in the report's words; the colour of it, and of what stands on that, at 4.5 to 1 or more."""
LEFT, RIGHT, TOP, ROW, BAR = (
    90,
    90,
    50,
    36,
    24,
)  # pixels: beside the bars, above them, from one to the next, of one
WIDE = 480  # pixels of the longest bar
NARROW = 7.5  # pixels that a digit needs
FONT = "DejaVu Sans, Verdana, Arial, sans-serif"


def picture(told: Mapping[str, Any]) -> bytes:
    """A bar for each source, in parts."""
    rows = {
        domain: [sum(found.get(what, 0) for what in of) for of, *_ in PARTS.values()]
        for domain, found in told["sources"].items()
    }
    longest = max(map(sum, rows.values()), default=0) or 1
    width, height = LEFT + WIDE + RIGHT, TOP + ROW * len(rows) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="{FONT}" font-size="12" fill="#222222" role="img">',
        f'<title>What became of each source\'s examples</title>\n<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *_legend(),
    ]
    for number, (domain, counts) in enumerate(rows.items()):
        lines += _row(domain, counts, TOP + ROW * number, WIDE / longest)
    return "\n".join([*lines, "</svg>\n"]).encode()


def _legend() -> Iterator[str]:
    at = LEFT
    for name, (_, colour, _) in PARTS.items():
        yield f'<rect x="{at}" y="16" width="12" height="12" fill="{colour}"/>'
        yield _text(at + 17, 26, name)
        at += round(17 + len(name) * NARROW + 14)


def _row(domain: str, counts: list[int], top: int, scale: float) -> Iterator[str]:
    """A source's bar, with the number in each part that has room for it, and their sum behind it."""
    middle, at = top + BAR / 2 + 4, float(LEFT)
    yield _text(LEFT - 10, middle, domain, anchor="end")
    for count, (name, (_, colour, on)) in zip(counts, PARTS.items(), strict=True):
        if not count:
            continue
        said, width = f"{count:,}", count * scale
        yield f'<rect x="{at:.1f}" y="{top}" width="{width:.1f}" height="{BAR}" fill="{colour}"><title>{said} {name}</title></rect>'
        if len(said) * NARROW < width:
            yield _text(at + width / 2, middle, said, anchor="middle", fill=on)
        at += width
    yield _text(at + 8, middle, f"{sum(counts):,}")


def _text(x: float, y: float, said: str, anchor: str = "start", fill: str = "") -> str:
    colour = f' fill="{fill}"' if fill else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{colour}>{escape(said)}</text>'
