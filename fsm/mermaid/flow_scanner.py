"""Tokens of a flowchart: Mermaid's modal lexer (`flow.jison`, 12.3.0) by hand, in linear time.

As in the state scanner the order of the rules is the grammar. Mermaid reads the text of an edge or of an ellipse
one character a token, and asks at each whether the rest is an arrow; here such a text is one token that ends
where the first of those questions would have been answered with yes.
"""

from __future__ import annotations

import re
import unicodedata

from fsm.mermaid.javascript import SPACES, S
from fsm.mermaid.scan import Action, Ahead, LastBefore, Match, Rules, Scanner, pattern, rest_of_line
from fsm.mermaid.source import Prepared

DIRECTIONS = ("TB", "BT", "RL", "LR", "TD")

EXPECTED = {
    "text": ("text, or text in double quotes, up to the closing bracket",),
    "trapText": ("text up to '/]' or '\\]'",),
    "ellipseText": ("text up to '-)'",),
    "edgeText": ("text without '--', then '-->'",),
    "thickEdgeText": ("text without '=', then '==>'",),
    "dottedEdgeText": ("text without '.', then '.->'",),
    "dir": ("TB, TD, BT, LR or RL", "the end of the line"),
    "shapeData": ("key: value, ... up to '}'",),
}

# (mode, the characters that begin its arrow, the arrow without what may stand before it)
_STROKES = (
    ("edgeText", "--", r"--+[-xo>]"),
    ("thickEdgeText", "=", r"==+[=xo>]"),
    ("dottedEdgeText", ".", r"\.+-[xo>]?"),
)

# What opens a text wherever it stands, longest first: (expression, token, mode of the text).
_OPENINGS = (
    (r"\(-", "(-", "ellipseText"),
    (r"\(\[", "STADIUMSTART", "text"),
    (r"\[\[", "SUBROUTINESTART", "text"),
    (r"\[\(", "CYLINDERSTART", "text"),
    (r"\(\(\(", "DOUBLECIRCLESTART", "text"),
)
_SLANTED = ((r"\[/", "TRAPSTART"), (r"\[\\", "INVTRAPSTART"))
_SINGLE = ((r"\|", "PIPE"), (r"\(", "PS"), (r"\[", "SQS"), (r"\{", "DIAMOND_START"))
_CLOSINGS = (
    (r"\]\)", "STADIUMEND"),
    (r"\]\]", "SUBROUTINEEND"),
    (r"\)\]", "CYLINDEREND"),
    (r"\)\)\)", "DOUBLECIRCLEEND"),
    (r"\|", "PIPE"),
    (r"\)", "PE"),
    (r"\]", "SQE"),
    (r"\}", "DIAMOND_STOP"),
)
_KEYWORDS = (
    ("style", "STYLE"),
    ("default", "DEFAULT"),
    ("linkStyle", "LINKSTYLE"),
    ("interpolate", "INTERPOLATE"),
    ("classDef", "CLASSDEF"),
    ("class", "CLASS"),
)
_TARGETS = ("_self", "_blank", "_parent", "_top")
_SIGNS = (
    ("#", "BRKT"),
    (":::", "STYLE_SEPARATOR"),
    (":", "COLON"),
    ("&", "AMP"),
    (";", "SEMI"),
    (",", "COMMA"),
    ("*", "MULT"),
)


