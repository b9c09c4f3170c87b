"""`fsm runs` says what runs take; `fsm clean` gives back what a run keeps on this machine, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fsm import cli
from fsm.store.local import LocalStore
from fsm.view.sizes import size
from tests.fsm.view.conftest import Fsm


def scratch(bakery: Any, run: str = "bread") -> Path:
    (found,) = (bakery.directory / "work").glob(f"{run}-*")
    return Path(found)


def filled(bakery: Any, run: str = "bread", count: int = 5000) -> int:
    """Put a checkpoint into a run's scratch; the bytes in all of it."""
    (scratch(bakery, run) / "checkpoint").write_bytes(b"x" * count)
    return sum(p.stat().st_size for p in scratch(bakery, run).rglob("*") if p.is_file())


def test_what_a_run_takes_is_listed(bakery: Any, fsm: Fsm, quiet: Any) -> None:
    bakery.run(logger=quiet)
    takes = filled(bakery)
    (bakery.directory / "work" / "bread").mkdir()  # an earlier version's, which is nobody's now
    (row,) = [json.loads(line) for line in fsm("runs", "--json")[0].splitlines()]
    assert (row["scratch"], row["scratch_bytes"]) == ([str(scratch(bakery))], takes)
    assert (row["artifacts"], row["artifact_bytes"], row["generation"]) == (1, len("flour, water, salt"), 0)
    head, line = fsm("runs")[0].splitlines()
    assert {"ARTIFACTS", "SCRATCH"} <= set(head.split())
    assert size(takes) in line
    assert "18 B" in line


def test_artifacts_that_no_name_leads_to_any_more_count_too(bakery: Any, quiet: Any) -> None:
    bakery.run(logger=quiet)
    run = LocalStore(bakery.directory).run("bread")
    run.put_artifact("dough.txt", b"12345")
    assert run.artifacts_size() == len("flour, water, salt") + 5


@pytest.mark.parametrize("said", [{}, {"flour": False}, {"mishap": "Burnt"}])
def test_the_scratch_of_a_run_that_is_over_is_removed(
    bakery: Any, fsm: Fsm, quiet: Any, said: dict[str, Any]
) -> None:
    bakery.run("other", logger=quiet)
    over = bakery.run(logger=quiet, **said)
    assert over.outcome in ("done", "failed")
    if list((bakery.directory / "work").glob("bread-*")):
        path, takes = scratch(bakery), filled(bakery)
        out, _ = fsm("clean", "bread")
        assert f"{size(takes)} freed" in out
        assert str(path) in out
        assert not path.exists()
    out, _ = fsm("clean", "bread")
    assert "no scratch on this machine" in out
    assert scratch(bakery, "other").is_dir()
    fsm("audit", "bread")


def test_what_a_stopped_run_goes_on_from_is_kept_unless_it_is_forced(
    bakery: Any, fsm: Fsm, quiet: Any
) -> None:
    bakery.run(logger=quiet, mishap="NoGas")
    takes = filled(bakery)
    _, err = fsm("clean", "bread", code=2)
    assert "checkpoints" in err
    assert size(takes) in err
    assert "--force" in err
    assert scratch(bakery).is_dir()
    out, _ = fsm("clean", "bread", "--force", "--json")
    assert json.loads(out)["freed"] == takes
    assert list((bakery.directory / "work").iterdir()) == []
    bakery.run(logger=quiet, mishap="NoGas")  # without what it kept, the mishap happens again
    assert bakery.run(logger=quiet, mishap="NoGas").outcome == "done"


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_the_scratch_of_a_run_that_is_alive_is_not_removed(
    bakery: Any, fsm: Fsm, quiet: Any, force: list[str]
) -> None:
    bakery.run(logger=quiet, mishap="NoGas")
    run = LocalStore(bakery.directory).run("bread")
    run.acquire()
    try:
        _, err = fsm("clean", "bread", *force, code=2)
    finally:
        run.release()
    assert "[F405]" in err
    assert scratch(bakery).is_dir()


def test_a_runner_that_comes_between_the_look_and_the_removal_wins(
    bakery: Any, fsm: Fsm, quiet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bakery.run(logger=quiet, mishap="NoGas")
    monkeypatch.setattr("fsm.view.clean.is_alive", lambda *_: False)
    run = LocalStore(bakery.directory).run("bread")
    run.acquire()
    try:
        fsm("clean", "bread", "--force", code=2)
    finally:
        run.release()
    assert scratch(bakery).is_dir()


def test_it_is_found_from_another_directory(
    bakery: Any, fsm: Fsm, quiet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's last runner said where it is; `work: work` means another place from here."""
    monkeypatch.chdir(tmp_path)
    file = bakery.file()
    file.write_text(file.read_text().replace(str(bakery.directory / "work"), "work"))
    fsm("run", str(file), "--log", "none")
    path = scratch(bakery)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    fsm("clean", "bread")
    assert not path.exists()


def test_where_the_last_runner_says_is_looked_at_and_not_believed(
    bakery: Any, fsm: Fsm, quiet: Any, tmp_path: Path
) -> None:
    bakery.run(logger=quiet)
    own = scratch(bakery)
    (tmp_path / "mine").mkdir()
    theirs = tmp_path / "mine" / own.name
    theirs.mkdir()
    (theirs / "thesis.tex").write_text("mine")
    run = LocalStore(bakery.directory).run("bread")
    run.write_live({**(run.read_live() or {}), "scratch": str(theirs)})
    fsm("clean", "bread")
    assert (theirs / "thesis.tex").exists()
    assert not own.exists()  # where the configuration says


def test_beginning_anew_sweeps_what_the_former_run_left_and_nothing_else(
    bakery: Any, fsm: Fsm, quiet: Any
) -> None:
    bakery.run(logger=quiet, mishap="NoGas")
    bakery.run("bread-2", logger=quiet)
    old = bakery.directory / "work" / "bread"
    old.mkdir()
    before = sorted(p.name for p in (bakery.directory / "work").iterdir())
    fsm("run", str(bakery.file(mishap="NoGas")), "--fresh", "--log", "none", code=3)
    after = sorted(p.name for p in (bakery.directory / "work").iterdir())
    assert len(before) == len(after) == 3
    assert len(set(before) & set(after)) == 2
    assert old.is_dir()


def test_two_stores_in_one_directory_keep_their_scratch_apart(bakery: Any, fsm: Fsm, quiet: Any) -> None:
    """Beginning a run of the same name in another store leaves what the first one kept."""
    bakery.run(logger=quiet, mishap="NoGas")
    kept = scratch(bakery)
    second = bakery.directory / "second"
    bakery.file(mishap="NoGas")
    assert (
        cli.main(["run", str(bakery.directory / "bread.yaml"), "--store", str(second), "--log", "none"]) == 3
    )
    assert (kept / "oven" / "mishap").exists()
    assert len(list((bakery.directory / "work").glob("bread-*"))) == 2
    shutil.rmtree(second)
    assert bakery.run(logger=quiet, mishap="NoGas").outcome == "done"


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9949, "9.9 kB"), (9950, "10 kB"), (999_499, "999 kB"),
     (999_500, "1.0 MB"), (15_300_000_000, "15 GB"), (4 * 10**15, "4000 TB")],
)  # fmt: skip
def test_sizes_are_said_as_people_say_them(count: int, words: str) -> None:
    assert size(count) == words
