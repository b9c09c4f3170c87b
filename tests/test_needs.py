"""What the tests need is set up once and told in a line; what cannot be had is named, and why."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import needs
from tests.needs import installers, listed
from tests.needs.installers import CannotBeHad
from tests.needs.listed import Need
from tests.needs.where import HERE


class Thing:
    """Something to be had: how often it was installed, and what went wrong."""

    def __init__(self, home: Path, fails: str = "") -> None:
        self.file, self.fails, self.times = home / "thing", fails, 0

    def install(self) -> None:
        self.times += 1
        if self.fails:
            raise CannotBeHad(self.fails)
        self.file.touch()

    def need(self, version: str = "") -> Need:
        stamp = self.file.with_name("thing.installed") if version else None
        return Need("a thing, of use", "by hand, 1 MB", self.file.exists, self.install, stamp, version)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Need], list[str]]:
    """Has one need in the list, sets it up, and returns what was said."""
    monkeypatch.setattr(listed, "REASONS", tmp_path / "build" / "needs.json")

    def go(need: Need) -> list[str]:
        monkeypatch.setattr(listed, "NEEDS", {"thing": need})
        said: list[str] = []
        needs.prepare(said.append)
        return said

    return go


def test_it_is_set_up_once_and_told_with_what_it_takes(
    only: Callable[[Need], list[str]], tmp_path: Path
) -> None:
    thing = Thing(tmp_path)
    assert only(thing.need()) == ["tests: setting up a thing, of use (by hand, 1 MB)", "tests: set up in 0 s"]
    assert needs.lacking("thing") is None
    assert only(thing.need()) == []
    assert thing.times == 1


def test_another_version_is_set_up_anew(only: Callable[[Need], list[str]], tmp_path: Path) -> None:
    thing = Thing(tmp_path)
    only(thing.need("1.0"))
    only(thing.need("1.0"))
    assert thing.times == 1
    only(thing.need("1.1"))
    assert thing.times == 2


def test_what_cannot_be_had_is_named_and_what_needs_it_is_not_run(
    only: Callable[[Need], list[str]], tmp_path: Path
) -> None:
    thing = Thing(tmp_path, fails="pip could not install thing==1: no network")
    assert only(thing.need())[-1] == (
        "tests: it cannot be had here: pip could not install thing==1: no network. What needs it is not run."
    )
    with pytest.raises(
        pytest.skip.Exception, match=r"no a thing \(pip could not install thing==1: no network\)"
    ):
        needs.require("thing")
    thing.fails = ""
    only(thing.need())
    needs.require("thing")


def test_without_a_set_up_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(listed, "REASONS", tmp_path / "none.json")
    monkeypatch.setattr(listed, "NEEDS", {"thing": Thing(tmp_path).need()})
    assert needs.lacking("thing") == "no a thing (`python -m tests.needs` sets it up)"
    mark = needs.needing("thing")
    assert (mark.args, mark.kwargs["reason"]) == ((True,), needs.lacking("thing"))


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Puts a program of one's own on a path that has nothing else."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(name: str, text: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    return make


def test_debians_packages_want_apt_and_root(
    tools: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CannotBeHad, match="there is no apt-get here to install gcc with"):
        installers.apt("gcc")
    tools("apt-get", 'echo "E: Unable to locate package $5" >&2; exit 100')
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotBeHad, match="installing gcc takes root: apt-get install gcc"):
        installers.apt("gcc")


def test_an_installer_that_fails_is_quoted(
    tools: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    tools(
        "apt-get",
        'echo "W: some list"; echo "E: Unable to locate package gcc" >&2; echo "N: see more" >&2; exit 100',
    )
    with pytest.raises(CannotBeHad, match=r"apt-get could not install .*: E: Unable to locate package gcc"):
        installers.apt("gcc")


def test_node_comes_by_pip_where_the_machine_has_none(
    tools: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, ...]] = []

    def pip(*what: str) -> None:
        asked.append(what)
        (tmp_path / "own" / "bin").mkdir(parents=True)
        npm = tmp_path / "own" / "bin" / "npm"
        npm.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\n')
        npm.chmod(0o755)

    monkeypatch.setattr(installers, "PYTHON", tmp_path / "own")
    monkeypatch.setattr(installers, "pip", pip)
    assert installers.node() is None
    installers.npm(tmp_path / "where", "thing@1")
    assert asked == [("-r", str(HERE / "node.txt"))]
    assert (tmp_path / "said").read_text().split()[-3:] == ["--prefix", str(tmp_path / "where"), "thing@1"]
