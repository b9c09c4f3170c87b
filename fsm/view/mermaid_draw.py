"""Have Mermaid itself draw a diagram, in a headless Chromium.

Nothing but the standard library is needed here, and no Node to drive the browser: the page holds Mermaid's own bundle
and the text, draws when it is loaded, and Chromium prints the page as it then stands (`--dump-dom`).
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fsm.errors import FsmError

MERMAID_VERSION = "12.3.0"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BUNDLE = Path("node_modules/mermaid/dist/mermaid.min.js")
PREFIXES = ("", "build/mermaid")  # where `npm install` may have put it, below a directory

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


class DrawingError(FsmError):
    """The browser or Mermaid did not draw; the message says which, and what to do."""

    code = "F501"


def find_browser() -> str:
    """The command of a Chromium. Raises DrawingError."""
    for browser in BROWSERS:
        if found := shutil.which(browser):
            return found
    raise DrawingError(
        f"A picture is drawn by Mermaid in Chromium, and none of {', '.join(BROWSERS)} is installed. Install one "
        "(on Debian: `apt-get install chromium`), or write the diagram as text with -o FILE.mmd."
    )


def find_mermaid(near: Iterable[Path] = ()) -> Path:
    """Mermaid's bundle: $FSM_MERMAID_JS, or what npm installed at, above or beside a directory. Raises DrawingError."""
    advice = (
        f"Install it with `npm install --prefix build/mermaid --ignore-scripts mermaid@{MERMAID_VERSION}`, or name its "
        "dist/mermaid.min.js in the environment variable FSM_MERMAID_JS; or write the diagram as text with -o FILE.mmd."
    )
    if named := os.environ.get("FSM_MERMAID_JS"):
        if Path(named).is_file():
            return Path(named)
        raise DrawingError(f"FSM_MERMAID_JS names {named}, and there is no such file. {advice}")
    places = [p for start in (Path.cwd(), *near) for p in (start.absolute(), *start.absolute().parents)]
    for place in dict.fromkeys(places):
        for prefix in PREFIXES:
            if (bundle := place / prefix / BUNDLE).is_file():
                return bundle
    raise DrawingError(f"Mermaid, which draws the picture, is not installed. {advice}")


def draw(
    text: str, chromium: str, mermaid_js: Path, name: str = "diagram", seconds: float = 60, css: str = ""
) -> str:
    """Return the SVG that Mermaid draws of `text`.

    `chromium` is the browser's command, `mermaid_js` Mermaid's browser bundle (`dist/mermaid.min.js`), `name`
    the id of the root element, of which all other ids are made: the same text gives the same bytes. `css` is added to
    the style of the picture.

    Raises DrawingError where Mermaid refuses the text, and where the browser fails or takes over `seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="draw-") as folder:
        page = Path(folder, "page.html")
        config = {**CONFIG, "deterministicIDSeed": name, "themeCSS": f"{CONFIG['themeCSS']}{css}"}
        page.write_text(
            PAGE
            % {
                "bundle": mermaid_js.resolve().as_uri(),
                "config": literal(config),
                "name": literal(name),
                "text": literal(_shielded(text)),
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


def literal(value: object) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(value).replace("<", "\\u003c")


def _load(page: Path, chromium: str, profile: Path, seconds: float) -> str:
    """Return the page's DOM once its scripts have run."""
    flags = ["--virtual-time-budget=30000", "--dump-dom"]
    return _browse(page, chromium, profile, seconds, flags, "did not show the page")


def _browse(page: Path, chromium: str, profile: Path, seconds: float, flags: list[str], failed: str) -> str:
    always = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    always += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command = [chromium, *always, f"--user-data-dir={profile}", *flags, page.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise DrawingError(f"{chromium} {failed}: {error}") from error
    return done.stdout


def photograph(svg: str, chromium: str, target: Path, seconds: float = 60) -> None:
    """Write an SVG as a PNG of its own size. Raises DrawingError."""
    width, height = (round(float(n)) + 1 for n in _size(svg))
    with tempfile.TemporaryDirectory(prefix="draw-") as folder:
        page = Path(folder, "page.html")
        page.write_text(
            f'<!doctype html><meta charset="utf-8"><body style="margin:0">{svg}', encoding="utf-8"
        )
        picture = Path(folder, "picture.png")
        flags = [f"--window-size={width},{height}", "--hide-scrollbars", f"--screenshot={picture}"]
        _browse(page, chromium, Path(folder, "profile"), seconds, flags, "did not photograph the page")
        if not picture.is_file():
            raise DrawingError(
                f"{chromium} made no picture of {width} by {height} points: write it as .svg instead."
            )
        target.write_bytes(picture.read_bytes())


def _size(svg: str) -> tuple[str, str]:
    found = re.search(r'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"', svg)
    return (found[1], found[2]) if found else ("1600", "1200")
