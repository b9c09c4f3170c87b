"""The doors of the reader: a text, a file that is one diagram, a document with diagrams in fences."""

from __future__ import annotations

import re
from pathlib import Path

from fsm.mermaid.error import MermaidError
from fsm.mermaid.flow_parser import read_flowchart
from fsm.mermaid.javascript import SPACES, S
from fsm.mermaid.model import Diagram
from fsm.mermaid.source import prepare
from fsm.mermaid.state_diagram import read_state_diagram
from fsm.text import NotUtf8, decode

# What may stand before the keyword: white space and comment lines (those that `prepare` leaves).
_HEAD = re.compile(rf"(?:[{S}]|%%(?!\{{)[^\n]*\n)*")
_KEYWORD = re.compile(r"[A-Za-z0-9_-]*")
_FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,})[ \t]*([^\n`]*)$")


def parse(text: str, file: str = "<text>") -> Diagram:
    """The diagram that a text is. Raises MermaidError, and nothing else, for every text that is none."""
    return _parse(text, file, 1)


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
    what = f"a diagram of kind {kind.group()[:40]!r} is not read here" if kind.group() else "no diagram"
    raise prepared.error(at, what, "stateDiagram-v2", "flowchart")


def read(path: str | Path) -> Diagram:
    """The diagram of a file that holds exactly one: plain, or in a Markdown fence.

    Raises MermaidError for a file that is no diagram, holds several or is not UTF-8; OSError as open does.
    """
    diagrams = read_all(path)
    if len(diagrams) != 1:
        raise MermaidError(
            f"the file holds {len(diagrams)} diagrams where one is wanted",
            file=str(path),
            expected=("one diagram",),
        )
    return diagrams[0]


def read_all(path: str | Path) -> list[Diagram]:
    """Every diagram of a file: all ```` ```mermaid ```` fences of a Markdown document, or a plain file's one.

    A fence closes only on a line of its own, so a label may hold backticks. Lines count from the start of
    the file. Raises as `read`.
    """
    path = Path(path)
    try:
        text = decode(path.read_bytes(), str(path))
    except NotUtf8 as error:
        message = f"the file {error.why}"
        raise MermaidError(message, file=str(path), line=error.line, expected=("UTF-8",)) from None
    fenced = path.suffix.lower() in (".md", ".markdown") or _FENCE.match(text.lstrip(SPACES).split("\n")[0])
    bodies = _fences(text, str(path)) if fenced else []
    if not bodies:
        return [parse(text, str(path))]
    return [_parse(body, str(path), line) for line, body in bodies]


def _fences(text: str, file: str) -> list[tuple[int, str]]:
    """The bodies of the Mermaid fences with the lines they begin in."""
    bodies: list[tuple[int, str]] = []
    lines = re.split(r"\r\n?|\n", text)
    opened: tuple[int, str, bool] | None = None  # the fence's line from 0, its marks, is it Mermaid
    for number, line in enumerate(lines):
        found = _FENCE.match(line)
        if opened is None:
            if found:
                language = found.group(3).strip(SPACES).split(" ")[0].lower()
                opened = number, found.group(2), language in ("mermaid", "{mermaid}")
            continue
        first, marks, is_mermaid = opened
        if found and not found.group(3).strip(SPACES) and found.group(2).startswith(marks):
            if is_mermaid:
                bodies.append((first + 2, "\n".join(lines[first + 1 : number]) + "\n"))
            opened = None
    if opened is not None and opened[2]:
        raise MermaidError(
            "the fence is never closed",
            file=file,
            line=opened[0] + 1,
            expected=(f"a line with only {opened[1]}",),
            source_line=lines[opened[0]],
        )
    return bodies
