"""What the layout leaves hard to read is put right, and nothing else is touched."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from fsm.view.mend import mend, straight
from fsm.view.scene import Box, path_points, scene

COMPOSITE = (
    '<g class="statediagram-cluster" id="p-state-{name}-1" data-id="{name}"><g><rect class="outer" x="{x}" y="{y}" width="200" '
    'height="100"/></g><g class="cluster-label" transform="translate({title}, {y})" data-width="60" data-height="24">'
    '<g><text>{name}</text></g></g><rect class="inner" x="{x}" y="{inner}" width="200" height="70"/></g>'
)
STATE = (
    '<g class="node" id="p-state-{name}-2" transform="translate({x}, {y})"><rect x="-30" y="-15" width="60" '
    'height="30"/></g>'
)
LABEL = (
    '<g class="edgeLabel" transform="translate({x}, {y})"><g class="label" data-id="{id}" transform="translate(-40, -12)">'
    '<g><rect class="ground" x="0" y="0" width="80" height="24"/><text>{id}</text></g></g></g>'
)


def composite(name: str, x: float, y: float) -> str:
    return COMPOSITE.format(name=name, x=x, y=y, title=x + 70, inner=y + 26)


def line(number: int, d: str) -> str:
    return f'<path d="{d}" data-id="edge{number}" class="transition"/>'


def drawn(*parts: str) -> ET.Element:
    head = '<svg xmlns="http://www.w3.org/2000/svg" id="p" width="600" height="600" viewBox="0 0 600 600">'
    return ET.fromstring(f"{head}{''.join(parts)}</svg>")


def test_a_line_that_was_cut_away_leads_from_border_to_border() -> None:
    root = drawn(composite("A", 50, 50), composite("B", 100, 200), line(0, "M120,148Z"))
    mend(root, [("edge0", "A", "B")])
    assert scene(root).lines["edge0"].points == [(120, 150), (120, 200)]


def test_a_line_within_the_coordinates_of_its_group_is_drawn_in_them() -> None:
    inside = f'<g transform="translate(10, 20)">{composite("A", 50, 50)}{composite("B", 50, 200)}{line(0, "M70,100L70,120")}</g>'
    root = drawn(inside)
    mend(root, [("edge0", "A", "B")])
    assert scene(root).lines["edge0"].points == [(80, 170), (80, 220)]


@pytest.mark.parametrize("d", ["M100,150L100,200", "M100,150C120,160,120,180,140,200"])
def test_a_line_that_leads_from_border_to_border_stays(d: str) -> None:
    root = drawn(composite("A", 50, 50), composite("B", 50, 200), line(0, d))
    mend(root, [("edge0", "A", "B")])
    assert next(root.iter("{http://www.w3.org/2000/svg}path")).get("d") == d


def test_a_line_into_a_composite_to_one_of_its_own_states_stays() -> None:
    root = drawn(composite("A", 50, 50), STATE.format(name="S", x=150, y=110), line(0, "M60,90L120,110"))
    mend(root, [("edge0", "A", "S")])
    assert scene(root).lines["edge0"].points == [(60, 90), (120, 110)]


def test_a_title_goes_to_where_no_line_runs_through_it() -> None:
    root = drawn(composite("A", 50, 50), line(0, "M140,20L140,100"))
    mend(root, [])
    words = scene(root).clusters[0].words
    assert words is not None
    assert words.x1 < 140 or words.x0 > 140
    assert words.x0 >= 50
    assert words.x1 <= 250
    assert (words.width, words.y0) == (60, 50)


def test_a_title_without_lines_and_one_without_room_stay_in_the_middle() -> None:
    crossed = "".join(line(k, f"M{x},20L{x},100") for k, x in enumerate(range(60, 250, 20)))
    for more in ("", crossed):
        root = drawn(composite("A", 50, 50), more)
        mend(root, [])
        words = scene(root).clusters[0].words
        assert words is not None
        assert words.middle[0] == 150


def test_a_label_that_hides_its_line_goes_beside_it() -> None:
    root = drawn(line(0, "M290,300L320,300"), LABEL.format(id="edge0", x=305, y=300))
    mend(root, [])
    seen = scene(root)
    hidden = [dot for dot in seen.lines["edge0"].dots(2.0) if seen.labels["edge0"].box.holds(dot)]
    assert hidden == []
    assert seen.labels["edge0"].box.grown(30).holds((305, 300))


def test_of_two_labels_on_each_other_both_can_be_read() -> None:
    root = drawn(
        line(0, "M300,100L300,400"),
        line(1, "M320,100L320,400"),
        LABEL.format(id="edge0", x=300, y=250),
        LABEL.format(id="edge1", x=320, y=250),
    )
    mend(root, [])
    labels = scene(root).labels
    assert not labels["edge0"].box.shared(labels["edge1"].box)


def test_a_label_that_is_in_nobodys_way_stays() -> None:
    root = drawn(line(0, "M300,100L300,400"), LABEL.format(id="edge0", x=300, y=250))
    before = ET.tostring(root)
    mend(root, [])
    assert ET.tostring(root) == before


def test_the_picture_grows_where_a_label_finds_room_only_outside() -> None:
    root = drawn(composite("A", 350, 50), line(0, "M550,80L580,90"), LABEL.format(id="edge0", x=565, y=85))
    mend(root, [])
    seen = scene(root)
    assert seen.size.x1 > 600
    assert seen.size.around(seen.labels["edge0"].box)
    assert not seen.labels["edge0"].box.shared(seen.clusters[0].box)
    assert float(root.get("width", 0)) == seen.size.width


def test_between_boxes_that_overlap_no_line_is_drawn() -> None:
    assert straight(Box(0, 0, 10, 10), Box(5, 5, 20, 20), (0, 0)) == []
    assert straight(Box(0, 0, 100, 10), Box(0, 50, 100, 60), (400, 0)) == [(95, 10), (95, 50)]
    assert straight(Box(0, 0, 10, 10), Box(50, 60, 70, 80), (0, 0)) == [(10, 10), (50, 60)]


def test_a_path_is_read_by_its_moves_lines_and_curves_and_no_other() -> None:
    assert path_points("M1,2L3,4H7V9") == [(1, 2), (3, 4), (7, 4), (7, 9)]
    assert path_points("M0,0C0,10,10,10,10,0")[-1] == (10, 0)
    assert path_points("M5,6Z") == [(5, 6), (5, 6)]
    assert path_points("M0,0a5,5 0 1 0 10,0") == []
    assert path_points("") == []
