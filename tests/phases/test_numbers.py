"""Every numeric setting of every phase has a range."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

import phases
from fsm.engine import Phase, Registry

PHASES = Registry("phases", Phase)
SECTIONS = {PHASES[name].config for name in phases.NAMES} - {None}


def numbers(model: type[BaseModel], where: str = "") -> Iterator[tuple[type[BaseModel], str, Any]]:
    """The numeric settings of a section and of those inside it: (model, name, field)."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from numbers(kind, f"{where}{name}.")
        elif {int, float} & {kind, *get_args(kind)} and get_origin(kind) not in (Literal, dict):
            yield model, name, field


SETTINGS = {f"{m.__name__}.{n}": (m, n, f) for section in SECTIONS for m, n, f in numbers(section)}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_numeric_setting_has_a_range(name: str) -> None:
    _, _, field = SETTINGS[name]
    assert any(hasattr(m, "ge") or hasattr(m, "gt") for m in field.metadata), "it has no least value"
    assert any(hasattr(m, "le") or hasattr(m, "lt") for m in field.metadata), "it has no greatest value"


@pytest.mark.parametrize("name", sorted(SETTINGS))
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_no_setting_is_infinite_or_no_number(name: str, value: float) -> None:
    model, own, _ = SETTINGS[name]
    with pytest.raises(ValidationError):
        model.model_validate({own: value})


def test_there_are_settings_to_look_at() -> None:
    assert len(SETTINGS) > 80
