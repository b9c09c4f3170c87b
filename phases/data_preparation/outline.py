"""Where the definitions of a C or C++ text begin and end, by its braces.

A body is never read as code here. Strings, comments and preprocessor lines are passed over as a compiler passes over them,
branches that are not compiled (`#if 0`) are left alone, and of the branches of an `#if` inside of a body the first counts.
So a macro that no grammar knows, anywhere in a function, hides neither that function nor the next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from phases.data_preparation.heads import Kind, classify
from phases.data_preparation.tokens import HIDDEN, INNER, OUTER, PLAIN_BLOCK, UNCOMPILED, WORD, blank

Scope = tuple[tuple[Kind, str], ...]
"""The namespaces, classes and linkage blocks around a place, by kind and name."""

_NEVER = (
    r"(?:NEVER|NOTDEF|notdef|NOT_DEFINED|NOT_USED|NOTUSED|NOTYET|notyet|UNUSED|DEAD_CODE|DISABLED|OBSOLETE)"
)
_NOT_DEFINED = rf"defined[ \t]*\(?[ \t]*{_NEVER}[ \t]*\)?"
_ZERO = rf"(?:0+[uUlL]*|false|![ \t]*(?:[1-9]\d*|true)|{_NOT_DEFINED})"
_ONE = rf"(?:[1-9]\d*[uUlL]*|true|![ \t]*(?:0+|false|{_NOT_DEFINED}))"
_FALSE = re.compile(
    rf"#[ \t]*(?:(?:el)?if[ \t]*\(?[ \t]*{_ZERO}[ \t]*\)?[ \t]*(?:&&|//|/\*|$)|ifdef[ \t]+{_NEVER}\b)"
)
_TRUE = re.compile(
    rf"#[ \t]*(?:(?:el)?if[ \t]*\(?[ \t]*{_ONE}[ \t]*\)?[ \t]*(?:\|\||//|/\*|$)|ifndef[ \t]+{_NEVER}\b)"
)
_OPENS = ("if", "ifdef", "ifndef")
_ALTERNATIVE = ("else", "elif", "elifdef", "elifndef")
_MACROS = re.compile(
    r"\s*(?:[A-Z_][A-Z0-9_]*[ \t]*(?:\((?:[^()]|\([^()]*\))*\)[ \t\r]*;?)?[ \t\r]*(?:\n\s*|$))*$"
)
_CATCH = re.compile(r"\s*catch\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*\{")
_PARAMETERS = re.compile(r"\)\s*[A-Za-z_][\w\s*,\[\]()]*$")
_AT_COLUMN_0 = re.compile(r"^\}", re.MULTILINE)
_ANEW = re.compile(r"[ \t]*\n\s*[A-Za-z_~\[]")
_LONGEST = 1 << 14  # characters: no head is longer
_MOST_UNCLOSED = 32  # braces without an end, before the rest of a file is given up


class Definition(NamedTuple):
    """One definition, by places in the text.

    `start` is where its head begins, `brace` its body's opening brace, `end` past its last one. `first` and `last` are `start`
    and `end`, or so far beyond them that every `#if` in between has its `#endif`. `head` is its head without comments,
    directives and the other branches; `scope` is what it stands in.
    """

    start: int
    brace: int
    end: int
    first: int
    last: int
    scope: Scope
    head: str


class _Head(NamedTuple):
    """A head in the making: where it begins, and where the statement in hand does (in K&R's manner, a parameter's
    declaration). `reach` is where the first `#if` begins that ends within it; `holes` are branches that do not count."""

    at: int
    statement: int
    parameters: bool = False
    reach: int | None = None
    holes: tuple[tuple[int, int], ...] = ()


@dataclass
class _Conditional:
    """An open `#if`: what was in hand before it, and at the end of its first branch that may be compiled."""

    start: int
    scope: Scope
    head: _Head
    begun: bool  # a head had begun
    depth: int = 0  # of braces in the body
    live: bool = False  # a branch was that may be compiled
    settled: bool = False  # ... and will be, so no other is
    ended: tuple[Scope, _Head, bool, int] | None = None


@dataclass
class Outline:
    """The definitions of a text, in its order, and where bodies begin that do not end. Line ends are newlines."""

    text: str
    definitions: list[Definition] = field(default_factory=list, init=False)
    endless: list[int] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._scope: Scope = ()
        self._conditionals: list[_Conditional] = []
        self._branched = False
        self._unclosed = 0
        self._begun = -1
        self._begin(0)
        at: int | None = 0
        while at is not None:
            at = self._walk(at)

    def _walk(self, start: int) -> int | None:
        """Go through the text from a place on, up to where a part of it is left out; returns where to go on, None at the end."""
        text = self.text
        for found in OUTER.finditer(text, start):
            at = found.end()
            match text[found.start()]:
                case ";":
                    self._semicolon(found.start())
                case "{":
                    at = self._brace(found.start())
                case "}":
                    self._scope = self._scope[:-1]
                    self._begin(at)
                case "#":
                    at = self._directive(found)
            if at != found.end():
                return at
        return None

    def _begin(self, at: int) -> None:
        """A head may begin here."""
        # past the Python that a NamedTuple is made by: this is done five times for each function
        self._head = tuple.__new__(_Head, (at, at, False, None, ()))

    def _part(self, start: int, end: int) -> str:
        """A part of the text, without what is not code of the head in hand."""
        part = self.text[start:end]
        for first, last in self._head.holes:
            if start <= first < end:
                hole = slice(first - start, last - start)
                part = part[: hole.start] + HIDDEN * len(part[hole]) + part[hole.stop :]
        return blank(part)

    def _semicolon(self, at: int) -> None:
        """The end of a declaration, unless it may be that of a parameter in the manner of K&R."""
        head = self._head
        if head.parameters or (
            ")" in self.text[head.at : at] and _PARAMETERS.search(self._part(head.at, at))
        ):
            self._head = head._replace(parameters=True, statement=at + 1)
        else:
            self._begin(at + 1)

    # braces

    def _brace(self, at: int) -> int:
        """An opening brace outside of bodies; returns where to go on."""
        if self._head.parameters and self._part(self._head.statement, at).strip():
            self._begin(self._head.statement)  # no parameters, but declarations
        head = max(self._head.at, at - _LONGEST)
        before = self._part(head, at)
        kind, name, offset = classify(before)
        if kind in (Kind.NAMESPACE, Kind.CLASS, Kind.LINKAGE):
            self._scope = (*self._scope, (kind, name))
            self._begin(at + 1)
            return at + 1
        start = head + offset
        before_it = list(self._conditionals)
        end = self._block(at + 1)
        if kind is Kind.FUNCTION and (end is None or self._branched):
            end = self._by_column(start, at, end, before_it)
        if end is None:
            if kind is Kind.FUNCTION:
                self.endless.append(start)
            self._conditionals = before_it
            self._begin(at + 1)
            self._unclosed += 1
            return at + 1 if self._unclosed < _MOST_UNCLOSED else len(self.text)
        if kind is Kind.VALUE:
            if _ANEW.match(self.text, end):
                self._begin(end)
            return end
        if kind is Kind.FUNCTION:
            while handler := _CATCH.match(self.text, end):  # the body is a try block
                end = self._block(handler.end()) or handler.end()
            last = self._closed(start, end)
            reach = self._head.reach
            first = reach if reach is not None and reach < start and self._cut(start, last) else start
            self.definitions.append(Definition(start, at, end, first, last, self._scope, before[offset:]))
            end = last
        self._begin(end)
        return end

    def _block(self, at: int) -> int | None:
        """Past the brace that closes the block whose inside begins at `at`."""
        self._branched = False
        if plain := PLAIN_BLOCK.match(self.text, at):
            return plain.end()
        depth = 1
        while at < len(self.text):
            for found in INNER.finditer(self.text, at):
                token = self.text[found.start()]
                if token == "}":
                    depth -= 1
                    if not depth:
                        return found.end()
                elif token == "{":
                    depth += 1
                elif token == "#":
                    at = self._inside(found, depth)
                    if at != found.end():
                        break
            else:
                return None
        return None

    def _by_column(self, start: int, brace: int, end: int | None, before: list[_Conditional]) -> int | None:
        """Where the branches of a body may not agree about its braces, the first brace at the column of the head closes it."""
        if start and self.text[start - 1] != "\n":
            return end
        found = _AT_COLUMN_0.search(self.text, brace)
        if found is None or found.end() == end:
            return end
        self._conditionals = before
        for line in UNCOMPILED.finditer(self.text, brace, found.start()):
            if line["word"] in _OPENS:
                self._open(line.start("line"), live=True)
            elif line["word"] == "endif" and self._conditionals:
                self._conditionals.pop()
        return found.end()

    def _closed(self, start: int, end: int) -> int:
        """The end of a definition with the `#endif`s of all that was opened in it."""
        while self._conditionals and self._conditionals[-1].start >= start:
            end = self._to_endif(end)
            found = OUTER.match(self.text, end)
            end = found.end() if found else end
            self._conditionals.pop()
        return end

    # the preprocessor

    def _directive(self, found: re.Match[str]) -> int:
        """A directive outside of bodies; returns where to go on."""
        if not self._leads(found.start()):
            return found.end()
        word = WORD.match(found.group())
        match word[1] if word else "":
            case "if" | "ifdef" | "ifndef":
                opened = self._open(found.start())
                if not opened.begun:
                    self._begin(found.end())
                return self._enter(opened, found)
            case "else" | "elif" | "elifdef" | "elifndef":
                return self._else(found)
            case "endif":
                self._endif(found)
            case _:
                self._begin(found.end())
        return found.end()

    def _else(self, found: re.Match[str]) -> int:
        if not self._conditionals:
            return found.end()
        at = self._conditionals[-1]
        if at.live and at.ended is None:
            at.ended = (self._scope, self._head, self._unfinished(found.start()), found.start())
        if at.settled or (at.live and at.begun):
            end = self._to_endif(found.end())
            if at.ended is not None and not at.ended[2]:
                self._begin(end)
            return end
        self._scope = at.scope
        if not at.begun:
            self._begin(found.end())
        return self._enter(at, found)

    def _endif(self, found: re.Match[str]) -> None:
        if not self._conditionals:
            return
        at = self._conditionals.pop()
        unfinished = self._unfinished(found.start())
        if at.ended is not None:
            self._scope, head, begun, hole = at.ended
            if begun:  # what the first branch began goes on
                self._head = head._replace(holes=(*head.holes, (hole, found.end())))
                unfinished = True
        if not unfinished:
            self._begin(found.end())
        elif self._head.at > at.start:
            self._reach(at.start)

    def _inside(self, found: re.Match[str], depth: int) -> int:
        """A directive inside of a body; returns where to go on."""
        word = WORD.match(found.group())
        name = word[1] if word else ""
        if not self._leads(found.start()):
            return found.end()
        if name in _OPENS:
            return self._enter(self._open(found.start(), depth=depth), found)
        if self._conditionals and name in _ALTERNATIVE:
            at = self._conditionals[-1]
            return self._to_endif(found.end()) if at.live else self._enter(at, found)
        if self._conditionals and name == "endif":
            at = self._conditionals.pop()
            if at.depth != depth:
                self._branched = True
            if not at.depth:  # it had begun before the body
                self._reach(at.start)
        return found.end()

    def _reach(self, start: int) -> None:
        """The head in hand, or its body, has an `#endif` whose `#if` begins here."""
        reach = self._head.reach
        self._head = self._head._replace(reach=start if reach is None else min(reach, start))

    def _open(self, start: int, depth: int = 0, live: bool = False) -> _Conditional:
        begun = depth > 0 or self._unfinished(start)
        self._conditionals.append(_Conditional(start, self._scope, self._head, begun, depth, live))
        return self._conditionals[-1]

    def _enter(self, at: _Conditional, found: re.Match[str]) -> int:
        """Begin a branch; returns where to go on, which is behind it if it is never compiled."""
        line = found.group()
        if _FALSE.match(line):
            end = self._next_branch(found.end())
            self._pass_over(found.end(), end, begun=at.begun)
            return end
        at.live = True
        at.settled = at.settled or _TRUE.match(line) is not None
        return found.end()

    def _pass_over(self, start: int, end: int, begun: bool) -> None:
        """What is between is not compiled: no part of a head that had begun, and none begins there."""
        if begun:
            self._head = self._head._replace(holes=(*self._head.holes, (start, end)))
        else:
            self._begin(end)

    def _next_branch(self, at: int, alternatives: bool = True) -> int:
        """Where the next directive of the conditional in hand begins."""
        depth = 0
        for found in UNCOMPILED.finditer(self.text, at):
            word = found["word"]
            if word in _OPENS:
                depth += 1
            elif depth == 0 and (word == "endif" or (alternatives and word in _ALTERNATIVE)):
                return found.start("line")
            elif word == "endif":
                depth -= 1
        return len(self.text)

    def _to_endif(self, at: int) -> int:
        return self._next_branch(at, alternatives=False)

    def _leads(self, at: int) -> bool:
        """Whether nothing but blanks stands before this place in its line."""
        return not self.text[self.text.rfind("\n", 0, at) + 1 : at].strip(" \t\f\v")

    def _unfinished(self, at: int) -> bool:
        """Whether a head has begun before this place: code other than macros that stand alone."""
        start = self._head.statement
        if at - start > _LONGEST or not self.text[start:at].strip():
            return False
        if start != self._begun:  # what has begun has begun, whatever follows
            part = self._part(start, at)
            if not part.strip() or _MACROS.match(part):
                return False
            self._begun = start
        return True

    def _cut(self, first: int, last: int) -> bool:
        """Whether more conditionals end between two places than begin."""
        depth = 0
        for found in UNCOMPILED.finditer(self.text, first, last):
            depth += (found["word"] in _OPENS) - (found["word"] == "endif")
            if depth < 0 or (not depth and found["word"] in _ALTERNATIVE):
                return True
        return False