class FlowScanner(Scanner):
    """The tokens of a flowchart."""

    expected = EXPECTED

    def __init__(self, prepared: Prepared) -> None:
        text = prepared.text.text
        self._solid = Ahead(text, r"[^\s]")  # the next character that is not white space
        self._quote = Ahead(text, '"')
        self._marks = {mode: Ahead(text, mark.replace(".", r"\.")) for mode, mark, _ in _STROKES}
        self._cores = {mode: pattern(text, core) for mode, _, core in _STROKES}
        self._edge_id = LastBefore(text, r'(?<=[^\s"\[\](){}|])@(?=[^{"])', stops=r'[\s"\[\](){}|]')
        self._first_graph = True
        super().__init__(prepared)

    # -- arrows ----------------------------------------------------------------------------------------

    def _behind_space(self, expression: str) -> Match:
        """`\\s*X`, without reading a run of white space again for each of its characters."""
        match = pattern(self.text, expression)

        def matched(at: int) -> int:
            solid = self._solid.next(at)
            return match(solid[0]) if solid else -1

        return matched

    def _arrow(self, mode: str) -> Match:
        """The arrow that ends a text, with the white space around it."""
        lead = "" if mode != "dottedEdgeText" else "-?"
        core = next(core for name, _, core in _STROKES if name == mode)
        return self._behind_space(rf"[xo<]?{lead}{core}\s*")

    def _label(self, mode: str) -> Match:
        """The text of an edge: up to a quote or to the place where the arrow's own rule matches."""

        def match(at: int) -> int:
            mark = self._marks[mode].next(at)
            quote = self._quote.next(at)
            end = self._arrow_start(mode, at, mark[0]) if mark else len(self.text)
            if quote and quote[0] < end:
                end = quote[0]
            return end if end > at else -1

        return match

    def _arrow_start(self, mode: str, at: int, mark: int) -> int:
        """Where `\\s*[xo<]?-?` before the mark begins, or the mark itself if no arrow stands there."""
        if self._cores[mode](mark) < 0:
            return mark
        start = mark
        if mode == "dottedEdgeText" and start > at and self.text[start - 1] == "-":
            start -= 1
        if start > at and self.text[start - 1] in "xo<":
            start -= 1
        while start > at and self.text[start - 1] in SPACES:
            start -= 1
            self.steps += 1
        return start

    def _ellipse_text(self, at: int) -> int:
        end = at
        while (
            end < len(self.text) and self.text[end] not in "()[]{}" and not self.text.startswith("~~~", end)
        ):
            if self.text[end] == '"' or (self.text[end] in "-/" and self.text.startswith(")", end + 1)):
                break
            end += 1
        return end if end > at else -1

    def _unicode(self, at: int) -> int:
        """A letter outside ASCII, of the basic plane."""
        char = self.text[at : at + 1]
        return at + 1 if "\x80" <= char <= "\uffff" and unicodedata.category(char)[0] == "L" else -1

    def _graph(self, text: str) -> tuple[str, str]:
        if self._first_graph:
            self._first_graph = False
            self._to("dir", pop=False)
        return "GRAPH", text

    # -- the modes -------------------------------------------------------------------------------------

    def _make_rules(self) -> Rules:
        p, token, skip = self._p, self._token, self._skip
        quotes = [(p('"`'), skip("md_string")), (p('"'), skip("string"))]
        invisible = (self._behind_space(r"~~~+\s*"), token("LINK"))
        openings = [(p(opening), token(kind, mode)) for opening, kind, mode in _OPENINGS]
        slanted = [(p(opening), token(kind, "trapText")) for opening, kind in _SLANTED]
        single = [(p(opening), token(kind, "text")) for opening, kind in _SINGLE]
        closings = [(p(closing), token(kind, pop=True)) for closing, kind in _CLOSINGS]
        strokes: Rules = {
            mode: [
                *quotes,
                (self._arrow(mode), token("LINK", pop=True)),
                (self._label(mode), token("EDGE_TEXT")),
            ]
            for mode, _, _ in _STROKES
        }
        return {
            "INITIAL": [
                *self._words(),
                *self._edges(),
                invisible,
                *openings,
                (p(r"\[\|"), token("VERTEX_WITH_PROPS_START")),
                (p(r">"), token("TAGEND", "text")),
                *slanted,
                *self._names(),
                *single,
                (p(r"(?:\r?\n)+"), token("NEWLINE")),
                (p(f"[{S.replace(chr(92) + 'n', '').replace(chr(92) + 'r', '')}]+"), token("SPACE")),
                (self._match_end, token("EOF")),
            ],
            **strokes,
            **self._plain_modes(),
            "text": [
                *quotes,
                invisible,
                *closings[:4],
                *openings,
                *slanted,
                *closings[4:],
                *single[1:],
                (p(r'[^\[\](){}|"]+'), token("TEXT")),
            ],
            "trapText": [
                *quotes,
                invisible,
                *openings,
                (p(r"[\\(?=\])]\]"), token("TRAPEND", pop=True)),
                (p(r"/\]"), token("INVTRAPEND", pop=True)),
                (p(r"/(?!\])|\\(?!\])|[^\\\[\](){}/]+"), token("TEXT")),
            ],
            "ellipseText": [
                *quotes,
                (p(r"[-/)]\)"), token("-)", pop=True)),
                (self._ellipse_text, token("TEXT")),
            ],
        }

    def _p(self, expression: str) -> Match:
        return pattern(self.text, expression)

    def _words(self) -> list[tuple[Match, Action]]:
        """What is tried first in a diagram: texts for screen readers, keywords, directions, ids of edges."""
        p, token, skip = self._p, self._token, self._skip
        return [
            (p(r"accTitle\s*:\s*"), token("acc_title", "acc_title")),
            (p(r"accDescr\s*:\s*"), token("acc_descr", "acc_descr")),
            (p(r"accDescr\s*\{\s*"), skip("acc_descr_multiline")),
            (p(r"@\{"), self._shape_data),
            (p(r"call\s+"), skip("callbackname")),
            (p('"`'), skip("md_string")),
            (p('"'), skip("string")),
            *((p(rf"{word}\b"), token(kind)) for word, kind in _KEYWORDS),
            (p(r"href\s"), token("HREF")),
            (p(r"click\s+"), skip("click")),
            (p(r"(?:flowchart-elk|swimlane-beta|graph|flowchart)\b"), self._graph),
            (p(r"subgraph\b"), token("subgraph")),
            (p(r"end\b\s*"), token("end")),
            *((p(rf"{word}\b"), token("LINK_TARGET")) for word in _TARGETS),
            *((self._direction(way), token(f"direction {way}")) for way in DIRECTIONS),
            (self._edge_id, token("LINK_ID")),
            (p(r"[0-9]+"), token("NUM")),
            *((p(re.escape(sign)), token(kind)) for sign, kind in _SIGNS),
        ]

    def _edges(self) -> list[tuple[Match, Action]]:
        token = self._token
        return [
            (self._behind_space(r"[xo<]?--+[-xo>]\s*"), token("LINK")),
            (self._behind_space(r"[xo<]?--\s*"), token("START_LINK", "edgeText")),
            (self._behind_space(r"[xo<]?==+[=xo>]\s*"), token("LINK")),
            (self._behind_space(r"[xo<]?==\s*"), token("START_LINK", "thickEdgeText")),
            (self._behind_space(r"[xo<]?-?\.+-[xo>]?\s*"), token("LINK")),
            (self._behind_space(r"[xo<]?-\.\s*"), token("START_LINK", "dottedEdgeText")),
        ]

    def _names(self) -> list[tuple[Match, Action]]:
        p, token = self._p, self._token
        return [
            (p("<"), token("TAGSTART")),
            (p(r"\^"), token("UP")),
            (p(r"\\\|"), token("SEP")),
            (p(r"v\b"), token("DOWN")),
            (p(r"""(?:[A-Za-z0-9!"#$%&'*+.`?\\_/]|-(?=[^>\-.]))+"""), token("NODE_STRING")),
            (p("-"), token("MINUS")),
            (self._unicode, token("UNICODE_TEXT")),
        ]

    def _plain_modes(self) -> Rules:
        p, token, skip = self._p, self._token, self._skip
        return {
            "dir": [
                (self._no_direction, token("NODIR", pop=True)),
                (p(r"\s*(?:LR|RL|TB|BT|TD|BR)\b"), token("DIR", pop=True)),
                (p(r"\s*(?:[<>^]|v\b)"), token("DIR", pop=True)),
            ],
            "acc_title": [(p(r"[^\n]*"), token("acc_title_value", pop=True))],
            "acc_descr": [(p(r"[^\n]*"), token("acc_descr_value", pop=True))],
            "acc_descr_multiline": [
                (p(r"\}"), skip(pop=True)),
                (p(r"[^}]*"), token("acc_descr_multiline_value")),
            ],
            "shapeData": [
                (p('"'), token("SHAPE_DATA", "shapeDataStr")),
                (p(r'[^}^"]+'), token("SHAPE_DATA")),
                (p(r"\}"), skip(pop=True)),
            ],
            "shapeDataStr": [
                (p('"'), token("SHAPE_DATA", pop=True)),
                (p(r'[^"]+'), self._shape_string),
            ],
            "callbackname": [
                (p(r"\(\s*\)"), skip(pop=True)),
                (p(r"\("), skip("callbackargs", pop=True)),
                (p(r"[^(]*"), token("CALLBACKNAME")),
            ],
            "callbackargs": [(p(r"\)"), skip(pop=True)), (p(r"[^)]*"), token("CALLBACKARGS"))],
            "click": [
                (p('"`'), skip("md_string")),
                (p('"'), skip("string")),
                (p(r"\s"), skip(pop=True)),
                (p(r"[^\s]*"), token("CLICK")),
            ],
            "md_string": [
                (p(r'[^`"]+'), token("MD_STR")),
                (p('`"'), skip(pop=True)),
                (p('"'), skip("string")),
            ],
            "string": [
                (p('"`'), skip("md_string")),
                (p(r'[^"]+'), token("STR")),
                (p('"'), skip(pop=True)),
            ],
        }

    def _shape_data(self, text: str) -> tuple[str, str]:
        self._to("shapeData", pop=False)
        return "SHAPE_DATA", ""

    def _shape_string(self, text: str) -> tuple[str, str]:
        lines = text.split("\n")
        return "SHAPE_DATA", "<br/>".join([lines[0], *(line.lstrip(SPACES) for line in lines[1:])])

    def _no_direction(self, at: int) -> int:
        """`(\\r?\\n)*\\s*\\n`: white space up to the last line feed of the run."""
        solid = self._solid.next(at)
        return self.text.rfind("\n", at, solid[0] if solid else len(self.text)) + 1 or -1

    def _direction(self, way: str) -> Match:
        return rest_of_line(self.text, rf"direction\s+{way}")
