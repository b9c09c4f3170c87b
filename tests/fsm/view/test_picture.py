"""A picture is drawn once and marked often: what is marked is what happened, and the words stay as they are."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm.engine import Machine, Registry
from fsm.view import marking, mermaid_draw, palette, picture, svg
from fsm.view.picture import Picture
from fsm.view.projection import StateView
from fsm.view.scene import scene

MACHINES = Registry("machines", Machine)
SVG = "{http://www.w3.org/2000/svg}"
ROOT = Path(__file__).parents[3]
TOYS = Path(__file__).parent / "toys"
each = pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "diagrams").glob("*.mmd")))
HOSTILE = "]]></text></svg><script>alert(1)</script>&\"'"

DRAWN = """<svg xmlns="http://www.w3.org/2000/svg" id="my-svg" width="200" height="200" viewBox="0 0 200 200" class="s">
<style>#my-svg{fill:red}</style><g><path d="M50,30L50,90" class="transition" data-id="edge1"/></g>
<g class="node" id="my-svg-state-A-1" transform="translate(50, 20)"><rect x="-20" y="-10" width="40" height="20"/></g>
<g class="node" id="my-svg-state-B-2" transform="translate(50, 100)"><rect x="-20" y="-10" width="40" height="20"/></g>
</svg>"""
TEXT = "stateDiagram-v2\n    [*] --> A\n    A --> B : on\n"


class Mermaid:
    """Stands in for Mermaid's process: it draws DRAWN, and tells what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: dict[str, Any], seconds: float, what: str) -> dict[str, str]:
        self.asked.append(request)
        return {"svg": DRAWN}


@pytest.fixture
def artist(monkeypatch: pytest.MonkeyPatch) -> Mermaid:
    drawer = Mermaid()
    monkeypatch.setattr(mermaid_draw, "_ask", drawer)
    return drawer


@pytest.fixture
def nobody_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mermaid_draw, "_ask", lambda *a: pytest.fail("Mermaid was asked"))


def shipped(name: str) -> Picture:
    return picture.of_file(ROOT / "diagrams" / f"{name}.mmd")


def texts(svg: str) -> list[str]:
    """The words that Mermaid wrote: those of the marks are left out."""
    root = ET.fromstring(svg)
    own = {
        t for g in root.iter(f"{SVG}g") if g.get("class", "").startswith("fsm-") for t in g.iter(f"{SVG}text")
    }
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text") if text not in own]


def classes(svg: str) -> dict[str, set[str]]:
    """The marks on groups by their id, and on lines by their `data-id`."""
    return {
        (e.get("data-id") if e.tag == f"{SVG}path" else e.get("id")) or "": marks
        for e in ET.fromstring(svg).iter()
        if e.tag in (f"{SVG}g", f"{SVG}path")
        and (marks := {c for c in e.get("class", "").split() if c.startswith("fsm-")})
        and (e.get("id") or e.get("data-id"))
    }


# Drawn once


@each
def test_a_shipped_drawing_is_ready_and_every_state_and_edge_of_it_is_found(
    name: str, nobody_draws: None
) -> None:
    found = shipped(name)
    if name == "data_flow":  # no machine; its arrows are known by their place
        assert set(range(24)) <= set(found.counts)
        return
    chart = MACHINES[name].chart
    base = picture.base(MACHINES[name])
    assert set(base.states) == {path for path, state in chart.states.items() if state.kind != "region"}
    assert set(base.edges) == {edge.id for edge in chart.edges}
    ids = {e.get("id") for e in ET.fromstring(found.svg).iter(f"{SVG}g")}
    lines = {e.get("data-id") for e in ET.fromstring(found.svg).iter(f"{SVG}path")}
    assert set(base.states.values()) <= ids
    assert {f"edge{k}" for k in base.edges.values()} <= lines
    assert set(base.boxes) == set(base.states)


def test_a_drawing_is_drawn_once_and_again_when_its_text_has_changed(artist: Mermaid, tmp_path: Path) -> None:
    file = tmp_path / "own.mmd"
    file.write_text(TEXT)
    first = picture.of_file(file)
    picture._svg.cache_clear()  # another process
    assert picture.of_file(file) == first
    assert len(artist.asked) == 1
    file.write_text(TEXT + "    B --> [*]\n")
    assert picture.of_file(file).digest != first.digest
    assert len(artist.asked) == 2


