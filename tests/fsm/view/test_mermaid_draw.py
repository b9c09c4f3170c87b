"""Mermaid draws, and the picture says what the author wrote, obeys nobody and comes to an end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm.view import mermaid_draw
from fsm.view import svg as pictures
from fsm.view.mermaid_draw import DrawingError, draw, photograph
from fsm.view.shield import entities, shielded

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = """stateDiagram-v2
    [*] --> A
    state "<script>alert(1)</script> & ]]>" as A
    A --> B : <img src=x onerror=alert(1)> "q" 'x' ]]> & more
    B --> C : 0.3*a + 0.3*b < `x`, __y__ > [l](javascript:alert)
    click C "javascript:alert(1)" "tip"
    style A fill:url(http://evil.example/x.svg#a)
    note right of C
        - a list <iframe src="http://evil.example/"></iframe>
        1. and <style>@import "http://evil.example/x.css"</style>
    end note
    C --> [*] : <b>bold</b> &lt; #quot;entity#quot;
"""


def shown(svg: str) -> str:
    """All the text that a picture shows, one space between words."""
    root = ET.fromstring(svg)
    return " ".join(" ".join("".join(text.itertext()) for text in root.iter(f"{SVG}text")).split())


def obeys(svg: str) -> list[str]:
    """What of a picture could run or load something."""
    found = []
    for element in ET.fromstring(svg).iter():
        if element.tag.rpartition("}")[2] in ("script", "foreignObject", "image", "iframe", "set", "animate"):
            found.append(element.tag)
        for key, value in element.attrib.items():
            name = key.rpartition("}")[2].lower()
            if name.startswith("on") or re.search(r"javascript:|url\(\s*[\"']?[^#\"'\s)]", value):
                found.append(f"{name}={value}")
            if name in ("href", "src") and not value.startswith(("#", "http", "mailto:")):
                found.append(f"{name}={value}")
        if element.tag == f"{SVG}style" and re.search(r"url\([^#]|@import|\\", element.text or ""):
            found.append(element.text or "")
    return found


def test_hostile_words_are_shown_and_not_obeyed() -> None:
    svg = draw(HOSTILE, "hostile")
    assert obeys(svg) == []
    words = shown(svg)
    for said in (
        "<script>alert(1)</script> & ]]>",
        "<img src=x onerror=alert(1)>",
        "\"q\" 'x' ]]> & more",
        "0.3*a + 0.3*b < `x`, __y__ >",
        "[l](javascript:alert)",
        "- a list <iframe src=",
        "1. and <style>@import",
        '"entity"',
    ):
        assert said.replace(" ", "") in words.replace(" ", "")
    assert photograph(svg).startswith(b"\x89PNG")


def test_a_flowchart_shows_its_words_as_they_are() -> None:
    svg = draw('flowchart TD\n  A["x < 3 & <i>y</i> > *z*"] -->|a_b < c| B{"<img src=x>"}\n', "flow")
    assert obeys(svg) == []
    words = shown(svg).replace(" ", "")
    assert "x<3&y>*z*" in words
    assert "a_b<c" in words
    assert "<imgsrc=x>" in words


@pytest.mark.parametrize(
    ("inside", "gone"),
    [
        ("<script>alert(1)</script>", "alert"),
        ("<image href='http://evil.example/x.png'/>", "evil"),
        ("<a href='javascript:alert(1)'><text>words</text></a>", "javascript"),
        ("<a href=' JavaScript:alert(1)'><text>words</text></a>", "JavaScript"),
        ("<a href='data:text/html,x'><text>words</text></a>", "data:"),
        ("<use href='http://evil.example/x.svg#a'/>", "evil"),
        ("<rect onload='alert(1)'/>", "alert"),
        ("<rect fill='url(http://evil.example/x)'/>", "evil"),
        ("<rect style='fill: u\\72l(http://evil.example/x)'/>", "\\"),
        ("<style>@import 'http://evil.example/x.css';</style>", "evil"),
        ("<style>rect {background: image-set('http://evil.example/x' 1x)}</style>", "image-set"),
        ("<style>@font-face {font-family: x; src: url(http://evil.example/x)}</style>", "evil"),
        ("<set attributeName='href' to='javascript:alert(1)'/>", "javascript"),
        (
            "<foreignObject><p xmlns='http://www.w3.org/1999/xhtml' onclick='alert(1)'/></foreignObject>",
            "alert",
        ),
        ("<x:html xmlns:x='http://www.w3.org/1999/xhtml'><x:script>alert(1)</x:script></x:html>", "alert"),
    ],
)
def test_a_picture_keeps_nothing_that_runs_or_loads(inside: str, gone: str) -> None:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" id="my-svg"><rect width="3"/>{inside}</svg>'
    clean = pictures.clean(svg, "x")
    assert gone not in clean
    assert 'width="3"' in clean


def test_a_link_that_leads_to_a_page_stays() -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><a href="https://example.org/"><text>x</text></a></svg>'
    assert 'href="https://example.org/"' in pictures.clean(svg, "x")


def test_what_is_no_picture_is_refused() -> None:
    for text in ("", "no", "<svg", "<html/>"):
        with pytest.raises(pictures.NoPicture):
            pictures.clean(text, "x")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_no_word_of_a_label_is_taken_for_html_or_markdown(label: str) -> None:
    written = entities(label.replace("#", ""))
    assert not re.search(r"<(?!/?(br|b|i|em|strong|u|s|sub|sup|code|small|big|span|font)\b)", written, re.I)
    assert not re.search(r"[*_`]", re.sub(r"<[^<>]*>", "", written))


@pytest.mark.parametrize(
    "line",
    [
        "[*] --> A",
        "state F <<fork>>",
        "A_b --> C_d",
        "class A_b x_y",
        "classDef a_b fill:#f00",
        "direction LR",
        "%% a_b < c",
        'click A "https://example.org/a_b"',
        "A:::x_y --> B",
    ],
)
def test_what_is_no_label_stays_as_it_is(line: str) -> None:
    text = f"stateDiagram-v2\n    {line}\n"
    assert shielded(text) == text


def test_long_words_are_broken_only_between_words() -> None:
    assert pictures.wrapped("one two three", 1, 16) == ["one", "two", "three"]
    assert pictures.wrapped("one two three", 10_000, 16) == ["one two three"]


def test_a_composite_drawn_inside_itself_is_said_before_mermaid_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mermaid_draw, "_ask", lambda *a: pytest.fail("Mermaid was asked"))
    with pytest.raises(DrawingError, match=r"(?s)x.mmd:4:3: error: 'A' is drawn inside itself.*-o FILE.mmd"):
        draw("stateDiagram-v2\n[*] --> A\nstate A {\n  A --> A : again\n}\n", file="x.mmd")


def engine(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str) -> None:
    script = folder / "engine.py"
    script.write_text(program)
    monkeypatch.setattr(mermaid_draw, "ENGINE", script)


def test_a_drawing_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine(monkeypatch, tmp_path, "while True: pass")
    with pytest.raises(DrawingError, match=r"did not finish x.mmd within 0.2 s. The diagram as text"):
        draw("stateDiagram-v2\nA --> B\n", file="x.mmd", seconds=0.2)


def test_a_drawing_that_never_ends_does_not_outlive_a_program_that_was_killed() -> None:
    """Nobody waits for the engine here, as when its program is gone: it ends by itself."""
    long = "stateDiagram-v2\n" + "".join(f"S{n} --> S{n + 1} : on to the next\n" for n in range(400))
    asked = json.dumps({"do": "svg", "seconds": 0.1, "text": long, "config": mermaid_draw.CONFIG})
    command = [sys.executable, "-I", str(mermaid_draw.ENGINE)]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGALRM, "")


def test_an_engine_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine(monkeypatch, tmp_path, "raise SystemExit('out of memory')")
    with pytest.raises(DrawingError, match=r"broke off at x.mmd: out of memory"):
        draw("stateDiagram-v2\nA --> B\n", file="x.mmd")


def test_what_mermaid_refuses_is_refused_in_its_words() -> None:
    with pytest.raises(DrawingError, match=r"(?s)Mermaid refuses x.mmd: .*Parse error on line 2"):
        mermaid_draw._ask(
            {"do": "svg", "text": "stateDiagram-v2\nA -->\n", "config": mermaid_draw.CONFIG}, 60, "x.mmd"
        )


def test_a_picture_too_large_for_pixels_is_refused_before_it_is_made() -> None:
    with pytest.raises(DrawingError, match="too large for a PNG"):
        photograph('<svg viewBox="0 0 100000 100000"/>')
