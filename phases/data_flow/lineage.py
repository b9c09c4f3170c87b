"""The lineage of a run: what went along which arrow of Diagram 7, by the records of its journal.

An artifact lies where it was written, or in the node of S3 that its name says; a state that reads it carries it from
there to the node that the state stands for. What the two are is declared in `machines/data_flow.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fsm.check import Finding
from fsm.mermaid import Flowchart
from machines import data_flow

Arrow = tuple[str, str]
ARTIFACTS = "artifacts"
_SHOWN = 3  # names of artifacts in a finding


@dataclass(frozen=True)
class Lineage:
    """How much went along each arrow of the drawing, in its order; nothing is 0.

    Counted are different artifacts (by name and content: what a resumed run reads again has not gone there twice), or,
    on the arrows of `data_flow.PASSED`, items. `records` are those in the artifacts that say how many they have.
    """

    counts: Mapping[Arrow, int]
    records: Mapping[Arrow, int]
    findings: tuple[Finding, ...]


def unit(arrow: Arrow) -> str:
    """What is counted on an arrow, in the plural."""
    return next((p.unit for p in data_flow.PASSED if (p.source, p.target) == arrow), ARTIFACTS)


def lineage(records: Iterable[Mapping[str, Any]], drawing: Flowchart | None = None) -> Lineage:
    """What the records tell, held against the drawing (the shipped one, if none is given).

    The records are those of a run, before them of the runs it came after, behind them of those it brought forth.

    Found are flows that are not drawn (D101), artifacts that no record has put (D102) and states that touch artifacts
    though none is declared to (D103).
    """
    reading = _Reading()
    for record in records:
        if record["kind"] == "transition":
            reading.take(record)
    drawing = drawing or data_flow.flow()
    arrows = [(edge.source, edge.target) for edge in drawing.edges]
    counts = {arrow: reading.items.get(arrow, len(reading.went.get(arrow, ()))) for arrow in arrows}
    held = {arrow: sum(reading.records.get(a, 0) for a in reading.went.get(arrow, ())) for arrow in arrows}
    return Lineage(counts, held, tuple(_findings(reading, drawing)))


@dataclass
class _Reading:
    lies: dict[tuple[str, str], str] = field(default_factory=dict)  # (name, sha256) -> node
    went: dict[Arrow, dict[tuple[str, str], None]] = field(default_factory=dict)
    items: dict[Arrow, int] = field(default_factory=dict)
    records: dict[tuple[str, str], int] = field(default_factory=dict)  # in an artifact
    nowhere: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # (machine, state) -> names
    undeclared: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    loop_end: str = "CORRECT"

    def take(self, record: Mapping[str, Any]) -> None:
        if record["machine"] in data_flow.NOT_DRAWN:
            return
        if (record["machine"], record["from"]) == data_flow.LOOP_ENDED_BY[:2]:
            self.loop_end = "EVAL" if record["label"] == data_flow.LOOP_ENDED_BY[2] else "CORRECT"
        files = record.get("files") or {}
        written = {(name, file["sha256"]) for name, file in files.items()}
        self.records |= {
            (name, file["sha256"]): file["records"] for name, file in files.items() if "records" in file
        }
        for key in (record.get("reads") or {}).items():
            if (
                key in self.lies or key not in written
            ):  # what a state has just written itself goes nowhere by that
                self._read(record, *key)
        for key in sorted(written):
            self._written(record, *key)
        for edge, n in (record.get("counts") or {}).items():
            if passed := data_flow.passing(edge):
                arrow = passed.source, passed.target
                self.items[arrow] = self.items.get(arrow, 0) + n

    def _written(self, record: Mapping[str, Any], name: str, sha256: str) -> None:
        if (stand := self._stand(record, name)) is None:
            return
        node = self._node(stand.writes or stand.reads)
        if stand.outside:
            self._go(stand.outside, node, name, sha256)
        lies = data_flow.stored(name) or node
        self._go(node, lies, name, sha256)
        self.lies[name, sha256] = lies

    def _read(self, record: Mapping[str, Any], name: str, sha256: str) -> None:
        if (stand := self._stand(record, name)) is None:
            return
        lies = self.lies.get((name, sha256)) or data_flow.stored(name)
        if lies is None:
            self.nowhere.setdefault((record["machine"], record["from"]), []).append(name)
        else:
            self._go(lies, self._node(stand.reads), name, sha256)

    def _stand(self, record: Mapping[str, Any], name: str) -> data_flow.Stand | None:
        state = record["machine"], record["from"]
        for stand in data_flow.stands(*state):
            if stand.fits(name):
                return stand
        self.undeclared.setdefault(state, []).append(name)
        return None

    def _node(self, node: str) -> str:
        return self.loop_end if node == data_flow.LOOP_END else node

    def _go(self, source: str, target: str, name: str, sha256: str) -> None:
        if source != target:
            self.went.setdefault((source, target), {})[name, sha256] = None


def _findings(reading: _Reading, drawing: Flowchart) -> Iterable[Finding]:
    drawn = {(edge.source, edge.target) for edge in drawing.edges}

    def found(code: str, line: int, column: int, message: str) -> Finding:
        return Finding("error", code, drawing.file, line, column, message)

    for (source, target), files in reading.went.items():
        if (source, target) not in drawn:
            node = drawing.node(source)
            yield found(
                "D101",
                node.line,
                node.column,
                f"{_names([name for name, _ in files])} went from {source} to {target}, and no arrow is drawn there. Draw "
                f"{source} --> {target}, or correct what machines/data_flow.py has the states stand for.",
            )
    for (machine, state), names in reading.nowhere.items():
        yield found(
            "D102",
            1,
            1,
            f"{state} of {machine} read {_names(names)}, which no record has put. The run that put it belongs to this lineage.",
        )
    for (machine, state), names in reading.undeclared.items():
        yield found(
            "D103",
            1,
            1,
            f"{state} of {machine} read or wrote {_names(names)}, and stands for no node here. Declare it in machines/data_flow.py.",
        )


def _names(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