def test_a_picture_kept_by_another_edition_or_broken_is_drawn_anew(
    artist: Mermaid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.mmd"
    file.write_text(TEXT)
    picture.of_file(file)
    (kept,) = (tmp_path / "cache").rglob("*.svg")
    kept.write_text(kept.read_text()[:300])
    picture._svg.cache_clear()
    assert picture.of_file(file).states
    assert len(artist.asked) == 2
    monkeypatch.setattr(picture, "EDITION", "another")
    picture._svg.cache_clear()
    picture.of_file(file)
    assert len(artist.asked) == 3


def test_a_picture_that_cannot_be_kept_is_drawn_all_the_same(
    artist: Mermaid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.mmd"
    file.write_text(TEXT)
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "taken"))
    assert picture.of_file(file).edges == {"A --> B : on": 1}


def test_a_picture_beside_a_drawing_is_used_and_nothing_in_it_obeyed(
    nobody_draws: None, tmp_path: Path
) -> None:
    file = tmp_path / "convergence.mmd"
    file.write_text((ROOT / "diagrams" / "convergence.mmd").read_text())
    (tmp_path / "pictures").mkdir()
    ready = (ROOT / "diagrams" / "pictures" / "convergence.svg").read_text()
    evil = "<script>alert(1)</script><g onload='alert(1)'><image href='http://evil.example/x'/></g></svg>"
    (tmp_path / "pictures" / "convergence.svg").write_text(ready.rstrip().removesuffix("</svg>") + evil)
    svg = picture.of_file(file).svg
    assert "<script" not in svg
    assert "onload" not in svg
    assert "evil" not in svg


def test_a_part_run_alone_is_found_on_the_whole_drawing_by_its_own_paths(nobody_draws: None) -> None:
    whole = picture.base(MACHINES["pipeline"])
    part = picture.base(MACHINES["pipeline"].part("Validation", "validation"))
    assert part.states["S3Access"] == whole.states["Validation.S3Access"]
    assert (
        part.edges["AWSCredentials --> S3Access : Valid"]
        == (whole.edges["Validation.AWSCredentials --> Validation.S3Access : Valid"])
    )
    marked = picture.mark(part, {"S3Access": StateView("S3Access", visits=1)}, {})
    assert classes(marked)[whole.states["Validation.S3Access"]] == {"fsm-visited"}


# Marked often

VIEWS = st.builds(
    StateView,
    path=st.just(""),
    active=st.booleans(),
    visits=st.integers(0, 5),
    seconds=st.floats(0, 1e5),
    errors=st.integers(0, 3),
    label=st.one_of(st.none(), st.just(HOSTILE)),
    failing=st.booleans(),
)


@settings(max_examples=15, deadline=None)
@given(data=st.data(), name=st.sampled_from(["qlora_training", "convergence", "error_recovery"]))
def test_what_is_marked_is_what_was_given_and_the_words_stay(data: st.DataObject, name: str) -> None:
    base = picture.base(MACHINES[name])
    states = data.draw(st.dictionaries(st.sampled_from(sorted(base.states)), VIEWS))
    edges = data.draw(st.dictionaries(st.sampled_from(sorted(base.edges)), st.integers(0, 9)))
    svg = picture.mark(base, states, edges, HOSTILE)
    assert texts(svg) == texts(base.svg)
    found = classes(svg)
    for path, id_ in base.states.items():
        wanted = {f"fsm-{marking.look(states[path])}"} if path in states else set()
        assert found.get(id_, set()) == wanted
    for edge, n in edges.items():
        assert ("fsm-taken" in found.get(f"edge{base.edges[edge]}", ())) == bool(n)
    counts = re.findall(r'<g class="fsm-badge fsm-count">.*?>(\d+)×</text>', svg)
    assert sorted(map(int, counts)) == sorted(n for n in edges.values() if n)
    assert "<script" not in svg


