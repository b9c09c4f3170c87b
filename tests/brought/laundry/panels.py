"""What a page shows of a run of it."""

from typing import Any

from fsm.view import RunFiles


def panels(files: RunFiles) -> list[dict[str, Any]]:
    if "dry.json" not in files.files:
        return []
    washed = files.json("dry.json")["washed"]
    line = {"name": "stains", "points": [[n, washed - n] for n in range(washed + 1)]}
    return [{"id": "stains", "title": "Stains", "kind": "plot", "x": "wash", "lines": [line]}]


def page(files: RunFiles, panel: str, item: str) -> dict[str, Any]:
    raise KeyError(panel)
