"""What a page gets of a drawing stands where it stood, without the groups that had moved it there."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm.view.picture import of_file
from fsm.view.web.offline import ORDER, STATIC
from fsm.view.web.pictures import for_a_page

DIAGRAMS = sorted((Path(__file__).parents[4] / "diagrams").glob("*.mmd"))
NUMBER = r"[-+]?[\d.]+(?:e[-+]?\d+)?"


def places(element: ET.Element, dx: float = 0, dy: float = 0) -> Iterator[tuple[str, list[float]]]:
    """Where the shapes and lines of text of a picture are, in its own points."""
    kind = element.tag.rpartition("}")[2]
    if kind in ("defs", "marker"):
        return
    if moved := re.search(r"translate\((.*?)\)", element.get("transform", "")):
        x, *y = map(float, re.findall(NUMBER, moved[1]))
        dx, dy = dx + x, dy + (y[0] if y else 0)
    for names in (("x", "y"), ("cx", "cy")):
        if kind in ("rect", "tspan", "circle", "ellipse") and (kind in ("rect", "tspan")) == (
            names[0] == "x"
        ):
            at = [float(element.get(name, "0")) for name in names]
            yield (
                kind,
                [at[0] + dx, at[1] + dy, *(float(element.get(n, "0")) for n in ("width", "height", "r"))],
            )
    for name in ("d", "points"):
        numbers = [float(n) for n in re.findall(NUMBER, element.get(name, ""))]
        if numbers:
            yield kind, [n + (dx, dy)[i % 2] for i, n in enumerate(numbers)]
    for child in element:
        yield from places(child, dx, dy)


@pytest.mark.parametrize("file", DIAGRAMS, ids=lambda file: file.stem)
def test_every_shape_stays_where_it_is_and_no_group_moves_any(file: Path) -> None:
    svg = of_file(file).svg
    page = for_a_page(svg)
    assert "transform=" not in page
    before, after = (list(places(ET.fromstring(text))) for text in (svg, page))
    assert [kind for kind, _ in before] == [kind for kind, _ in after]
    assert len(before) > 30
    for (_, was), (_, is_) in zip(before, after, strict=True):
        assert is_ == pytest.approx(was, abs=0.002)


@pytest.mark.parametrize(
    "shape",
    [
        '<g transform="rotate(30)"><rect x="1" y="2"/></g>',
        '<g transform="scale(2)"><path d="M1,2 L3,4"/></g>',
        '<path d="m1,2 l3,4 h5"/>',
        '<path d="M1,2 A3,4 0 0 1 5,6"/>',
        '<text x="1" y="2">words</text>',
        '<line x1="1" y1="2" x2="3" y2="4"/>',
    ],
)
def test_what_cannot_be_moved_by_its_coordinates_keeps_a_movement_of_its_own(shape: str) -> None:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><g transform="translate(10, 20)">{shape}</g></svg>'
    page = for_a_page(svg)
    own = re.search(r'transform="(?!translate)(.*?)"', shape)
    assert f'transform="{f"translate(10, 20) {own[1]}" if own else "translate(10, 20)"}"' in page
    assert page.count("translate") == 1


def test_the_modules_of_the_page_are_one_script_too_and_are_asked_for_at_once() -> None:
    modules = {path.stem: path.read_text("utf-8") for path in STATIC.glob("*.js")}
    assert sorted(ORDER) == sorted(modules)
    loaded = re.findall(
        r'rel="modulepreload" href="/static/(\w+).js"', (STATIC / "index.html").read_text("utf-8")
    )
    assert sorted(loaded) == sorted(modules.keys() - {"main"})
    named: dict[str, str] = {}
    for name in ORDER:
        for used in re.findall(r'from "\./(\w+)\.js"', modules[name]):
            assert ORDER.index(used) < ORDER.index(name), f"{name} uses {used} before it is there"
        for word in re.findall(
            r"^(?:export )?(?:async )?(?:const|let|function|class) (\w+)", modules[name], re.M
        ):
            assert word not in named, f"{name} and {named.get(word)} both say {word}"
            named[word] = name
