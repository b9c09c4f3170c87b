"""The process that draws: Mermaid in a JavaScript engine, apart from the program, so that it can be ended.

A script and no module of the program: `fsm.view.mermaid_draw` starts it with a request in JSON on its standard input,

    {"do": "svg", "seconds": ..., "text": ..., "config": {...}}    the diagram as Mermaid draws it
    {"do": "png", "seconds": ..., "svg": ...}                      a picture as pixels, on white

and it answers on standard output with one line of JSON, {"svg": ...}, {"png": base64} or {"error": ...}.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import signal
import sys
from typing import Any


def answer(request: dict[str, Any]) -> dict[str, str]:
    """What was asked for, or {"error": in Mermaid's words}."""
    import mermaidx

    try:
        if request["do"] == "svg":
            return {"svg": mermaidx.render(request["text"], config=request["config"]).svg()}
        return {
            "png": base64.b64encode(mermaidx.svg_to_png(request["svg"], background="#ffffff")).decode("ascii")
        }
    except (RuntimeError, ValueError) as e:
        return {"error": str(e).removeprefix("Mermaid rendering failed: ").removeprefix("Error: ")}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    if hasattr(
        signal, "alarm"
    ):  # a layout that never ends outlives nobody, not even a program that was killed
        signal.alarm(math.ceil(asked["seconds"]) + 1)
    with contextlib.redirect_stdout(sys.stderr):  # what the engine says is no answer
        said = answer(asked)
    json.dump(said, sys.stdout)
