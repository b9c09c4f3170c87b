"""From the author's text to the text that Mermaid's lexers see, without losing where each character came from.

Mermaid edits a diagram before it reads it (`preprocess.ts`, `utils.ts` of 12.3.0): line ends, double quotes in
HTML tags, front matter, directives, comment lines, `#entities;`. The same edits are made here, each in
linear time (several of Mermaid's own patterns backtrack), on a text that keeps its origin.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from fsm.mermaid.error import MermaidError
from fsm.mermaid.javascript import LINE_ENDS, SPACES, S
from fsm.mermaid.model import Comment
from fsm.mermaid.yaml_text import NotYaml, mapping

_DIRECTIVE = re.compile(
    rf"%%\{{[{S}]*(?:(\w+)[{S}]*:|(\w+))[{S}]*(?:\w+|(?:(?!\}}%%)[^\n\r\u2028\u2029]|\r?\n)*)[{S}]*(?:\}}%%)?",
    re.ASCII,
)
_SPACED_DIRECTIVE = re.compile(r"%%[ \t]+\{[ \t]*(?:init|initialize|config|wrap)\b")
_ENTITY = re.compile(r"#(\w+);", re.ASCII)
_ENCODED = re.compile("ﬂ°°?([A-Za-z0-9_]+)¶ß")


@dataclass(frozen=True)
class Text:
    """A text with, for each stretch of it, the offset in the author's text that the stretch came from."""

    text: str
    starts: tuple[int, ...] = (0,)
    origins: tuple[int, ...] = (0,)

    def origin(self, offset: int) -> int:
        """The offset in the author's text of an offset in this one."""
        at = bisect_right(self.starts, offset) - 1
        return self.origins[at] + offset - self.starts[at]

    def edit(self, spans: Iterable[tuple[int, int, str]]) -> Text:
        """This text with each (start, end, replacement) replaced; the spans ascend and do not overlap."""
        pieces: list[str] = []
        starts: list[int] = []
        origins: list[int] = []
        length = 0

        def keep(start: int, end: int) -> None:
            nonlocal length
            if start >= end:
                return
            first = bisect_right(self.starts, start) - 1
            last = bisect_right(self.starts, end - 1) - 1
            for at in range(first, last + 1):
                begin = max(start, self.starts[at])
                starts.append(length + begin - start)
                origins.append(self.origins[at] + begin - self.starts[at])
            pieces.append(self.text[start:end])
            length += end - start

        done = 0
        for start, end, new in spans:
            keep(done, start)
            if new:
                starts.append(length)
                origins.append(self.origin(start))
                pieces.append(new)
                length += len(new)
            done = end
        keep(done, len(self.text))
        # An offset at or past the end still needs an origin: the end of the author's text.
        starts.append(length)
        origins.append(self.origin(len(self.text)))
        return Text("".join(pieces), tuple(starts), tuple(origins))


@dataclass
class Places:
    """Lines and columns of the author's text, which may begin further down in its file."""

    file: str
    source: str
    first_line: int = 1
    _line_starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._line_starts = [0]
        self._line_starts += [found.end() for found in re.finditer(r"\r\n?|\n", self.source)]

    def of(self, offset: int) -> tuple[int, int]:
        """The 1-based (line, column) of an offset."""
        offset = max(0, min(offset, len(self.source)))
        line = bisect_right(self._line_starts, offset)
        return line + self.first_line - 1, offset - self._line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line of the file, without its end."""
        number -= self.first_line - 1
        start = self._line_starts[number - 1]
        end = self._line_starts[number] if number < len(self._line_starts) else len(self.source)
        return self.source[start:end].rstrip("\r\n")

    def error(
        self, offset: int, message: str, *expected: str, of: type[MermaidError] = MermaidError
    ) -> MermaidError:
        """A MermaidError at an offset of the author's text."""
        line, column = self.of(offset)
        return of(
            message, file=self.file, line=line, column=column, expected=expected, source_line=self.line(line)
        )


