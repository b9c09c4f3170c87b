"""Statements of a state diagram to the diagram: names, owners and kinds as Mermaid's own code gives them.

The rules are `stateDb.ts` and `dataFetcher.ts` of 12.3.0. Where they do something in silence that an author
would not expect, a diagnostic says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fsm.mermaid.error import MermaidError
from fsm.mermaid.javascript import SPACES
from fsm.mermaid.model import (
    ROOT,
    ClassApplication,
    ClassDef,
    Click,
    Diagnostic,
    Note,
    Severity,
    StateDecl,
    StateDiagram,
    StateKind,
    StyleStatement,
    Transition,
)
from fsm.mermaid.source import Prepared, decode
from fsm.mermaid.state_parser import (
    Body,
    Directed,
    Divider,
    Ignored,
    Mention,
    Parsed,
    Relation,
    Statement,
    StateParser,
    Styled,
)
from fsm.mermaid.swallowed import ARROW_LIKE, STEREOTYPE, hint, in_label, in_name


@dataclass
class _State:
    """A state while its mentions are collected."""

    id: str
    kind: StateKind
    at: int
    shape: str | None
    parent: str | None = None
    scopes: dict[str, None] = field(default_factory=dict)  # ordered, and quick to ask
    descriptions: list[str] = field(default_factory=list)
    direction: str | None = None
    declared: list[str] = field(default_factory=list)
    regions: int = 0
    bodies: int = 0


@dataclass
class _Region:
    """The part of a composite's body between two dividers."""

    statements: list[Statement]
    at: int


_SHAPES = {"start": "stateStart", "end": "stateEnd", "fork": "fork", "join": "join", "choice": "choice"}


def read_state_diagram(prepared: Prepared) -> StateDiagram:
    """The diagram of a text that begins with `stateDiagram`. Raises MermaidError."""
    try:
        return _Builder(prepared, StateParser(prepared).parse()).build()
    except MermaidError as error:
        read = prepared.places.source.rstrip().split("\n")
        more = hint(error.source_line or read[-1])
        if more and more not in error.message:
            error.message += f": {more}"
        raise


