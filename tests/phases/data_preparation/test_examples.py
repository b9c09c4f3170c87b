"""Examples: templates, completions, and what makes two of them one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phases.data_preparation import examples
from phases.data_preparation.comments import Doc
from phases.data_preparation.examples import Origin
from phases.data_preparation.functions import Function

FUNCTION = Function(
    "gate_open",
    "bool gate_open(void)",
    "bool gate_open(void) { return true; }",
    Doc("Let frames pass."),
    told=True,
    first=3,
    last=3,
)
TSN = Origin("tsn_data/a.c", "TSN", "configs/corpus", "MIT")


def test_all_four_templates_are_chosen_and_the_choice_is_the_seeds() -> None:
    chosen = [examples.choose_template(FUNCTION, seed) for seed in range(100)]
    assert set(chosen) == {0, 1, 2, 3}
    assert chosen == [examples.choose_template(FUNCTION, seed) for seed in range(100)]


def test_a_row_says_where_it_is_from() -> None:
    example = examples.function_example(FUNCTION, 0, "C", TSN)
    row = example.row("509d0e5534f8570ce5009f43c584988b")
    assert row.pop("messages") == [
        {"role": "user", "content": "Write a C function `gate_open` for TSN: Let frames pass."},
        {"role": "assistant", "content": FUNCTION.text + "\n"},
    ]
    assert row == {
        "kind": "function",
        "domain": "TSN",
        "source": "configs/corpus",
        "key": "tsn_data/a.c",
        "name": "gate_open",
        "first": 3,
        "last": 3,
        "licence": "MIT",
        "prompt_from": "comment",
        "md5": "509d0e5534f8570ce5009f43c584988b",
    }


def test_a_completion_is_the_lines_of_its_file() -> None:
    example = examples.completion_example("int a;\n", "int b;\n", "C++", TSN)
    assert "```cpp\nint a;\n```" in example.prompt
    assert (example.row("")["first"], example.row("")["last"], example.identity) == (1, 2, "int a;\nint b;\n")


@given(st.text(min_size=3), st.integers())
def test_a_split_leaves_a_head_and_a_rest(text: str, seed: int) -> None:
    point = examples.choose_split(text, seed)
    assert 0 < point < len(text)
    assert point == examples.choose_split(text, seed)


def test_a_split_is_at_the_start_of_a_line_and_depends_on_the_seed() -> None:
    text = "".join(f"int x{number};\n" for number in range(100))
    points = {examples.choose_split(text, seed) for seed in range(20)}
    assert all(text[point - 1] == "\n" for point in points)
    assert len(points) > 5
