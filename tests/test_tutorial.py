"""docs/tutorial.md is true: what it shows of the example stands there, and its commands, given in order, answer as it says."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from fsm import mermaid
from tests.pages import ROOT, blocks, fits, said, session

PAGE = ROOT / "docs" / "tutorial.md"
SHOWN = {"mermaid": ("mirror.mmd", "errors.mmd"), "python": ("handlers.py",), "yaml": ("mirror.yaml",)}
"""The files of the example that blocks of a language are taken from."""


def test_every_block_is_of_the_example_or_a_session() -> None:
    files = {
        kind: [(ROOT / "examples/mirror" / n).read_text() for n in names] for kind, names in SHOWN.items()
    }
    seen = [block for block in blocks(PAGE) if block.language != "console"]
    assert {block.language for block in seen} == SHOWN.keys()
    for block in seen:
        assert any(block.text in text for text in files[block.language]), f"{block} is not in the example"
    drawings = [block.text for block in seen if block.language == "mermaid"]
    assert drawings == files["mermaid"]
    assert [mermaid.parse(text).diagnostics for text in drawings] == [(), ()]


def test_the_sessions_answer_as_they_are_shown(tmp_path: Path) -> None:
    """One after the other, in a directory that has the examples; `fsm` is what is on the path."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    command = tmp_path / "bin" / "fsm"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m fsm.cli "$@"\n')
    command.chmod(0o700)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FSM_", "PYTEST_"))} | {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    given = 0
    for block in blocks(PAGE):
        for line, shown in session(block) if block.language == "console" else ():
            found = said(line, tmp_path, environment)
            assert fits(shown, found), f"{block}: {line}\n" + "\n".join(found)
            given += 1
    assert given > 15
