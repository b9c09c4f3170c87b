"""A configuration's text to plain values, each with its place: YAML of the core schema, and nothing that is guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.reader import Reader

from fsm.config.scalars import core
from fsm.errors import ConfigError, Mistake
from fsm.text import unspelt

Steps = tuple[str | int, ...]
"""The way to a value: keys, and places in lists from 0."""

MOST_NESTED = 100  # lists and mappings in one another; the reader recurses
MOST_VALUES = 20_000  # an alias stands for all it names: ten lines of them can make billions
_PLAIN = "?"  # the tag of an unquoted word, before its meaning is known
_YAML = "tag:yaml.org,2002:"
_STR = _YAML + "str"
_LINE_ENDS_OF_SOME = re.compile("[\u0085\u2028\u2029]")
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}


@dataclass(frozen=True)
class Entry:
    """Where a value stands: the (line, column) of its key, or of itself in a list, and its own, from 1.

    `written` is an unquoted word as it is in the file; None for all else.
    """

    key: tuple[int, int]
    value: tuple[int, int]
    written: str | None = None


@dataclass
class Document:
    """A configuration's values, where each stands, and what is wrong with the text of it.

    `wrong` are the ways to the values that have a mistake; what stands there says nothing.
    """

    file: str
    values: dict[str, Any]
    entries: dict[Steps, Entry]
    mistakes: list[Mistake] = field(default_factory=list)
    wrong: set[Steps] = field(default_factory=set)


def read(text: str, file: str) -> Document:
    """The document of a YAML text.

    What is wrong with single keys and values is in its `mistakes`. Raises ConfigError where the text is
    no YAML, or no mapping.
    """
    _refuse_characters(text, file)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise ConfigError.of([Mistake(file, line, column, _not_yaml(e, text))]) from e
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        said = str(e).split("\n")[0] or "nested too deep"
        raise ConfigError.of([Mistake(file, 1, 1, f"this is not YAML: {said}")]) from e
    if not isinstance(node, yaml.MappingNode):
        found = {yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"}.get(type(node), "empty")
        if isinstance(node, yaml.ScalarNode) and node.tag == _PLAIN and core(node.value) is None:
            found = "empty"
        raise ConfigError.of(
            [
                Mistake(
                    file,
                    1,
                    1,
                    f"the configuration must be a mapping of keys, and is {found}: begin it with `machine: NAME`",
                )
            ]
        )
    reading = _Reading(file)
    values = reading.value(node, ())
    document = Document(
        file, values if isinstance(values, dict) else {}, reading.entries, reading.mistakes, reading.wrong
    )
    if reading.overflowed:
        raise ConfigError.of(document.mistakes)
    return document


class _Loader(yaml.BaseLoader):
    """PyYAML up to the nodes: scanner, parser, composer. What a word means is decided later."""

    depth = 0

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _STR
        return _YAML + ("map" if kind is yaml.MappingNode else "seq")

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MOST_NESTED:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ComposerError(
                None, None, f"lists and mappings are nested more than {MOST_NESTED} deep", mark
            )
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Reading:
    """From nodes to values, with everything that is wrong on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.entries: dict[Steps, Entry] = {}
        self.mistakes: list[Mistake] = []
        self.wrong: set[Steps] = set()
        self.overflowed = False
        self._count = 0
        self._open: set[int] = set()

    def value(self, node: yaml.Node, path: Steps, key: yaml.Node | None = None) -> Any:
        """The value of a node, None where something is wrong with it."""
        if self._too_many(node, path):
            return None
        written = node.value if node.tag == _PLAIN else None
        self.entries[path] = Entry(_place(key or node), _place(node), written)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            self._mistake(
                node, path, "an alias names what it stands in, so this never ends: write out what is meant"
            )
            return None
        wanted = "map" if isinstance(node, yaml.MappingNode) else "seq"
        if node.tag != _YAML + wanted:
            self._refuse_tag(node, path)
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                inner = self._mapping(node, path, {id(node)})
                return {name: self.value(v, (*path, name), k) for name, (k, v) in inner.items()}
            return [self.value(v, (*path, i)) for i, v in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _mapping(
        self, node: yaml.MappingNode, path: Steps, merging: set[int]
    ) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The entries of a mapping by key; those of `<<` stand behind its own."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: yaml.Node | None = None
        if self._too_many(
            node, path
        ):  # mappings can be merged into one another as often as aliases stand for them
            return own
        for key, value in node.value:
            if key.tag == _PLAIN and key.value == "<<" and merged is None:
                merged = value
                continue
            name = self._key(key)
            if name is not None and name in own:
                self._mistake(
                    key,
                    (*path, name),
                    f"the key {name!r} is given twice (before in line {_place(own[name][0])[0]}): keep one",
                )
            elif name is not None:
                own[name] = key, value
        for other in self._merged(merged, path):
            if id(other) in merging:
                self._mistake(node, path, "`<<` names the mapping that it stands in: write out what is meant")
                continue
            for name, entry in self._mapping(other, path, {*merging, id(other)}).items():
                own.setdefault(name, entry)
        return own

    def _too_many(self, node: yaml.Node, path: Steps) -> bool:
        self._count += 1
        if self._count > MOST_VALUES and not self.overflowed:
            self.overflowed = True
            self._mistake(
                node,
                path,
                f"the aliases make more than {MOST_VALUES} values of this file: write out what is meant",
            )
        return self.overflowed

    def _merged(self, node: yaml.Node | None, path: Steps) -> Iterator[yaml.MappingNode]:
        for one in node.value if isinstance(node, yaml.SequenceNode) else [node] if node else []:
            if isinstance(one, yaml.MappingNode) and one.tag == _YAML + "map":
                yield one
            else:
                self._mistake(
                    one,
                    path,
                    "`<<` takes a mapping, or a list of mappings: name one by its anchor, `<<: *name`",
                )

    def _key(self, node: yaml.Node) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._mistake(node, None, "a key must be a text, and this one is a list or a mapping")
            return None
        before = len(self.mistakes)
        value = self._scalar(node, None)
        if isinstance(value, str):
            return value
        if len(self.mistakes) == before:
            self._mistake(
                node,
                None,
                f"the key {node.value or 'nothing'} is not a text to YAML: write it in quotes, '{node.value}'",
            )
        return None

    def _scalar(self, node: yaml.ScalarNode, path: Steps | None) -> Any:
        if why := unspelt(node.value):
            self._mistake(node, path, f"this is no text: it has {why}")
            return None
        if node.tag == _STR:
            return node.value
        try:
            value = core(node.value)
        except ValueError:
            self._mistake(node, path, f"a number of {len(node.value)} digits is none that can be read")
            return None
        if node.tag == _PLAIN:
            return value
        kinds = _KINDS.get(node.tag.removeprefix(_YAML)) if node.tag.startswith(_YAML) else None
        if kinds is None:
            self._refuse_tag(node, path)
            return None
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            self._mistake(
                node, path, f"{node.value!r} is not what its tag {_shown(node.tag)} says: leave the tag out"
            )
            return None
        return float(str(value)) if node.tag == _YAML + "float" else value

    def _refuse_tag(self, node: yaml.Node, path: Steps | None) -> None:
        self._mistake(
            node,
            path,
            f"the tag {_shown(node.tag)} makes an object, and a configuration holds plain values: leave it out",
        )

    def _mistake(self, node: yaml.Node, path: Steps | None, message: str) -> None:
        if path is not None:
            self.wrong.add(path)
        self.mistakes.append(Mistake(self.file, *_place(node), message))


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _shown(tag: str) -> str:
    return "!!" + tag.removeprefix(_YAML) if tag.startswith(_YAML) else tag


def _not_yaml(error: yaml.MarkedYAMLError, text: str) -> str:
    problem = error.problem or str(error.context)
    if "another document" in problem:
        return "this is not one YAML document but several (`---` begins another): keep one of them in a file"
    if r"'\t'" in problem:
        return "this is not YAML: a tab stands where only blanks may, so indent with blanks"
    mark = error.problem_mark
    if mark and text[max(mark.index - 1, 0) : mark.index + 1] == "${":
        return "this is not YAML: a brace inside braces begins a mapping, so write '${...}' in quotes there"
    return f"this is not YAML: {problem}"


def _refuse_characters(text: str, file: str) -> None:
    """Raise ConfigError for characters that YAML does not have, or that its readers take for different things."""
    found = Reader.NON_PRINTABLE.search(text) or _LINE_ENDS_OF_SOME.search(text)
    if found:
        before = re.split(r"\r\n|\r|\n", text[: found.start()])
        name = f"U+{ord(found[0]):04X}"
        message = (
            f"this is not YAML that all read alike: the character {name} cannot stand there. Write it as an escape in double "
            f'quotes, "\\u{ord(found[0]):04x}", or leave it out'
        )
        raise ConfigError.of([Mistake(file, len(before), len(before[-1]) + 1, message)])
