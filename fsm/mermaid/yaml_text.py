"""The little YAML that stands in diagrams: front matter, and `@{ shape: ..., label: ... }`.

Mermaid reads both with js-yaml and uses the scalars of the top level only. PyYAML composes them without making
objects of them; what it cannot read although it is common in diagrams (`label: Really?`) is read by hand.
"""

from __future__ import annotations

import re

import yaml

from fsm.mermaid.javascript import SPACES, S

MAX_DEPTH = 100  # PyYAML recurses, and looks at every open bracket for each token; no diagram comes near

_NOTHING = ("", "~", "null", "Null", "NULL", "false", "False", "FALSE", "0")
_SCALAR = r"""(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^']|'')*)'|(?P<plain>[^\s,\[\]{}#&*!|>%@`"'][^,\[\]{}#"]*))"""
_PAIR = re.compile(
    rf"[{S}]*(?P<key>[A-Za-z_][\w-]*)[{S}]*:[{S}]+" + _SCALAR.replace(r"\s", S) + rf"[{S}]*(?:,|\Z)", re.ASCII
)


class NotYaml(Exception):
    """Says what is wrong and in which line of the text, counted from 0."""

    def __init__(self, why: str, row: int = 0) -> None:
        super().__init__(why)
        self.why = why
        self.row = row


def mapping(text: str) -> dict[str, str]:
    """The scalars of a mapping by key; a value that JavaScript holds for false is the empty string.

    Empty where the text is no mapping. Raises NotYaml.
    """
    depth = 0
    for char in text:
        depth += (char in "[{") - (char in "]}")
        if depth > MAX_DEPTH:
            raise NotYaml(f"nested deeper than {MAX_DEPTH} levels")
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        _refuse_repeated_keys(node)
    except yaml.MarkedYAMLError as error:
        row = error.problem_mark.line if error.problem_mark else 0
        raise NotYaml(error.problem or "it cannot be read", row) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise NotYaml(str(error).split("\n")[0] or "nested too deep") from None
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {
        str(key.value): "" if value.style is None and value.value in _NOTHING else str(value.value)
        for key, value in node.value
        if isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)
    }


def braces(text: str) -> dict[str, str]:
    """The scalars of what stands between `@{` and `}`, which is a block of YAML if it has several lines."""
    if "\n" in text:
        return mapping(text + "\n")
    try:
        return mapping("{\n" + text + "\n}")
    except NotYaml:
        found = _flat(text)
        if found is None:
            raise
        return found


def _flat(text: str) -> dict[str, str] | None:
    """`key: value, ...` without anything nested; None where the text is not that."""
    values: dict[str, str] = {}
    at = 0
    end = len(text.rstrip(SPACES))
    while at < end:
        pair = _PAIR.match(text, at)
        if pair is None or pair["key"] in values:
            return None
        plain = pair["plain"]
        if "\\" in (pair["double"] or ""):
            return None
        if plain is None:
            values[pair["key"]] = (
                pair["double"] if pair["double"] is not None else pair["single"].replace("''", "'")
            )
        elif ": " in plain:
            return None
        else:
            plain = plain.strip(SPACES)
            values[pair["key"]] = "" if plain in _NOTHING else plain
        at = pair.end()
    return values


def _refuse_repeated_keys(node: yaml.Node | None) -> None:
    """js-yaml refuses a key that stands twice in a mapping; PyYAML takes the last."""
    seen: set[int] = set()
    left = [node]
    while left:
        node = left.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        elif isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                left += [key, value]
                if isinstance(key, yaml.ScalarNode):
                    if key.value in keys:
                        raise NotYaml(f"the key {key.value!r} stands twice", key.start_mark.line)
                    keys.add(key.value)
