"""The drawing of Diagram 7 with what a run sent along its arrows. The author's text stays; the arrows get their counts."""

from __future__ import annotations

from pathlib import Path

from fsm.errors import ConfigError
from fsm.mermaid import Edge, Flowchart
from fsm.store import Store
from fsm.view import NOTHING, TAKEN, Flow
from machines import data_flow
from phases.data_flow.family import family
from phases.data_flow.lineage import ARTIFACTS, Arrow, Lineage, lineage, unit


def flow(store: Store, run: str, at: int | None = None) -> Flow:
    """What went where in a run, for `fsm render RUN --machine data_flow`.

    `at` is a record of the run: of the runs it came after and brought forth, what was written until then counts as well.
    Raises NoSuchRun, ConfigError.
    """
    found = family(store, run)
    if at is not None:
        until = next((r["time"] for r in found[run] if r["seq"] == at), None)
        if until is None:
            raise ConfigError(
                f"--at {at}: run {run} has {len(found[run])} records. `fsm history {run}` lists them."
            )
        found = {
            name: [r for r in records if (r["seq"] <= at if name == run else r["time"] <= until)]
            for name, records in found.items()
        }
    return flow_of(data_flow.flow(), lineage(r for records in found.values() for r in records))


def flow_of(drawing: Flowchart, told: Lineage) -> Flow:
    """Counts on the drawing, as text and for its picture."""
    arrows = [(edge.source, edge.target) for edge in drawing.edges]
    numbers = [told.counts.get(arrow, 0) for arrow in arrows]
    names = [f"{e.source} --> {e.target}" + (f" : {e.label}" if e.label else "") for e in drawing.edges]
    return Flow(
        file=Path(drawing.file),
        text=drawn(drawing, told),
        said={i: said(told, arrow) for i, arrow in enumerate(arrows)},
        nothing=frozenset(i for i, n in enumerate(numbers) if not n),
        counts=dict(zip(names, numbers, strict=True)),
    )


def drawn(drawing: Flowchart, told: Lineage) -> str:
    """Mermaid text: every arrow on a line of its own, its label followed by its count; dashed where nothing went."""
    by_line: dict[int, list[Edge]] = {}
    for edge in drawing.edges:
        by_line.setdefault(edge.line, []).append(edge)
    lines = []
    for number, line in enumerate(drawing.source.splitlines(), 1):
        indent = line[: len(line) - len(line.lstrip())]
        edges = by_line.get(number)
        lines += [line] if edges is None else [f"{indent}{_arrow(edge, told)}" for edge in edges]
    for style, some in ((TAKEN, True), (NOTHING, False)):
        numbers = [
            str(i) for i, e in enumerate(drawing.edges) if bool(told.counts.get((e.source, e.target))) is some
        ]
        if numbers:
            lines.append(f"    linkStyle {','.join(numbers)} {style}")
    return "\n".join(lines) + "\n"


def _arrow(edge: Edge, told: Lineage) -> str:
    arrow = edge.source, edge.target
    label = f"{edge.label}\\n" if edge.label else ""
    return f'{edge.source} -->|"{label}{said(told, arrow)}"| {edge.target}'


def said(told: Lineage, arrow: Arrow) -> str:
    """What went along an arrow, in words: `111 records`, where artifacts do not say `2 artifacts`; `1 call`, `nothing`."""
    count, of = told.counts.get(arrow, 0), unit(arrow)
    if of == ARTIFACTS and told.records.get(arrow):
        count, of = told.records[arrow], "records"
    if count == 1:
        of = "piece of code" if of == "pieces of code" else of.removesuffix("s")
    return f"{count} {of}" if count else "nothing"
