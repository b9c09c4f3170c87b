"""What is asked for a function."""

from __future__ import annotations

import pytest

from phases.data_preparation.functions import Function, find_functions
from phases.data_preparation.prompts import TEMPLATES, listed, prompt

NUMBERS = range(len(TEMPLATES))


def only(text: str, key: str = "a.c") -> Function:
    (function,) = find_functions(key, text).functions
    return function


COMMENTED = only(
    "/**\n * gate_open() - Let frames pass.\n * @gate: its number, from 0\n *\n * Return: whether it was closed\n */\n"
    "bool gate_open(int gate) { return set(gate); }\n"
)
BARE = only("int gate_count(struct port *port, int kind) { lock(port); return count(port->gates, kind); }")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_comment_is_asked_by_what_it_says(number: int) -> None:
    asked, made_of = prompt(COMMENTED, number, "TSN", "C")
    assert made_of == "comment"
    assert all(word in asked for word in ("TSN", " C", "gate_open", "Let frames pass."))
    assert asked.endswith("\nParameters:\n- `gate`: its number, from 0\nReturns: whether it was closed")


@pytest.mark.parametrize("number", NUMBERS)
def test_without_one_signature_parameters_and_calls_are_said(number: int) -> None:
    asked, made_of = prompt(BARE, number, "AVB", "C")
    assert made_of == "code"
    assert "AVB" in asked
    assert "`int gate_count(struct port *port, int kind)`" in asked
    assert "It takes `port` and `kind` and calls `lock` and `count`." in asked


def test_a_comment_that_repeats_the_name_is_none() -> None:
    function = only("/* Gate count */\nint gate_count(int kind) { return count(kind); }")
    asked, made_of = prompt(function, 0, "AVB", "C")
    assert made_of == "code"
    assert "calls `count`" in asked


def test_of_a_method_its_class_is_said() -> None:
    function = only("namespace geom { class Vector { float X() const { return x_; } }; }", "a.h")
    asked, _ = prompt(function, 0, "CARLA", "C++")
    assert asked == "Write the C++ function `float X() const` of `geom::Vector` for CARLA. It uses `x_`."


def test_what_has_nothing_else_to_say_repeats_its_name_and_is_known_for_it() -> None:
    asked, made_of = prompt(only("int isGate_open(void) { return 1; }"), 0, "TSN", "C")
    assert made_of == "name"
    assert "is gate open" in asked


@pytest.mark.parametrize(
    ("names", "expected"),
    [("a", "`a`"), ("ab", "`a` and `b`"), ("abc", "`a`, `b` and `c`"), ("abcdefghij", "`a`, `b`, `c`, `d`, `e`, `f`, `g`, `h` and 2 more")],
)  # fmt: skip
def test_names_are_listed_as_a_sentence_has_them(names: str, expected: str) -> None:
    assert listed(names) == expected
