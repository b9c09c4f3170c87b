"""docs/library.md is true: its files are written, its blocks run in order, its tests pass."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "library.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"(?:#|%%) (\w+\.\w+)\n")


def blocks() -> list[tuple[str, str, int]]:
    """(language, text, line of the page) of each fenced block."""
    text = PAGE.read_text("utf-8")
    return [(m[1], m[2], text[: m.start(2)].count("\n")) for m in FENCE.finditer(text)]


def executed(text: str, line: int, names: dict[str, Any]) -> None:
    """Run a block as a cell of a notebook is run: `await` may stand at its top."""
    tree = ast.parse("\n" * line + text)
    code = compile(tree, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:

        async def cell() -> None:
            await eval(code, names)

        asyncio.run(cell())
    else:
        exec(code, names)


def test_every_block_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    names: dict[str, Any] = {"__name__": "page"}
    ran = []
    for language, text, line in blocks():
        if named := NAMED.match(text):
            Path(named[1]).write_text(text)
        else:
            assert language == "python", f"line {line}: what is this block for?"
            executed(text, line, names)
            ran.append(line)
    assert len(ran) >= 5
    assert sys.path == before
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_coffee.py"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("passed")) == (0, 1), done.stdout


def test_the_errors_of_the_page_have_their_numbers() -> None:
    from fsm import errors

    told = re.findall(r"(\w+), (F\d{3})\b", PAGE.read_text("utf-8"))
    assert len(told) == 8
    assert [(name, getattr(errors, name).code) for name, _ in told] == told
