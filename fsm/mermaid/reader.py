"""The doors of the reader: a text, a file that is one diagram, a document with diagrams in fences."""

from __future__ import annotations

import re
from pathlib import Path

from fsm.mermaid.error import MermaidError
from fsm.mermaid.flow_parser import read_flowchart
from fsm.mermaid.javascript import SPACES, S
from fsm.mermaid.model import Diagram
from fsm.mermaid.source import Places, prepare
from fsm.mermaid.state_diagram import read_state_diagram

# What may stand before the keyword: white space and comment lines (those that `prepare` leaves).
_HEAD = re.compile(rf"(?:[{S}]|%%(?!\{{)[^\n]*\n)*")
_KEYWORD = re.compile(r"[A-Za-z0-9_-]*")
_FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,})[ \t]*([^\n`]*)$")


def parse(text: str, file: str = "<text>") -> Diagram:
    """The diagram that a text is. Raises MermaidError, and nothing else, for every text that is none."""
    prepared = prepare(text, file)
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
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"not a UTF-8 text: {error.reason} at byte {error.start}"
        raise MermaidError(message, file=str(path), expected=("UTF-8",)) from None
    fences = _fences(text, str(path))
    if fences is None:
        return [parse(text, str(path))]
    return [parse(body, str(path)) for body in fences]


def _fences(text: str, file: str) -> list[str] | None:
    """The bodies of the Mermaid fences, each behind blank lines that keep its line numbers; None without any."""
    bodies: list[str] = []
    lines = re.split(r"\r\n?|\n", text)
    opened: tuple[int, str, bool, int] | None = None  # first line, marks, is Mermaid, indent
    for number, line in enumerate(lines):
        found = _FENCE.match(line)
        if opened is None:
            if found:
                language = found.group(3).strip(SPACES).split(" ")[0].lower()
                opened = (number, found.group(2), language in ("mermaid", "{mermaid}"), len(found.group(1)))
            continue
        first, marks, is_mermaid, _ = opened
        closes = found and not found.group(3).strip(SPACES) and found.group(2).startswith(marks)
        if closes:
            if is_mermaid:
                bodies.append("\n" * (first + 1) + "\n".join(lines[first + 1 : number]) + "\n")
            opened = None
    if opened is not None and opened[2]:
        places = Places(file, text)
        offset = sum(len(line) + 1 for line in lines[: opened[0]])
        raise places.error(offset, "the fence is never closed", f"a line with only {opened[1]}")
    return bodies or None
