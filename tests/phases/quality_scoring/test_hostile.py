"""Whatever the text is, there is a score or a named refusal within the bound, and the scorer goes on."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from phases.quality_scoring import QualityScoringConfig, Score, score
from phases.quality_scoring.config import CompilerLimits, SyntaxConfig
from tests.needs import needing

GOOD = "int add(int left, int right)\n{\n    return left + right;\n}\n"
LIMITS = CompilerLimits(cpu_seconds=1, wall_seconds=4.0, memory_mb=256, output_kb=256)
CONFIG = QualityScoringConfig(syntax=SyntaxConfig(limits=LIMITS))
BOUND = 20.0  # seconds; the limits and much for a busy machine

pytestmark = needing("gcc")


def tower(first: str, by: str, levels: int = 12) -> str:
    """Macros each of which is ten times the one before."""
    grown = [f"#define B{i} {' '.join([f'B{i - 1}'] * 10)}" for i in range(1, levels)]
    return "\n".join([f"#define B0 {first}", *grown, by.replace("TOP", f"B{levels - 1}"), GOOD])


def quickly(text: str) -> Score:
    begun = time.monotonic()
    result = score(text, config=CONFIG)
    assert time.monotonic() - begun < BOUND
    for name in ("syntax", "protocol", "safety", "style", "overall"):
        assert 0 <= getattr(result, name) <= 10
    assert score(GOOD, config=CONFIG).syntax == 10.0  # and it goes on
    return result


def said(result: Score) -> str:
    return "\n".join(r.note for r in result.reasons if r.rule.startswith("SyntaxCheck."))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (tower("1 +", "int bomb = TOP 0;"), "the compiler could not read it: "),
        (
            tower('"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"', "const char *bomb = TOP;"),
            "the compiler could not read it: ",
        ),
        ("int x = " + "(" * 10_000 + "1" + ")" * 10_000 + ";\n" + GOOD, "more than 4096 levels"),
        ("void f(void) " + "{" * 10_000 + "}" * 10_000, "more than 4096 levels"),
        ("int f(int a) {" + "for (;;)" * 10_000 + ";}", "more than 4096 levels"),
        ("(" * 200_000, "signs in a row that belong to nothing"),
        ("int x;\n" * (50_000_000 // 7), "characters are more than 500000"),
        ("int f(int a) { return a; }\n" * 10_000, "its diagnostics are longer than 256 KiB"),
        ("int big[1 << 28] = { [0 ... (1 << 28) - 1] = 1 };\n" + GOOD, "the compiler could not read it: "),
    ],
    ids=[
        "macro bomb",
        "string bomb",
        "parens",
        "braces",
        "loops",
        "heap",
        "50 MB",
        "redefinitions",
        "initialiser",
    ],
)
def test_a_text_beyond_the_bounds_is_refused_by_name(text: str, why: str) -> None:
    result = quickly(text)
    assert result.syntax == 0.0
    assert why in said(result)


@pytest.mark.parametrize(
    "text",
    [
        "int add(int a)\0{ return a + 1; }\n",
        b"int add(int a) { return a + 1; } /* \xff\xfe\xc3 */\n".decode("utf-8", "surrogateescape"),
        b"int add(int a) { return a + 1; } /* \xff\xfe\xc3 */\n".decode("utf-8", "replace"),
        "template<int N> struct F { enum { v = F<N - 1>::v }; };\nint main() { return F<900000>::v; }\n",
        "#if 0\n" * 20_000,
        "/*a*/" * 40_000,
        "int f(void) {" + "while (1);" * 20_000 + "}",
        "int f(void) {" + "for (;;) { break; }" * 10_000 + "}",
        "#define ABCD(x) malloc(x)\n" * 5_000 + GOOD,
        "#include <a/b.h>\n" * 10_000 + GOOD,
        "".join(f"int g{i}(int a) {{ return g{i + 1}(a); }}\n" for i in range(8_000)),
        "\\\n" * 100_000 + GOOD,
        "\u2028\u0085\ufeff" + GOOD,
    ],
    ids=[
        *("NUL", "lone surrogates", "invalid UTF-8", "templates", "#if 0", "comments", "while", "break"),
        *("macros", "includes", "calls", "splices", "unicode"),
    ],
)
def test_a_hostile_text_has_a_score(text: str) -> None:
    quickly(text)


@pytest.fixture
def forbidden(tmp_path: Path) -> Path:
    """A file outside the system's headers that would make itself heard, and a pipe beside it that would block."""
    secret = tmp_path / "secret.h"
    secret.write_text("#error THE SECRET\nint the_secret = 1 +;\n")
    os.mkfifo(tmp_path / "pipe")
    return secret


