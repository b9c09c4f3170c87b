"""JSON values: what durable data may be. A journal must hold them, and give back the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from math import isfinite
from typing import Any

from fsm.errors import NotJson

MOST_NESTED = 100  # lists and dicts in one another; JSON readers differ in how many more they follow
_BRANCHES = (dict, list)
_NESTS = (dict, list, tuple)
_ALWAYS = frozenset({bool, type(None)})
MOST_BITS = 8192  # of an integer; Python itself reads no more than 4300 digits


class _Refused(Exception):
    """Why a value cannot be kept."""


def json_values(value: Any, where: str) -> Any:
    """The value as JSON would give it back, sharing nothing with it: tuples are lists, keys are texts.

    Raises NotJson for what JSON cannot hold, and for what a reader might not take: texts that UTF-8 cannot spell, NaN,
    integers and nesting beyond all use. `where` begins its message.
    """
    try:
        return _plain(value, MOST_NESTED)
    except _Refused as e:
        path = _path(value)
        at = "".join(path[:5]) + ("..." if len(path) > 5 else "")
        raise NotJson(
            f"{where}: durable data must be JSON values, and this is not: {f'at {at}, ' if at else ''}{e}. Convert it, or keep it "
            "as an artifact."
        ) from None


def apart(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted path, value, other value) of the innermost values in which two JSON values differ, in order.

    What one of them does not have counts as null; a list's by their place, so that two of different lengths can be held together.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            yield from apart(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(one, list) and isinstance(other, list):
        for number, (mine, its) in enumerate(zip_longest(one, other)):
            yield from apart(mine, its, f"{path}[{number}]")
    elif one != other:
        yield path, one, other


def copied(value: Any) -> Any:
    """A copy of JSON values that shares no dict or list with them. They are a tree, which `copy.deepcopy` cannot know."""
    if isinstance(value, dict):
        return {key: copied(v) if isinstance(v, _BRANCHES) else v for key, v in value.items()}
    if isinstance(value, list):
        return [copied(v) if isinstance(v, _BRANCHES) else v for v in value]
    return value


def _plain(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return value if type(value) is str and value.isascii() else _text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if value.bit_length() > MOST_BITS:
            raise _Refused(f"an integer of {value.bit_length()} bits")
        return value if type(value) is int else int.__int__(value)  # of an enumeration, say, its number
    if isinstance(value, float):
        if not isfinite(value):
            raise _Refused(f"the number {value}")
        return float.__float__(value)
    if not isinstance(value, _NESTS):
        raise _Refused(f"a {type(value).__module__}.{type(value).__qualname__}".replace("builtins.", ""))
    if not levels:
        raise _Refused(f"lists and dicts nested more than {MOST_NESTED} deep")
    return _plain_dict(value, levels - 1) if isinstance(value, dict) else _plain_list(value, levels - 1)


# What most values are is seen in the loops themselves: to call for each costs twice as much.


def _plain_dict(value: dict[Any, Any], levels: int) -> dict[str, Any]:
    plain = {}
    for key, inner in value.items():
        if type(key) is not str or not key.isascii():
            key = _text(key) if isinstance(key, str) else _key(key, levels)
        kind = type(inner)
        if (kind is str and inner.isascii()) or kind in _ALWAYS or (kind is float and isfinite(inner)):
            plain[key] = inner
        elif kind is dict and levels:
            plain[key] = _plain_dict(inner, levels - 1)
        else:
            plain[key] = _plain(inner, levels)
    return plain


def _plain_list(value: list[Any] | tuple[Any, ...], levels: int) -> list[Any]:
    plain = []
    for inner in value:
        kind = type(inner)
        if (kind is str and inner.isascii()) or kind in _ALWAYS or (kind is float and isfinite(inner)):
            plain.append(inner)
        elif kind is dict and levels:
            plain.append(_plain_dict(inner, levels - 1))
        else:
            plain.append(_plain(inner, levels))
    return plain


def _path(value: Any) -> list[str]:
    """The way to what is refused in a value, from its top."""
    path: list[str] = []
    for levels in reversed(range(MOST_NESTED)):
        if not isinstance(value, _NESTS):
            break
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            try:
                _plain_dict({key: inner}, levels)
            except _Refused:
                path.append(f"[{key!r}]")
                value = inner
                break
        else:  # what is refused is this itself
            break
    return path


def _key(key: Any, levels: int) -> str:
    if key is not None and not isinstance(key, (int, float)):
        raise _Refused(f"a key that is a {type(key).__name__}")
    return json.dumps(_plain(key, levels))


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Refused(f"a text that UTF-8 cannot spell ({value[:40]!a})") from None
    return str.__str__(value)
