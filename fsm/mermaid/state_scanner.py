"""Tokens of a state diagram: Mermaid's modal lexer (`stateDiagram.jison`, 12.3.0) by hand, in linear time.

A mode has an ordered list of rules and the first that matches wins, whatever its length, so the order below is
the grammar. The names of modes and tokens are Mermaid's.
"""

from __future__ import annotations

from fsm.mermaid.error import MermaidError
from fsm.mermaid.javascript import LINE_ENDS, S_IN_LINE, SPACES
from fsm.mermaid.model import Comment
from fsm.mermaid.scan import Action, Ahead, LastBefore, Match, Rules, Scanner, pattern, rest_of_line
from fsm.mermaid.source import Prepared

_FORKS = ("fork", "join", "choice")
_DIRECTIONS = ("TB", "BT", "RL", "LR")

EXPECTED = {
    "struct": ("a state", "an edge", "'}'"),
    "STATE": ("a state's name", '"a description" as NAME'),
    "NOTE": ("'left of NAME'", "'right of NAME'", '"text" as NAME'),
    "NOTE_ID": ("the name of a state",),
    "NOTE_TEXT": ("': text'", "lines of text closed by 'end note'"),
    "SCALE": ("a number and 'width'",),
    "CLASS": ("names of states, then a class",),
    "CLASSDEF": ("a class name, then styles",),
    "STYLE": ("names of states, then styles",),
}


