#!/usr/bin/env python3
"""Have Mermaid draw the diagrams: ../NAME.mmd to NAME.svg beside this file.

    python diagrams/pictures/draw.py                  # every diagram
    python diagrams/pictures/draw.py pipeline         # one

How that is done is in `fsm/view/mermaid_draw.py`, which `fsm render` uses as well.

A picture carries the SHA-256 of the text it was drawn from (`data-source-sha256` on the root element), by
which a test finds the picture that was forgotten after its diagram was changed, and the version of the package that drew
it (`data-mermaidx`).
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from importlib.metadata import version
from pathlib import Path

PICTURES = Path(__file__).resolve().parent
DIAGRAMS = PICTURES.parent
sys.path.insert(0, str(DIAGRAMS.parent))  # the checkout this file stands in, installed or not

from fsm.view.mermaid_draw import DrawingError, draw  # noqa: E402


def digest(text: str) -> str:
    """SHA-256 of a diagram's text, by which a picture names its source."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def source_of(svg: str) -> str | None:
    """The digest that a picture carries, or None where it has none."""
    found = re.search(r'<svg[^>]* data-source-sha256="([0-9a-f]{64})"', svg)
    return found[1] if found else None


def drawn_by(svg: str) -> str | None:
    """The version of the package that drew a picture, or None where it does not say."""
    found = re.search(r'<svg[^>]* data-mermaidx="([^"]+)"', svg)
    return found[1] if found else None


def picture(name: str) -> str:
    """Draw diagrams/NAME.mmd, on white, signed with its source."""
    text = (DIAGRAMS / f"{name}.mmd").read_text(encoding="utf-8")
    svg = draw(text, name, file=f"{name}.mmd")
    signed = f'<svg data-source-sha256="{digest(text)}" data-mermaidx="{version("mermaidx")}" '
    return svg.replace("<svg ", signed, 1).rstrip("\n") + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Draw the named diagrams, or all; return 0, or 2 where Mermaid did not draw one."""
    known = sorted(path.stem for path in DIAGRAMS.glob("*.mmd"))
    parser = argparse.ArgumentParser(description="Have Mermaid draw the diagrams.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; without: all")
    chosen = parser.parse_args(arguments)
    if unknown := sorted(set(chosen.names) - set(known)):
        parser.error(f"no diagram is called {', '.join(unknown)}; there are {', '.join(known)}")
    try:
        for name in chosen.names or known:
            path = PICTURES / f"{name}.svg"
            path.write_text(picture(name), encoding="utf-8")
            print(path)
    except DrawingError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
