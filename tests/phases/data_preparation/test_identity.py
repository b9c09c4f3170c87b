"""What makes two examples one: their code, white space aside."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from phases.data_preparation import examples
from phases.data_preparation.comments import Doc
from phases.data_preparation.examples import Origin
from phases.data_preparation.functions import Function
from phases.data_preparation.identity import md5s, normalised

ORIGIN = Origin("tsn_data/a.c", "TSN")


def identity(code: str, said: str = "", template: int = 0) -> str:
    function = Function("gate_open", "bool gate_open(void)", code, Doc(said), told=bool(said))
    return examples.function_example(function, template, "C", ORIGIN).identity


def test_white_space_and_wording_do_not_make_another_example() -> None:
    one, same, other = md5s(
        [
            identity("bool gate_open(void) { return true; }", "Let frames pass."),
            identity("bool gate_open(void)\n{\n    return true;\n}", "Other words.", template=3),
            identity("bool gate_open(void) { return false; }", "Let frames pass."),
        ]
    )
    assert one == same == hashlib.md5(b"bool gate_open(void) { return true; }").hexdigest()
    assert one != other


@given(st.lists(st.text(st.sampled_from("ab \t\n\r\v\fé\u00a0\u2003"))))
def test_codes_are_normalised_together_as_each_is_alone(codes: list[str]) -> None:
    assert list(normalised(codes)) == [" ".join(code.split()).encode() for code in codes]
