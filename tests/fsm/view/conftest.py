"""Runs of the toy bakery, made in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fsm import cli, session
from fsm import config as configs
from fsm.config import Config
from fsm.engine import Observer, Outcome

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def toys_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a configuration can name toys.machines and toys.phases."""
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture(autouse=True)
def no_picture_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pictures drawn by a test are for it alone."""
    from fsm.view import picture

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    picture._svg.cache_clear()


class Bakery:
    """Configurations and runs in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = str(directory)

    def file(self, run: str = "bread", machine: str = "bakery", **said: Any) -> Path:
        """A configuration file; `said` goes to the sections of both machines."""
        value = {
            "machine": machine,
            "plug": {"machines": "toys.machines", "phases": "toys.phases"},
            "recovery": "mishaps",
            "run": {"name": run},
            "store": self.store,
            "work": str(self.directory / "work"),
            "oven": said,
        }
        if machine == "bakery":
            value["bakery"] = said
        path = self.directory / f"{run}.yaml"
        path.write_text(yaml.safe_dump(value))
        return path

    def config(self, run: str = "bread", machine: str = "bakery", **said: Any) -> Config:
        return configs.load(self.file(run, machine, **said))

    def run(
        self,
        run: str = "bread",
        machine: str = "bakery",
        observer: Observer | None = None,
        logger: Any = None,
        **said: Any,
    ) -> Outcome:
        return session.run(self.config(run, machine, **said), observer=observer, logger=logger)


@pytest.fixture
def bakery(tmp_path: Path) -> Bakery:
    return Bakery(tmp_path)


Fsm = Callable[..., tuple[str, str]]
"""The command line; what it printed on both streams."""


@pytest.fixture
def fsm(bakery: Bakery, capsys: pytest.CaptureFixture[str]) -> Fsm:
    """The command line on the bakery's store; returns what it printed on both streams."""

    def call(*words: str, code: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        assert cli.main([*words, "--store", bakery.store]) == code
        printed = capsys.readouterr()
        return printed.out, printed.err

    return call


@pytest.fixture
def bakeries(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Bakery]:
    """A new directory for each call, for properties."""
    return lambda: Bakery(tmp_path_factory.mktemp("bakery"))


@pytest.fixture
def quiet() -> Any:
    """A logger that says nothing."""
    from fsm.view.logs import nobody

    return nobody()
