"""Where a drawing lies: a file of its own, a fence of a Markdown page, or a directory of both.

    loop.mmd  loop.mermaid     a file that is one drawing
    page.md                    its only fence
    page.md#retry-policy       the fence below the heading "Retry policy"; #3 is the third of the page
    drawings/                  every one of these below it, hidden directories left out

A fence is named after the heading above it, as GitHub makes an anchor of it, and is `NAME-2` where it is the second below that
heading; above all headings its name is its number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fsm.mermaid.error import MermaidError
from fsm.mermaid.javascript import SPACES
from fsm.text import NotUtf8, decode

PLAIN = (".mmd", ".mermaid")
PAGES = (".md", ".markdown")
SUFFIXES = (*PLAIN, *PAGES)

_FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,})[ \t]*([^\n`]*)$")
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*$")


@dataclass(frozen=True)
class Source:
    """The text of one drawing. `line` is the line of `file` in which it begins; `fence` its name in a page, or empty."""

    file: Path
    text: str
    line: int = 1
    fence: str = ""

    @property
    def where(self) -> str:
        """How the drawing is named again: the path, with `#fence` where it lies in a page."""
        return f"{self.file}#{self.fence}" if self.fence else str(self.file)

    @property
    def name(self) -> str:
        """The name of the drawing: its fence's, or its file's without ending."""
        return self.fence or self.file.stem


def drawn_in(where: str | Path) -> bool:
    """Whether a name is one of a file or a page that holds drawings, by its ending."""
    return _split(str(where))[0].suffix.lower() in SUFFIXES


def find_all(where: str | Path) -> list[Source]:
    """Every drawing at a place, a directory's in the order of their paths.

    Raises MermaidError where there is none, or none of that name; OSError as open does.
    """
    path, fence = _split(str(where))
    if path.is_dir():
        if fence:
            raise MermaidError(
                f"{path} is a directory, and has no {fence!r}: name a page in it", file=str(path)
            )
        return _below(path)
    found = _of_file(path)
    if not found:
        raise MermaidError(
            "no drawing is in this page", file=str(path), expected=("a fence that begins with ```mermaid",)
        )
    if not fence:
        return found
    for number, source in enumerate(found, 1):
        if source.fence and fence in (source.fence, str(number)):
            return [source]
    there = tuple(source.where for source in found if source.fence)
    raise MermaidError(f"there is no drawing {fence!r} in {path}", file=str(path), expected=there)


def find(where: str | Path) -> Source:
    """The one drawing at a place. Raises MermaidError where there are several, and as `find_all` does."""
    found = find_all(where)
    if len(found) != 1:
        names = tuple(one.where for one in found)
        raise MermaidError(
            f"it holds {len(found)} drawings where one is wanted: name one of them",
            file=str(where),
            expected=names,
        )
    return found[0]


def _split(where: str) -> tuple[Path, str]:
    """The path and the fence that a name says; a file whose own name has a `#` is meant as it stands."""
    path, mark, fence = where.rpartition("#")
    return (Path(path), fence) if mark and fence and not Path(where).exists() else (Path(where), "")


def _below(directory: Path) -> list[Source]:
    found: list[Source] = []
    for path in sorted(directory.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
        if not hidden and path.suffix.lower() in SUFFIXES and path.is_file():
            found += _of_file(path)
    if not found:
        raise MermaidError(
            f"no drawing is below {directory}: looked for {', '.join(PLAIN)} files, and Mermaid fences in {' and '.join(PAGES)}",
            file=str(directory),
        )
    return found


def _of_file(path: Path) -> list[Source]:
    """The fences of a page; another file without any is one drawing."""
    try:
        text = decode(path.read_bytes(), str(path))
    except NotUtf8 as error:
        raise MermaidError(
            f"the file {error.why}", file=str(path), line=error.line, expected=("UTF-8",)
        ) from None
    page = path.suffix.lower() in PAGES
    fenced = page or _FENCE.match(text.lstrip(SPACES).split("\n")[0])
    found = list(_fences(path, text)) if fenced else []
    return found if page else found or [Source(path, text)]


def _fences(path: Path, text: str) -> Iterator[Source]:
    """The Mermaid fences of a page. A fence closes only on a line of its own, so a label may hold backticks."""
    lines = re.split(r"\r\n?|\n", text)
    opened: tuple[int, str, bool] | None = None  # the fence's line from 0, its marks, is it Mermaid
    heading, count, below = (
        "",
        0,
        0,
    )  # the anchor of the heading above; the fences so far; those below that heading
    for number, line in enumerate(lines):
        found = _FENCE.match(line)
        if opened is None:
            if found:
                language = found.group(3).strip(SPACES).split(" ")[0].lower()
                opened = number, found.group(2), language in ("mermaid", "{mermaid}")
            elif title := _HEADING.match(line):
                heading, below = _anchor(title.group(1)), 0
            continue
        first, marks, is_mermaid = opened
        if found and not found.group(3).strip(SPACES) and found.group(2).startswith(marks):
            if is_mermaid:
                count, below = count + 1, below + 1
                name = f"{heading}-{below}" if heading and below > 1 else heading or str(count)
                yield Source(path, "\n".join(lines[first + 1 : number]) + "\n", first + 2, name)
            opened = None
    if opened is not None and opened[2]:
        raise MermaidError(
            "the fence is never closed",
            file=str(path),
            line=opened[0] + 1,
            expected=(f"a line with only {opened[1]}",),
            source_line=lines[opened[0]],
        )


def _anchor(title: str) -> str:
    """A heading as GitHub links to it: lower case, blanks as hyphens, no punctuation."""
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")
