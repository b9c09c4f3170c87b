#!/usr/bin/env python3
"""Have Mermaid draw the diagrams: ../NAME.mmd to NAME.svg beside this file.

    python diagrams/pictures/draw.py                  # every diagram
    python diagrams/pictures/draw.py pipeline         # one

How that is done is in `fsm/view/picture.py`. `fsm render` and the faces of a run take these pictures as they are, and mark
them; where one is missing or of another text they have it drawn.

A picture carries the SHA-256 of the text it was drawn from (`data-source-sha256` on the root element), by
which a test finds the picture that was forgotten after its diagram was changed, the version of the package that drew
it (`data-mermaidx`), and the edition of what mends it (`data-edition`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

PICTURES = Path(__file__).resolve().parent
DIAGRAMS = PICTURES.parent
sys.path.insert(0, str(DIAGRAMS.parent))  # the checkout this file stands in, installed or not

from fsm.view.mermaid_draw import DrawingError  # noqa: E402
from fsm.view.picture import drawn  # noqa: E402


def picture(name: str) -> str:
    """Draw diagrams/NAME.mmd, on white, signed with its source."""
    return drawn((DIAGRAMS / f"{name}.mmd").read_text(encoding="utf-8"), name, f"{name}.mmd")


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
