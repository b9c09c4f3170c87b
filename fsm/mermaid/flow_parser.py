"""Tokens of a flowchart to its parts, by Mermaid's grammar (`flow.jison`, 12.3.0).

The builder is told of each part as soon as it is complete, for what a part means can depend on those before
it. Subgraphs nest on an explicit stack: a chart may be nested deeper than Python recurses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from fsm.mermaid.error import MermaidError
from fsm.mermaid.flow_builder import FlowBuilder, Link, Words
from fsm.mermaid.flow_scanner import FlowScanner
from fsm.mermaid.javascript import SPACES, S
from fsm.mermaid.model import Flowchart
from fsm.mermaid.scan import END, Token
from fsm.mermaid.source import Prepared, decode
from fsm.mermaid.swallowed import COMMENT

_ID = frozenset(
    "NUM NODE_STRING DOWN MINUS DEFAULT COMMA COLON AMP BRKT MULT UNICODE_TEXT".split()  # noqa: SIM905
)
_ALPHA_NUM = (_ID | {"DIR"}) - {"DEFAULT"}
_TEXT = frozenset(("TEXT", "TAGSTART", "TAGEND", "UNICODE_TEXT"))
_TITLE = frozenset(
    "NUM NODE_STRING SPACE MINUS AMP UNICODE_TEXT COLON MULT BRKT START_LINK STYLE LINKSTYLE CLASSDEF CLASS "  # noqa: SIM905
    "CLICK GRAPH DIR subgraph end DOWN UP".split()
)
_STYLE = frozenset(("NUM", "NODE_STRING", "COLON", "SPACE", "BRKT", "STYLE"))
_SEPARATOR = frozenset(("NEWLINE", "SEMI", "EOF"))

# Bracket that opens a node's text: what may close it, and the shape that makes.
_SHAPES = {
    "SQS": {"SQE": "square"},
    "DOUBLECIRCLESTART": {"DOUBLECIRCLEEND": "doublecircle"},
    "(-": {"-)": "ellipse"},
    "STADIUMSTART": {"STADIUMEND": "stadium"},
    "SUBROUTINESTART": {"SUBROUTINEEND": "subroutine"},
    "CYLINDERSTART": {"CYLINDEREND": "cylinder"},
    "PS": {"PE": "round"},
    "DIAMOND_START": {"DIAMOND_STOP": "diamond"},
    "TAGEND": {"SQE": "odd"},
    "TRAPSTART": {"TRAPEND": "trapezoid", "INVTRAPEND": "lean_right"},
    "INVTRAPSTART": {"INVTRAPEND": "inv_trapezoid", "TRAPEND": "lean_left"},
}
_DOUBLED = {"PS": ("PE", "circle"), "DIAMOND_START": ("DIAMOND_STOP", "hexagon")}
_BRACKETS = {
    "SQE": "']'",
    "PE": "')'",
    "DIAMOND_STOP": "'}'",
    "PIPE": "'|'",
    "DOUBLECIRCLEEND": "')))'",
    "STADIUMEND": "'])'",
    "SUBROUTINEEND": "']]'",
    "CYLINDEREND": "')]'",
    "-)": "'-)'",
    "TRAPEND": "'\\]'",
    "INVTRAPEND": "'/]'",
}


_BRACE_LINE = re.compile(rf"\}}[{S}]*\n")


def read_flowchart(prepared: Prepared) -> Flowchart:
    """The chart of a text that begins with `flowchart` or `graph`. Raises MermaidError."""
    braces = ((found.start(), found.end(), "}\n") for found in _BRACE_LINE.finditer(prepared.text.text))
    prepared = replace(prepared, text=prepared.text.edit(braces))  # Mermaid's `flowParser.ts` does so
    try:
        return FlowParser(prepared).parse().build()
    except MermaidError as error:
        if error.source_line[error.column - 1 :].startswith("%%"):
            error.message += f": {COMMENT}"
        raise


class _Node(NamedTuple):
    id: str
    at: int


@dataclass
class _Open:
    """A subgraph whose `end` has not come yet."""

    at: int
    name: Words | None
    title: Words | None
    members: list[str] = field(default_factory=list)
    direction: str | None = None


class FlowParser:
    """Raises MermaidError where Mermaid's parser or its database does."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self.scanner = FlowScanner(prepared)
        self.builder = FlowBuilder(prepared)
        self._tokens: Iterator[Token] = iter(self.scanner)
        self._token = next(self._tokens)
        self._stack: list[_Open] = []

    def parse(self) -> FlowBuilder:
        self._head()
        while self._token.kind != END:
            kind = self._token.kind
            if kind in _SEPARATOR or kind == "SPACE":
                self._advance()
            elif kind == "end" and self._stack:
                self._advance()
                self._close()
            else:
                self._statement()
        if self._stack:
            raise self._prepared.error(self._stack[-1].at, "the subgraph is never closed", "'end'")
        return self.builder

    # -- tokens ----------------------------------------------------------------------------------------

    def _advance(self) -> Token:
        token = self._token
        self._token = next(self._tokens)
        return token

    def _take(self, kind: str, *expected: str) -> Token:
        if self._token.kind != kind:
            raise self._unexpected(*expected)
        return self._advance()

    def _unexpected(self, *expected: str) -> Exception:
        token = self._token
        if token.kind in (END, "EOF"):
            return self._prepared.error(token.start, "the chart ends in the middle of a statement", *expected)
        text = self.scanner.text[token.start : token.end]
        at = token.start + len(text) - len(text.lstrip(SPACES))
        shown = decode(text.strip(SPACES).split("\n")[0][:40])
        what = (
            f"unexpected {shown!r}"
            if shown
            else "unexpected end of the line"
            if "\n" in text
            else "unexpected space"
        )
        if token.kind == "end":
            what += " (it closes a subgraph: write `End`, or the word in quotes)"
        return self._prepared.error(at, what, *expected)

    def _space(self) -> None:
        self._take("SPACE", "a space")

    def _spaces(self) -> bool:
        found = self._token.kind == "SPACE"
        while self._token.kind == "SPACE":
            self._advance()
        return found

    def _separator(self) -> None:
        if self._token.kind not in _SEPARATOR:
            raise self._unexpected("the end of the line", "';'", "an edge")
        self._advance()

    def _joined(self, kinds: frozenset[str], *expected: str) -> tuple[str, int]:
        """One or more tokens of some kinds, joined."""
        at = self._token.start
        if self._token.kind not in kinds:
            raise self._unexpected(*expected)
        parts = []
        while self._token.kind in kinds:
            parts.append(self._advance().text)
        return decode("".join(parts)), at

    def _words(self, kinds: frozenset[str], quoted: str, *expected: str) -> Words:
        """A text: words, or a quoted string with words behind it; `quoted` is the kind of a string."""
        kind = {"STR": quoted, "MD_STR": "markdown"}.get(self._token.kind)
        if kind is None:
            return Words(self._joined(kinds, *expected)[0], "text")
        text = decode(self._advance().text)
        if self._token.kind in kinds:
            text += self._joined(kinds)[0]
        return Words(text, kind)

    # -- statements ------------------------------------------------------------------------------------

    def _head(self) -> None:
        while self._token.kind in ("SPACE", "NEWLINE"):
            self._advance()
        self._take("GRAPH", "'flowchart'", "'graph'")
        if self._token.kind == "NODIR":
            self._advance()
            return
        self.builder.direct(self._take("DIR", "a direction", "the end of the line").text)
        if self._spaces():
            self._take("NEWLINE", "the end of the line")
        elif self._token.kind in ("SEMI", "NEWLINE"):
            self._advance()
        else:
            raise self._unexpected("the end of the line", "';'")

    def _statement(self) -> None:
        kind = self._token.kind
        if kind == "subgraph":
            self._open()
        elif kind.startswith("direction "):
            self._direction()
        elif kind in ("acc_title", "acc_descr", "acc_descr_multiline_value"):
            self._accessible()
        elif kind in ("STYLE", "LINKSTYLE", "CLASSDEF", "CLASS", "CLICK"):
            {
                "STYLE": self._style,
                "LINKSTYLE": self._link_style,
                "CLASSDEF": self._class_def,
                "CLASS": self._class,
                "CLICK": self._click,
            }[kind]()
            self._separator()
        elif kind in _ID:
            self._chain()
            self._separator()
        else:
            raise self._unexpected("a node", "a subgraph", "a statement")

    def _direction(self) -> None:
        token = self._advance()
        way = token.kind.removeprefix("direction ")
        self.builder.remark_direction(way, token, inside=bool(self._stack))
        if self._stack:
            self._stack[-1].direction = way

    def _accessible(self) -> None:
        token = self._advance()
        if self._stack:
            self.builder.say(
                "warning", token.start, "inside a subgraph Mermaid takes this text for a member as well"
            )
        if token.kind == "acc_title":
            self.builder.acc_title = decode(self._take("acc_title_value", "a title").text.strip(SPACES))
            return
        if token.kind == "acc_descr":
            token = self._take("acc_descr_value", "a description")
        elif token.end == len(self.scanner.text):
            message = "accDescr { is never closed, Mermaid swallows the rest of the chart"
            self.builder.say("warning", token.start, message)
        self.builder.acc_descr = decode(token.text.strip(SPACES))

    def _open(self) -> None:
        keyword = self._advance()
        if self._token.kind in _SEPARATOR:
            raise self._prepared.error(keyword.start, "a subgraph without a name", "a name or a title")
        self._space()
        name = title = self._words(_TITLE, "text", "a name", "a title")
        if self._token.kind == "SQS":
            self._advance()
            title = self._text()
            self._take("SQE", "']'")
        self._separator()
        self._stack.append(_Open(keyword.start, name, title))

    def _close(self) -> None:
        done = self._stack.pop()
        assert done.name is not None
        assert done.title is not None
        name = self.builder.subgraph(done.at, done.name, done.title, done.members, done.direction)
        if self._stack:
            self._stack[-1].members.append(name)

    # -- nodes and edges -------------------------------------------------------------------------------

    def _chain(self) -> None:
        """`A & B --> C[text] -->|label| D`; its nodes become members last group first, as in Mermaid."""
        groups = [self._group()]
        while self._token.kind in ("LINK", "START_LINK", "LINK_ID"):
            link = self._link()
            groups.append(self._group())
            self.builder.link([node.id for node in groups[-2]], [node.id for node in groups[-1]], link)
        if self._stack:
            self._stack[-1].members += [node.id for group in reversed(groups) for node in group]

    def _group(self) -> list[_Node]:
        nodes = [self._node()]
        while True:
            if self._token.kind == "SHAPE_DATA":
                self._shape_data(nodes[-1])
            if not self._spaces() or self._token.kind != "AMP":
                return nodes
            self._advance()
            if not self._spaces():
                raise self._unexpected("a space behind '&'")
            nodes.append(self._node())

    def _shape_data(self, node: _Node) -> None:
        at = self._token.start
        parts = []
        while self._token.kind == "SHAPE_DATA":
            parts.append(self._advance().text)
        self.builder.shape_data(node.id, "".join(parts), at)

    def _node(self) -> _Node:
        name, at = self._joined(_ID, "a node")
        words: Words | None = None
        shape: str | None = None
        if self._token.kind == "VERTEX_WITH_PROPS_START":
            words, shape = self._with_property(), "rect"
        elif self._token.kind in _SHAPES:
            words, shape = self._shaped()
        self.builder.vertex(name, at, words, shape)
        if self._token.kind == "STYLE_SEPARATOR":
            self._advance()
            self.builder.apply_class(name, self._joined(_ID, "a class name")[0], at)
        return _Node(name, at)

    def _with_property(self) -> Words:
        self._advance()
        self._take("NODE_STRING", "a property")
        self._take("COLON", "':'")
        self._take("NODE_STRING", "a value")
        self._take("PIPE", "'|'")
        words = self._text()
        self._take("SQE", "']'")
        return words

    def _shaped(self) -> tuple[Words, str]:
        opening = self._advance().kind
        if opening in _DOUBLED and self._token.kind == opening:
            closing, shape = _DOUBLED[opening]
            self._advance()
            words = self._text()
            self._take(closing, _BRACKETS[closing])
            self._take(closing, _BRACKETS[closing])
            return words, shape
        words = self._text()
        shapes = _SHAPES[opening]
        if self._token.kind not in shapes:
            raise self._unexpected(*(_BRACKETS[closing] for closing in shapes), "the text in double quotes")
        return words, shapes[self._advance().kind]

    def _text(self) -> Words:
        return self._words(_TEXT, "string", "text", "text in double quotes")

    def _link(self) -> Link:
        name = None
        if self._token.kind == "LINK_ID":
            name = decode(self._advance().text).replace("@", "", 1)
        arrow = self._token
        text = self.scanner.text[arrow.start : arrow.end]
        at = arrow.start + len(text) - len(text.lstrip(SPACES))
        if arrow.kind == "START_LINK":
            self._advance()
            inside = self._edge_text()
            end = self._take("LINK", "the end of the edge: '-->', '==>' or '.->'")
            return Link(name, end.text, arrow.text, inside, at)
        self._take("LINK", "an edge")
        words: Words | None = None
        if self._token.kind == "PIPE":
            self._advance()
            words = self._text()
            self._take("PIPE", "'|'")
            if self._token.kind == "SPACE":
                self._advance()
        else:
            self.builder.remark_arrow(arrow, self.scanner.text)
        return Link(name, arrow.text, None, words, at)

    def _edge_text(self) -> Words:
        return self._words(frozenset(("EDGE_TEXT", "UNICODE_TEXT")), "string", "the edge's text")

    # -- styling ---------------------------------------------------------------------------------------

    def _styles(self) -> list[str]:
        styles = [self._joined(_STYLE, "a style")[0]]
        while self._token.kind == "COMMA":
            self._advance()
            styles.append(self._joined(_STYLE, "a style")[0])
        return styles

    def _style(self) -> None:
        keyword = self._advance()
        self._space()
        name, _ = self._joined(_ID, "a node")
        self._space()
        self.builder.style(name, self._styles(), keyword.start)

    def _class_def(self) -> None:
        keyword = self._advance()
        self._space()
        names, _ = self._joined(_ID, "a class name")
        self._space()
        self.builder.class_def(names, self._styles(), keyword.start)

    def _class(self) -> None:
        keyword = self._advance()
        self._space()
        names, _ = self._joined(_ID, "a node")
        self._space()
        self.builder.apply_class(names, self._joined(_ID, "a class name")[0], keyword.start, remark=True)

    def _link_style(self) -> None:
        keyword = self._advance()
        self._space()
        if self._token.kind == "DEFAULT":
            self._advance()
        else:
            self._edge_numbers(keyword.start)
        self._space()
        if self._token.kind == "INTERPOLATE":
            self._advance()
            self._space()
            self._joined(_ALPHA_NUM, "the name of a curve")
            if self._token.kind != "SPACE":
                return
            self._advance()
        self._styles()

    def _edge_numbers(self, at: int) -> None:
        numbers = [self._take("NUM", "the number of an edge", "'default'").text]
        while self._token.kind == "COMMA":
            self._advance()
            numbers.append(self._take("NUM", "the number of an edge").text)
        edges = self.builder.edge_count
        for number in numbers:
            if len(number) > 9 or str(int(number)) != number or int(number) >= edges:
                raise self._prepared.error(at, f"linkStyle names edge {number[:20]}, {edges} stand before it")

    def _click(self) -> None:
        keyword = self._advance()
        names = decode(keyword.text)
        kind = self._token.kind
        if kind == "CALLBACKNAME":
            self._advance()
            if self._token.kind == "CALLBACKARGS":
                self._advance()
            self._tooltip()
            self.builder.click(names, None, keyword.start)
        elif kind in ("HREF", "STR"):
            if kind == "HREF":
                self._advance()
            url = decode(self._take("STR", 'a "url"').text)
            if self._token.kind == "SPACE":
                self._advance()
                if self._token.kind == "STR":
                    self._advance()
                    if self._token.kind == "SPACE":
                        self._advance()
                        self._take("LINK_TARGET", "_self, _blank, _parent or _top")
                else:
                    self._take("LINK_TARGET", 'a "tooltip"', "_self, _blank, _parent or _top")
            self.builder.click(names, url, keyword.start)
        else:
            self._joined(_ALPHA_NUM, "a callback", "href", "call", 'a "url"')
            self._tooltip()
            self.builder.click(names, None, keyword.start)

    def _tooltip(self) -> None:
        if self._token.kind == "SPACE":
            self._advance()
            self._take("STR", 'a "tooltip"')