@dataclass(frozen=True)
class Prepared:
    """A diagram ready for its lexer: the edited text, and what the edits took out of it."""

    text: Text
    places: Places
    title: str | None
    comments: tuple[Comment, ...]
    directives: tuple[int, ...]  # offsets in the author's text
    swallowed: tuple[tuple[int, str], ...] = ()  # offsets in the author's text, and what to say there

    def place(self, offset: int) -> tuple[int, int]:
        """The author's (line, column) of an offset in the edited text."""
        return self.places.of(self.text.origin(offset))

    def error(
        self, offset: int, message: str, *expected: str, of: type[MermaidError] = MermaidError
    ) -> MermaidError:
        """A MermaidError at an offset of the edited text."""
        return self.places.error(self.text.origin(offset), message, *expected, of=of)


def prepare(source: str, file: str, first_line: int = 1) -> Prepared:
    """Mermaid's `preprocessDiagram` and `encodeEntities`. Raises MermaidError for malformed front matter."""
    places = Places(file, source, first_line)
    text = Text(source)
    if source.startswith("\ufeff"):  # a byte order mark belongs to the file, not to the diagram
        text = text.edit([(0, 1, "")])
    text = text.edit((found.start(), found.end(), "\n") for found in re.finditer(r"\r\n?", text.text))
    text = text.edit(_tag_quotes(text.text))
    title, text = _front_matter(text, places)
    directives = list(_DIRECTIVE.finditer(text.text))
    offsets = tuple(text.origin(found.start()) for found in directives)
    swallowed = [
        (text.origin(found.start()), f"the directive is never closed by `}}%%`; {_taken(found.group())}")
        for found in directives
        if not found.group().endswith("}%%")
    ]
    text = text.edit((found.start(), found.end(), "") for found in directives)
    comments: list[Comment] = []
    spans = []
    for start, mark, end in _comment_lines(text.text):
        line, _ = places.of(text.origin(mark))
        comments.append(Comment(text.text[mark + 2 : end].strip(SPACES), line))
        if _SPACED_DIRECTIVE.match(text.text, mark):
            at = text.origin(mark)
            swallowed.append(
                (at, "this is a comment to Mermaid; a directive begins with `%%{`, without a space")
            )
        spans.append((start, end, ""))
    text = text.edit(spans)
    text = text.edit([(0, len(text.text) - len(text.text.lstrip(SPACES)), "")])
    text = text.edit(_style_semicolons(text.text, "style"))
    text = text.edit(_style_semicolons(text.text, "classDef"))
    text = text.edit(
        (found.start(), found.end(), _encoded(found.group(1))) for found in _ENTITY.finditer(text.text)
    )
    text = text.edit([(len(text.text), len(text.text), "\n")])
    return Prepared(text, places, title, tuple(comments), offsets, tuple(swallowed))


def _taken(directive: str) -> str:
    lines = directive.rstrip().count("\n")
    below = f"the {lines} lines below" if lines > 1 else "the line below"
    return f"Mermaid swallows {below} with it" if lines else "Mermaid reads no setting in it"


def decode(text: str) -> str:
    """The entities of a token as the author wrote them: `#quot;`, not Mermaid's internal marks."""
    return _ENCODED.sub(r"#\1;", text) if "¶ß" in text else text


def _encoded(name: str) -> str:
    return f"ﬂ°°{name}¶ß" if name.isdigit() else f"ﬂ°{name}¶ß"


def _tag_quotes(text: str) -> Iterable[tuple[int, int, str]]:
    """`<b class="x">` to `<b class='x'>`: a double quote would end a label."""
    start = text.find("<")
    while start != -1:
        if not re.compile(r"\w", re.ASCII).match(text, start + 1):
            start = text.find("<", start + 1)
            continue
        end = text.find(">", start)
        if end == -1:
            return
        for found in re.finditer(r'="([^"]*)"', text[start:end]):
            yield start + found.start(), start + found.end(), f"='{found.group(1)}'"
        start = text.find("<", end)


