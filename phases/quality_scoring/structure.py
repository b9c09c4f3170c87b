"""C text looked at as code: parsed once by tree-sitter, then asked.

Comments and strings are not code, `#if 0` is not code, and the body of a macro is. Nothing here recurses over the
tree: ten thousand nested brackets are a text like any other.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import tree_sitter_c
from tree_sitter import Language, Node, Parser, Query, QueryCursor

from phases.quality_scoring.callgraph import on_cycles
from phases.quality_scoring.heaps import parse_long, refuse_heaps

_C = Language(tree_sitter_c.language())

_QUERY = Query(
    _C,
    """
    (comment) @comment
    [(string_literal) (char_literal) (system_lib_string)] @string
    (identifier) @identifier
    (type_identifier) @type
    (primitive_type) @primitive
    [(struct_specifier name: (_) @tag) (union_specifier name: (_) @tag) (enum_specifier name: (_) @tag)]
    (field_identifier) @field
    [(true) (false) (null)] @constant
    (function_definition) @function
    (function_declarator declarator: (identifier) @declares)
    (type_definition declarator: (_) @declares)
    (translation_unit (declaration declarator: (_) @global))
    (enumerator name: (identifier) @declares)
    (preproc_def name: (identifier) @declares)
    (preproc_function_def name: (identifier) @declares)
    (call_expression function: (identifier) @call)
    (goto_statement) @goto
    [(while_statement) (for_statement) (do_statement)] @loop
    (switch_statement) @switch
    (break_statement) @break
    (return_statement) @return
    (storage_class_specifier) @qualifier
    (type_qualifier) @qualifier
    (preproc_arg) @macro
    (preproc_include) @include
    (preproc_if condition: (number_literal) @zero)
    [(field_declaration) (enumerator) (initializer_list) (init_declarator)] @data
    [(if_statement) (assignment_expression) (update_expression)] @work
    (translation_unit [(expression_statement) (if_statement) (for_statement) (while_statement) (do_statement)
        (switch_statement) (return_statement) (goto_statement)] @loose)
    """,
)
_FAULTS = Query(_C, "(ERROR) @error (MISSING) @missing")

_SMALL = 8192  # bytes, in which nothing can take longer than a blink
_NEVER = 1 << 62

# `typedef unsigned char uint8_t;` declares what tree-sitter takes for a word of the language.
_NAMES = ("identifier", "type_identifier", "field_identifier", "primitive_type")
_MACRO_INTEREST = re.compile(rb"\w{3,}")
_TRUE = re.compile(rb"true|TRUE|!(?:0[uUlL]*|false|FALSE)|(?:0[xX])?0*[1-9a-fA-F][0-9a-fA-F]*[uUlL]*")
_ZERO = re.compile(rb"0[uUlL]*")
_DOXYGEN = re.compile(r"/\*\*(?![*/])|/\*!|///(?!/)|//!")
_TAG = re.compile(r"[@\\](brief|param|return|retval)")
_TAGS = {"retval": "return"}
_WORD = re.compile(r"\w")
_ALL_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Found:
    """Something in the code: its text and the line it begins in, from 1."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Function:
    """A function definition; `start` and `end` are byte offsets, `body` its block."""

    name: str
    start: int
    end: int
    body: Node
    line: int


