"""The compiler is found, bounded, and told apart from what only bears its name."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog
from pydantic import ValidationError

from phases.quality_scoring import QualityScoringConfig, bounded, handlers, score
from phases.quality_scoring.compiler import Compiler, find_compiler
from phases.quality_scoring.config import CompilerLimits, SyntaxConfig
from phases.quality_scoring.prelude import read_prelude
from phases.quality_scoring.structure import Structure
from tests.needs import needing

GOOD = "int add(int left, int right) { return left + right; }\n"


def fake(tmp_path: Path, script: str) -> Compiler:
    """A compiler front end that is a shell script."""
    path = tmp_path / "cc1"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Compiler(str(path), ())


def test_without_a_compiler_the_heuristic_scores_and_it_is_said_once() -> None:
    handlers._say_once.cache_clear()
    config = QualityScoringConfig(syntax=SyntaxConfig(compiler="no-such-compiler"))
    with structlog.testing.capture_logs() as logs:
        scores = [score(GOOD, config=config).syntax for _ in range(3)]
    assert scores == [7.0] * 3
    assert [entry["compiler"] for entry in logs] == ["no-such-compiler"]


def test_a_command_that_is_no_gcc_is_none(tmp_path: Path) -> None:
    clang = tmp_path / "gcc"
    clang.write_text("#!/bin/sh\necho cc1\n")
    clang.chmod(0o755)
    assert find_compiler(str(clang)) is None


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        ("sleep 60 & sleep 60", "it took more than 0.5 seconds"),
        ("cat >/dev/null; head -c 3000000 /dev/zero >&2", "its diagnostics are longer than 64 KiB"),
        ("cat >/dev/null; kill -SEGV $$", "it broke down"),
        ("cat >/dev/null; echo 'cc1: out of memory allocating 8 bytes' >&2; exit 1", "it ran out of memory"),
        ('cat >/dev/null; echo \'[{"kind": "err\' >&2; exit 1', "it gave up"),
        ("exit 3", "it ended with 3"),
    ],
)
def test_a_compiler_that_fails_is_named_and_ended(tmp_path: Path, script: str, failure: str) -> None:
    limits = CompilerLimits(wall_seconds=0.5 if "sleep" in script else 20.0, output_kb=64)
    assert fake(tmp_path, script).read("int x;" * 50_000, (), limits).failure == failure


def test_the_compiler_runs_bounded_in_an_empty_directory_without_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CPATH", "/secret")
    out = tmp_path / "seen"
    script = f"cat >/dev/null; (ls -A; env; cat /proc/self/limits; ps -o pgid= -p $$; echo $$) >/dev/stderr; cp /dev/null {out}"
    compiler = fake(tmp_path, script)

    ended = bounded.run([compiler.cc1], b"int x;", CompilerLimits(memory_mb=1024))
    text = ended.messages.decode()
    assert ended.failure == ""
    assert "CPATH" not in text
    assert "LC_ALL=C" in text
    limits = {
        line[:26].strip(): line[26:].split()[0] for line in text.splitlines() if line.startswith("Max ")
    }
    assert limits["Max address space"] == str(1024 << 20)
    assert (limits["Max file size"], limits["Max core file size"], limits["Max open files"]) == (
        "0",
        "0",
        "64",
    )
    assert (limits["Max cpu time"], limits["Max processes"]) == ("5", "0")


@pytest.mark.parametrize(
    "flag", ["-fplugin=x.so", "-Wp,-include,/etc/passwd", "-Wl,-x", "-o", "-Wall -o x", "@file"]
)
def test_only_warning_flags_reach_the_compiler(flag: str) -> None:
    with pytest.raises(ValidationError, match="-W flag"):
        SyntaxConfig(warnings=(flag,))


def test_the_prelude_gives_what_is_used_and_not_declared() -> None:
    prelude = read_prelude()
    code = Structure("int bind(tsn_stream_t *s, uint8_t p) { return likely(p); }")
    lines = prelude.lines(code, lambda _: True)
    assert lines == [
        "typedef __UINT8_TYPE__ uint8_t;",
        "#define likely(x) (x)",
        "typedef struct tsn_stream tsn_stream_t;",
    ]
    own = Structure("typedef struct { int a; } tsn_stream_t; int f(tsn_stream_t *s) { return s->a; }")
    assert prelude.lines(own, lambda _: True) == []


def test_a_users_own_prelude_takes_its_place(tmp_path: Path) -> None:
    mine = tmp_path / "mine.h"
    mine.write_text("/* ours */\ntypedef struct vendor_handle vendor_handle_t;\n")
    code = "int f(vendor_handle_t *h) { return h != 0; }\n"
    assert score(code).syntax == 6.0
    assert score(code, config=QualityScoringConfig(syntax=SyntaxConfig(prelude=mine))).syntax == 10.0
    mine.write_text("\n42;\n")
    read_prelude.cache_clear()
    with pytest.raises(ValueError, match=r"mine\.h:2: this declares nothing"):
        read_prelude(mine)


@needing("gcc")
def test_the_headers_of_the_prelude_are_read_without_a_word() -> None:
    compiler = find_compiler("gcc")
    assert compiler is not None
    prelude = read_prelude()
    headers = [f"#include <{h}>" for h in sorted(prelude.headers) if compiler.available(h)]
    found = compiler.read("\n".join(['# 1 "code.c"', *headers, ""]), ("-Wall",), CompilerLimits())
    assert found.diagnostics == ()
    for text in dict.fromkeys(t for t in prelude.names.values() if t not in prelude.headers):
        assert Structure(text).faults == [], text


@needing("gcc")
def test_the_declarations_of_the_prelude_compile_together() -> None:
    compiler = find_compiler("gcc")
    assert compiler is not None
    prelude = read_prelude()
    texts = dict.fromkeys(t for t in prelude.names.values() if t not in prelude.headers)
    found = compiler.read("\n".join(['# 1 "code.c"', *texts, ""]), ("-Wall",), CompilerLimits())
    assert found.diagnostics == ()
    standard = "stddef stdint stdbool limits string stdio stdlib errno sys/types sys/socket linux/types linux/if_ether"
    headers = [f"#include <{h}.h>" for h in standard.split() if compiler.available(f"{h}.h")]
    for first, then in ((texts, headers), (headers, texts)):
        unit = ['# 1 "prelude.h"', *first, '# 1 "code.c"', *then, ""]
        errors = [
            d for d in compiler.read("\n".join(unit), (), CompilerLimits()).diagnostics if d.kind == "error"
        ]
        assert errors == []


def test_weights_must_add_up() -> None:
    with pytest.raises(ValidationError, match="add up to 1"):
        QualityScoringConfig(weights={"syntax": 0.5})
