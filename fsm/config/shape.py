"""What a pydantic model takes at each place: so that a word of the file is judged before the model makes another of it.

pydantic reads `yes` as true and `1_000` as 1000 where the field says so. For what a person wrote that is guessing; for what an
environment variable holds, which is always a text, it is right.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic.functional_validators import BeforeValidator, PlainValidator, WrapValidator

from fsm.config.scalars import Kinds

_BEFORE = ("before", "wrap", "plain")
_LISTS = (list, tuple, set, frozenset)


class Shape:
    """The annotations that a value may fit, a union's each by itself."""

    def __init__(self, *annotations: Any) -> None:
        self.options = tuple(o for a in annotations for o in _options(a))

    @property
    def kinds(self) -> Kinds:
        """What scalars fit."""
        return frozenset(kind for option in self.options for kind in _kinds(option))

    @property
    def keys(self) -> list[str]:
        """The keys of the models among the options."""
        return [key for o in self.options if _is_model(o) for key in _fields(o)]

    def at(self, step: str | int) -> Shape:
        """The shape of what is inside, at a key or at a place in a list."""
        return Shape(*(inner for option in self.options for inner in _inside(option, step)))


def _options(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extras = get_args(annotation)
        if any(isinstance(e, BeforeValidator | PlainValidator | WrapValidator) for e in extras):
            yield Any
        else:
            yield from _options(inner)
    elif origin in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from _options(one)
    else:
        yield annotation


def _kinds(option: Any) -> Iterator[str]:
    if get_origin(option) is Literal:
        for value in get_args(option):
            yield from _kinds(type(value))
    elif option is None or option is type(None):
        yield "nothing"
    elif not isinstance(option, type):
        yield "other" if get_origin(option) in (*_LISTS, dict) else "any"
    elif option is bool:
        yield "truth"
    elif option is int:
        yield "whole"
    elif option is float:
        yield "number"
    elif issubclass(option, SecretStr):
        yield from ("text", "secret")
    elif option is str or issubclass(option, PurePath):
        yield "text"
    elif issubclass(option, Enum):
        for member in option:
            yield from _kinds(type(member.value))
    else:
        yield "other" if issubclass(option, (BaseModel, dict, *_LISTS)) else "any"


def _inside(option: Any, step: str | int) -> Iterator[Any]:
    if _is_model(option):
        found = _fields(option).get(str(step))
        if found is not None:
            yield Any if _reads_it_itself(option, *found) else found[1].annotation
        return
    origin, given = get_origin(option) or option, get_args(option)
    if origin is dict and len(given) == 2 and isinstance(step, str):
        yield given[1]
    elif origin in _LISTS and given and isinstance(step, int):
        if origin is tuple and given[-1] is not Ellipsis:
            yield given[step] if step < len(given) else Any
        else:
            yield given[0]
    elif {"any", "other"} & {*_kinds(option)}:  # nothing is inside a text
        yield Any


def _is_model(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)


def _fields(model: Any) -> Mapping[str, tuple[str, FieldInfo]]:
    return {field.alias or name: (name, field) for name, field in model.model_fields.items()}


def _reads_it_itself(model: Any, name: str, field: FieldInfo) -> bool:
    """Whether the field has a validator of its own for what is not yet of its type."""
    if any(isinstance(m, BeforeValidator | PlainValidator | WrapValidator) for m in field.metadata):
        return True
    return any(
        d.info.mode in _BEFORE and (name in d.info.fields or "*" in d.info.fields)
        for d in model.__pydantic_decorators__.field_validators.values()
    )
