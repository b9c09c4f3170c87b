"""What a model of a phase takes at each place is read off its annotations."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, Field, SecretStr, field_validator

from fsm.config.shape import Shape


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    size: Annotated[int, Field(ge=0)] = 1


class Model(BaseModel):
    text: str = ""
    path: Path | None = None
    secret: SecretStr = SecretStr("")
    truth: bool = False
    number: float | Literal["auto"] = 1.0
    colour: Colour = Colour.RED
    inner: Inner | None = None
    by_name: dict[str, Inner] = {}
    pair: tuple[int, str] = (1, "")
    many: tuple[float, ...] = ()
    open: dict[str, Any] = {}
    renamed: int = Field(default=1, alias="other-name")
    seconds: float = 1.0
    minutes: Annotated[float, BeforeValidator(float)] = 1.0

    @field_validator("seconds", mode="before")
    @classmethod
    def _with_its_unit(cls, value: Any) -> Any:
        return value.removesuffix("s") if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        (("text",), {"text"}),
        (("path",), {"text", "nothing"}),
        (("secret",), {"text", "secret"}),
        (("truth",), {"truth"}),
        (("number",), {"number", "text"}),
        (("colour",), {"text"}),
        (("inner",), {"other", "nothing"}),
        (("inner", "size"), {"whole"}),
        (("by_name", "anything", "size"), {"whole"}),
        (("pair", 0), {"whole"}),
        (("pair", 1), {"text"}),
        (("pair", 2), {"any"}),
        (("many", 7), {"number"}),
        (("open", "a", 0, "b"), {"any"}),
        (("other-name",), {"whole"}),
        (("seconds",), {"any"}),
        (("minutes",), {"any"}),
        (("nobody",), set()),
        (("text", "inside"), set()),
    ],
)
def test_a_place_takes_what_its_annotation_says(path: tuple[str | int, ...], kinds: set[str]) -> None:
    shape = Shape(Model)
    for step in path:
        shape = shape.at(step)
    assert shape.kinds == kinds


def test_the_keys_of_a_model_are_those_that_a_file_gives() -> None:
    assert "other-name" in Shape(Model).keys
    assert "renamed" not in Shape(Model).keys
    assert Shape(Inner | None).keys == ["size"]
