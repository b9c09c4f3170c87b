"""Who may read what a run writes: the user alone, or a group; whatever the umask is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fsm.errors import ConfigError
from fsm.store import Scratch, open_store
from fsm.store.local import LocalRun
from tests.servers.fixtures import S3

UMASKS = (0, 0o022, 0o027, 0o077, 0o777)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def written(store: Path, source: Path, **options: str) -> LocalRun:
    """A run that has written everything a run writes."""
    run = open_store(str(store), **options).run("r")
    assert isinstance(run, LocalRun)
    run.write_header(b"{}")
    run.acquire()
    run.append(0, b'{"seq":0}')
    run.write_live({"status": "running"})
    run.put_artifact("text", b"a prompt")
    run.put_artifact("file", source)
    run.release()
    return run


def modes(below: Path) -> dict[str, int]:
    """The modes of a directory and of all below it; artifacts go by `artifact`."""
    found = {str(p.relative_to(below)): stat.S_IMODE(p.lstat().st_mode) for p in (below, *below.rglob("*"))}
    return {"artifact" if len(Path(name).name) == 64 else name: mode for name, mode in found.items()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_text("other people's code")
    path.chmod(0o666)
    return path


@pytest.mark.parametrize("mask", UMASKS)
def test_a_run_is_its_users_alone(tmp_path: Path, source: Path, mask: int) -> None:
    with umask(mask):
        written(tmp_path / "store", source)
    assert modes(tmp_path / "store") == {
        ".": 0o700,
        "runs": 0o700,
        "runs/r": 0o700,
        "runs/r/run.json": 0o600,
        "runs/r/journal.jsonl": 0o600,
        "runs/r/live.json": 0o600,
        "runs/r/artifacts": 0o700,
        "artifact": 0o400,
    }


@pytest.mark.parametrize("mask", UMASKS)
def test_a_run_may_be_a_groups(tmp_path: Path, source: Path, mask: int) -> None:
    with umask(mask):
        written(tmp_path / "store", source, mode="group")
    assert modes(tmp_path / "store") == {
        ".": 0o2770,
        "runs": 0o2770,
        "runs/r": 0o2770,
        "runs/r/run.json": 0o660,
        "runs/r/journal.jsonl": 0o660,
        "runs/r/live.json": 0o660,
        "runs/r/artifacts": 0o2770,
        "artifact": 0o440,
    }


@pytest.mark.parametrize("mask", UMASKS)
@pytest.mark.parametrize(("mode", "expected"), [("private", (0o700, 0o600)), ("group", (0o2770, 0o660))])
def test_scratch_is_as_its_run_is(
    tmp_path: Path, source: Path, mask: int, mode: str, expected: tuple[int, int]
) -> None:
    run = written(tmp_path / "store", source, mode=mode)
    with umask(mask):
        scratch = Scratch(tmp_path / "work", run)
        try:
            scratch.directory(".")
        finally:
            scratch.release()
    found = modes(tmp_path / "work")
    assert found.pop(".") == found.pop(scratch.path.name) == expected[0]
    assert list(found.values()) == [expected[1]]


def test_a_run_of_an_earlier_version_goes_on_as_it_was(tmp_path: Path, source: Path) -> None:
    """Who could read it can read what is added."""
    directory = tmp_path / "store" / "runs" / "r"
    (directory / "artifacts").mkdir(parents=True)
    (directory / "run.json").write_bytes(b"{}")
    (directory / "journal.jsonl").write_bytes(b'{"seq":0}\n')
    for path, mode in (
        (directory, 0o755),
        (directory / "run.json", 0o644),
        (directory / "journal.jsonl", 0o644),
    ):
        path.chmod(mode)
    run = LocalRun(directory)
    run.acquire()
    run.append(1, b'{"seq":1}')
    run.write_live({})
    run.put_artifact("text", b"a prompt")
    run.release()
    found = modes(directory)
    assert (found["journal.jsonl"], found["live.json"], found["artifact"]) == (0o644, 0o644, 0o444)


def test_what_is_written_later_follows_the_directory_not_the_command(tmp_path: Path, source: Path) -> None:
    """A command that is not told of the mode, as one that only watches, does not close a group's run."""
    run = written(tmp_path, source, mode="group")
    again = LocalRun(run.directory)
    again.write_live({})
    run.directory.chmod(0o700)
    again.put_artifact("text", b"another prompt")
    assert modes(run.directory)["live.json"] == 0o660
    assert {stat.S_IMODE(p.stat().st_mode) for p in (run.directory / "artifacts").iterdir()} == {0o440, 0o400}


def test_a_groups_first_run_opens_the_list_of_runs_and_not_the_users_directory(
    tmp_path: Path, source: Path
) -> None:
    tmp_path.chmod(0o700)
    written(tmp_path, source)
    open_store(str(tmp_path), mode="group").run("s").write_header(b"{}")
    found = modes(tmp_path)
    assert (found["."], found["runs"], found["runs/r"], found["runs/s"]) == (0o700, 0o2770, 0o700, 0o2770)


@pytest.mark.parametrize("mode", ["public", "0770", 448, None, ["group"]])
def test_another_mode_is_refused(tmp_path: Path, mode: object) -> None:
    with pytest.raises(ConfigError, match=r"store_options\.mode: .* private, group"):
        open_store(str(tmp_path), mode=mode)


def test_an_option_that_no_store_has_is_refused_and_a_buckets_is_not(tmp_path: Path) -> None:
    """A configuration for a bucket may be tried with --store DIRECTORY."""
    with pytest.raises(ConfigError, match="has no option 'mod'"):
        open_store(str(tmp_path), mod="group")
    open_store(str(tmp_path), region="eu-central-1", part_size=8)


@pytest.mark.parametrize("mask", [0, 0o777])
def test_the_cache_of_a_buckets_artifacts_is_the_users_alone(s3: S3, tmp_path: Path, mask: int) -> None:
    cache = tmp_path / "cache"
    put = s3.store(cache=str(cache)).run("run").put_artifact("a", b"content")
    with umask(mask):
        s3.store(cache=str(cache / "again")).run("run").artifact(put.sha256)
    found = modes(cache / "again")
    assert found.pop("artifact") == 0o400
    assert set(found.values()) == {0o700}