@pytest.mark.parametrize(
    "how",
    [
        '#include "FILE"',
        "#include <FILE>",
        "#include </usr/include/../..FILE>",
        '#include "../../../../../../../..FILE"',
        '#define HIDDEN "FILE"\n#include HIDDEN',
        '#include_next "FILE"',
        '#import "FILE"',
        '#\\\n  inclu\\\nde "FILE"',
        '%:include "FILE"',
        '??=include "FILE"',
        '/**/ #include "FILE"',
        '# /* */ include "FILE"',
        '#/*\n*/include "FILE"',
        '/*\n#include <stdio.h> */ #include "FILE"',
        '/* #include */ #include "FILE"',
        '/*#include <x */ #include "FILE" //>',
        'const char *x = R"(/*)"; \n#include "FILE"\n/* */',
        "\v\f#include \"FILE\"",
        "#\0include \"FILE\"",
        '#if __has_include("FILE")\n#error THE SECRET\n#endif',
        '#define P(a, b) a##b\n#if P(__has_, include)("FILE")\n#error THE SECRET\n#endif',
        '#pragma GCC dependency "FILE" THE SECRET',
        '_Pragma("GCC dependency \\"FILE\\" THE SECRET")',
        '#define P(a, b) a##b\nP(_Pra, gma)("GCC dependency \\"FILE\\" THE SECRET")',
        '#pragma GCC pch_preprocess "FILE"',
        '#embed "FILE"',
        '__asm__(".include \\"FILE\\"");',
        '#line 1 "FILE"\nint wrong = ;',
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["secret.h", "pipe"])
def test_no_file_is_reached(how: str, kind: str, forbidden: Path) -> None:
    result = quickly(how.replace("FILE", str(forbidden.with_name(kind))) + "\n" + GOOD)
    assert "SECRET" not in said(result).replace("FILE", "")
    assert "the_secret" not in said(result)
    assert "could not read it" not in said(result)


@pytest.mark.parametrize("path", ["/etc/passwd", "/dev/zero", "/proc/self/mem", "../../etc/passwd"])
def test_an_include_of_a_file_is_refused_by_name(path: str) -> None:
    result = quickly(f'#include "{path}"\n{GOOD}')
    assert f'refused: #include "{path}"' in said(result)
    assert result.syntax == 6.0


SIZES = (60_000, 150_000)  # characters: short enough to be searched for words, and beyond that


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "`",
            "```\n",
            "```c\n",
            "~~~\n",
            "<think>\n",
            "</think>",
            "<code>\n",
            '{"a":',
            '{"a":"x',
            '{\\"a\\":',
            "&lt;",
        ),
        *(
            "@@ -1 +1 @@\n",
            "> ",
            "- ",
            "word ",
            "here is my thought process:\n",
            "<<<<<<< a\n",
            "cat <<EOF a.c\n",
        ),
        *("1 | x\n", "'a", '"""\n', "\ud800", "\0", "[", "```c\nint f(void){return 1;}\n```\n"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("size", SIZES)
def test_a_wrapping_without_an_end_comes_to_one(unit: str, size: int) -> None:
    quickly(unit * (size // len(unit)))


def test_ten_megabytes_of_backticks_are_refused_by_name() -> None:
    assert "characters are more than 500000" in said(quickly("`" * 10_000_000))


def test_lines_on_which_the_grammar_goes_astray_are_refused_by_name() -> None:
    assert "goes astray" in said(quickly("int x;\n" + "".join(f"{n}: x\n" for n in range(8_000))))
