"""Finding functions in C and C++ text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.data_preparation.functions import extract_functions, language, summary


def names(text: str, written_in: str = "C") -> list[str]:
    return [function.name for function in extract_functions(text, written_in)]  # type: ignore[arg-type]


def test_definitions_are_found_and_declarations_are_not() -> None:
    assert names("int a(void);\nint b(void) { return 1; }\n#define C() { }\nint d[2] = { 1, 2 };\n") == ["b"]


def test_code_in_comments_and_strings_is_not_code() -> None:
    text = '/* int a(void) { return 1; } */\nconst char *s = "int b(void) { }";\nint c(void) { return 0; }\n'
    assert names(text) == ["c"]


def test_names_are_found_behind_pointers_and_arguments_that_are_functions() -> None:
    text = "const char *a(int x) { return 0; }\nint (*b(void))(int) { return 0; }\nvoid c(int (*f)(int)) { f(1); }\n"
    assert names(text) == ["a", "b", "c"]


def test_functions_in_conditional_parts_are_found() -> None:
    assert names("#ifdef X\nint a(void) { return 1; }\n#else\nint b(void) { return 2; }\n#endif\n") == [
        "a",
        "b",
    ]


def test_a_function_that_does_not_parse_is_left_out_and_the_others_stay() -> None:
    assert names("int a(void) { return 1; }\nint b(void) { return (1; }\n") == ["a"]


def test_cpp_methods_templates_and_namespaces_are_read() -> None:
    text = """
namespace carla {
// Clamp a value.
template <class T> T clamp(T v) { return v; }
int Vehicle::speed() const { return speed_; }
class Pid { public: int step() { return 0; } };
}
"""
    found = extract_functions(text, "C++")
    assert [function.name for function in found] == ["clamp", "Vehicle::speed", "step"]
    assert found[0].text.startswith("// Clamp a value.\ntemplate")
    assert found[0].signature == "template <class T> T clamp(T v)"


@pytest.mark.parametrize(
    ("key", "expected"), [("a.c", "C"), ("a.h", "C"), ("A.CPP", "C++"), ("x/y.hpp", "C++")]
)
def test_the_suffix_names_the_language(key: str, expected: str) -> None:
    assert language(key) == expected


def test_the_comment_above_belongs_to_the_function() -> None:
    text = "int x; /* about x */\n\n/* about nothing */\n\n// First line.\n// Second line.\nint f(void)\n{\n    return 1;\n}\n"
    (function,) = extract_functions(text)
    assert function.text == "// First line.\n// Second line.\nint f(void)\n{\n    return 1;\n}"
    assert function.summary == "First line."


def test_a_comment_at_the_end_of_another_line_belongs_there() -> None:
    (function,) = extract_functions("int x; /* about x */\nint f(void) { return 1; }\n")
    assert function.text == "int f(void) { return 1; }"
    assert function.summary == ""


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("/** @brief Open a gate. More of it. */", "Open a gate."),
        ("/**\n * @file a.c\n * @brief Open\n *        a gate.\n * @param x the gate\n */", "Open a gate."),
        ("/// \\brief Open a gate\n/// @return true", "Open a gate"),
        ("// Open a gate: 0.5 s later.", "Open a gate: 0.5 s later."),
        ("/* Open a gate\n *\n * and more */", "Open a gate"),
        ("/**/", ""),
    ],
)
def test_the_first_sentence_sums_up(comment: str, expected: str) -> None:
    assert summary(comment) == expected


def test_signatures_are_on_one_line() -> None:
    (function,) = extract_functions("static int\nf(int a,\n  int b)\n{ return a + b; }")
    assert function.signature == "static int f(int a, int b)"


def test_deep_nesting_is_no_recursion_of_ours() -> None:
    text = "#if 1\n" * 3000 + "int f(void) { return 1; }\n" + "#endif\n" * 3000
    assert names(text) == ["f"]


@given(st.text(alphabet=st.sampled_from("int f(){};*/\\\"'#\n\r \té𝛼"), max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    for function in extract_functions(text):
        assert function.text in text.replace("\r\n", "\n").replace("\r", "\n")