class _Builder:
    def __init__(self, prepared: Prepared, parsed: Parsed) -> None:
        self._prepared = prepared
        self._parsed = parsed
        self._states: dict[str, _State] = {}
        self._transitions: list[Transition] = []
        self._seen_edges: dict[tuple[str, str, str | None], int] = {}
        self._notes: list[Note] = []
        self._class_defs: dict[str, ClassDef] = {}
        self._applications: list[ClassApplication] = []
        self._effective: dict[str, list[str]] = {}
        self._styles: list[StyleStatement] = []
        self._clicks: list[Click] = []
        self._directions: dict[str, str] = {}
        self._diagnostics: list[tuple[int, Severity, str]] = []
        self._ignored: list[Ignored] = []
        self._placed: list[Diagnostic] = []
        self._line_of_last = 0
        self._alone: tuple[Mention, int] | None = None  # the last bare mention, and its line
        self._moved: list[tuple[str, int, Severity, str]] = []  # remarks on a state of several composites

    def build(self) -> StateDiagram:
        # Depth first in source order, on a stack: (scope, statements, next index).
        stack: list[tuple[str, list[Statement | _Region], int]] = [
            (ROOT, list(self._parsed.body.statements), 0)
        ]
        while stack:
            scope, statements, at = stack.pop()
            while at < len(statements):
                body = self._statement(scope, statements[at])
                at += 1
                if body is not None:
                    stack.append((scope, statements, at))
                    stack.append((body[0], body[1], 0))
                    break
        self._closing_remarks()
        return self._diagram()

    def _say(self, severity: Severity, at: int, message: str) -> None:
        self._diagnostics.append((at, severity, message))

    # -- statements ------------------------------------------------------------------------------------

    def _statement(
        self, scope: str, statement: Statement | _Region
    ) -> tuple[str, list[Statement | _Region]] | None:
        """Take a statement in; what it holds inside, if it holds something."""
        if isinstance(statement, Mention):
            self._same_line(statement)
            return self._mention(scope, statement)
        if isinstance(statement, Relation):
            self._relation(scope, statement)
        elif isinstance(statement, _Region):
            return self._region(scope, statement)
        elif isinstance(statement, Directed):
            self._direct(scope, statement)
        elif isinstance(statement, Styled):
            self._styled(scope, statement)
        elif isinstance(statement, Ignored):
            self._ignored.append(statement)
        elif isinstance(statement, Divider):
            self._say("warning", statement.at, "nothing follows this `--`, so Mermaid draws no regions")
        return None

    def _same_line(self, mention: Mention) -> None:
        line, _ = self._prepared.place(mention.at)
        bare = not (mention.descriptions or mention.note or mention.body or mention.stereotype)
        if bare and line == self._line_of_last:
            self._say(
                "warning",
                mention.at,
                f"{mention.id!r} is a state of its own: a name is one word, and a label stands behind a colon",
            )
        self._line_of_last = line
        self._alone = (mention, line) if bare and mention.id != "[*]" else None

    def _words(self, text: str, at: int) -> None:
        """Say what a label or description swallows: it stands behind `at`, or in quotes before it."""
        edited = self._prepared.text.text
        found = edited.rfind(f'"{text}"', edited.rfind("\n", 0, at) + 1, at) + 1 or edited.find(text, at)
        for offset, message in in_label(text):
            self._say("warning", found + offset if found >= 0 else at, message)

    def _mention(self, scope: str, mention: Mention) -> tuple[str, list[Statement | _Region]] | None:
        if not mention.id and mention.body is None:
            self._say("warning", mention.at, "Mermaid draws nothing for a state without a name")
            return None
        state = self._enter(scope, mention, first=True)
        for description in mention.descriptions:
            self._words(description, mention.at)
        if mention.classes:
            self._say(
                "warning",
                mention.at,
                f"Mermaid applies `:::{mention.classes[0]}` only to the ends of an edge at the top level",
            )
        if mention.note is not None:
            self._note(scope, state, mention)
        if mention.body is None:
            return None
        return state.id, self._body(scope, state, mention.body)

    def _enter(self, scope: str, mention: Mention, *, first: bool) -> _State:
        """The state that a mention names, brought up to date with it."""
        name, kind = mention.id, "state"
        if name == "[*]":
            kind = "start" if first else "end"
            name = f"{scope}_{kind}"
        declared: StateKind = mention.stereotype or kind  # type: ignore[assignment]
        state = self._states.get(name)
        if state is None:
            shape = _SHAPES.get(declared, None if mention.note else "rect")
            state = self._states[name] = _State(name, declared, mention.at, shape)
            for offset, message in in_name(mention.id) if mention.id != "[*]" else ():
                self._say("warning", mention.at + offset, message)
        elif mention.stereotype and state.kind != mention.stereotype:
            if state.kind != "composite":
                state.kind = declared
            self._say(
                "warning",
                mention.at,
                f"{name!r} is mentioned before it is declared a {mention.stereotype}, so Mermaid draws it as "
                "something else; declare it first",
            )
        top_first = next(iter(state.scopes), scope) == ROOT
        state.scopes[scope] = None
        if scope != ROOT:
            moved: tuple[Severity, str] | None = None
            if state.parent not in (None, scope):
                moved = (
                    "warning",
                    f"{name!r} stood in {state.parent!r}, from here on Mermaid draws it in {scope!r}",
                )
            elif state.parent is None and top_first:
                moved = "info", f"{name!r} stands at the top too, Mermaid draws it in {scope!r}"
            if moved:
                self._moved.append((name, mention.at, *moved))
            if state.parent != scope and self._within(scope, name):
                self._say("error", mention.at, f"{name!r} is drawn inside itself")
            state.parent = scope
        elif state.parent is not None and mention.body is not None:
            self._say(
                "info", mention.at, f"Mermaid draws {name!r} in {state.parent!r}, which mentions it too"
            )
        state.descriptions += mention.descriptions
        state.declared += mention.classes
        return state

    def _within(self, scope: str | None, name: str) -> bool:
        """Whether a scope is a composite or stands inside it."""
        seen = set()
        while scope is not None and scope not in seen:
            if scope == name:
                return True
            seen.add(scope)
            scope = self._states[scope].parent if scope in self._states else None
        return False

    def _body(self, scope: str, state: _State, body: Body) -> list[Statement | _Region]:
        assert body.owner is not None
        at = body.owner.at
        state.bodies += 1
        if state.bodies == 1:
            state.kind = "composite"
            state.shape = "roundedWithTitle"
            state.direction = "TB"
        else:
            self._say("info", at, f"{state.id!r} has more than one body, Mermaid joins them")
        parts = _regions(body)
        if state.bodies == 1 and not isinstance(parts[0] if parts else None, _Region):
            for statement in body.statements:
                if isinstance(statement, Directed):
                    state.direction = statement.way
        return parts

    def _region(self, scope: str, region: _Region) -> tuple[str, list[Statement | _Region]]:
        owner = self._states[scope]
        owner.regions += 1
        name = f"{scope}__region{owner.regions}"
        ways = [part.way for part in region.statements if isinstance(part, Directed)]
        self._states[name] = _State(
            name, "region", region.at, "divider", scope, {scope: None}, direction=ways[-1] if ways else "TB"
        )
        return name, list(region.statements)

    def _relation(self, scope: str, relation: Relation) -> None:
        source = self._enter(scope, relation.source, first=True)
        target = self._enter(scope, relation.target, first=False)
        self._line_of_last, _ = self._prepared.place(relation.target.at)
        if self._alone and self._alone[1] == self._prepared.place(relation.source.at)[0]:
            alone = self._alone[0]
            self._say("warning", alone.at, f"{alone.id!r} is a state of its own: a name is one word")
        self._alone = None
        if relation.label:
            self._words(relation.label, relation.target.at)
        for end, state in ((relation.source, source), (relation.target, target)):
            if end.classes and scope == ROOT:
                self._effective.setdefault(state.id, []).extend(end.classes)
            elif end.classes:
                self._say("warning", end.at, f"Mermaid applies `:::{end.classes[0]}` at the top level only")
        key = (source.id, target.id, relation.label)
        if key in self._seen_edges:
            line, _ = self._prepared.place(self._seen_edges[key])
            self._say(
                "warning", relation.at, f"this edge stands in line {line} already, Mermaid draws it twice"
            )
        self._seen_edges.setdefault(key, relation.at)
        line, column = self._prepared.place(relation.at)
        self._transitions.append(
            Transition(
                source.id,
                target.id,
                relation.label,
                scope,
                line,
                column,
                from_start=relation.source.id == "[*]",
                to_end=relation.target.id == "[*]",
            )
        )

    def _note(self, scope: str, state: _State, mention: Mention) -> None:
        assert mention.note is not None
        position, text = mention.note
        line, column = self._prepared.place(mention.at)
        if "%%" in text.split("\n")[0]:
            self._words(text.split("\n")[0], mention.at)
        side = "left of" if position == "left of" else "right of"
        self._notes.append(Note(state.id, side, text, scope, line, column))  # type: ignore[arg-type]

    def _direct(self, scope: str, statement: Directed) -> None:
        self._directions[scope] = statement.way
        words = statement.line.lower().split()
        if words != ["direction", statement.way.lower()]:
            self._say(
                "warning",
                statement.at,
                f"Mermaid reads this whole line as `direction {statement.way}` and drops the rest of it",
            )

    def _styled(self, scope: str, statement: Styled) -> None:
        line, column = self._prepared.place(statement.at)
        words = tuple(decode(word) for word in statement.words)
        if statement.keyword == "click":
            self._clicks.append(Click(words[0], words[1], words[2], scope, line, column))
            return
        if scope != ROOT:
            self._say("warning", statement.at, f"Mermaid ignores `{statement.keyword}` inside a composite")
        if statement.keyword == "classDef":
            given = statement.words[1].split(",") if words[1] else []
            styles = tuple(decode(_without_semicolon(style)) for style in given)
            if scope == ROOT:
                earlier = self._class_defs.get(words[0])
                styles = (earlier.styles if earlier else ()) + styles
                self._class_defs[words[0]] = ClassDef(words[0], styles, line, column)
        elif statement.keyword == "style":
            self._styles.append(StyleStatement(words[0], words[1], scope, line, column))
        else:
            ids = tuple(name.strip(SPACES) for name in words[0].split(","))
            self._applications.append(ClassApplication(ids, words[1], scope, line, column))
            if scope == ROOT:
                for name in ids:
                    self._effective.setdefault(name, []).append(words[1])

    # -- the end ---------------------------------------------------------------------------------------

    def _closing_remarks(self) -> None:
        self._remark_moved()
        for offset, message in self._prepared.swallowed:
            self._say_at("warning", self._prepared.places.of(offset), message)
        for ignored in self._ignored:
            self._remark_ignored(ignored)
        for message, at in self._parsed.remarks:
            self._say("warning", at, message)
        for at in self._parsed.scanner.hash_comments:
            self._say(
                "warning", at, "Mermaid reads everything behind a `#` at the start of a word as a comment"
            )
        for application in self._applications:
            for name in application.ids:
                if name not in self._states:
                    where = (application.line, application.column)
                    self._say_at("warning", where, f"`class` names {name!r}, which is not a state")
        for state in self._states.values():
            if state.shape is None and not state.descriptions:
                self._say(
                    "warning",
                    state.at,
                    f"Mermaid cannot draw {state.id!r}, whose first mention is a note; name the state before it",
                )
            if state.kind in ("start", "end", "fork", "join", "choice") and state.descriptions:
                self._say(
                    "warning", state.at, f"Mermaid draws the {state.kind} {state.id!r} as a box with its text"
                )
            if state.id == ROOT:
                self._say(
                    "error", state.at, "Mermaid draws no state named 'root', its name for the whole diagram"
                )
            if state.kind == "composite" and len(state.descriptions) > 1:
                raise self._prepared.error(
                    state.at, f"the composite {state.id!r} has more than one description", "one description"
                )

    def _remark_moved(self) -> None:
        """A state of several composites is where it gives its edges; only one that Mermaid draws elsewhere is a surprise."""
        leaving: dict[str, set[str]] = {}
        for edge in self._transitions:
            leaving.setdefault(edge.source, set()).add(edge.scope)
        for name, at, severity, message in self._moved:
            if leaving.get(name) != {self._states[name].parent}:
                self._say(severity, at, message)

    def _remark_ignored(self, ignored: Ignored) -> None:
        if ignored.what == "state" and ARROW_LIKE.fullmatch(ignored.name):
            self._say("warning", ignored.at, "'state' is a word of Mermaid's own and names no state")
        elif ignored.what == "state" and STEREOTYPE.fullmatch(ignored.name):
            self._say(
                "warning",
                ignored.at,
                f"Mermaid draws nothing for {ignored.name}; there is <<fork>>, <<join>> and <<choice>>",
            )
        elif ignored.what == "state":
            if ignored.name not in self._states:
                self._say(
                    "warning",
                    ignored.at,
                    f"Mermaid draws nothing for `state {ignored.name}` alone; write `{ignored.name}` without the word",
                )
        elif ignored.what == "floating note":
            self._say("warning", ignored.at, "Mermaid does not draw a floating note")
        else:
            self._say("info", ignored.at, f"`{ignored.name}` has no effect in Mermaid")

    def _say_at(self, severity: Severity, place: tuple[int, int], message: str) -> None:
        self._placed.append(Diagnostic(severity, message, *place))

    def _diagram(self) -> StateDiagram:
        prepared = self._prepared
        found = [
            Diagnostic(severity, message, *prepared.place(at)) for at, severity, message in self._diagnostics
        ]
        comments = sorted(
            (*prepared.comments, *self._parsed.scanner.comments), key=lambda comment: comment.line
        )
        return StateDiagram(
            file=prepared.places.file,
            source=prepared.places.source,
            title=prepared.title,
            direction=self._directions.get(ROOT, "TB"),
            states=tuple(self._declaration(state) for state in self._states.values()),
            transitions=tuple(self._transitions),
            notes=tuple(self._notes),
            comments=tuple(comments),
            class_defs=tuple(self._class_defs.values()),
            class_applications=tuple(self._applications),
            style_statements=tuple(self._styles),
            clicks=tuple(self._clicks),
            direction_statements=tuple(self._directions.items()),
            acc_title=self._parsed.acc_title,
            acc_descr=self._parsed.acc_descr,
            diagnostics=tuple(sorted([*found, *self._placed], key=lambda one: (one.line, one.column))),
        )

    def _declaration(self, state: _State) -> StateDecl:
        line, column = self._prepared.place(state.at)
        return StateDecl(
            id=state.id,
            kind=state.kind,
            parent=state.parent,
            scopes=tuple(state.scopes),
            descriptions=tuple(state.descriptions),
            line=line,
            column=column,
            shape=_shape(state),
            direction=state.direction,
            classes=tuple(self._effective.get(state.id, ())),
            classes_declared=tuple(state.declared),
        )


def _shape(state: _State) -> str | None:
    """A description turns whatever is no composite into a box."""
    if not state.descriptions or state.bodies:
        return state.shape
    return "rectWithTitle" if len(state.descriptions) > 1 else "rect"


def _regions(body: Body) -> list[Statement | _Region]:
    """The statements of a body, or its regions: every `--` closes one, and the last must not be empty."""
    parts: list[Statement | _Region] = []
    current: list[Statement] = []
    for statement in body.statements:
        if isinstance(statement, Divider):
            parts.append(_Region(current, current[0].at if current else statement.at))
            current = []
        else:
            current.append(statement)
    if not parts or not current:
        return list(body.statements)
    return [*parts, _Region(current, current[0].at)]


def _without_semicolon(style: str) -> str:
    return style.replace(";", "", 1).strip(SPACES)
