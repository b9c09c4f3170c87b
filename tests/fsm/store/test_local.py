"""Runs in a directory: what is acknowledged is there, what is not is gone, and every refusal says what to do."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsm.errors import ConfigError, JournalDamaged, RunBusy, StoreError
from fsm.store import Taken, local, open_store
from fsm.store.local import LocalRun, LocalStore
from tests.fsm.synthetic import World, attempt, begin, finish, told
from tests.full_disk import at_most
from tests.nobody import as_nobody


def line(seq: int, size: int = 0) -> bytes:
    return json.dumps({"seq": seq, "pad": "x" * size}).encode()


def run_of(directory: Path, lines: int = 3) -> LocalRun:
    run = LocalRun(directory / "r")
    run.write_header(b"{}")
    run.acquire()
    for seq in range(lines):
        run.append(seq, line(seq))
    return run


# The journal


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    assert list(run.records()) == [line(0), line(1), line(2)]
    assert list(run.records(2)) == [line(2)]
    assert list(run.numbered(1)) == [(1, line(1)), (2, line(2))]
    assert list(LocalRun(tmp_path / "none").records()) == []


def test_a_number_that_is_taken_or_skipped_is_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    for seq in (2, 4):
        with pytest.raises(Taken):
            run.append(seq, line(seq))
    assert len(list(run.records())) == 3


def test_the_header_is_written_once(tmp_path: Path) -> None:
    run = LocalRun(tmp_path / "r")
    assert run.read_header() is None
    run.write_header(b"first")
    with pytest.raises(Taken) as taken:
        run.write_header(b"second")
    assert taken.value.line == run.read_header() == b"first"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 30), max_size=12), stop=st.integers(0, 12), chunk=st.integers(1, 40))
def test_the_tail_is_the_newest_records_back_to_the_one_asked_for(
    sizes: list[int], stop: int, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "CHUNK", chunk)
    directory = Path(tempfile.mkdtemp(dir=tmp_path))
    run = LocalRun(directory / "r")
    run.write_header(b"{}")
    lines = [line(seq, size) for seq, size in enumerate(sizes)]
    run.journal.write_bytes(b"".join(one + b"\n" for one in lines))
    found = run.tail(lambda one: json.loads(one)["seq"] == stop)
    assert found == (lines[stop:] if stop < len(lines) else lines)
    run.acquire()
    run.append(len(lines), line(len(lines)))
    run.release()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_journal_cut_anywhere_keeps_its_whole_records_and_goes_on(
    data: st.DataObject, tmp_path: Path
) -> None:
    directory = Path(tempfile.mkdtemp(dir=tmp_path))
    run = run_of(directory, 5)
    run.release()
    whole = run.journal.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    run.journal.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    assert len(list(run.records())) == kept  # a reader is not misled by the torn line either
    run.acquire()
    assert run.journal.read_bytes() == b"".join(line(seq) + b"\n" for seq in range(kept))
    run.append(kept, line(kept))
    run.release()


def test_a_last_line_that_is_no_record_is_told(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    run.release()
    with run.journal.open("ab") as f:
        f.write(b"garbage\n")
    with pytest.raises(JournalDamaged, match=r"the last line is not a record .* restore it from a copy"):
        run.acquire()
    assert not run.busy()


# One writer


HOLDER = """
import sys, pathlib
sys.path.insert(0, sys.argv[2])
from fsm.store.local import LocalRun
run = LocalRun(pathlib.Path(sys.argv[1]))
run.acquire()
run.write_live({"writer": "w-1", "pid": 7, "host": "there"})
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of run `r`."""
    run_of(tmp_path).release()
    root = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "r"), root]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_run_that_another_process_is_at_is_busy_until_that_is_gone(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    run = LocalRun(tmp_path / "r")
    assert run.busy()
    with pytest.raises(RunBusy, match=r"is being run by w-1 \(process 7 on there\)") as busy:
        run.acquire()
    assert busy.value.exit_code == 2
    assert len(list(run.records())) == 3  # looking on is free
    holder.kill()
    holder.wait()
    assert not run.busy()
    run.acquire()
    run.append(3, line(3))
    run.release()


@pytest.mark.parametrize("live", [b"", b"nonsense", b"[]", b'{"status": "running"}'])
def test_who_is_at_it_need_not_be_known(live: bytes, holder: subprocess.Popen[str], tmp_path: Path) -> None:
    (tmp_path / "r" / "live.json").write_bytes(live)
    with pytest.raises(RunBusy, match="is being run by another process"):
        LocalRun(tmp_path / "r").acquire()


def test_a_run_that_was_never_begun_is_not_busy(tmp_path: Path) -> None:
    assert not LocalRun(tmp_path / "none").busy()


# A disk that is full, or may not be written


def test_a_disk_that_fills_up_in_the_middle_of_a_record_loses_nothing(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    before = run.journal.read_bytes()
    with at_most(len(before) + 9), pytest.raises(StoreError, match="The disk is full: free some space"):
        run.append(3, line(3))
    assert run.journal.read_bytes() == before
    run.release()
    run.acquire()
    run.append(3, line(3))
    assert len(list(run.records())) == 4


def test_a_run_on_a_disk_that_fills_up_stops_and_goes_on_when_there_is_space(quick: Path) -> None:
    begin(quick / "reference" / "r")
    finish(quick / "reference" / "r", World())
    begin(quick / "r")
    world, size, stops = World(), 600, 0
    outcome = None
    while outcome is None or outcome.outcome != "done":
        try:
            with at_most(size):
                outcome = attempt(quick / "r", world)
        except StoreError:
            size, stops = size + 3000, stops + 1
        else:
            world.mended = True
    assert stops > 5
    assert told(quick / "r") == told(quick / "reference" / "r")


def test_a_full_device_is_named(tmp_path: Path) -> None:
    run = LocalRun(tmp_path / "r")
    run.write_header(b"{}")
    run.journal.symlink_to("/dev/full")
    run.acquire()
    with pytest.raises(
        StoreError, match=r"Record 0 cannot be written to .*journal\.jsonl: No space left"
    ) as full:
        run.append(0, line(0))
    assert full.value.exit_code == 3
    run.release()  # the lock is the device's, for whoever else tests here


def test_an_artifact_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    source = tmp_path / "big.bin"
    source.write_bytes(b"y" * 5000)
    for content in (b"x" * 5000, source):
        with at_most(4096), pytest.raises(StoreError, match=r"Artifact model\.bin cannot be written"):
            run.put_artifact("model.bin", content)
    assert list((tmp_path / "r" / "artifacts").iterdir()) == []


def test_a_directory_that_may_not_be_written_is_named_with_what_to_do() -> None:
    directory = Path(tempfile.mkdtemp())  # below the others' own directories nobody may even look
    try:
        directory.chmod(0o555)
        with (
            as_nobody(),
            pytest.raises(StoreError, match=r"Permission denied\. Make it accessible .* --store"),
        ):
            LocalStore(directory).run("r").write_header(b"{}")
        assert list(directory.iterdir()) == []
        directory.chmod(0o755)
        begin(directory / "r")
        LocalRun(directory / "r").journal.write_bytes(b"")
        LocalRun(directory / "r").journal.chmod(0o444)
        with as_nobody(), pytest.raises(StoreError, match="cannot be opened for writing"):
            LocalRun(directory / "r").acquire()
    finally:
        shutil.rmtree(directory)


def test_a_run_that_may_not_be_read_is_listed_and_a_store_that_may_not_be_is_told() -> None:
    directory = Path(tempfile.mkdtemp())
    store = LocalStore(directory)
    try:
        directory.chmod(0o755)
        assert store.runs() == []
        for name in ("a", "b"):
            begin(directory / "runs" / name)
        (directory / "runs" / "no-run").mkdir()
        for path in (directory / "runs", directory / "runs" / "a"):
            path.chmod(0o755)
        (directory / "runs" / "b").chmod(0)
        with as_nobody():
            assert store.runs() == ["a", "b"]
            with pytest.raises(StoreError, match="Permission denied"):
                store.run("b").read_header()
        (directory / "runs").chmod(0)
        with as_nobody(), pytest.raises(StoreError, match=r"The runs cannot be listed: .*Permission denied"):
            store.runs()
    finally:
        (directory / "runs").chmod(0o755)
        (directory / "runs" / "b").chmod(0o755)
        shutil.rmtree(directory)


def test_a_store_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"(Not a directory|File exists)"):
        LocalStore(tmp_path / "file").run("r").write_header(b"{}")


# Artifacts


def test_an_artifact_is_kept_by_content_once(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    source = tmp_path / "source.txt"
    source.write_bytes(b"hello")
    digest = hashlib.sha256(b"hello").hexdigest()
    for content in (b"hello", source, b"hello"):
        artifact = run.put_artifact("greeting.txt", content)
        assert (artifact.name, artifact.sha256, artifact.size) == ("greeting.txt", digest, 5)
    path = run.artifact(digest)
    assert path.read_bytes() == b"hello"
    assert path.stat().st_mode & 0o777 == 0o400
    assert [p.name for p in path.parent.iterdir()] == [digest]


def test_what_a_killed_writer_left_half_written_is_swept_by_the_next_one(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    kept = run.put_artifact("greeting.txt", b"hello")
    run.write_live({"pid": 1})
    killed = "import os, signal, fsm.store.local as l\nfrom pathlib import Path\nl.os.fsync = l.Path.replace = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
    here = f"run = l.LocalRun(Path({str(run.directory)!r}))\n"
    (tmp_path / "file").write_bytes(b"y" * 5000)
    for call in (
        "run.put_artifact('a', b'x' * 5000)",
        f"run.put_artifact('b', Path({str(tmp_path / 'file')!r}))",
        "run.write_live({})",
    ):
        subprocess.run([sys.executable, "-c", killed + here + call], check=False)
    hidden = [p for p in run.directory.rglob(".*") if p.is_file()]
    assert len(hidden) == 3
    (run.directory / ".notes").write_text("somebody's own")
    run.release()
    run.acquire()
    assert not [p for p in hidden if p.exists()]
    assert (run.directory / ".notes").exists()
    assert run.artifact(kept.sha256).read_bytes() == b"hello"
    assert (run.directory / "live.json").exists()


def test_an_artifact_that_was_written_in_part_is_written_again(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    digest = hashlib.sha256(b"hello").hexdigest()
    (tmp_path / "r" / "artifacts" / digest).write_bytes(b"hel")
    run.put_artifact("greeting.txt", b"hello")
    assert run.artifact(digest).read_bytes() == b"hello"


def test_a_missing_artifact_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Artifact abcabcabcabc of run r is missing: .* Restore it"):
        run_of(tmp_path).artifact("abc" * 5)


# Names, lists, retirement


def test_runs_are_listed_by_name_and_a_retired_name_is_free_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert store.runs() == []
    for name in ("b", "a.2", "a"):
        store.run(name).write_header(b"{}")
    assert store.runs() == ["a", "a.2", "b"]
    first = store.retire("a")
    store.run("a").write_header(b"new")
    second = store.retire("a")
    assert first != second
    assert Path(first, "run.json").read_bytes() == b"{}"
    assert Path(second, "run.json").read_bytes() == b"new"
    assert store.runs() == ["a.2", "b"]
    assert store.retire("none") == ""


def test_a_run_that_is_alive_cannot_be_retired(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    run = store.run("a")
    run.write_header(b"{}")
    run.acquire()
    with pytest.raises(RunBusy):
        store.retire("a")
    run.release()
    assert store.retire("a")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "a-", "x" * 64, "a b", "ä"])
def test_a_name_that_cannot_name_a_run_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot name a run"):
        LocalStore(tmp_path).run(name)


def test_a_store_is_opened_by_its_url(tmp_path: Path) -> None:
    assert open_store(str(tmp_path)).url == str(tmp_path)
    assert open_store(f"file://{tmp_path}").url == str(tmp_path)
    with pytest.raises(ConfigError, match="No store speaks 'ftp://x'"):
        open_store("ftp://x")


def test_a_buckets_url_may_carry_its_options() -> None:
    store = open_store("s3://bucket/some/prefix?endpoint_url=http://localhost:9&path_style=true&parallel=4")
    assert store.url == "s3://bucket/some/prefix"
    assert store.options.path_style is True  # type: ignore[attr-defined]
    assert store.options.parallel == 4  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="has no option 'pathstyle'"):
        open_store("s3://bucket?pathstyle=true")


def test_what_is_said_of_a_live_run_is_advisory(tmp_path: Path) -> None:
    run = LocalRun(tmp_path / "r")
    run.write_live({"seq": 1})  # no directory yet: not an error
    assert run.read_live() is None
    run.write_header(b"{}")
    run.write_live({"seq": 1})
    assert (run.read_live() or {})["seq"] == 1
