"""How a state that is active, visited, failed or was never entered looks: in Mermaid's words and in a picture's.

A mark and the kind of line go with every colour, so that none is told by colour alone. The contrast of words with what
they stand on is at least 4.5 to 1, in light and dark.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """One of four. `mark` is a character of DejaVu Sans; the colours are fill, line and words, in light and in dark."""

    mark: str
    says: str
    light: tuple[str, str, str]
    dark: tuple[str, str, str]
    width: int = 1
    dashed: bool = False

    @property
    def mermaid(self) -> str:
        """As a `classDef` says it."""
        fill, line, words = self.light
        thick = f",stroke-width:{self.width}px" if self.width > 1 else ""
        dashes = ",stroke-dasharray:5 4" if self.dashed else ""
        return f"fill:{fill},stroke:{line}{thick}{dashes},color:{words}"


LOOKS = {
    "active": Look("▶", "active", ("#fff3bf", "#b35900", "#000000"), ("#4d3800", "#ffc53d", "#ffffff"), 3),
    "visited": Look("✓", "visited", ("#d3f9d8", "#2b8a3e", "#000000"), ("#12391d", "#69db7c", "#ffffff")),
    "failed": Look("✗", "failed", ("#ffe3e3", "#c92a2a", "#000000"), ("#4a1414", "#ff8787", "#ffffff"), 3),
    "never": Look(
        "", "never entered", ("#ffffff", "#868e96", "#5c636a"), ("#1b1e24", "#868e96", "#adb5bd"), dashed=True
    ),
}
TAKEN = "stroke:#2b8a3e,stroke-width:3px"
NOTHING = "stroke:#868e96,stroke-dasharray:4"
DARK = "fsm-dark"
"""The class that a page gives to an element around a picture, to have it in dark."""

_SHAPES = (
    "g.node{}>rect",
    "g.node{}>polygon",
    "g.node{}>path",
    "g.node{}>circle",
    "g.node{}>g.outer-path>path",
    "g.node{}>g>rect.title-state",
    "g.statediagram-cluster{}>g>rect",
    "g.cluster{}>rect",
)


def style(root: str) -> str:
    """The style of the marks in the picture whose root has that id. Classes: fsm-LOOK of states, fsm-taken of edges."""
    own = f"#{root}"
    rules = []
    for name, look in LOOKS.items():
        for ground, (fill, line, words) in ((own, look.light), (f".{DARK} {own}", look.dark)):
            shapes = ",".join(f"{ground} {shape.format(f'.fsm-{name}')}" for shape in _SHAPES)
            dashes = "stroke-dasharray:5 4!important;" if look.dashed else ""
            rules.append(
                f"{shapes}{{fill:{fill}!important;stroke:{line}!important;stroke-width:{look.width}px!important;{dashes}}}"
            )
            rules.append(f"{ground} g.fsm-{name}>g text{{fill:{words}!important}}")
    rules += [
        f"{own} path.fsm-taken{{stroke:#2b8a3e!important;stroke-width:2.5px!important}}",
        f"{own} path.fsm-nothing{{stroke:#868e96!important;stroke-dasharray:4!important}}",
        f"{own} g.fsm-badge rect{{fill:#fff!important;stroke:#495057!important;stroke-width:1px;opacity:1!important}}",
        f"{own} g.fsm-badge text{{fill:#000!important;stroke:none;font-size:11px}}",
        f"{own} g.fsm-badge.fsm-failed rect{{fill:#c92a2a!important;stroke:#c92a2a!important}}",
        f"{own} g.fsm-badge.fsm-failed text{{fill:#fff!important}}",
        f"{own} g.fsm-legend text{{fill:#333!important;stroke:none;font-size:13px}}",
    ]
    dark = f".{DARK} {own}"
    rules += [
        f"{dark}{{background-color:#15181d!important}}",
        f"{dark} text{{fill:#e6e8eb!important}}",
        f"{dark} rect.ground{{fill:#15181d!important}}",
        f"{dark} .transition,{dark} .flowchart-link{{stroke:#c3c8cf!important}}",
        f"{dark} .marker path,{dark} marker path{{fill:#c3c8cf!important;stroke:#c3c8cf!important}}",
        f"{dark} .node rect,{dark} .node polygon,{dark} .statediagram-cluster rect.outer{{fill:#262b38;stroke:#9d86e0}}",
        f"{dark} .statediagram-cluster.statediagram-cluster rect.inner{{fill:#15181d;stroke:#9d86e0}}",
        f"{dark} .statediagram-cluster.statediagram-cluster-alt rect.inner{{fill:#1b1f26}}",
        f"{dark} .cluster rect{{fill:#1b1f26;stroke:#8f8f45}}",
        f"{dark} .statediagram-note rect{{fill:#3a3510;stroke:#8f8f45}}",
        f"{dark} circle.state-start{{fill:#e6e8eb;stroke:#e6e8eb}}",
        f"{dark} path.fsm-taken{{stroke:#69db7c!important}}",
        f"{dark} g.fsm-badge rect{{fill:#0b0d10!important;stroke:#adb5bd!important}}",
        f"{dark} g.fsm-badge text{{fill:#fff!important}}",
        f"{dark} g.fsm-legend text{{fill:#e6e8eb!important}}",
    ]
    return "".join(rules)
