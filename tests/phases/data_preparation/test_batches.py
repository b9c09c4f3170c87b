"""ProcessFiles in batches: the same bytes whoever works and however often it is killed, and no batch is done twice."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm.engine import Stop, StopRequested
from fsm.errors import StoreError
from phases.data_preparation import archive, batching, engines, planning, working
from phases.data_preparation.archive import Packing
from phases.data_preparation.working import written
from tests.full_disk import at_most

Finish = Callable[..., Any]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some sixty files, and chunks and batches so small that they make several of each."""
    monkeypatch.setattr(planning, "CHUNK", 2_000)
    monkeypatch.setattr(planning, "BATCH", 6_000)
    chance = random.Random(3)
    for folder in ("tsn_data", "avb_data", "carla"):
        (tmp_path / "source" / folder).mkdir(parents=True)
        for number in range(20):
            lines = [f"\tsum += value{chance.randrange(999)} * {chance.randrange(99)};" for _ in range(8)]
            body = "\n".join(lines)
            text = f"/* Adds {folder} {number}. */\nint {folder}_{number}(int sum)\n{{\n{body}\n\treturn sum;\n}}\n"
            (tmp_path / "source" / folder / f"f{number:02}.c").write_text(text)
    (tmp_path / "source" / "carla" / "bad.c").write_bytes(b"\x00\x01")
    return tmp_path / "source"


def digests(done: Any) -> dict[str, str]:
    return {name: file["sha256"] for name, file in done.fold.files.items()}


def test_worker_processes_come_to_the_same_bytes(source: Path, finish: Finish) -> None:
    alone = finish("data_preparation", {"source": str(source), "workers": 1}, "alone")
    assert alone.outcome.outcome == "done"
    assert len([name for name in alone.fold.files if name.endswith(".index")]) > 2
    for workers in (2, 8):
        done = finish("data_preparation", {"source": str(source), "workers": workers}, f"by-{workers}")
        assert digests(done) == digests(alone)
        assert done.counts == alone.counts


def test_ray_comes_to_the_same_bytes(source: Path, finish: Finish) -> None:
    pytest.importorskip("ray")
    alone = finish("data_preparation", {"source": str(source), "workers": 1}, "alone")
    section = {"source": str(source), "workers": 2, "engine": "ray"}
    before = signal.getsignal(signal.SIGTERM)
    assert digests(finish("data_preparation", section, "ray")) == digests(alone)
    assert signal.getsignal(signal.SIGTERM) == before  # Ray's own would end the process where it stands


class Killed(BaseException):
    """Takes the place of a kill: nothing may catch it."""


def test_a_batch_that_is_kept_is_never_done_again(
    source: Path, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = {"source": str(source), "workers": 1}
    worked: list[str] = []
    most = 10**6

    def counted(settings: Any, chunk: Any, contents: Any, work: Any = working.work) -> Any:
        if len(worked) >= most:
            raise Killed
        worked.append(chunk.files[0].member.key)
        return work(settings, chunk, contents)

    monkeypatch.setattr(engines, "work", counted)
    reference = finish("data_preparation", section, "reference")
    once, kills = worked.copy(), 0
    worked.clear()
    while True:
        most = len(worked) + 4  # a batch has three chunks
        try:
            done = finish("data_preparation", section, "killed")
        except Killed:
            kills += 1
            continue
        break
    assert kills > 1
    assert dict.fromkeys(worked) == dict.fromkeys(once)
    assert len(worked) - len(once) <= 2 * kills  # of each batch that was not kept
    assert done.fold.files == reference.fold.files
    assert done.counts == reference.counts


def test_a_stop_in_the_middle_ends_the_workers_and_is_gone_on_from(
    source: Path, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = {"source": str(source), "workers": 2}
    reference = finish("data_preparation", section, "reference")
    stop, seen = Stop(), 0

    def asked(ctx: Any, number: int, parts: Any, kept: Any = batching._kept) -> Any:
        nonlocal seen
        seen += 1
        if seen == 2:
            stop._on_signal(signal.SIGTERM, None)
        return kept(ctx, number, parts)

    monkeypatch.setattr(batching, "_kept", asked)
    with pytest.raises(StopRequested):
        finish("data_preparation", section, "stopped", stop=stop)
    assert digests(finish("data_preparation", section, "stopped")) == digests(reference)


def test_a_worker_that_is_ended_from_outside_is_told_of(
    source: Path, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(pool: Any, call: Any, *given: Any, submit: Any = ProcessPoolExecutor.submit) -> Any:
        return submit(pool, os._exit, 9)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", ended)
    stopped = finish("data_preparation", {"source": str(source), "workers": 2}).outcome
    assert stopped.outcome == "stopped"
    assert "A worker process of data preparation was ended from outside" in stopped.message
    monkeypatch.undo()


def test_a_disk_that_fills_stops_the_run_and_nothing_is_lost(source: Path, finish: Finish) -> None:
    section = {"source": str(source), "workers": 1}
    reference = finish("data_preparation", section, "reference")
    size, stops, outcome = 3_000, 0, None
    while outcome is None or outcome.outcome != "done":
        try:
            with at_most(size):
                done = finish("data_preparation", section, "filling")
                outcome = done.outcome
        except (StoreError, OSError):
            pass
        size, stops = int(size * 1.6), stops + 1
    assert stops > 3
    assert digests(done) == digests(reference)


# Rows and archives


def test_a_row_is_one_line_whatever_is_in_it_and_begins_with_what_is_trained_on() -> None:
    row = {
        "messages": [{"role": "user", "content": "a\u2028b\u0085\n"}],
        "kind": "function",
        "key": "é\u2029",
    }
    line, messages = written(row)
    assert json.loads(line) == row
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line[:messages] + b"}") == {"messages": row["messages"]}


@given(
    st.text(),
    st.text(),
    st.dictionaries(st.text().filter(lambda key: key != "messages"), st.text() | st.integers()),
)
def test_rows_survive_their_lines_for_every_reader(
    prompt: str, answer: str, more: dict[str, str | int]
) -> None:
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    row = {"messages": turns, "kind": "function", **more}
    line, messages = written(row)
    (read,) = line.decode().splitlines()
    assert json.loads(read) == row
    assert json.loads(line[:messages] + b"}") == {"messages": turns}


def test_an_archive_that_was_interrupted_is_gone_on_with_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MARK_EVERY", 3_000)
    files = [(f"tsn/{number}.c", bytes([number]) * 900) for number in range(20)]
    archive.pack(tmp_path / "whole.tar", files)
    packing = Packing(tmp_path / "part.tar", "these")
    packing.skip("tsn/gone.c", "it is gone")
    for key, content in files[:11]:
        packing.add(key, content)
    packing = Packing(tmp_path / "part.tar", "these")
    assert 3 < packing.done <= 12
    assert packing.skipped == {"tsn/gone.c": "it is gone"}
    for key, content in files[packing.done - 1 :]:
        packing.add(key, content)
    packing.finish()
    assert (tmp_path / "part.tar").read_bytes() == (tmp_path / "whole.tar").read_bytes()
    assert Packing(tmp_path / "part.tar", "others").done == 0


def test_a_compressed_archive_depends_on_its_files_alone(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        archive.pack(tmp_path / name / "a.tar", [("a.c", b"int x;")])
    one, two = (archive.compressed(tmp_path / name / "a.tar") for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    plain = (tmp_path / "one" / "a.tar").read_bytes()
    archive.expand(one, tmp_path / "back.tar")
    assert (tmp_path / "back.tar").read_bytes() == plain
    assert [*archive.unpack(tmp_path / "back.tar")] == [("a.c", b"int x;")]
