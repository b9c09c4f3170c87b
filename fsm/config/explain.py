"""A section held against its model: what is wrong with it, each with its place and what would be right."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from fsm.config.document import Steps
from fsm.config.draft import Draft
from fsm.config.environment import SECRET_NAME
from fsm.config.scalars import Kinds, misfit
from fsm.config.shape import Shape
from fsm.engine import nearest

_NAMES = {
    "dict": "a mapping",
    "list": "a list",
    "str": "a text",
    "bool": "true or false",
    "NoneType": "nothing",
}
_SHOWN = 60
_MAPPINGS = ("model_type", "dict_type", "model_attributes_type")
_SEQUENCES = ("list_type", "tuple_type", "set_type", "frozen_set_type")


def section(draft: Draft, path: Steps, value: Any, model: Any, build: Callable[[Any], Any]) -> Any:
    """The section as `build` makes it; None where something is wrong, which is noted in the draft."""
    if path and draft.wrong(path):
        return None
    if value is None:
        value = {}
    if not isinstance(value, dict):
        draft.mistake(path, f"{draft.dotted(path)} must be a mapping of keys, and is {_a(value)}")
        return None
    shape = Shape(Any if model is None else model)
    _words(draft, path, value, shape)
    try:
        return build(value)
    except ValidationError as e:
        _refused(draft, path, value, shape, e)
        return None


def unknown(key: str, known: list[str]) -> str:
    """` ; did you mean`, or all that is known."""
    return nearest(key, known) or (f" (known: {', '.join(known)})" if known else "")


def _words(draft: Draft, path: Steps, value: Any, shape: Shape) -> None:
    """Judge every scalar below a path by what its model takes there."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _words(draft, (*path, key), inner, shape.at(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _words(draft, (*path, number), inner, shape.at(number))
    elif not draft.wrong(path):
        kinds = shape.kinds
        said = misfit(value, draft.written(path), kinds) if draft.in_file(path) else _given(value, kinds)
        if said:
            draft.mistake(path, f"{draft.dotted(path)}: {said}{_by(draft, path)}")


def _given(value: Any, kinds: Kinds) -> str:
    """What is wrong with a value of the environment or the command line, which is free to be a text."""
    if not isinstance(value, str) or not kinds & {"whole", "number"} or kinds & {"text", "any"}:
        return ""
    try:
        finite = math.isfinite(float(value))
    except ValueError:
        return ""  # the model says what it is not
    return "" if finite else f"{value} is not finite, and no setting can be: give a number"


def _refused(draft: Draft, path: Steps, value: Any, shape: Shape, error: ValidationError) -> None:
    """Note what the model refuses and is not known yet; what a union's members say is said at once."""
    said: dict[Steps, list[str]] = {}
    for one in error.errors():
        there = _there(value, one["loc"])
        full = (*path, *there)
        if one["type"] == "missing":
            name = draft.dotted((*full, str(one["loc"][-1])))
            draft.mistake((*full, str(one["loc"][-1])), f"the key {name!r} is missing", at_key=True)
        elif one["type"] == "extra_forbidden":
            inside = shape
            for step in there[:-1]:
                inside = inside.at(step)
            message = f"unknown key {draft.dotted(full)!r}{unknown(str(full[-1]), inside.keys)}"
            draft.mistake(full, message, at_key=True)
        elif not (there and draft.wrong_within(full)):
            said.setdefault(full, []).append(_message(one))
    for full, messages in said.items():
        inside = shape
        for step in full[len(path) :]:
            inside = inside.at(step)
        head = f"{draft.dotted(full)}: " if full else ""
        not_this = _not(draft, full, _at(value, full[len(path) :]), inside.kinds)
        draft.mistake(full, f"{head}{', or '.join(dict.fromkeys(messages))}{not_this}{_by(draft, full)}")


def _message(error: Any) -> str:
    if error["type"] in _MAPPINGS:
        return "must be a mapping of keys"
    if error["type"] in _SEQUENCES:
        return "must be a list"
    message = str(error["msg"])
    if error["type"] == "value_error":
        return message.removeprefix("Value error, ").rstrip(".")
    return f"{message[0].lower()}{message[1:]}"


def _not(draft: Draft, path: Steps, value: Any, kinds: Kinds) -> str:
    """`, not VALUE`, unless that is nobody's business."""
    if "secret" in kinds or SECRET_NAME.search(draft.dotted(path)) or isinstance(value, dict):
        return ""
    if isinstance(value, str):
        return f", not {value[:_SHOWN]!r}"
    if isinstance(value, int | float):
        return f", not {value}"
    return f", not {_a(value)}"


def _by(draft: Draft, path: Steps) -> str:
    names = draft.variables.get(path, ())
    return f" (from the environment: {', '.join(names)})" if names else ""


def _there(value: Any, loc: tuple[Any, ...]) -> Steps:
    """As much of pydantic's place as is in the data: behind that it names members of unions, and keys that are missing."""
    found: list[int | str] = []
    for step in loc:
        if (isinstance(value, Mapping) and step in value) or (
            isinstance(value, list) and isinstance(step, int) and step < len(value)
        ):
            value = value[step]
        else:
            break
        found.append(step)
    return tuple(found)


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _a(value: Any) -> str:
    return _NAMES.get(type(value).__name__, "a number")