def test_no_mark_is_told_by_colour_alone() -> None:
    base = shipped("convergence")
    looks = {
        "START": StateView("START", visits=2, seconds=3.0),
        "CALC": StateView("CALC", active=True),
        "CHECK1": StateView("CHECK1", visits=1, failing=True, errors=1),
        "INC1": StateView("INC1"),
    }
    svg = picture.mark(base, looks, {}, "Run x (running)")
    words = re.findall(r'<g class="fsm-badge[^"]*">.*?<text[^>]*>([^<]*)</text>', svg)
    assert words == ["✓ 2× 3.0s", "▶", "✗ 1× 1 err"]
    dashed = re.search(r"[^}]*fsm-never[^}]*\}", svg)
    assert dashed
    assert "stroke-dasharray" in dashed[0]
    legend = " ".join(re.findall(r'<g class="fsm-legend">(.*)</g>', svg)[0].split())
    for said in ("▶ active", "✓ visited", "✗ failed", "dashed: never entered", "Run x (running)"):
        assert said in re.sub(r"</text><text[^>]*>", " ", legend)


def test_marks_are_readable_in_light_and_in_dark() -> None:
    """4.5 to 1 for words, 3 to 1 for what carries meaning by its line: WCAG 2.2, 1.4.3 and 1.4.11."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    def contrast(a: str, b: str) -> float:
        low, high = sorted((light(a), light(b)))
        return (high + 0.05) / (low + 0.05)

    for look in palette.LOOKS.values():
        for ground, (fill, line, words) in (("#ffffff", look.light), ("#15181d", look.dark)):
            assert contrast(words, fill) >= 4.5
            assert contrast(line, ground) >= 3


# Mended


@each
def test_in_a_shipped_picture_every_label_title_and_line_can_be_read(name: str, nobody_draws: None) -> None:
    seen = scene(ET.fromstring(shipped(name).svg))
    for data, label in seen.labels.items():
        line = seen.lines[data]
        dots = line.dots(4.0)
        hidden = sum(label.box.holds(dot) for dot in dots) / len(dots)
        assert hidden < 0.75, f"{data} hides its line"
        for other, found in seen.labels.items():
            if other != data:
                assert label.box.shared(found.box) < 0.08 * label.box.width * label.box.height, (
                    f"{data} on {other}"
                )
        for cluster in seen.clusters:
            if not cluster.box.around(label.box):
                area = label.box.width * label.box.height
                assert cluster.box.shared(label.box) < 0.25 * area, f"{data} under {cluster.name}"
    for cluster in seen.clusters:
        assert cluster.words is not None
        for node in seen.nodes:
            assert not cluster.words.shared(node.box), f"{node.name} on the title of {cluster.name}"
        for data, line in seen.lines.items():
            crossed = any(cluster.words.grown(-3.0).holds(dot) for dot in line.dots(3.0))
            assert not crossed, f"{data} through the title of {cluster.name}"
    for data, line in seen.lines.items():
        assert line.length > 8, f"{data} has no line"


# Large


def test_a_large_drawing_gets_the_time_it_takes_and_the_wait_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given_seconds: list[float] = []

    def ask(request: dict[str, Any], seconds: float, what: str) -> dict[str, str]:
        given_seconds.append(seconds)
        return {"svg": DRAWN}

    monkeypatch.setattr(mermaid_draw, "_ask", ask)
    small, big = tmp_path / "small.mmd", tmp_path / "big.mmd"
    small.write_text(TEXT)
    big.write_text(TEXT + "".join(f"    B --> C{n} : {n}\n    C{n} --> B\n" for n in range(300)))
    picture.of_file(small)
    assert capsys.readouterr().err == ""
    picture.of_file(big)
    assert f"Mermaid draws {big}, which may take minutes for its 603 lines" in capsys.readouterr().err
    assert given_seconds[1] >= given_seconds[0] + 600
    picture.of_file(big)
    assert capsys.readouterr().err == ""


def test_a_picture_is_written_alike_whatever_prefixes_others_tell_elementtree() -> None:
    before = svg.sieved(DRAWN, "my-svg")
    ET.register_namespace("", "urn:of-another")
    assert svg.sieved(DRAWN, "my-svg") == before
    assert before.startswith("<svg ")
