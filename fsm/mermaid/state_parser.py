"""Tokens of a state diagram to its statements, as Mermaid's grammar nests them.

Bodies nest on an explicit stack: a diagram may be nested deeper than Python recurses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fsm.mermaid.javascript import SPACES
from fsm.mermaid.scan import END, Token
from fsm.mermaid.source import Prepared, decode
from fsm.mermaid.state_scanner import StateScanner


@dataclass
class Mention:
    """A state named somewhere: alone, with a description, a note or a body, or as the end of an edge."""

    id: str
    at: int
    stereotype: str | None = None
    descriptions: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    note: tuple[str, str] | None = None  # position, text
    body: Body | None = None


@dataclass
class Relation:
    source: Mention
    target: Mention
    label: str | None
    at: int


@dataclass
class Divider:
    """`--` between two regions of a composite."""

    at: int


@dataclass
class Directed:
    """`direction LR`; `line` is all that Mermaid took for it."""

    way: str
    line: str
    at: int


@dataclass
class Styled:
    """`classDef`, `class`, `style` and `click`: the words after the keyword."""

    keyword: str
    words: tuple[str, ...]
    at: int


@dataclass
class Ignored:
    """A statement that Mermaid reads and drops."""

    what: str
    name: str
    at: int


Statement = Mention | Relation | Divider | Directed | Styled | Ignored


@dataclass
class Body:
    """What stands between the braces of a composite, or in the whole diagram."""

    statements: list[Statement] = field(default_factory=list)
    owner: Mention | None = None


@dataclass
class Parsed:
    """The statements, the accessibility texts, and what the parser noticed on its way: (message, offset)."""

    body: Body
    acc_title: str | None
    acc_descr: str | None
    remarks: list[tuple[str, int]]
    scanner: StateScanner


_STATEMENT = ("a state", "an edge", "a statement")


class StateParser:
    """Raises MermaidError where Mermaid's parser does."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self.scanner = StateScanner(prepared)
        self._tokens: Iterator[Token] = iter(self.scanner)
        self._token = next(self._tokens)
        self._last = self._token
        self._remarks: list[tuple[str, int]] = []
        self._acc_title: str | None = None
        self._acc_descr: str | None = None
        self._stack = [Body()]

    def parse(self) -> Parsed:
        while self._token.kind == "NL":
            self._advance()
        self._take("SD", "'stateDiagram-v2'")
        root = self._stack[0]
        while self._token.kind != END:
            if self._token.kind == "NL":
                self._advance()
            elif self._token.kind == "STRUCT_STOP" and len(self._stack) > 1:
                self._advance()
                self._stack.pop()
            else:
                self._statement()
        if len(self._stack) > 1:
            owner = self._stack[-1].owner
            assert owner is not None
            raise self._prepared.error(owner.at, f"the body of {owner.id!r} is never closed", "'}'")
        return Parsed(root, self._acc_title, self._acc_descr, self._remarks, self.scanner)

    # -- tokens ----------------------------------------------------------------------------------------

    def _advance(self) -> Token:
        self._last = self._token
        self._token = next(self._tokens)
        return self._last

    def _take(self, kind: str, *expected: str) -> Token:
        if self._token.kind != kind:
            raise self._unexpected(*(expected or (kind,)))
        return self._advance()

    def _unexpected(self, *expected: str) -> Exception:
        token = self._token
        if token.kind == END:
            return self._prepared.error(
                token.start, "the diagram ends in the middle of a statement", *expected
            )
        text = token.text.strip(SPACES).split("\n")[0]
        shown = decode(text if len(text) <= 40 else text[:40] + "…")
        return self._prepared.error(
            _first(token), f"unexpected {shown!r}" if shown else "unexpected end", *expected
        )

    def _remark(self, message: str, at: int) -> None:
        self._remarks.append((message, at))

    def _put(self, statement: Statement) -> None:
        self._stack[-1].statements.append(statement)

    # -- statements ------------------------------------------------------------------------------------

    def _statement(self) -> None:
        token = self._token
        kind = token.kind
        if kind in ("ID", "EDGE_STATE"):
            self._named()
        elif kind == "COMPOSIT_STATE":
            self._composite()
        elif kind == "STATE_DESCR":
            self._described()
        elif kind in ("FORK", "JOIN", "CHOICE"):
            self._advance()
            self._put(Mention(decode(token.text), _first(token), stereotype=kind.lower()))
        elif kind == "CONCURRENT":
            self._advance()
            self._put(Divider(token.start))
        elif kind == "note":
            self._note()
        elif kind.startswith("direction "):
            self._advance()
            self._put(Directed(kind.removeprefix("direction "), token.text, token.start))
        elif kind in ("acc_title", "acc_descr", "acc_descr_multiline_value"):
            self._accessible()
        elif kind == "CLICK":
            self._click()
        elif kind in _STYLING:
            self._styling()
        elif kind in ("HIDE_EMPTY", "scale"):
            self._advance()
            if kind == "scale":
                self._take("WIDTH", "a number")
            self._put(Ignored(kind, token.text.strip(SPACES), token.start))
        else:
            raise self._unexpected(*_STATEMENT)

    def _name(self) -> Mention:
        if self._token.kind not in ("ID", "EDGE_STATE"):
            raise self._unexpected("the name of a state", "[*]")
        token = self._advance()
        mention = Mention(decode(token.text.strip(SPACES)), _first(token))
        if self._token.kind == "STYLE_SEPARATOR":
            self._advance()
            mention.classes = (decode(self._take("ID", "a class name").text.strip(SPACES)),)
        return mention

    def _named(self) -> None:
        first = self._name()
        if self._token.kind == "-->":
            arrow = self._advance()
            second = self._name()
            label = self._description()
            self._put(Relation(first, second, label or None, first.at))
            if label == "":
                self._remark("an empty label is no label", arrow.start)
            return
        description = self._description()
        if description:
            first.descriptions = (description,)
        self._put(first)

    def _description(self) -> str | None:
        if self._token.kind != "DESCR":
            return None
        token = self._advance()
        text = token.text.strip(SPACES)
        rest = self.scanner.text[token.end : token.end + 2]
        if rest.startswith((";", ":")) and rest != ":\n":
            self._remark(
                f"Mermaid ends the label {decode(text[1:].strip(SPACES))!r} before {rest[0]!r} and reads the rest "
                "of the line as something else",
                token.end,
            )
        return decode(text.removeprefix(":").strip(SPACES))

    def _open(self, mention: Mention) -> None:
        mention.body = Body(owner=mention)
        self._put(mention)
        self._stack.append(mention.body)

    def _composite(self) -> None:
        token = self._advance()
        name = decode(token.text)
        if self._token.kind == "STRUCT_START":
            self._advance()
            self._open(Mention(name, token.start))
        else:
            self._put(Ignored("state", name, token.start))

    def _described(self) -> None:
        description = decode(self._advance().text)
        self._take("AS", "'as NAME' behind the description")
        token = self._take("ID", "a name behind 'as'")
        at = _first(token)
        if self._token.kind == "STRUCT_START":
            self._advance()
            self._open(
                Mention(
                    decode(token.text.strip(SPACES)), at, descriptions=(description,) if description else ()
                )
            )
            return
        description = description.strip(SPACES)
        name, colon, more = token.text.partition(":")
        given: tuple[str, ...] = (description,) if description else ()
        if colon:  # `state "a" as b:c`; Mermaid keeps what stands between the first two colons
            given = (description, decode(more.split(":")[0]))
            if ":" in more:
                self._remark(f"Mermaid drops everything from {more[more.index(':') :].strip(SPACES)!r}", at)
        self._put(Mention(decode(name.strip(SPACES)), at, descriptions=given))

    def _note(self) -> None:
        keyword = self._advance()
        if self._token.kind == "NOTE_TEXT":
            text = self._advance().text
            self._take("AS", "'as NAME'")
            self._take("ID", "a name")
            self._put(Ignored("floating note", decode(text), keyword.start))
            return
        if self._token.kind not in ("left of", "right of"):
            raise self._unexpected("'left of'", "'right of'", '"text" as NAME')
        position = self._advance().text.lower()
        name = self._take("ID", "the name of a state")
        note = self._take("NOTE_TEXT", "': text'", "lines of text closed by 'end note'")
        raw = self.scanner.text[note.start : note.end].lstrip(SPACES)
        lead = note.end - note.start - len(raw)
        if raw.startswith(":") and raw[1:].strip(SPACES) != note.text:
            self._remark(
                "Mermaid cuts the first two characters off ': text', so write exactly ': '", note.start + lead
            )
        mention = Mention(decode(name.text.strip(SPACES)), _first(name))
        mention.note = (position, decode(note.text.strip(SPACES)))
        self._put(mention)

    def _accessible(self) -> None:
        token = self._advance()
        if token.kind == "acc_title":
            self._acc_title = decode(self._take("acc_title_value", "a title").text.strip(SPACES))
            return
        if token.kind == "acc_descr":
            token = self._take("acc_descr_value", "a description")
        elif token.end == len(self.scanner.text):
            self._remark("accDescr { is never closed, Mermaid swallows the rest of the diagram", token.start)
        self._acc_descr = decode(token.text.strip(SPACES))

    def _click(self) -> None:
        keyword = self._advance()
        target = self._name()
        if self._token.kind == "HREF":
            self._advance()
            url, tooltip = self._take("STRING", 'a "url"').text, '""'
        else:
            url = self._take("STRING", 'a "url"', "href").text
            tooltip = self._take("STRING", 'a "tooltip"').text
        self._take("NL", "the end of the line")
        words = (target.id, url[1:-1], tooltip[1:-1])
        self._put(Styled("click", words, keyword.start))

    def _styling(self) -> None:
        keyword = self._advance()
        first, second = _STYLING[keyword.kind]
        words = (self._take(first, *_WORDS[first]).text, self._take(second, "styles").text)
        self._put(Styled(keyword.kind, tuple(word.strip(SPACES) for word in words), keyword.start))


_STYLING = {
    "classDef": ("CLASSDEF_ID", "CLASSDEF_STYLEOPTS"),
    "class": ("CLASSENTITY_IDS", "STYLECLASS"),
    "style": ("STYLE_IDS", "STYLEDEF_STYLEOPTS"),
}
_WORDS = {
    "CLASSDEF_ID": ("a class name other than 'default'",),
    "CLASSENTITY_IDS": ("names of states",),
    "STYLE_IDS": ("names of states",),
}


def _first(token: Token) -> int:
    """Where the token's text begins, behind white space that its rule took with it."""
    return token.start + len(token.text) - len(token.text.lstrip(SPACES))
