"""The pages are true: every block of code is run, read by what it is written for, or says why not; and they build into a site."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

import phases
from fsm import cli, mermaid
from fsm.config import read_values
from fsm.config.model import Engine
from fsm.engine import Context, Phase, Registry
from tests import readme
from tests.pages import ROOT, Block, blocks, indented

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks(page)]
BLOCKS += [
    block for page in PAGES if page.name != "api.md" for block in indented(page)
]  # which has options for what makes it
NOT_RUN = re.compile(r'title="not run: [^"]{5,}"')
LOOKED_AT = {  # elsewhere: by page and language
    ("docs/checks.md", "mermaid"): "tests/fsm/check/test_pages.py",
    ("docs/checks.md", "python"): "tests/fsm/check/test_pages.py",
    ("docs/tutorial.md", "mermaid"): "tests/test_tutorial.py",
    ("docs/tutorial.md", "python"): "tests/test_tutorial.py",
    ("docs/tutorial.md", "yaml"): "tests/test_tutorial.py",
    ("docs/tutorial.md", "console"): "tests/test_tutorial.py",
    ("docs/commands.md", "sh"): "tests/test_readme.py",
    ("README.md", "python"): "tests/test_readme.py",
    ("docs/library.md", "mermaid"): "tests/fsm/test_library_page.py",
    ("docs/library.md", "python"): "tests/fsm/test_library_page.py",
    ("docs/library.md", "yaml"): "tests/fsm/test_library_page.py",
}


def of(*languages: str) -> list[Any]:
    """The blocks of a language that are looked at here."""
    found = [b for b in BLOCKS if b.language in languages and (b.page, b.language) not in LOOKED_AT]
    assert found
    return [pytest.param(block, id=str(block)) for block in found]


def is_run(block: Block) -> bool:
    return NOT_RUN.search(block.words) is None


def test_every_block_says_what_it_is() -> None:
    known = {"mermaid", "python", "yaml", "json", "toml", "sh", "console", "text"}
    assert [str(b) for b in BLOCKS if b.language not in known] == [], (
        "fence it, and name its language; `text` is no code"
    )
    assert [str(b) for b in BLOCKS if b.words and is_run(b)] == [], (
        'behind the language stands title="not run: why"'
    )
    sessions = [b for b in BLOCKS if b.language == "console" and is_run(b)]
    assert [str(b) for b in sessions if (b.page, b.language) not in LOOKED_AT] == []


@pytest.mark.parametrize(("page", "test"), sorted({(page, test) for (page, _), test in LOOKED_AT.items()}))
def test_what_is_looked_at_elsewhere_is(page: str, test: str) -> None:
    if (ROOT / page).exists():
        assert Path(page).stem in (ROOT / test).read_text("utf-8")


@pytest.mark.parametrize("block", of("mermaid"))
def test_a_drawing_can_be_read(block: Block) -> None:
    assert mermaid.parse(block.text, block.page).diagnostics == ()


@pytest.mark.parametrize("block", of("python"))
def test_a_program_runs_and_a_piece_of_one_fits(block: Block) -> None:
    """What a piece imports is there, and what it has a context do a context can; its other names are from elsewhere."""
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                assert _is_there(node.module, alias.name), f"{block}: {node.module} has no {alias.name}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ctx":
            assert hasattr(Context, node.attr) or f"self.{node.attr} = " in inspect.getsource(Context), (
                f"{block}: {node.attr}"
            )
    if is_run(block) and not from_elsewhere(tree):
        exec(compile(block.text, str(block), "exec"), {})


def from_elsewhere(tree: ast.Module) -> set[str]:
    """The names that a text uses and does not make itself."""
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    made = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            made |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            made.add(node.name)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
    return used - made - set(dir(builtins))


def _is_there(module: str, name: str) -> bool:
    inside = find_spec(f"{module}.{name}") if find_spec(module).submodule_search_locations else None  # type: ignore[union-attr]
    return inside is not None or hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("block", of("json"))
def test_json_is_json(block: Block) -> None:
    assert json.loads(block.text)


@pytest.mark.parametrize("block", of("toml"))
def test_entry_points_are_of_groups_that_are_asked_for(block: Block) -> None:
    groups = tomllib.loads(block.text)["project"]["entry-points"]
    shown = (ROOT / "docs" / "extending.md").read_text("utf-8")
    assert [group for group in groups if f"`{group}`" not in shown] == []


@cache
def models() -> dict[str, type[BaseModel]]:
    """The sections of a configuration, and the sections inside them, by name."""
    registry = Registry("phases", Phase)
    found: dict[str, type[BaseModel]] = {"": Engine}
    todo = [(n, registry[n].config) for n in phases.NAMES if registry[n].config is not None]
    while todo:
        name, model = todo.pop(0)
        if found.setdefault(name, model) is model:
            todo += [(n, a) for n, f in model.model_fields.items() for a in _models(f.annotation)]
    return found


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    if get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from _models(one)


@pytest.mark.parametrize("block", of("yaml"))
def test_a_piece_of_a_configuration_is_one(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key is a section, whose model takes it, or a key within one."""
    monkeypatch.setenv("FSM_WEBHOOK", "https://example.org/hook")
    values = read_values(os.path.expandvars(block.text), str(block))
    for key, value in values.items():
        if key in models():
            models()[key].model_validate(value)
            continue
        within = [m for m in models().values() if key in m.model_fields]
        assert within, f"{block}: {key}"
        for model in within[:1]:
            model.__pydantic_validator__.validate_assignment(model.model_construct(), key, value)


def commands(block: Block) -> Iterator[str]:
    for line in block.text.splitlines():
        command = re.split(r"  +", line.strip())[0]
        if command:
            yield command


@pytest.mark.parametrize("block", of("sh"))
def test_a_command_is_one_that_the_command_line_takes(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words and options are parsed as if it were given, and no more: what they do, other tests show."""
    if not is_run(block):
        return
    monkeypatch.setattr(cli, "words", lambda parser, argv: parser.parse_args(argv))
    monkeypatch.setattr(cli, "guarded", lambda do, args: 0)
    for command in commands(block):
        if command in readme.blocks("sh")[0]:  # what continuous integration runs
            continue
        head, *rest = shlex.split(command.replace("[", "").replace("]", ""))
        assert head == "fsm", f"{block}: {command}"
        assert cli.main(rest) == 0


def test_the_pages_build_into_a_site_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} | {"contributing", "changelog"}
    assert {page for page in pages if not (tmp_path / "site" / page / "index.html").is_file()} == set()
    api = (tmp_path / "site" / "api" / "index.html").read_text("utf-8")
    for module, names in re.findall(
        r"^::: (\S+)\n    options:\n      members: \[(.*?)\]", _api(), re.MULTILINE
    ):
        for name in names.split(", "):
            assert hasattr(importlib.import_module(module), name), f"{module} has no {name}"
            assert re.search(rf'id="fsm\.[\w.]*\b{name}"', api), f"{module}.{name} is not on the page"


def _api() -> str:
    return (ROOT / "docs" / "api.md").read_text("utf-8")
