"""Every command's help ends with an example that the command takes, and a shell can complete commands and names of runs."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fsm.cli import parser_of

ROOT = Path(__file__).parents[2]


def commands() -> dict[str, argparse.ArgumentParser]:
    """All commands, those of the phases among them."""
    (action,) = (a for a in parser_of([])._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


@pytest.mark.parametrize("name", commands())
def test_the_help_of_a_command_ends_with_an_example_that_it_takes(name: str) -> None:
    shown = commands()[name].format_help()
    examples = [line.strip() for line in shown.partition("\nexample")[2].splitlines()[1:] if line.strip()]
    assert examples, shown
    for example in examples:
        program, *words = shlex.split(example)
        assert program == "fsm"
        assert words[0] == name
        parser_of([]).parse_args(words)  # ends the process where it does not fit


def completions(line: str, cwd: Path, tmp_path: Path) -> list[str]:
    """What a shell is offered behind a line, as argcomplete's own hook for bash asks for it."""
    answer = tmp_path / "answer"
    environment = os.environ | {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run([sys.executable, "-m", "fsm.cli"], cwd=cwd, env=environment, check=True, timeout=60)
    return [word.rstrip() for word in answer.read_text().split("\n") if word.strip()]


def test_commands_are_completed_those_of_the_phases_too(tmp_path: Path) -> None:
    assert set(completions("fsm ", tmp_path, tmp_path)) >= {"run", "fork", "import", "launch", "score"}
    assert completions("fsm for", tmp_path, tmp_path) == ["fork"]


def test_names_of_runs_are_completed_from_the_store_that_is_named(tmp_path: Path) -> None:
    for where, name in (("here", "morning"), ("here", "mill"), ("there", "moon")):
        run = tmp_path / where / "runs" / name
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
    here = tmp_path / "here"
    assert completions("fsm status m", here, tmp_path) == ["mill", "morning"]
    assert completions("fsm fork mo", here, tmp_path) == ["morning"]
    assert completions("fsm compare mill mo", here, tmp_path) == ["morning"]
    assert completions("fsm audit --store ../there m", here, tmp_path) == ["moon"]


def test_options_are_completed(tmp_path: Path) -> None:
    assert completions("fsm export --t", tmp_path, tmp_path) == ["--to"]
    assert completions("fsm export --to s", tmp_path, tmp_path) == ["scxml"]
