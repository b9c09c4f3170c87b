"""What is not imported before it is needed: seconds of start, and gigabytes of libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import machines
import phases

ROOT = Path(machines.__file__).parents[1]
HEAVY = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "bitsandbytes",
    "accelerate",
    "boto3",
    "botocore",
    "matplotlib",
    "mermaidx",
    "numpy",
    "opentelemetry",
    "starlette",
    "uvicorn",
)
FOR_HELP = (*HEAVY, "pydantic", "transitions", "rich", "structlog", "yaml")


def imported(program: str, of: tuple[str, ...]) -> list[str]:
    """Which of the libraries an interpreter of its own has imported after a program; which must reach its end."""
    told = f"{program}\nimport sys\nprint('imported', *sorted(sys.modules.keys() & set({of!r})))"
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True)
    word, *found = done.stdout.splitlines()[-1].split()
    assert word == "imported"
    return found


def test_the_help_of_a_run_imports_no_library() -> None:
    program = """
import runpy, sys
sys.argv = ["run", "--help"]
try:
    runpy.run_module("fsm.run", run_name="__main__")
except SystemExit as end:
    assert end.code == 0
"""
    assert imported(program, FOR_HELP) == []


def test_the_help_of_the_command_line_imports_nothing_heavy() -> None:
    program = """
from fsm.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0
"""
    assert imported(program, HEAVY) == []


def test_fsm_itself_imports_nothing_and_what_it_names_is_light() -> None:
    assert imported("import fsm", FOR_HELP) == []
    assert imported("from fsm import Context, Machine, Phase", HEAVY) == []
    assert imported("from fsm import Run, load\nimport fsm.testing", HEAVY) == []


def test_every_machine_and_every_phase_is_light_to_import() -> None:
    modules = [*machines.NAMES.values(), *phases.NAMES.values()]
    assert len(modules) >= 10 + 9
    program = "import importlib\n" + "".join(
        f"importlib.import_module({name.partition(':')[0]!r})\n" for name in modules
    )
    assert imported(program, HEAVY) == []


def test_a_configuration_is_read_and_proved_without_anything_heavy() -> None:
    program = """
from pathlib import Path
from fsm.check import check
from fsm.config import load
check(load(Path("configs/local.yaml")).program)
"""
    assert imported(program, HEAVY) == []
