"""What Mermaid takes for words although its author hardly means it so: in labels, in names, in what surrounds them.

Mermaid reads all of it without complaint, so nothing here changes what is read; it is said, with its place.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

ARROW_LIKE = re.compile(r"[-–—―−=~<>→⇒⟶➔➜⟹]+")
COMMENT_LIKE = re.compile(r"//|/\*|\*/")
COLONS = {"：": "a full-width colon", "﹕": "a small colon", "∶": "a ratio sign", "︰": "a vertical colon"}
STARTS = ("[∗]", "(*)", "*", "[.]", "(*", "[＊]", "［*］")
KEYWORDS = ("state", "note", "class", "classdef", "style", "click", "default", "href", "scale")
CURVED = re.compile("[“”„«»]")
STEREOTYPE = re.compile(r"<<.*>>|\[\[.*\]\]")
COMMENT = "a comment stands on a line of its own, before or after"


def in_label(label: str) -> Iterator[tuple[int, str]]:
    """(offset, message) for what a label swallows."""
    if (at := label.find("%%")) >= 0:
        yield at, f"Mermaid takes `%%` for a part of the label {label!r}; {COMMENT}"
    if (at := label.find("-->")) >= 0:
        yield at, f"the arrow is a part of the label {label!r}, Mermaid draws no edge for it"
    if label.startswith(":"):
        yield 0, f"Mermaid takes the second ':' for a part of the label {label!r}"
    if label.startswith("[*]"):
        yield 0, f"`[*]` is a part of the label {label!r}, Mermaid draws no start and no end for it"
    if label.count('"') == 2 and label[0] == label[-1] == '"':
        yield (
            0,
            f"Mermaid draws the quotes of the label {label} too; only a flowchart's labels stand in quotes",
        )
    elif label.count('"') == 1 and label[0] == '"':
        yield 0, f"the quote that opens the label {label!r} is never closed, and Mermaid draws it"
    yield from invisible(label, "the label")


def in_flow_text(label: str) -> Iterator[tuple[int, str]]:
    """(offset, message) for what a text of a flowchart swallows."""
    if (at := label.find("%%")) >= 0:
        yield at, f"Mermaid takes `%%` for a part of the text {label!r}; {COMMENT}"
    yield from invisible(label, "the text")


def invisible(text: str, what: str) -> Iterator[tuple[int, str]]:
    """Characters that look like a space or like nothing: a label that holds one is not the label that is seen."""
    for at, char in enumerate(text):
        if char in "\t\u00a0\u2007\u202f\u3000" or (
            unicodedata.category(char) in ("Cf", "Cc") and char != "\n"
        ):
            name = "a tab" if char == "\t" else f"U+{ord(char):04X} ({unicodedata.name(char, 'a control')})"
            yield at, f"{what} {text!r} holds {name}, which looks like a space or like nothing"
            return


def in_name(name: str) -> Iterator[tuple[int, str]]:
    """(offset, message) for a name that is hardly meant as one. Mermaid's names are whatever stands there."""
    if ARROW_LIKE.fullmatch(name):
        yield 0, f"Mermaid reads {name!r} as the name of a state; its arrow is `-->`"
    elif COMMENT_LIKE.match(name):
        yield 0, f"Mermaid reads {name!r} as the name of a state; a comment begins with `%%`"
    elif name in STARTS:
        yield 0, f"Mermaid reads {name!r} as the name of a state; start and end are written `[*]`"
    elif found := next((c for c in COLONS if c in name), None):
        yield name.index(found), f"{COLONS[found]} is a part of the name {name!r}; a label stands behind ':'"
    elif not any(char.isalnum() for char in name):
        yield 0, f"Mermaid reads {name!r} as the name of a state"
    elif name[-1] in ";,.!?":
        yield len(name) - 1, f"the {name[-1]!r} is a part of the name {name!r}"
    elif found := next((c for c in "[](){}<>\"'|" if c in name), None):
        yield (
            name.index(found),
            f"the {found!r} is a part of the name {name!r}; a state diagram has no shapes",
        )
    elif quote := CURVED.search(name):
        yield quote.start(), f"the {quote[0]!r} is a part of the name {name!r}; Mermaid's quotes are straight"
    yield from invisible(name, "the name")


def hint(line: str) -> str | None:
    """What a line that Mermaid refuses most likely wants, or None."""
    if found := re.search(r"(?:^|-->)\s*(\w+)\s*(?:-->|:[^:]|$)", line):
        for word in re.findall(r"(?:^\s*|-->\s*)(\w+)(?=\s*(?:-->|:[^:]|$))", line) or [found[1]]:
            if word.lower() in KEYWORDS:
                return f"{word!r} is a word of Mermaid's own and names no state"
    if re.match(r"\s*state\b", line) and CURVED.search(line):
        return "Mermaid's quotes are straight"
    if re.match(r"\s*(?://|--(?!>)|<!--)", line):
        return "a comment begins with `%%`"
    return "an arrow is `-->`" if re.search(r"[^-]->|<-|<-->|--[^->]", line) else None
