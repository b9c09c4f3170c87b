"""No arrangement of directives, comments and quotes gets a file past the guard: the compiler itself is the judge."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phases.quality_scoring.compiler import find_compiler
from phases.quality_scoring.extract import normalise
from phases.quality_scoring.guard import guard
from tests.needs import needing

PIECES = [
    *(
        "#",
        "%:",
        "??=",
        "include",
        "include_next",
        "import",
        '"FILE"',
        "<FILE>",
        "F",
        "\n",
        "\n",
        "\n",
        " ",
        "\t",
        "\\\n",
    ),
    *(
        "\\ \n",
        "/*",
        "*/",
        "//",
        '"',
        "'",
        'R"(',
        ')"',
        "<stdio.h>",
        "define F ",
        "<",
        ">",
        "line 1",
        "pragma once",
        "if 1",
    ),
    *("endif", "##", "\0", "\f", "\r", "\\", "1", "pragma GCC dependency"),
    *(
        '#include "FILE"',
        '\n#include "FILE"\n',
        "#include",
        'include "FILE"',
        "#include F",
        '#/**/include "FILE"',
    ),
]


@needing("gcc")
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=24))
def test_the_preprocessor_never_opens_a_file_outside(pieces: list[str], tmp_path: Path) -> None:
    secret = tmp_path / "secret.h"
    secret.write_text("THE_SECRET\n")
    text = "".join(pieces).replace("FILE", str(secret))
    safe = guard(normalise(text), lambda name: name == "stdio.h").text
    compiler = find_compiler("gcc")
    assert compiler is not None
    done = subprocess.run(
        [compiler.cc1, "-E", "-quiet", "-std=gnu17", "-nostdinc", "-"],
        input=safe.encode(),
        capture_output=True,
        check=False,
    )
    assert b"THE_SECRET" not in done.stdout
    assert b"THE_SECRET" not in done.stderr


@given(st.text(alphabet="#%:\"'/*\\\n\r \tinclude<>ab1()", max_size=200))
def test_the_lines_keep_their_numbers(text: str) -> None:
    normal = normalise(text)
    assert guard(normal, lambda _: True).text.count("\n") == normal.count("\n")


def test_headers_that_are_there_stay_and_others_are_named() -> None:
    code = '#include <stdio.h>\n#include "mine.h"\n#include <a/b.h> // why\nint x;\n'
    found = guard(code, lambda name: name == "stdio.h")
    assert found.text == "#include <stdio.h>\n\n\nint x;\n"
    assert [(d.text, d.line) for d in found.missing] == [("mine.h", 2), ("a/b.h", 3)]


def test_a_string_that_looks_like_a_directive_is_text() -> None:
    code = 'const char *a = "port #1"; const char *b = "# 7";\n'
    assert guard(code, lambda _: False).text == code
