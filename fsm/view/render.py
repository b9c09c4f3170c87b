"""`fsm render`: a diagram, or a run on its diagram, as Mermaid text, a picture or a page."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fsm.config import Plug
from fsm.engine import Machine, Registry, nearest
from fsm.errors import ConfigError, FsmError, NoSuchRun
from fsm.journal import RECOVERY
from fsm.speech import out, say, spoken, visible
from fsm.store import RUN_NAME, Store, open_store
from fsm.view import diagram, report
from fsm.view.diagram import Marked
from fsm.view.report import Reading

FORMATS = (".mmd", ".svg", ".png", ".html")


@dataclass(frozen=True)
class _Found:
    """What is to be drawn. `reading` is the run, if it is one; `changed` says what its drawing no longer is."""

    drawn: Marked
    file: Path
    machine: str | None = None
    reading: Reading | None = None
    changed: str = ""

    @property
    def said(self) -> str:
        """What the drawing shows, in a sentence."""
        if self.reading is None:
            return str(self.file)
        p = self.reading.projection
        where = f"stands in {p.place}" if p.place else f"ended after {(p.ended or {}).get('last')}"
        return f"Run {self.reading.name} ({self.reading.status}), machine {self.machine}: {where}."


def render(what: str, store: str, machine: str | None, output: Path | None, as_json: bool) -> int:
    """Draw a `.mmd` file, a machine's diagram, or a run on the diagram of one of its machines.

    `what` is a file where it ends in .mmd; otherwise the run of that name in the store, or else the machine. Without
    `output` the Mermaid text goes to standard output. As JSON one object: what, machine, run, diagram (the file),
    changed (why the drawing may not fit the run, or null), foreign (why the run is not the one it stands as, or null),
    output, and of a run states {path: {class, active, visits, seconds, errors, skipped, label, failing, last, error, seen,
    inside}} and edges {"source --> target : label": times taken}, and text.
    """
    if output is not None and output.suffix.lower() not in FORMATS:
        raise ConfigError(
            f"-o {output}: a drawing is written as {', '.join(FORMATS)}. Give the file one of these endings."
        )
    found = _find(what, store, machine)
    if machine is not None and found.reading is None:
        raise ConfigError(
            f"--machine {machine}: {what} is no run, and has one drawing only. Leave --machine out, or name a run."
        )
    if found.changed:
        say(found.changed)
    for remark in diagram.plain(found.file).remarks:
        spoken(sys.stderr, visible(f"{found.file}:{remark}") + "\n")
    if output is not None:
        _write(found, output)
    foreign = found.reading.foreign if found.reading else None
    if foreign:
        say(foreign)
    if as_json:
        said: dict[str, Any] = {
            "what": what,
            "machine": found.machine,
            "run": found.reading.name if found.reading else None,
            "diagram": str(found.file),
            "changed": found.changed or None,
            "foreign": foreign,
            "output": str(output) if output else None,
        }
        out(json.dumps(said | diagram.as_json(found.drawn), ensure_ascii=False))
    elif output is None:
        text = found.drawn.text.removesuffix("\n")
        out(text) if sys.stdout.isatty() else sys.stdout.write(text + "\n")
    else:
        out(output)
    return 0


def _find(what: str, store: str, machine: str | None) -> _Found:
    if what.lower().endswith(".mmd"):
        return _Found(diagram.plain(Path(what)), Path(what))
    opened = open_store(store)
    if RUN_NAME.fullmatch(what) and opened.run(what).read_header() is not None:
        return _of_run(opened, what, machine)
    machines, names = _installed()
    if what in names and machines is not None:
        found: Machine = machines[what]
        path = Path(found.chart.file)
        return _Found(replace(diagram.plain(path), name=what), path, what)
    beside = Path("diagrams") / f"{what}.mmd"
    if beside.is_file():
        return _Found(diagram.plain(beside), beside)
    if Path(what).is_file():
        raise ConfigError(
            f"{what} is a file that does not end in .mmd. A drawing to render is a file of its own: save it as one that does."
        )
    known = [*opened.runs(), *names]
    raise NoSuchRun(
        f"{what!r} is no run at {opened.url}, and no machine{nearest(what, known) or '.'} Give the path of a .mmd file, the name of a "
        f"machine ({', '.join(names) or 'none is installed here'}), or a run that `fsm runs` lists."
    )


def _installed() -> tuple[Registry | None, list[str]]:
    try:
        machines = Registry(Plug().machines, Machine)
    except FsmError:
        return None, []
    return machines, list(machines.names)


def _of_run(store: Store, name: str, machine: str | None) -> _Found:
    reading = report.read(store, name)
    p = reading.projection
    if not p.machines:
        raise ConfigError(
            f"Run {name} was begun with machines that are not installed here, so its drawing is not at hand. Give the command "
            "in the directory of the project that it belongs to."
        )
    chosen = machine or _innermost(reading)
    if chosen not in p.machines:
        raise ConfigError(
            f"Run {name} has no machine {chosen!r}{nearest(chosen, list(p.machines)) or '.'} It has: {', '.join(p.machines)}."
        )
    found = p.machines[chosen]
    begun = reading.header.get("diagrams", {}).get(chosen)
    changed = ""
    if begun != found.chart.digest:
        changed = (
            f"{found.chart.file} was changed since run {name} was begun: what the run did is drawn on the file as it is now, and "
            "states or edges that are no longer in it are not shown."
        )
    return _Found(diagram.marked(found, p), Path(found.chart.file), chosen, reading, changed)


def _innermost(reading: Reading) -> str:
    """The machine in progress below all others, the recovery machine aside; the root one of a run that has ended."""
    levels = [lv for lv in reading.projection.stack() if not any(step.endswith(RECOVERY) for step in lv.at)]
    return levels[-1].machine if levels else str(reading.header["machine"])


def _write(found: _Found, output: Path) -> None:
    form = output.suffix.lower()
    if not output.parent.is_dir():
        raise ConfigError(
            f"-o {output}: there is no directory {output.parent}. Make it first, or choose another place."
        )
    if form == ".mmd":
        content = found.drawn.text.encode("utf-8")
    else:
        from fsm.view import mermaid_draw

        drawn = found.drawn
        plain = mermaid_draw.draw(drawn.text, drawn.name, str(found.file))
        svg = diagram.with_marks(plain, drawn)
        if form == ".png":
            content = mermaid_draw.photograph(svg)
        else:
            content = (svg if form == ".svg" else diagram.page(drawn, svg, found.said)).encode("utf-8")
    write(output, content)


def write(output: Path, content: bytes) -> None:
    """Write a drawing where `-o` says. Raises ConfigError."""
    try:
        output.write_bytes(content)
    except OSError as e:
        raise ConfigError(
            f"-o {output}: it cannot be written ({e.strerror}). Choose another place for it."
        ) from e