class Structure:
    """What a text is, as C code. Offsets are bytes of its UTF-8 form; lines count from 1.

    Raises Unreadable for a long text in which nothing holds together.
    """

    def __init__(self, code: str, *, macros: bool = True) -> None:
        self.source = code.encode("utf-8", "replace")
        parser = Parser(_C)
        long = len(self.source) > _SMALL
        self._tree = parse_long(parser, self.source) if long else parser.parse(self.source)
        root = self._tree.root_node
        self._has_error = root.has_error
        if long:
            refuse_heaps(self._tree)
        self._nodes = QueryCursor(_QUERY).captures(root)
        self._dead = self._unread_branches()
        if self._dead:
            self._nodes = {kind: [n for n in ns if self._alive(n)] for kind, ns in self._nodes.items()}
        self._macros = self._macro_bodies() if macros else []

    def _unread_branches(self) -> list[tuple[int, int]]:
        """Where the first branches of `#if 0` stand, in order, none in another."""
        branches: list[tuple[int, int]] = []
        for zero in sorted(self._nodes.get("zero", ()), key=lambda n: n.start_byte):
            directive = zero.parent
            if directive is None or not _ZERO.fullmatch(self._text(zero)):
                continue
            other = directive.child_by_field_name("alternative")
            if not branches or branches[-1][1] <= directive.start_byte:
                branches.append((directive.start_byte, other.start_byte if other else directive.end_byte))
        return branches

    def _macro_bodies(self) -> list[tuple[int, Structure]]:
        """What macros stand for, as code, and where it stands."""
        bodies = []
        for node in self._nodes.get("macro", ()):
            if _MACRO_INTEREST.search(text := self._text(node)):
                body = "void m(void){" + text.decode("utf-8", "replace") + "\n;}"
                bodies.append((node.start_byte, Structure(body, macros=False)))
        return bodies

    def _alive(self, node: Node) -> bool:
        at = node.start_byte
        i = bisect_right(self._dead, at, key=lambda branch: branch[0]) - 1
        return i < 0 or at >= self._dead[i][1]

    def _text(self, node: Node) -> bytes:
        return self.source[node.start_byte : node.end_byte]

    def _names(self, kind: str) -> list[bytes]:
        source = self.source
        return [source[n.start_byte : n.end_byte] for n in self._nodes.get(kind, ())]

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(m.end() for m in re.finditer(rb"\n", self.source))]

    def line(self, offset: int) -> int:
        """The line of a byte offset."""
        return bisect_right(self._line_starts, offset)

    # Names

    @cached_property
    def identifiers(self) -> frozenset[str]:
        """Names of variables, functions, constants and macros."""
        own = {n.decode("utf-8", "replace") for n in set(self._names("identifier"))}
        return frozenset(own.union(*(m.identifiers - {"m"} for _, m in self._macros)))

    @cached_property
    def variables(self) -> frozenset[str]:
        """Names of variables: those of neither functions, constants nor macros."""
        functions = {f.name for f in self.functions} | {name for _, name in self.called}
        return self.identifiers - self._declared("declares") - functions

    @cached_property
    def types(self) -> frozenset[str]:
        """Names of types, built-in and fixed-width ones included, and tags."""
        own = {n.decode("utf-8", "replace") for n in {*self._names("type"), *self._names("primitive")}}
        return frozenset(own.union(*(m.types - {"void"} for _, m in self._macros)))

    @cached_property
    def foreign_types(self) -> frozenset[str]:
        """Names that are plainly types and that the text does not declare."""
        types, tags = set(self._names("type")), set(self._names("tag"))
        return (
            frozenset(n.decode("utf-8", "replace") for n in types - tags) - self.declared - self.identifiers
        )

    @cached_property
    def names(self) -> frozenset[str]:
        """All names of the code: identifiers, types, and the members of structures."""
        own = {n.decode("utf-8", "replace") for n in {*self._names("field"), *self._names("constant")}}
        return self.identifiers | self.types | own.union(*(m.names - {"m", "void"} for _, m in self._macros))

    @cached_property
    def declared(self) -> frozenset[str]:
        """Names that the text itself makes known to all of it: types, functions, variables, constants, macros."""
        return self._declared("declares") | self._declared("global")

    def _declared(self, kind: str) -> frozenset[str]:
        return frozenset(self._declared_name(n).decode("utf-8", "replace") for n in self._nodes.get(kind, ()))

    def _declared_name(self, declarator: Node) -> bytes:
        """The name inside pointers, arrays and parameter lists."""
        node: Node | None = declarator
        while node is not None and node.type not in _NAMES:
            node = node.child_by_field_name("declarator") or (
                node.named_child(0) if node.type == "parenthesized_declarator" else None
            )
        return self._text(node) if node is not None else b""

    def type_line(self, name: str) -> int:
        """The first line in which a type is named; 1 if only a macro does."""
        return (
            min(self._first("type", name), self._first("primitive", name), key=lambda line: line or _NEVER)
            or 1
        )

    def name_line(self, name: str) -> int:
        """The first line in which an identifier stands; 1 if only a macro has it."""
        return self._first("identifier", name) or 1

    def _first(self, kind: str, name: str) -> int:
        wanted = name.encode()
        at = [n.start_byte for n in self._nodes.get(kind, ()) if self._text(n) == wanted]
        return self.line(min(at)) if at else 0

    # What the code does

    @cached_property
    def called(self) -> list[tuple[int, str]]:
        """Every call by name, in order, those in macros where the macro is."""
        own = [(n.start_byte, self._text(n).decode("utf-8", "replace")) for n in self._nodes.get("call", ())]
        return sorted(own + [(at, name) for at, macro in self._macros for _, name in macro.called])

    def calls(self, functions: frozenset[str]) -> list[Found]:
        """Every call of one of the functions, in order; one that is named without being called counts once."""
        if not (present := self.identifiers & functions):
            return []
        found = [Found(name, self.line(at)) for at, name in self.called if name in present]
        uncalled = present - {f.text for f in found} - self.declared
        return found + [Found(name, self.name_line(name)) for name in sorted(uncalled)]

    @cached_property
    def gotos(self) -> list[Found]:
        """Every goto."""
        own = [Found("goto", self.line(n.start_byte)) for n in self._nodes.get("goto", ())]
        return own + [Found("goto", self.line(at)) for at, macro in self._macros if macro.gotos]

    def qualifier(self, word: str) -> Found | None:
        """The first use of a storage class or qualifier: static, const, volatile."""
        wanted = word.encode()
        at = [n.start_byte for n in self._nodes.get("qualifier", ()) if self._text(n) == wanted]
        if at:
            return Found(word, self.line(min(at)))
        return next((Found(word, self.line(at)) for at, m in self._macros if m.qualifier(word)), None)

    @cached_property
    def functions(self) -> list[Function]:
        """The function definitions, in order."""
        found = []
        for node in self._nodes.get("function", ()):
            body, declarator = node.child_by_field_name("body"), node.child_by_field_name("declarator")
            if body is not None and declarator is not None:
                name = self._declared_name(declarator).decode("utf-8", "replace")
                line = self.line(node.start_byte)
                found.append(Function(name, node.start_byte, node.end_byte, body, line))
        return sorted(found, key=lambda f: f.start)

    @property
    def loose(self) -> bool:
        """Whether statements stand outside functions: a piece of a function's inside."""
        return bool(self._nodes.get("loose"))

    @cached_property
    def recursive(self) -> list[Function]:
        """The functions that can come to call themselves, on the call graph of the text."""
        by_name = {f.name: f for f in self.functions}
        calls: dict[str, set[str]] = {name: set() for name in by_name}
        for at, callee in self.called:
            if callee in by_name and (caller := self._around(at)) is not None:
                calls[caller.name].add(callee)
        again = on_cycles(calls)
        return [f for f in by_name.values() if f.name in again]

    def _around(self, offset: int) -> Function | None:
        i = bisect_right(self.functions, offset, key=lambda f: f.start) - 1
        return self.functions[i] if i >= 0 and offset < self.functions[i].end else None

    @cached_property
    def endless_loops(self) -> list[Found]:
        """Loops whose condition is always true, without a break or a return in their own body."""
        loops = self._nodes.get("loop", ())
        endless = [loop for loop in loops if self._always(loop)]
        if not endless:
            return []
        left = self._left_by_break()
        returns = sorted(n.start_byte for n in self._nodes.get("return", ()))
        return [
            Found("endless loop", self.line(loop.start_byte))
            for loop in sorted(endless, key=lambda n: n.start_byte)
            if loop.start_byte not in left
            and bisect_left(returns, loop.start_byte) == bisect_left(returns, loop.end_byte)
        ]

    def _left_by_break(self) -> set[int]:
        """Where the loops and switches begin that a break leaves: each the innermost around its break."""
        around = [
            (n.start_byte, n.end_byte) for kind in ("loop", "switch") for n in self._nodes.get(kind, ())
        ]
        breaks = [(n.start_byte, -1) for n in self._nodes.get("break", ())]
        left: set[int] = set()
        open_ones: list[tuple[int, int]] = []
        for start, end in sorted(around + breaks):
            while open_ones and open_ones[-1][1] <= start:
                open_ones.pop()
            if end >= 0:
                open_ones.append((start, end))
            elif open_ones:
                left.add(open_ones[-1][0])
        return left

    def _always(self, loop: Node) -> bool:
        condition = loop.child_by_field_name("condition")
        if condition is None:
            return loop.type == "for_statement"
        text = self._text(condition)
        return bool(_TRUE.fullmatch(text.translate(None, b" \t\n()")))

    @cached_property
    def includes(self) -> list[Found]:
        """The #include directives, as they are written."""
        found = []
        for node in self._nodes.get("include", ()):
            if (path := node.child_by_field_name("path")) is not None:
                found.append(Found(self._text(path).decode("utf-8", "replace"), self.line(node.start_byte)))
        return found

    # Whether there is code

    @cached_property
    def substance(self) -> bool:
        """Whether there is code that says anything: not only comments, prose, or functions that do nothing."""
        if any(map(self._does_something, self.functions)) or self._nodes.get("data"):
            return True
        if self.functions:
            return False
        if self._has_error:  # prose has no blocks; a function that breaks off has
            busy = any(self._nodes.get(kind) for kind in ("work", "call", "return", "loop", "switch", "goto"))
            return busy and b"{" in self.bare
        return any(
            child.type != "comment" and self._alive(child) for child in self._tree.root_node.named_children
        )

    def _does_something(self, function: Function) -> bool:
        return any(map(self._is_deed, function.body.named_children))

    def _is_deed(self, statement: Node) -> bool:
        """Not a comment, `;`, a mute `(void)x;`, or a `return` of nothing or of a literal."""
        inner = next(iter(statement.named_children), None)  # named_child(0) raises where there is none
        match statement.type:
            case "comment":
                return False
            case "expression_statement":
                return inner is not None and not (
                    inner.type == "cast_expression" and self._text(inner).startswith((b"(void)", b"( void )"))
                )
            case "return_statement":
                return inner is not None and not inner.type.endswith(("literal", "true", "false", "null"))
            case "compound_statement":
                return any(c.type != "comment" for c in statement.named_children)
            case "declaration":
                return any(c.type == "init_declarator" for c in statement.named_children)
        return True

    @cached_property
    def faults(self) -> list[Found]:
        """Where the text leaves the grammar of C: what is missing, or could not be read."""
        if not self._has_error:
            return []
        found = []
        for kind, nodes in QueryCursor(_FAULTS).captures(self._tree.root_node).items():
            for n in filter(self._alive, nodes):
                found.append((n.start_byte, n.type if kind == "missing" else "error"))
        return [Found(what, self.line(at)) for at, what in sorted(found)]

    # Text without comments and strings

    @cached_property
    def bare(self) -> bytes:
        """The code with comments gone and strings empty; line ends stay."""
        pieces, at = [], 0
        nodes = [(n.start_byte, n.end_byte, b"") for n in self._nodes.get("comment", ())]
        nodes += [(n.start_byte, n.end_byte, b'""') for n in self._nodes.get("string", ())]
        nodes += [(start, end, b"") for start, end in self._dead]
        for start, end, instead in sorted(nodes):
            if start >= at:
                pieces += [self.source[at:start], instead, b"\n" * self.source.count(b"\n", start, end)]
                at = end
        return b"".join([*pieces, self.source[at:]])

    @cached_property
    def copies(self) -> list[tuple[Function, Function]]:
        """Functions that stand in the text a second time, under any name: each with the one it repeats."""
        first: dict[str, Function] = {}
        again = []
        if len(self.functions) < 2:
            return []
        comments = sorted((n.start_byte, n.end_byte) for n in self._nodes.get("comment", ()))
        for f in self.functions:
            if not self._does_something(f):
                continue
            text = _without(self.source, f.body.start_byte, f.body.end_byte, comments).decode(
                "utf-8", "replace"
            )
            key = _ALL_SPACE.sub("", re.sub(rf"\b{re.escape(f.name)}\b", "", text))
            if len(key) >= 40:  # two short getters may well be alike
                if key in first:
                    again.append((f, first[key]))
                else:
                    first[key] = f
        return again

    # Comments

    @cached_property
    def comments(self) -> list[Found]:
        """The comments that say something, each once; whole-line `//` comments that follow each other are one."""
        seen: dict[str, Found] = {}
        for start, text in self._joined_comments():
            if _WORD.search(text):
                seen.setdefault(_ALL_SPACE.sub(" ", text.strip("/*!< \t\n")), Found(text, self.line(start)))
        return list(seen.values())

    def _joined_comments(self) -> Iterator[tuple[int, str]]:
        run: list[str] = []
        run_start = run_end = last_end = 0
        for node in sorted(self._nodes.get("comment", ()), key=lambda n: n.start_byte):
            start, end = node.start_byte, node.end_byte
            text = self.source[start:end].decode("utf-8", "replace")
            line_start = self._line_starts[self.line(start) - 1]
            whole = (
                text.startswith("//") and last_end <= line_start and not self.source[line_start:start].strip()
            )
            last_end = end
            gap = self.source[run_end:start] if run else b""
            if run and whole and gap.count(b"\n") == 1 and not gap.strip():
                run.append(text)
                run_end = end
                continue
            if run:
                yield run_start, "\n".join(run)
                run = []
            if whole:
                run, run_start, run_end = [text], start, end
            else:
                yield start, text
        if run:
            yield run_start, "\n".join(run)

    @cached_property
    def doxygen(self) -> list[Found]:
        """The Doxygen comments."""
        return [c for c in self.comments if _DOXYGEN.match(c.text)]

    @cached_property
    def doxygen_tags(self) -> list[Found]:
        """@brief, @param and @return, each where a Doxygen comment first has it; @retval is a @return."""
        first: dict[str, Found] = {}
        for comment in self.doxygen:
            for tag in _TAG.finditer(comment.text):
                name = _TAGS.get(tag[1], tag[1])
                first.setdefault(
                    name, Found(f"@{name}", comment.line + comment.text.count("\n", 0, tag.start()))
                )
        return list(first.values())


def _without(source: bytes, start: int, end: int, holes: list[tuple[int, int]]) -> bytes:
    """A part of the source without the holes in it, which are in order."""
    pieces, at = [], start
    for a, b in holes[bisect_left(holes, (start, 0)) : bisect_left(holes, (end, 0))]:
        pieces.append(source[at:a])
        at = b
    return b"".join([*pieces, source[at:end]])
