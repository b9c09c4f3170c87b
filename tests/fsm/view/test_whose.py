"""A run is the one it was begun as: a copy under another name, or a changed header, is read and said, not gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsm import cli
from fsm.journal import GENESIS, Journal, digest, encode
from fsm.store.local import LocalRun, LocalStore
from tests.fsm.view.conftest import Fsm

READING = (("status",), ("history",), ("audit",), ("render",), ("runs",))


def directory(bakery: Any, run: str = "bread") -> Path:
    return Path(bakery.directory / "runs" / run)


def edited(bakery: Any, change: Callable[[dict[str, Any]], Any]) -> None:
    path = directory(bakery) / "run.json"
    header = json.loads(path.read_bytes())
    change(header)
    path.write_text(json.dumps(header, indent=1))


def of_an_earlier_version(bakery: Any) -> None:
    """The run as a version wrote it whose journals did not name the header."""
    prev, lines = GENESIS, []
    for record in Journal(LocalStore(bakery.directory).run("bread")).records():
        lines.append(encode(record | {"prev": prev}))
        prev = digest(lines[-1])
    (directory(bakery) / "journal.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def said(fsm: Fsm, word: str) -> tuple[list[str], dict[str, Any]]:
    """What commands print of run `bread`: the paragraphs on stderr, and where JSON says it too, by command."""
    told, found = [], {}
    for command in READING:
        name = [] if command == ("runs",) else [word]
        _, err = fsm(*command, *name, code=2 if command == ("audit",) else 0)
        told.append(err)
        out, _ = fsm(*command, *name, "--json", code=2 if command == ("audit",) else 0)
        lines = [json.loads(line) for line in out.splitlines()]
        row = next((r for r in lines if r.get("run") == word), lines[0]) if command == ("runs",) else lines[0]
        found[command[0]] = row.get("foreign") or row.get("message")
    return told, found


@pytest.mark.parametrize("of", ["now", "an earlier version"])
def test_a_copy_under_another_name_is_said_by_whatever_reads_it(
    bakery: Any, fsm: Fsm, quiet: Any, of: str
) -> None:
    bakery.run(logger=quiet)
    if of != "now":
        of_an_earlier_version(bakery)
    shutil.copytree(directory(bakery), directory(bakery, "cake"))
    told, found = said(fsm, "cake")
    assert all("Run cake at" in text and "is run bread under another name" in text for text in told), told
    assert all("is run bread under another name" in message for message in found.values()), found


def test_a_changed_header_is_said_by_whatever_reads_the_run(bakery: Any, fsm: Fsm, quiet: Any) -> None:
    bakery.run(logger=quiet)
    edited(bakery, lambda header: header["config"]["run"].update(seed=7))
    told, found = said(fsm, "bread")
    assert all("begun with another run.json" in text for text in told), told
    assert all("begun with another run.json" in message for message in found.values()), found


def test_of_a_run_that_is_what_it_stands_as_nothing_is_said(bakery: Any, fsm: Fsm, quiet: Any) -> None:
    bakery.run(logger=quiet)
    for _ in ("now", "of an earlier version"):
        for command in ("status", "history", "audit", "render"):
            _, err = fsm(command, "bread")
            assert err == ""
        out, err = fsm("runs", "--json")
        assert (json.loads(out)["foreign"], err) == (None, "")
        of_an_earlier_version(bakery)


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another seed": lambda header: header.update(seed=7),
    "another setting": lambda header: header["config"]["oven"].update(loaves=100),
    "another time": lambda header: header.update(created="2020-01-01T00:00:00.000+00:00"),
    "a field more": lambda header: header.update(note="mine"),
    "no configuration": lambda header: header.pop("config"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_whose_header_was_changed_is_not_gone_on_with(
    bakery: Any, fsm: Fsm, quiet: Any, change: str
) -> None:
    bakery.run(logger=quiet, mishap="NoGas")
    before = (directory(bakery) / "journal.jsonl").read_bytes()
    good = (directory(bakery) / "run.json").read_bytes()
    edited(bakery, CHANGES[change])
    file = str(bakery.file(mishap="NoGas"))
    _, err = fsm("run", file, "--log", "none", code=2)
    assert "begun with another run.json" in err
    assert "--fresh" in err
    assert "[F407]" in err
    assert (directory(bakery) / "journal.jsonl").read_bytes() == before
    (directory(bakery) / "run.json").write_bytes(good)
    fsm("run", file, "--log", "none")


def test_a_copy_is_not_gone_on_with_and_its_name_can_be_begun_anew(bakery: Any, fsm: Fsm, quiet: Any) -> None:
    bakery.run(logger=quiet, mishap="NoGas")
    shutil.copytree(directory(bakery), directory(bakery, "cake"))
    file = str(bakery.file("cake", mishap="NoGas"))
    _, err = fsm("run", file, "--log", "none", code=2)
    assert "is run bread under another name" in err
    assert "[F407]" in err
    fsm("run", file, "--fresh", "--log", "none", code=3)
    _, err = fsm("status", "cake")
    assert err == ""


def test_a_copy_whose_name_was_changed_with_it_is_told_by_its_journal(
    bakery: Any, fsm: Fsm, quiet: Any
) -> None:
    bakery.run(logger=quiet)
    shutil.copytree(directory(bakery), directory(bakery, "cake"))
    path = directory(bakery, "cake") / "run.json"
    path.write_text(path.read_text().replace('"bread"', '"cake"'))
    _, err = fsm("run", str(bakery.file("cake")), "--log", "none", code=2)
    assert "begun with another run.json" in err


def test_a_run_in_another_place_is_still_itself(bakery: Any, fsm: Fsm, quiet: Any, tmp_path: Path) -> None:
    """A copy of the store, or one brought back from a backup, goes on."""
    bakery.run(logger=quiet, mishap="NoGas")
    moved = tmp_path / "backup"
    shutil.copytree(bakery.directory / "runs", moved / "runs")
    assert (
        cli.main(["run", str(bakery.file(mishap="Burnt")), "--store", str(moved), "--log", "none"]) == 2
    )  # another program
    assert cli.main(["run", str(bakery.file(mishap="NoGas")), "--store", str(moved), "--log", "none"]) == 3


def test_a_run_of_an_earlier_version_goes_on(bakery: Any, fsm: Fsm, quiet: Any) -> None:
    bakery.run(logger=quiet, mishap="NoGas")
    of_an_earlier_version(bakery)
    fsm("run", str(bakery.file(mishap="NoGas")), "--log", "none")
    fsm("audit", "bread")


# A run that has ended


def tree(bakery: Any) -> dict[str, tuple[bytes, int]]:
    found = directory(bakery).rglob("*")
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in found if p.is_file()}


@pytest.mark.parametrize("flour", [True, False])
def test_a_run_that_has_ended_is_only_read(bakery: Any, fsm: Fsm, quiet: Any, flour: bool) -> None:
    first = bakery.run(logger=quiet, flour=flour)
    before = tree(bakery)
    assert bakery.run(logger=quiet, flour=flour) == first
    assert tree(bakery) == before
    out, _ = fsm("run", str(bakery.file(flour=flour)), "--log", "none", "--json", code=first.exit_code)
    assert json.loads(out)["label"] == first.label
    assert tree(bakery) == before


def test_how_a_run_ended_can_be_asked_while_its_lock_is_held(bakery: Any, quiet: Any) -> None:
    """Reading needs no lock, and no right to write."""
    bakery.run(logger=quiet)
    run = LocalStore(bakery.directory).run("bread")
    run.acquire()
    try:
        assert bakery.run(logger=quiet).outcome == "done"
    finally:
        run.release()


def test_a_run_that_ends_while_another_runner_waits_for_it_is_only_read(
    bakery: Any, quiet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the journal and the lock the other one ends it."""
    bakery.run(logger=quiet)
    before = {name: content for name, (content, _) in tree(bakery).items()}
    journal = directory(bakery) / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))  # as it was a moment before
    real = LocalRun.acquire

    def acquire(run: LocalRun, takeover: bool = False) -> int:
        journal.write_bytes(whole)
        return real(run, takeover)

    monkeypatch.setattr(LocalRun, "acquire", acquire)
    assert bakery.run(logger=quiet).outcome == "done"
    assert {name: content for name, (content, _) in tree(bakery).items()} == before