def _front_matter(text: Text, places: Places) -> tuple[str | None, Text]:
    """The title of a leading `---` block, and the text without the block."""
    body = text.text
    fence_at = len(body) - len(body.lstrip(SPACES.replace("\n", "").replace("\r", "")))
    indent = body[:fence_at]
    if not body.startswith("---", fence_at):
        return None, text
    blank = re.compile(f"[{S}]*")
    opening = blank.match(body, fence_at + 3)
    assert opening is not None
    line_breaks = [at for at in range(opening.start(), opening.end()) if body[at] == "\n"]
    if not line_breaks:
        return None, text
    closings: list[tuple[int, int]] = []  # (line break before the fence, end of the block)
    at = body.find("\n" + indent + "---", line_breaks[0] + 1)
    while at != -1:
        after = blank.match(body, at + 1 + len(indent) + 3)
        assert after is not None
        last_break = body.rfind("\n", after.start(), after.end())
        if last_break != -1:
            closings.append((at, last_break + 1))
        at = body.find("\n" + indent + "---", at + 1)
    if not closings:
        return None, text
    # The opening takes as many blank lines as leave it a closing fence; the closing is the first after it.
    begin = max([at for at in line_breaks if at < closings[-1][0]], default=line_breaks[0]) + 1
    close, end = next((close, end) for close, end in closings if close >= begin)
    title = _title(body[begin:close], indent, places, text.origin(begin))
    return title, text.edit([(0, end, "")])


def _title(block: str, indent: str, places: Places, offset: int) -> str | None:
    lines = block.split("\n")
    try:
        values = mapping("\n".join(line.removeprefix(indent) for line in lines))
    except NotYaml as error:
        where = offset + sum(len(line) + 1 for line in lines[: min(error.row, len(lines) - 1)])
        raise places.error(
            where, f"the front matter is not YAML: {error.why}", "YAML between lines of ---"
        ) from None
    return values.get("title") or None


def _comment_lines(text: str) -> Iterable[tuple[int, int, int]]:
    """(start, mark, end) of every comment that Mermaid cuts out whole, with the blank lines before it.

    Mermaid's `/^\\s*%%(?!{)[^\\n]+\\n?/gm`: a bare `%%` stays, and a comment behind a statement.
    """
    done = 0
    mark = text.find("%%")
    while mark != -1:
        first = mark
        while first > done and text[first - 1] in SPACES:
            first -= 1
        start = _line_start(text, first, mark, done)
        follows = text[mark + 2 : mark + 3]
        if start is None or follows in ("", "{", "\n"):
            mark = text.find("%%", mark + 1)
            continue
        end = text.find("\n", mark)
        end = len(text) if end == -1 else end + 1
        yield start, mark, end
        done = end
        mark = text.find("%%", end)


def _line_start(text: str, first: int, mark: int, done: int) -> int | None:
    """The first start of a line in the white space text[first:mark], not before `done`."""
    if first == 0 or (first == done and text[first - 1] in LINE_ENDS):
        return first
    for at in range(first, mark):
        if text[at] in LINE_ENDS:
            return at + 1
    return first if text[first - 1] in LINE_ENDS else None


def _style_semicolons(text: str, keyword: str) -> Iterable[tuple[int, int, str]]:
    """The last `;` of each line that Mermaid's `/style.*:\\S*#.*;/` matches: it would look like an entity."""
    blank = re.compile(f"[{S}]+")
    at = text.find(keyword)
    while at != -1:
        end = text.find("\n", at)
        end = len(text) if end == -1 else end
        semicolon = text.rfind(";", at, end)
        if semicolon != -1:
            words = blank.split(text[at + len(keyword) : semicolon])
            if any(-1 < word.find(":") < word.rfind("#") for word in words):
                yield semicolon, semicolon + 1, ""
        at = text.find(keyword, end)
