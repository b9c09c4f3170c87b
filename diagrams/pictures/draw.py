#!/usr/bin/env python3
"""Have Mermaid itself draw the diagrams, in a headless Chromium: ../NAME.mmd to NAME.svg beside this file.

    npm install --prefix build/mermaid --ignore-scripts mermaid@12.3.0
    python diagrams/pictures/draw.py                  # every diagram
    python diagrams/pictures/draw.py pipeline         # one

Nothing but the standard library is needed here, and no Node to drive the browser: the page holds Mermaid's
own bundle and the text, draws when it is loaded, and Chromium prints the page as it then stands
(`--dump-dom`).

A picture carries the SHA-256 of the text it was drawn from (`data-source-sha256` on the root element), by
which a test finds the picture that was forgotten after its diagram was changed.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MERMAID_VERSION = "12.3.0"
PICTURES = Path(__file__).resolve().parent
DIAGRAMS = PICTURES.parent
BUNDLE = DIAGRAMS.parent / "build/mermaid/node_modules/mermaid/dist/mermaid.min.js"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

# Labels are SVG text (`htmlLabels: false`), for many viewers show no HTML inside an SVG. They are measured in
# the widest of the common sans-serifs, so that no reader's font overflows.
CONFIG: dict[str, object] = {
    "startOnLoad": False,
    "securityLevel": "strict",
    "deterministicIds": True,
    "handDrawnSeed": 1,  # notes are drawn by the hand-drawing library even where nothing is to look so
    "themeCSS": ".edgeLabel rect {opacity: 1 !important; fill: white !important}",  # no line through labels
    "htmlLabels": False,
    "fontFamily": "DejaVu Sans, Verdana, Arial, sans-serif",
    "flowchart": {"htmlLabels": False, "useMaxWidth": False, "wrappingWidth": 240},
    "state": {"useMaxWidth": False, "wrappingWidth": 360, "nodeSpacing": 30},
}

# In such labels Mermaid 12.3.0 drops < and >, reads a note as Markdown (0.3*a + 0.3*b turns italic) and gives up
# on a list in it ("splitLineToFitWidth does not support newlines"). Characters as wide stand in for those
# while it draws and are changed back in the picture.
STAND_INS = str.maketrans("<>*`", "≺≻∗ˋ")
ORIGINALS = str.maketrans({"≺": "&lt;", "≻": "&gt;", "∗": "*", "ˋ": "`"})
NOTE = re.compile(r"^([ \t]*note (?:left|right) of[^:\n]*\n)(.*?)(^[ \t]*end note[ \t]*$)", re.M | re.S)
QUOTED = re.compile(r'"[^"]*"')
LIST_MARKER = re.compile(r"(?m)^([ \t]*(?:[-+]|\d+\.)) ")

PAGE = """<!doctype html>
<meta charset="utf-8">
<body>
<script src="%(bundle)s"></script>
<script type="module">
  const say = (id, text) => {
    const out = document.createElement("pre");
    out.id = id;
    out.textContent = btoa(Array.from(new TextEncoder().encode(text), b => String.fromCharCode(b)).join(""));
    document.body.replaceChildren(out);
  };
  try {
    mermaid.initialize(%(config)s);
    await document.fonts.ready;
    const drawing = document.createElement("div");
    drawing.innerHTML = (await mermaid.render(%(name)s, %(text)s)).svg;
    drawing.firstElementChild.style.backgroundColor = "white";  // a dark page would swallow the black lines
    say("svg", new XMLSerializer().serializeToString(drawing.firstElementChild));  // HTML's &nbsp; is no XML
  } catch (error) {
    say("error", String(error && error.message || error));
  }
