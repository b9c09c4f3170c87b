"""`fsm render`: a diagram, or a run on its diagram, as Mermaid text, a picture or a page."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsm import mermaid
from fsm.config import Plug
from fsm.engine import Machine, Registry, nearest
from fsm.errors import ConfigError, FsmError, NoSuchRun
from fsm.journal import RECOVERY, Journal
from fsm.speech import out, say, spoken, visible
from fsm.store import RUN_NAME, Store, open_store
from fsm.view import marking, report
from fsm.view.marking import Marked
from fsm.view.projection import Projection, moment
from fsm.view.report import Reading

if TYPE_CHECKING:
    from fsm.view.web.offline import Told

FORMATS = (".mmd", ".svg", ".png", ".html")
FLOWS = "fsm.flows"
"""The entry points that draw what went where in a run: functions (store, run, at) -> Flow, by the name of their drawing."""


@dataclass(frozen=True)
class Flow:
    """What went along the arrows of a flowchart in a run.

    `said` has it in words by the place of the arrow in the drawing, `nothing` the arrows along which nothing went, `text`
    is the drawing as Mermaid text with both, `counts` are the numbers by "source --> target : label".
    """

    file: Path
    text: str
    said: Mapping[int, str]
    nothing: frozenset[int]
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Found:
    """What is to be drawn. `reading` is the run, if it is one; `changed` says what its drawing no longer is.

    `at` is the record up to which the run is shown; `flow` what went where, where the drawing is one of that.
    """

    drawn: Marked
    where: str
    machine: str | None = None
    reading: Reading | None = None
    changed: str = ""
    at: int | None = None
    flow: Flow | None = None
    store: Store | None = None

    @property
    def said(self) -> str:
        """What the drawing shows, in a sentence."""
        if self.reading is None:
            return self.where
        p = self.reading.projection
        where = f"stands in {p.place}" if p.place else f"ended after {(p.ended or {}).get('last')}"
        when = self.reading.status if self.at is None else f"record {self.at}, {moment(p.latest)}"
        return f"Run {self.reading.name} ({when}), machine {self.machine}: {where}."


def render(
    what: str, store: str, machine: str | None, output: Path | None, as_json: bool, at: int | None = None
) -> int:
    """Draw a file, a page's fence, a machine's diagram, or a run on the diagram of one of its machines.

    `what` is a file where it ends as one of a drawing; otherwise the run of that name in the store, or else the machine. `at` is the
    number of the record up to which a run is shown. Without `output` the Mermaid text goes to standard output. As JSON
    one object: what, machine, run, at, diagram (the file), changed (why the drawing may not fit the run, or null), foreign
    (why the run is not the one it stands as, or null), output, and of a run states {path: {class, active, visits,
    seconds, errors, skipped, label, failing, last, error, seen, inside}} and edges {"source --> target : label": times taken}, and text.
    """
    if output is not None and output.suffix.lower() not in FORMATS:
        raise ConfigError(
            f"-o {output}: a drawing is written as {', '.join(FORMATS)}. Give the file one of these endings."
        )
    found = _find(what, store, machine, at)
    if at is not None and found.reading is None:
        raise ConfigError(f"--at {at}: {what} is no run, and has no moments. Leave --at out, or name a run.")
    if machine is not None and found.reading is None:
        raise ConfigError(
            f"--machine {machine}: {what} is no run, and has one drawing only. Leave --machine out, or name a run."
        )
    if found.changed:
        say(found.changed)
    for remark in marking.plain(found.where).remarks:
        spoken(sys.stderr, visible(f"{found.where}:{remark}") + "\n")
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
            "at": found.at,
            "diagram": found.where,
            "changed": found.changed or None,
            "foreign": foreign,
            "output": str(output) if output else None,
        }
        out(json.dumps(said | marking.as_json(found.drawn), ensure_ascii=False))
    elif output is None:
        text = found.drawn.text.removesuffix("\n")
        out(text) if sys.stdout.isatty() else sys.stdout.write(text + "\n")
    else:
        out(output)
    return 0


def _find(what: str, store: str, machine: str | None, at: int | None) -> Found:
    if mermaid.drawn_in(what):
        return of_drawing(what)
    opened = open_store(store)
    if RUN_NAME.fullmatch(what) and opened.run(what).read_header() is not None:
        return _of_run(opened, what, machine, at)
    return of_drawing(what, opened)


def of_drawing(what: str, store: Store | None = None) -> Found:
    """A drawing without a run: a file or a page's fence, or the name of a machine. `store` is where `what` was no run either.

    Raises NoSuchRun where there is none, ConfigError, DiagramError, MermaidError.
    """
    if mermaid.drawn_in(what):
        return Found(marking.plain(what), what)
    machines, names = _installed()
    if what in names and machines is not None:
        found: Machine = machines[what]
        return Found(replace(marking.plain(found.chart.where), name=what), found.chart.where, what)
    beside = Path("diagrams") / f"{what}.mmd"
    if beside.is_file():
        return Found(marking.plain(beside), str(beside))
    if Path(what).is_file():
        raise ConfigError(
            f"{what} is a file that ends in neither .mmd, .mermaid nor .md. Save a drawing that is to be rendered as one of them."
        )
    known = [*(store.runs() if store else ()), *names]
    neither = f"no run at {store.url}, and no machine" if store else "no machine"
    raise NoSuchRun(
        f"{what!r} is {neither}{nearest(what, known) or '.'} Give the path of a .mmd file or page.md#name, the name of a "
        f"machine ({', '.join(names) or 'none is installed here'}){', or a run that `fsm runs` lists' if store else ''}."
    )


def _installed() -> tuple[Registry | None, list[str]]:
    try:
        machines = Registry(Plug().machines, Machine)
    except FsmError:
        return None, []
    return machines, list(machines.names)


def _of_run(store: Store, name: str, machine: str | None, at: int | None) -> Found:
    reading = report.read(store, name) if at is None else _past(store, name, at)
    return of_reading(reading, store, machine, at)


def of_reading(reading: Reading, store: Store, machine: str | None, at: int | None = None) -> Found:
    """A run that was read, on the drawing of one of its machines; of the innermost in progress where none is named.

    Raises ConfigError where there is no such machine, or none is installed here; DiagramError, MermaidError.
    """
    name, p = reading.name, reading.projection
    flows = {entry.name: entry for entry in entry_points(group=FLOWS)}
    if machine in flows and machine not in p.machines:
        flow: Flow = flows[machine].load()(store, name, at)
        drawn = replace(marking.plain(flow.file), text=flow.text, edges=dict(flow.counts))
        return Found(drawn, str(flow.file), machine, reading, at=at, flow=flow)
    if not p.machines:
        raise ConfigError(
            f"Run {name} was begun with machines that are not installed here, so its drawing is not at hand. Give the command "
            "in the directory of the project that it belongs to."
        )
    chosen = machine or _innermost(reading)
    if chosen not in p.machines:
        raise ConfigError(
            f"Run {name} has no machine {chosen!r}{nearest(chosen, [*p.machines, *flows]) or '.'} It has: "
            f"{', '.join([*p.machines, *flows])}."
        )
    found = p.machines[chosen]
    begun = reading.header.get("diagrams", {}).get(chosen)
    changed = ""
    if begun != found.chart.digest:
        changed = (
            f"{found.chart.file} was changed since run {name} was begun: what the run did is drawn on the file as it is now, and "
            "states or edges that are no longer in it are not shown."
        )
    return Found(marking.marked(found, p), found.chart.where, chosen, reading, changed, at, store=store)


def _past(store: Store, name: str, at: int) -> Reading:
    """A run as it was when its record of that number was written. Raises as `report.read` does, and ConfigError."""
    if at < 0:
        raise ConfigError(f"--at {at}: records are numbered from 0. `fsm history {name}` lists them.")
    run = store.run(name)
    journal = Journal(run)
    header = journal.header()
    projection = Projection(report.drawings(header))
    projection.name = name
    for record in journal.records():
        if record["seq"] > at:
            break
        projection.apply(record)
    if at >= projection.records:
        there = f"records 0 to {projection.records - 1}" if projection.records else "no records yet"
        raise ConfigError(f"--at {at}: run {name} has {there}. `fsm history {name}` lists them.")
    return Reading(name, run.url, header, projection, None, False, foreign=journal.foreign())


def _innermost(reading: Reading) -> str:
    """The machine in progress below all others, the recovery machine aside; the root one of a run that has ended."""
    levels = [lv for lv in reading.projection.stack() if not any(step.endswith(RECOVERY) for step in lv.at)]
    return levels[-1].machine if levels else str(reading.header["machine"])


def _write(found: Found, output: Path) -> None:
    form = output.suffix.lower()
    if not output.parent.is_dir():
        raise ConfigError(
            f"-o {output}: there is no directory {output.parent}. Make it first, or choose another place."
        )
    if form == ".mmd":
        content = found.drawn.text.encode("utf-8")
    elif form == ".html" and found.reading is not None and found.store is not None:
        content = _page(found.store, found.reading, found.machine, found.at).encode("utf-8")
    else:
        svg = picture_of(found)
        if form == ".png":
            from fsm.view import mermaid_draw

            content = mermaid_draw.photograph(svg)
        else:
            content = (svg if form == ".svg" else marking.page(found.drawn, svg, found.said)).encode("utf-8")
    write(output, content)


def _page(store: Store, reading: Reading, machine: str | None, at: int | None) -> str:
    """The page of a run with its whole past, opened at a machine and a moment; those that it follows are in it."""
    from fsm.view.web.offline import offline

    now = report.read(store, reading.name) if at is not None else reading
    run, *followed = _told(store, now)
    return offline(run, followed, machine=machine, seq=at)


def _told(store: Store, reading: Reading, above: tuple[str, ...] = ()) -> Iterator[Told]:
    """A run, and those that it follows or followed last, as far as they are there."""
    from fsm.view.timeline import Timeline
    from fsm.view.web.offline import Told

    timeline = Timeline(report.drawings(reading.header))
    timeline.projection.name = reading.name
    timeline.read(Journal(store.run(reading.name)).records())
    here, below = (*above, reading.name), reading.watching
    name = (reading.live or {}).get("watching")
    if isinstance(name, str) and RUN_NAME.fullmatch(name) and name not in here and len(here) < report.DEEPEST:
        with suppress(NoSuchRun):
            below = below or report.read(store, name)
    status = {
        "state": reading.status,
        "why": reading.projection.stopped or "" if reading.status == "stopped" else "",
        "watching": report.below_json(reading.watching, reading.watching.status)
        if reading.watching
        else None,
        "watches": below.name if below else None,
    }
    yield Told(reading.header, status, timeline)
    if below is not None:
        yield from _told(store, below, here)


def picture_of(found: Found) -> str:
    """The picture of it, as SVG. Raises DiagramError, DrawingError, MermaidError."""
    from fsm.view import picture

    base = picture.of_file(found.where)
    if found.flow is not None:
        return picture.mark_flow(base, found.flow.said, found.flow.nothing, found.said)
    if found.reading is not None:
        return picture.mark(base, found.drawn.states, found.drawn.edges, found.said)
    return base.svg


def write(output: Path, content: bytes) -> None:
    """Write a drawing where `-o` says. Raises ConfigError."""
    try:
        output.write_bytes(content)
    except OSError as e:
        raise ConfigError(
            f"-o {output}: it cannot be written ({e.strerror}). Choose another place for it."
        ) from e