class StateScanner(Scanner):
    """The tokens of a state diagram. ``comments`` and ``hash_comments`` (offsets) fill as it goes."""

    expected = EXPECTED

    def __init__(self, prepared: Prepared) -> None:
        self.comments: list[Comment] = []
        self.hash_comments: list[int] = []
        text = prepared.text.text
        self._brace = Ahead(text, r"\{")
        self._line_end = Ahead(text, f"[{LINE_ENDS}]")
        self._end_note = Ahead(text, r"end note\b", ignore_case=True)
        super().__init__(prepared)

    def _stuck(self, at: int) -> MermaidError:
        if self.text.startswith("-", at) and self._modes[-1] in ("INITIAL", "struct"):
            where = "a dash ends a name: "
            return self._prepared.error(
                at, where + "give such a state a description", "-->", 'state "a-b" as ab'
            )
        if self._modes[-1] == "NOTE_TEXT" and "\n" in self.text[at : at + 2]:
            return self._prepared.error(at, "the note is never closed", "lines of text closed by 'end note'")
        return super()._stuck(at)

    # -- actions ---------------------------------------------------------------------------------------

    def _comment(self, text: str) -> None:
        start = self._at - len(text)
        line, _ = self._prepared.place(start)
        if text.startswith("#"):
            self.hash_comments.append(start)
        else:
            line_start = self.text.rfind("\n", 0, start) + 1
            own = not self.text[line_start:start].strip(SPACES)
            self.comments.append(Comment(text[2:].strip(SPACES), line, own))

    def _id(self, *modes: str, pop: bool = False) -> Action:
        """A name ends where a comment begins."""

        def act(text: str) -> tuple[str, str] | None:
            mark = text.find("%%")
            if mark == 0:
                return None
            if mark > 0:
                self._at -= len(text) - mark
                text = text[:mark]
            self._to(*modes, pop=pop)
            return "ID", text

        return act

    def _stereotype(self, kind: str) -> Action:
        cut = len(kind) + 4  # <<kind>> or [[kind]]

        def act(text: str) -> tuple[str, str]:
            self._to(pop=True)
            return kind.upper(), text[:-cut].strip(SPACES)

        return act

    def _short_note(self, text: str) -> tuple[str, str]:
        self._to(pop=True)
        return "NOTE_TEXT", text[2:].strip(SPACES)  # two characters, whatever they are: `:text` loses its t

    def _long_note(self, text: str) -> tuple[str, str]:
        self._to(pop=True)
        return "NOTE_TEXT", text[: -len("end note")].strip(SPACES)

    def _name_with_space(self, text: str) -> None:
        start = self._at - len(text)
        name = text.rstrip("{").strip(SPACES)
        raise self._prepared.error(
            start, f"a state's name is a single word, found {name!r}", f'state "{name}" as NAME {{'
        )

    # -- rules that a plain expression cannot match in linear time --------------------------------------

    def _match_name_with_space(self, words: Match) -> Match:
        """`\\w+\\s+\\w+.*?\\{`"""

        def match(at: int) -> int:
            end = words(at)
            if end < 0:
                return -1
            brace, stop = self._brace.next(end), self._line_end.next(end)
            return brace[1] if brace and (stop is None or brace[0] < stop[0]) else -1

        return match

    def _match_long_note(self, at: int) -> int:
        """`[\\s\\S]*?\\n\\s*end note\\b`"""
        found = self._end_note.next(at)
        while found:
            start = found[0]
            before = start
            while before > at and self.text[before - 1] in SPACES:
                before -= 1
            self.steps += start - before
            if "\n" in self.text[before:start]:
                return found[1]
            found = self._end_note.next(found[1])
        return -1

    # -- the modes -------------------------------------------------------------------------------------

    def _make_rules(self) -> Rules:
        def p(expression: str) -> Match:
            return pattern(self.text, expression, ignore_case=True)

        token, skip, name = self._token, self._skip, self._id
        line_space: list[tuple[Match, Action]] = [(p(f"[{S_IN_LINE}]+"), skip())]
        comments: list[tuple[Match, Action]] = [
            (p(r"#[^\n]*"), self._comment),
            (p(r"%%(?!\{)[^\n]*"), self._comment),
        ]
        directions: list[tuple[Match, Action]] = [
            (self._direction(way), token(f"direction {way}")) for way in _DIRECTIONS
        ]
        names: list[tuple[Match, Action]] = [
            (p(r"\[\*\]"), token("EDGE_STATE")),
            (p(r"[^:\n\s\-\{]+"), name()),
            (p(r":(?:[^:\n;]|:[^:\n;])+"), token("DESCR")),
            (p(r"-->"), token("-->")),
        ]
        class_def = (p(r"classDef\s+"), token("classDef", "CLASSDEF"))
        css_class = (p(r"class\s+"), token("class", "CLASS"))
        style = (p(r"style\s+"), token("style", "STYLE"))
        state = (p(r"state\s+"), skip("STATE"))
        note = (p(r"note\s+"), token("note", "NOTE"))
        struct = token("STRUCT_START", "struct", pop=True)
        return {
            "INITIAL": [
                (p(r"click\b"), token("CLICK")),
                (p(r"href\b"), token("HREF")),
                (p(r'"[^"]*"'), token("STRING")),
                (p(r"default\b"), token("DEFAULT")),
                *directions,
                (p(r"\n+"), token("NL")),
                (p(r"\s+"), skip()),
                *comments,
                (p(r"scale\s+"), token("scale", "SCALE")),
                (p(r"accTitle\s*:\s*"), token("acc_title", "acc_title")),
                (p(r"accDescr\s*:\s*"), token("acc_descr", "acc_descr")),
                (p(r"accDescr\s*\{\s*"), skip("acc_descr_multiline")),
                class_def,
                css_class,
                style,
                state,
                (p(r"\{"), struct),
                note,
                (p(r"stateDiagram(?:-v2)?\s+"), token("SD")),
                (p(r"hide empty description\b"), token("HIDE_EMPTY")),
                *names,
                (p(r":::"), token("STYLE_SEPARATOR")),
                (self._match_end, token("NL")),
            ],
            "struct": [
                *line_space,
                *comments,
                class_def,
                css_class,
                style,
                state,
                *directions,
                (p(r"\}"), token("STRUCT_STOP", pop=True)),
                (p(r"\n"), skip()),
                note,
                *names,
                (p(r"--"), token("CONCURRENT")),
                (p(r":::"), token("STYLE_SEPARATOR")),
            ],
            "STATE": [
                *line_space,
                *comments,
                *((self._on_line(f"<<{kind}>>"), self._stereotype(kind)) for kind in _FORKS),
                *((self._on_line(rf"\[\[{kind}\]\]"), self._stereotype(kind)) for kind in _FORKS),
                (p('"'), skip("STATE_STRING")),
                (p(r"\s*as\s+"), token("AS", "STATE_ID")),
                (self._match_name_with_space(p(r"\w+\s+\w+")), self._name_with_space_action()),
                (p(r"[^\n\s\{]+"), token("COMPOSIT_STATE")),
                (p(r"\n"), skip(pop=True)),
                (p(r"\{"), struct),
            ],
            "STATE_STRING": [(p('"'), skip(pop=True)), (p('[^"]*'), token("STATE_DESCR"))],
            "STATE_ID": [(p(r"[^\n\{]*"), name(pop=True))],
            "NOTE": [
                (p(r"left of\b"), token("left of", "NOTE_ID", pop=True)),
                (p(r"right of\b"), token("right of", "NOTE_ID", pop=True)),
                (p('"'), skip("FLOATING_NOTE", pop=True)),
            ],
            "NOTE_ID": [(p(r"\s*[^:\n\s\-]+"), name("NOTE_TEXT", pop=True))],
            "NOTE_TEXT": [
                (p(r"\s*:[^:\n;]+"), self._short_note),
                (self._match_long_note, self._long_note),
            ],
            "FLOATING_NOTE": [
                (p(r"\s*as\s*"), token("AS", "FLOATING_NOTE_ID", pop=True)),
                (p('"'), skip()),
                (p('[^"]*'), token("NOTE_TEXT")),
            ],
            "FLOATING_NOTE_ID": [(p(r"[^\n]*"), name(pop=True))],
            "SCALE": [(p(r"\d+"), token("WIDTH")), (p(r"\s+width\b"), skip(pop=True))],
            "acc_title": [(p(r"[^\n]*"), token("acc_title_value", pop=True))],
            "acc_descr": [(p(r"[^\n]*"), token("acc_descr_value", pop=True))],
            "acc_descr_multiline": [
                (p(r"\}"), skip(pop=True)),
                (p(r"[^}]*"), token("acc_descr_multiline_value")),
            ],
            "CLASSDEF": [
                (p(r"DEFAULT\s+"), token("DEFAULT_CLASSDEF_ID", "CLASSDEFID", pop=True)),
                (p(r"\w+\s+"), token("CLASSDEF_ID", "CLASSDEFID", pop=True)),
            ],
            "CLASSDEFID": [(p(r"[^\n]*"), token("CLASSDEF_STYLEOPTS", pop=True))],
            "CLASS": [(p(r"\w+(?:,\s*\w+)*"), token("CLASSENTITY_IDS", "CLASS_STYLE", pop=True))],
            "CLASS_STYLE": [(p(r"[^\n]*"), token("STYLECLASS", pop=True))],
            "STYLE": [(p(r"[\w,]+\s+"), token("STYLE_IDS", "STYLEDEF_STYLES", pop=True))],
            "STYLEDEF_STYLES": [(p(r"[^\n]*"), token("STYLEDEF_STYLEOPTS", pop=True))],
        }

    def _name_with_space_action(self) -> Action:
        def act(text: str) -> None:
            self._name_with_space(text)

        return act

    def _on_line(self, expression: str) -> Match:
        return LastBefore(self.text, expression, ignore_case=True)

    def _direction(self, way: str) -> Match:
        """A line that holds `direction LR` anywhere is nothing but a direction."""
        return rest_of_line(self.text, rf"direction\s+{way}", ignore_case=True)
