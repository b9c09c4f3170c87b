"""The words of a diagram, written so that Mermaid draws them as they are.

Mermaid would drop `a < b`, set `0.3*a + 0.3*b` in italics, give up on a list in a note, and take `<img ...>` for an image.
It lets such characters be written as entities (`#lt;`), and that is done here for all that is a label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

ENTITIES = str.maketrans({"<": "#lt;", ">": "#gt;", "&": "#amp;", "*": "#42;", "_": "#95;", "`": "#96;"})
FORMATTING = re.compile(r"(</?(?:br|b|i|em|strong|u|s|sub|sup|code|small|big|span|font)\b[^<>]*>)", re.I)
LIST_MARKER = re.compile(r"(?m)^([ \t]*)(?:([-+])|(\d+)([.)]))(?=[ \t])")

HEAD = re.compile(r"(?:\s|%%[^\n]*\n|---[ \t]*\n.*?\n---[ \t]*\n)*", re.S)
STATEMENT = re.compile(
    r"[ \t]*(?:%%|(?:classDef|class|style|linkStyle|click|direction|accTitle|accDescr)\b)", re.I
)
NOTE = re.compile(r"[ \t]*note (?:left|right) of[^:]*$", re.I)
END_NOTE = re.compile(r"[ \t]*end note\b", re.I)
DESCRIBED = re.compile(r'([ \t]*state[ \t]+")([^"]*)(".*)', re.I | re.S)
LABELLED = re.compile(r"((?:[^:]|:::)*:)(?!:)(.*)", re.S)
FLOW_TEXT = re.compile(
    r'(?P<quoted>"[^"]*")|(?P<lead>[|\[({]+)(?P<text>[^\[\](){}|"\n]+)(?=[|\])}])',
)


def shielded(text: str) -> str:
    """The diagram with entities in its labels for what HTML or Markdown would take for their own.

    Tags that only set text (`<b>`, `<br>`) stay, and so does all that is no label.
    """
    head = HEAD.match(text)
    body = head.end() if head else 0
    if text.startswith(("flowchart", "graph"), body):
        return text[:body] + "".join(_flowchart(text[body:]))
    return text[:body] + "".join(_states(text[body:]))


def _states(text: str) -> Iterator[str]:
    noted = False
    for line in text.splitlines(keepends=True):
        if noted:
            noted = not END_NOTE.match(line)
            yield entities(line) if noted else line
        elif STATEMENT.match(line):
            yield line
        elif NOTE.match(line):
            noted = True
            yield line
        elif found := DESCRIBED.match(line):
            yield found[1] + entities(found[2]) + found[3]
        elif found := LABELLED.match(line):
            yield found[1] + entities(found[2])
        else:
            yield line


def _flowchart(text: str) -> Iterator[str]:
    """Labels may run over lines where they are quoted."""
    kept = ""
    for line in text.splitlines(keepends=True):
        if not kept and STATEMENT.match(line):
            yield line
            continue
        kept += line
        if kept.count('"') % 2 == 0:
            yield FLOW_TEXT.sub(_flow_text, kept)
            kept = ""
    yield kept


def _flow_text(found: re.Match[str]) -> str:
    if found["quoted"] is None:
        return found["lead"] + entities(found["text"])
    if found["quoted"].startswith('"`'):  # "`...`" is Markdown by the author's own will
        return found["quoted"]
    return f'"{entities(found["quoted"][1:-1])}"'


def entities(label: str) -> str:
    """A label in which every character stands for itself."""
    parts = FORMATTING.split(label)
    parts[::2] = [LIST_MARKER.sub(_marker, part.translate(ENTITIES)) for part in parts[::2]]
    return "".join(parts)


def _marker(found: re.Match[str]) -> str:
    return f"{found[1]}#{ord(found[2])};" if found[2] else f"{found[1]}{found[3]}#{ord(found[4])};"
