"""The page of a run as one file: its modules, timelines and pictures, nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from fsm.engine import Machine
from fsm.errors import FsmError
from fsm.mermaid import MermaidError
from fsm.view.timeline import Timeline
from fsm.view.web import pictures

STATIC = Path(__file__).with_name("static")
ORDER = [
    "dom",
    "address",
    "timeline",
    "source",
    "feed",
    "content",
    "canvas",
    "picture",
    "slider",
    "state",
    "now",
    "panels",
    "reading",
    "runs",
    "run",
    "main",
]
IMPORT = re.compile(r"^import [^;]*;\n", re.M)
EXPORT = re.compile(r"^export (?=class |function |const |async )", re.M)


@dataclass(frozen=True)
class Told:
    """A run as the file has it. `header` is run.json, `status` what `Following` says of it ("state", "why", ...)."""

    header: Mapping[str, Any]
    status: Mapping[str, Any]
    timeline: Timeline

    @property
    def name(self) -> str:
        return self.timeline.projection.name


def offline(run: Told, followed: Iterable[Told] = (), **opened: str | int | None) -> str:
    """The file of a run and of those that it follows. `opened` is what the page shows first, by the words of its address
    (machine, state, seq).

    A machine that Mermaid cannot draw has no picture in it; its states are then a list.
    """
    others = b",".join(b"%s:{%s}" % (to_json(other.name), _held(other)) for other in followed)
    first = to_json({k: v for k, v in opened.items() if v is not None})
    held = b'{"open":%s,"followed":{%s},%s}' % (first, others, _held(run))
    return _file(run.name, held.decode().replace("<", "\\u003c"))


def _held(run: Told) -> bytes:
    timeline = run.timeline
    machines = timeline.projection.machines
    said = {
        "run": run.name,
        "machine": run.header.get("machine"),
        "created": run.header.get("created"),
        "born": "",
        "machines": {name: machine_json(m) for name, m in machines.items()},
        "index": timeline.index(),
        "status": {"caught_up": True, "missing": 0, "changed": [], "watching": None} | dict(run.status),
    }
    seen = [n for n in machines if timeline.projection.tallies.get(n) or timeline.projection.edges.get(n)]
    return b'"header":%s,"pictures":%s,"chunks":[%s]' % (
        to_json(said),
        to_json(_pictures(machines, seen or list(machines)[:1])),
        b",".join(timeline.chunks()),
    )


def machine_json(machine: Machine) -> dict[str, Any]:
    """What the page needs of a machine's drawing besides the picture."""
    states = machine.chart.states
    return {
        "file": machine.chart.file,
        "states": [path for path, s in states.items() if s.kind != "region"],
        "composites": [path for path, s in states.items() if s.composite],
        "edges": {e.id: [e.source, e.target, e.label or ""] for e in machine.chart.edges},
    }


def _pictures(machines: Mapping[str, Machine], wanted: Iterable[str]) -> dict[str, Any]:
    found = {}
    for name in wanted:
        try:
            found[name] = pictures.drawn(machines[name])
        except (FsmError, MermaidError):
            continue
    return found


def script() -> str:
    """The modules of the page as one, in an order in which each finds what it uses."""
    parts = ((STATIC / f"{name}.js").read_text("utf-8") for name in ORDER)
    return "\n".join(EXPORT.sub("", IMPORT.sub("", part)) for part in parts)


def _file(name: str, held: str) -> str:
    style, code = (STATIC / "style.css").read_text("utf-8"), script()
    policy = f"default-src 'none'; script-src '{_digest(code)}'; style-src '{_digest(style)}'; base-uri 'none'; form-action 'none'"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(name)}</title>\n'
        f'<style>{style}</style>\n</head>\n<body>\n<div id="app"></div>\n'
        f'<script type="application/json" id="held">{held}</script>\n<script type="module">{code}</script>\n</body>\n</html>\n'
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
