"""The doors of the reader: a text, a file that is one diagram, a document with diagrams in fences."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from fsm.mermaid import pages
from fsm.mermaid.error import OtherKind
from fsm.mermaid.flow_parser import read_flowchart
from fsm.mermaid.javascript import S
from fsm.mermaid.model import Diagnostic, Diagram
from fsm.mermaid.source import prepare
from fsm.mermaid.state_diagram import read_state_diagram

MOST_TEXT = 50_000
"""Beyond which Mermaid refuses to draw, by default: `maxTextSize` of its configuration."""

# What may stand before the keyword: white space and comment lines (those that `prepare` leaves).
_HEAD = re.compile(rf"(?:[{S}]|%%(?!\{{)[^\n]*\n)*")
_KEYWORD = re.compile(r"[A-Za-z0-9_-]*")


def parse(text: str, file: str = "<text>", first_line: int = 1) -> Diagram:
    """The diagram that a text is, which begins in that line of its file.

    Raises MermaidError, and nothing else, for every text that is none.
    """
    diagram = _parse(text, file, first_line)
    if len(text) <= MOST_TEXT:
        return diagram
    said = (
        f"Mermaid draws no text of more than {MOST_TEXT} characters, and this one has {len(text)}, unless `maxTextSize` is raised where "
        "it is drawn"
    )
    return replace(diagram, diagnostics=(*diagram.diagnostics, Diagnostic("warning", said, first_line, 1)))


def _parse(text: str, file: str, first_line: int) -> Diagram:
    prepared = prepare(text, file, first_line)
    edited = prepared.text.text
    head = _HEAD.match(edited)
    assert head is not None
    at = head.end()
    if edited.startswith("stateDiagram", at):
        return read_state_diagram(prepared)
    if edited.startswith(("flowchart", "graph"), at):
        return read_flowchart(prepared)
    kind = _KEYWORD.match(edited, at)
    assert kind is not None
    if not kind.group():
        raise prepared.error(at, "no diagram", "stateDiagram-v2", "flowchart")
    what = f"a diagram of kind {kind.group()[:40]!r} is not read here"
    raise prepared.error(at, what, "stateDiagram-v2", "flowchart", of=OtherKind)


def read(where: str | Path) -> Diagram:
    """The diagram of a place that holds exactly one. Raises MermaidError; OSError as open does."""
    return _read(pages.find(where))


def read_all(where: str | Path) -> list[Diagram]:
    """Every diagram of a file, a page or a directory; lines count from the start of the file. Raises as `read`."""
    return [_read(source) for source in pages.find_all(where)]


def _read(source: pages.Source) -> Diagram:
    return parse(source.text, str(source.file), source.line)
