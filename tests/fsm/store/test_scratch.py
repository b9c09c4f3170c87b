"""Scratch belongs to one run: no other run meets it, and nothing is removed that is not the run's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm.errors import RunBusy, StoreError
from fsm.store import Scratch, held
from fsm.store.local import LocalRun, LocalStore
from fsm.store.s3 import S3Store
from fsm.store.scratch import MARKER, PART


def begun(root: Path, name: str = "r", header: bytes = b"{}") -> LocalRun:
    run = LocalStore(root).run(name)
    run.write_header(header)
    return run


def scratch(tmp_path: Path, store: str = "store", name: str = "r", generation: int = 0) -> Scratch:
    run = LocalStore(tmp_path / store).run(name)
    if run.read_header() is None:
        run.write_header(b"{}")
    return Scratch(tmp_path / "work", run, generation)


places = st.tuples(
    st.sampled_from(["one", "two", "deep/one"]), st.sampled_from(["a", "a-1", "b"]), st.integers(0, 3)
)


@given(a=places, b=places)
def test_two_runs_share_a_directory_only_if_they_are_one(
    a: tuple[str, str, int], b: tuple[str, str, int]
) -> None:
    (one, first, m), (two, second, n) = a, b
    base = Path("work")
    here = Scratch(base, LocalStore(Path("/stores") / one).run(first), m).path
    there = Scratch(base, LocalStore(Path("/stores") / two).run(second), n).path
    assert (here == there) == (a == b)


def test_its_name_begins_with_the_runs_and_its_marker_says_whose_it_is(tmp_path: Path) -> None:
    mine = scratch(tmp_path, name="nightly")
    path = mine.directory("checkpoints/qlora")
    assert path == mine.path / "checkpoints" / "qlora"
    assert path.is_dir()
    assert mine.path.name.startswith("nightly-")
    said = json.loads((mine.path / MARKER).read_text())
    assert (said["store"], said["run"], said["generation"]) == (str(tmp_path / "store"), "nightly", 0)


def test_a_store_has_one_place_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path / "store")
    (tmp_path / "link").symlink_to(tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    written = ("store", "./store", "link", str(tmp_path / "store"), "link/../store")
    assert len({Scratch(Path("work"), LocalStore(Path(w)).run("r")).path for w in written}) == 1


def test_buckets_of_one_name_at_two_endpoints_are_two_places() -> None:
    endpoints: list[dict[str, Any]] = [{}, *({"endpoint_url": f"http://localhost:{n}"} for n in (1, 2))]
    places = {S3Store(f"s3://bucket/{p}", **said).run("r").place for p in ("", "p") for said in endpoints}
    assert len(places) == 6


def test_what_is_in_it_is_there_the_next_time(tmp_path: Path) -> None:
    (scratch(tmp_path).directory("a") / "file").write_text("kept")
    assert (scratch(tmp_path).directory("a") / "file").read_text() == "kept"


def test_removing_it_says_how_much_it_held_and_leaves_its_neighbours(tmp_path: Path) -> None:
    mine, other = scratch(tmp_path), scratch(tmp_path, store="elsewhere")
    old = tmp_path / "work" / "r"  # as earlier versions named it
    for directory in (mine.directory("a"), other.directory("a"), old):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "file").write_bytes(b"x" * 1000)
        os.link(directory / "file", directory / "again")
    marker = mine.marker.stat().st_size
    assert mine.size() == 1000 + marker
    assert mine.remove() == 1000 + marker
    assert not mine.path.exists()
    assert mine.remove() == mine.size() == 0
    assert (old / "file").exists()
    assert other.size() > 1000


def test_it_can_be_asked_for_again_after_it_was_removed_by_hand(tmp_path: Path) -> None:
    mine = scratch(tmp_path)
    mine.directory("a")
    mine.marker.unlink()
    (mine.path / "a").rmdir()
    mine.path.rmdir()
    assert mine.directory("a").is_dir()
    assert mine.there


@pytest.mark.parametrize("target", ["directory", "nothing"])
def test_a_link_in_its_place_is_not_followed(tmp_path: Path, target: str) -> None:
    mine = scratch(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    if target == "directory":
        theirs = Scratch(elsewhere, mine.run)  # marked as this run's, even
        theirs.directory("a")
        theirs.release()
        elsewhere = theirs.path
    mine.base.mkdir()
    mine.path.symlink_to(elsewhere)
    with pytest.raises(StoreError, match="a link or a file"):
        mine.directory("a")
    assert mine.remove() == 0
    assert mine.path.is_symlink()
    assert elsewhere.exists() == (target == "directory")


def test_a_link_in_it_is_removed_and_what_it_leads_to_is_not(tmp_path: Path) -> None:
    mine = scratch(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("kept")
    (mine.directory("a") / "link").symlink_to(tmp_path / "mine")
    (mine.path / "link").symlink_to(tmp_path / "mine")
    assert mine.remove()
    assert (tmp_path / "mine" / "file").read_text() == "kept"


MARKERS = {
    "none": None,
    "not JSON": "{",
    "not an object": "[]",
    "another run's": {"run": "s"},
    "another store's": {"store": "/elsewhere"},
    "another generation's": {"generation": 1},
}


@pytest.mark.parametrize("marker", MARKERS)
def test_a_directory_that_is_not_its_own_is_neither_used_nor_removed(tmp_path: Path, marker: str) -> None:
    mine = scratch(tmp_path)
    mine.path.mkdir(parents=True)
    (mine.path / "thesis.tex").write_text("mine")
    said = MARKERS[marker]
    if said is not None:
        whose = {"store": str(tmp_path / "store"), "run": "r", "generation": 0, "header": ""}
        (mine.path / MARKER).write_text(said if isinstance(said, str) else json.dumps(whose | said))
    with pytest.raises(StoreError, match="not this run's"):
        mine.directory("a")
    assert mine.remove() == 0
    mine.sweep()
    assert (mine.path / "thesis.tex").read_text() == "mine"


def test_a_marker_that_is_a_link_says_nothing(tmp_path: Path) -> None:
    mine = scratch(tmp_path)
    mine.directory("a")
    mine.marker.rename(tmp_path / "marker")
    mine.marker.symlink_to(tmp_path / "marker")
    assert not mine.there
    assert mine.remove() == 0


@pytest.mark.parametrize("left", [[], [PART]])
def test_a_kill_before_the_marker_was_written_does_no_harm(tmp_path: Path, left: list[str]) -> None:
    mine = scratch(tmp_path)
    mine.path.mkdir(parents=True)
    for name in left:
        (mine.path / name).write_text('{"st')
    mine.directory("a")
    assert mine.there
    assert sorted(p.name for p in mine.path.iterdir()) == sorted([MARKER, "a"])


def test_a_kill_in_the_middle_of_removing_leaves_what_can_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = scratch(tmp_path)
    for name in ("a", "b", "c"):
        mine.directory(name)
    with monkeypatch.context() as m:
        real = os.rmdir
        m.setattr(
            "shutil.rmtree",
            lambda path: real(path) if path.name == "a" else (_ for _ in ()).throw(OSError(5, "killed")),
        )
        with pytest.raises(StoreError):
            mine.remove()
    assert mine.there
    assert mine.remove()
    assert not mine.path.exists()


def test_what_dead_generations_left_is_swept_by_name(tmp_path: Path) -> None:
    for generation in range(3):
        scratch(tmp_path, generation=generation).directory("a")
    scratch(tmp_path, name="r-2", generation=0).directory("a")
    scratch(tmp_path, store="elsewhere", generation=1).directory("a")
    now = scratch(tmp_path, generation=2)
    assert now.sweep() == []
    assert now.there
    assert [s.there for s in now.former()] == [False, False]
    assert len(list((tmp_path / "work").iterdir())) == 3


def test_what_a_run_left_whose_store_was_removed_is_not_taken_for_the_new_ones(tmp_path: Path) -> None:
    run = begun(tmp_path / "store", header=b'{"created": "then"}')
    former = Scratch(tmp_path / "work", run)
    (former.directory("a") / "checkpoint").write_text("of another")
    former.release()
    (run.directory / "run.json").unlink()
    run.write_header(b'{"created": "now"}')
    now = Scratch(tmp_path / "work", run)
    assert now.stale
    assert list(now.directory("a").iterdir()) == []


def test_what_a_process_works_in_stays_until_it_is_done(tmp_path: Path) -> None:
    """A job on this machine outlives the run that follows it."""
    home = scratch(tmp_path, generation=0).directory("jobs/it")
    now = scratch(tmp_path, generation=1)
    with held(home):
        with pytest.raises(RunBusy, match="still works in it"):
            scratch(tmp_path, generation=0).remove()
        assert now.sweep() == [home.parents[1]]
        assert home.is_dir()
    assert now.sweep() == []
    assert not home.exists()


def test_a_directory_that_is_no_scratch_can_be_worked_in_too(tmp_path: Path) -> None:
    with held(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("")
    with pytest.raises(StoreError, match=r"scratch of run r cannot be written: .*work: .*`work:`"):
        scratch(tmp_path).directory("a")