</script>
"""


class DrawingError(Exception):
    """The browser or Mermaid did not draw; the message says which, and what to do."""


def draw(text: str, chromium: str, mermaid_js: Path, name: str = "diagram", seconds: float = 60) -> str:
    """Return the SVG that Mermaid draws of `text`.

    `chromium` is the browser's command, `mermaid_js` Mermaid's browser bundle (`dist/mermaid.min.js`), `name`
    the id of the root element, of which all other ids are made: the same text gives the same bytes.

    Raises DrawingError where Mermaid refuses the text, and where the browser fails or takes over `seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="draw-") as folder:
        page = Path(folder, "page.html")
        page.write_text(
            PAGE
            % {
                "bundle": mermaid_js.resolve().as_uri(),
                "config": _literal({**CONFIG, "deterministicIDSeed": name}),
                "name": _literal(name),
                "text": _literal(_shielded(text)),
            },
            encoding="utf-8",
        )
        dom = _load(page, chromium, Path(folder, "profile"), seconds)
    answer = re.search(r'<pre id="(svg|error)">([A-Za-z0-9+/=]*)</pre>', dom)
    if not answer:
        raise DrawingError(f"{chromium} drew nothing on the page: is {mermaid_js} Mermaid's bundle?")
    result = base64.b64decode(answer[2]).decode("utf-8")
    if answer[1] == "error":
        raise DrawingError(f"Mermaid refuses {name}: {result}")
    return result.translate(ORIGINALS)


def _shielded(text: str) -> str:
    """The diagram with stand-ins in its notes (state diagram) and quoted labels (flowchart)."""
    if text.lstrip().startswith("flowchart"):
        return QUOTED.sub(lambda found: _stand_in(found[0]), text)
    return NOTE.sub(lambda found: found[1] + _stand_in(found[2]) + found[3], text)


def _stand_in(label: str) -> str:
    parts = re.split(r"(<br\s*/?>)", label)
    parts[::2] = [LIST_MARKER.sub("\\1\u00a0", part).translate(STAND_INS) for part in parts[::2]]
    return "".join(parts)


def _literal(value: object) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(value).replace("<", "\\u003c")


def _load(page: Path, chromium: str, profile: Path, seconds: float) -> str:
    """Return the page's DOM once its scripts have run."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += [f"--user-data-dir={profile}", "--virtual-time-budget=30000", "--dump-dom", page.as_uri()]
    try:
        done = subprocess.run([chromium, *flags], capture_output=True, text=True, timeout=seconds, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise DrawingError(f"{chromium} did not show the page: {error}") from error
    return done.stdout


def digest(text: str) -> str:
    """SHA-256 of a diagram's text, by which a picture names its source."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def source_of(svg: str) -> str | None:
    """The digest that a picture carries, or None where it has none."""
    found = re.search(r'<svg[^>]* data-source-sha256="([0-9a-f]{64})"', svg)
    return found[1] if found else None


def picture(name: str, chromium: str, mermaid_js: Path) -> str:
    """Draw diagrams/NAME.mmd, on white, signed with its source."""
    text = (DIAGRAMS / f"{name}.mmd").read_text(encoding="utf-8")
    svg = draw(text, chromium, mermaid_js, name)
    signed = f'<svg data-source-sha256="{digest(text)}" data-mermaid="{MERMAID_VERSION}" '
    return svg.replace("<svg ", signed, 1).rstrip("\n") + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Draw the named diagrams, or all; return 0, or 2 where something needed is missing or refused."""
    known = sorted(path.stem for path in DIAGRAMS.glob("*.mmd"))
    parser = argparse.ArgumentParser(description="Draw the diagrams with Mermaid, in headless Chromium.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; without: all")
    parser.add_argument("--chromium", default=next(filter(shutil.which, BROWSERS), "chromium"))
    parser.add_argument("--mermaid", type=Path, default=BUNDLE, help="Mermaid's dist/mermaid.min.js")
    chosen = parser.parse_args(arguments)
    if unknown := sorted(set(chosen.names) - set(known)):
        parser.error(f"no diagram is called {', '.join(unknown)}; there are {', '.join(known)}")
    try:
        _check_version(chosen.mermaid)
        for name in chosen.names or known:
            path = PICTURES / f"{name}.svg"
            path.write_text(picture(name, chosen.chromium, chosen.mermaid), encoding="utf-8")
            print(path)
    except DrawingError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _check_version(mermaid_js: Path) -> None:
    package = mermaid_js.parent.parent / "package.json"
    advice = f"run `npm install --prefix build/mermaid --ignore-scripts mermaid@{MERMAID_VERSION}`"
    if not mermaid_js.is_file():
        raise DrawingError(f"Mermaid is not at {mermaid_js}: {advice}, or name its bundle with --mermaid.")
    if package.is_file() and (found := json.loads(package.read_text())["version"]) != MERMAID_VERSION:
        raise DrawingError(f"{mermaid_js} is Mermaid {found}, not {MERMAID_VERSION}: {advice}.")


if __name__ == "__main__":
    sys.exit(main())
