#!/usr/bin/env python3
"""Have Mermaid itself draw the diagrams, in a headless Chromium: ../NAME.mmd to NAME.svg beside this file.

    npm install --prefix build/mermaid --ignore-scripts mermaid@12.3.0
    python diagrams/pictures/draw.py                  # every diagram
    python diagrams/pictures/draw.py pipeline         # one

How that is done is in `fsm/view/mermaid_draw.py`, which `fsm render` uses as well.

A picture carries the SHA-256 of the text it was drawn from (`data-source-sha256` on the root element), by
which a test finds the picture that was forgotten after its diagram was changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

PICTURES = Path(__file__).resolve().parent
DIAGRAMS = PICTURES.parent
sys.path.insert(0, str(DIAGRAMS.parent))  # the checkout this file stands in, installed or not

from fsm.view.mermaid_draw import BROWSERS, MERMAID_VERSION, DrawingError, draw  # noqa: E402

BUNDLE = DIAGRAMS.parent / "build/mermaid/node_modules/mermaid/dist/mermaid.min.js"


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
