"""Have Mermaid itself draw a diagram, with what the installation brings: no browser, no network.

The package `mermaidx` holds Mermaid and a JavaScript engine. It runs in a process of its own (`mermaid_engine.py`), which
is ended where it takes too long: a layout that never ends is an error and no program that hangs.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from fsm import mermaid
from fsm.errors import FsmError
from fsm.view import svg as pictures
from fsm.view.shield import shielded

ENGINE = Path(__file__).with_name("mermaid_engine.py")
SECONDS = 120.0  # the largest of the shipped diagrams takes 5
MOST_PIXELS = 100_000_000  # of a PNG: 400 MB while it is made

# Every label is written as HTML and made SVG text afterwards (`fsm.view.svg`): many viewers show no HTML in an SVG, and
# Mermaid's own SVG text takes ten times as long here. DejaVu Sans is what the engine measures in, and the widest of the
# common sans-serifs, so that no reader's font overflows.
CONFIG: dict[str, object] = {
    "startOnLoad": False,
    "securityLevel": "strict",
    "deterministicIds": True,
    "handDrawnSeed": 1,  # notes are drawn by the hand-drawing library even where nothing is to look so
    "htmlLabels": True,
    "fontFamily": "DejaVu Sans, Verdana, Arial, sans-serif",
    # the margin keeps the first state of a composite off its title, in state diagrams as well
    "flowchart": {
        "htmlLabels": True,
        "useMaxWidth": False,
        "wrappingWidth": 240,
        "subGraphTitleMargin": {"top": 4, "bottom": 26},
    },
    "state": {"useMaxWidth": False, "nodeSpacing": 30},
}
INSTEAD = "The diagram as text is to be had with -o FILE.mmd."


class DrawingError(FsmError):
    """Mermaid did not draw; the message says why, and what to do."""

    code = "F501"


def draw(text: str, name: str = "diagram", file: str = "<text>", seconds: float = SECONDS) -> str:
    """Return the SVG that Mermaid draws of `text`: of shapes and text alone, that runs and loads nothing.

    `name` becomes the id of the root element, of which all other ids are made: the same text gives the same bytes.
    `file` is named in messages.

    Raises MermaidError for a text that is no diagram, and DrawingError where Mermaid refuses it, cannot draw it or takes
    over `seconds`.
    """
    for said in mermaid.parse(text, file).diagnostics:
        if said.severity == "error":
            raise DrawingError(f"{file}:{said}\nMermaid cannot draw this. {INSTEAD}")
    config = {**CONFIG, "deterministicIDSeed": name}
    drawn = _ask({"do": "svg", "text": shielded(text), "config": config}, seconds, file)["svg"]
    try:
        return pictures.clean(drawn, name)
    except pictures.NoPicture as e:
        raise DrawingError(f"What Mermaid drew of {file} is no picture: {e}. {INSTEAD}") from e


def photograph(svg: str, seconds: float = SECONDS) -> bytes:
    """Return an SVG as a PNG of its own size, on white. Raises DrawingError."""
    width, height = pictures.size(svg)
    if width * height > MOST_PIXELS:
        raise DrawingError(
            f"A picture of {width:.0f} by {height:.0f} points is too large for a PNG: write it as .svg instead."
        )
    return base64.b64decode(_ask({"do": "png", "svg": svg}, seconds, "the picture")["png"])


def _ask(request: dict[str, Any], seconds: float, what: str) -> dict[str, str]:
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(ENGINE)],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise DrawingError(f"Mermaid did not finish {what} within {seconds:g} s. {INSTEAD}") from None
    except OSError as e:
        raise DrawingError(f"Mermaid was not started for {what}: {e.strerror}. {INSTEAD}") from e
    try:
        answer: dict[str, str] = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise DrawingError(f"Mermaid broke off at {what}: {last}. {INSTEAD}") from None
    if "error" in answer:
        raise DrawingError(f"Mermaid refuses {what}: {answer['error']} {INSTEAD}")
    return answer
