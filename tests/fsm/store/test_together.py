"""Records that several threads write wait for the disk together: each is durable when its writer goes on, whatever fails."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from fsm.errors import StoreError
from fsm.store import Taken
from fsm.store.local import LocalRun


def line(seq: int) -> bytes:
    return json.dumps({"seq": seq}).encode()


def run_of(directory: Path) -> LocalRun:
    run = LocalRun(directory / "r")
    run.write_header(b"{}")
    run.acquire()
    return run


class Disk:
    """An fdatasync that can be held up, is counted, and fails on the day."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = os.fdatasync
        self.calls = 0
        self.going, self.go = threading.Event(), threading.Event()
        self.fails = False
        monkeypatch.setattr(os, "fdatasync", self.sync)

    def sync(self, fd: int) -> None:
        self.calls += 1
        self.going.set()
        assert self.go.wait(10)
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._real(fd)


class Writer(threading.Thread):
    """Waits for one record."""

    def __init__(self, run: LocalRun, seq: int) -> None:
        super().__init__(daemon=True)
        self.run_of = run
        self.seq = seq
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.run_of.sync(self.seq)
        except BaseException as e:
            self.error = e


def test_records_written_while_the_disk_is_at_work_share_the_next_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, disk = run_of(tmp_path), Disk(monkeypatch)
    run.write(0, line(0))
    writers = [Writer(run, 0)]
    assert disk.going.wait(10)
    for seq in range(1, 9):
        run.write(seq, line(seq))
        writers.append(Writer(run, seq))
    disk.go.set()
    for writer in writers:
        writer.join(10)
        assert not writer.is_alive()
        assert writer.error is None
    assert disk.calls == 2
    assert list(run.records()) == [line(seq) for seq in range(9)]


def test_a_record_is_synced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, disk = run_of(tmp_path), Disk(monkeypatch)
    disk.go.set()
    for seq in range(3):
        run.write(seq, line(seq))
    for seq in (2, 0, 1, 2):
        run.sync(seq)
    assert disk.calls == 1
    run.append(3, line(3))
    run.write(4, line(4))
    run.sync(4)
    assert disk.calls == 3
    assert LocalRun(run.directory).tail(lambda found: True) == [line(4)]


def test_where_the_sync_fails_none_of_them_was_acknowledged_and_none_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, disk = run_of(tmp_path), Disk(monkeypatch)
    disk.go.set()
    run.write(0, line(0))
    run.sync(0)
    disk.go.clear()
    disk.going.clear()
    disk.fails = True
    run.write(1, line(1))
    writers = [Writer(run, 1)]
    assert disk.going.wait(10)
    run.write(2, line(2))
    writers.append(Writer(run, 2))
    disk.go.set()
    for writer in writers:
        writer.join(10)
        assert isinstance(writer.error, StoreError)
    with pytest.raises(StoreError):
        run.write(3, line(3))
    run.release()
    assert list(LocalRun(run.directory).records()) == [line(0)]


def test_a_number_that_is_taken_is_refused_and_a_run_opened_anew_begins_where_it_ends(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    run.write(0, line(0))
    with pytest.raises(Taken):
        run.write(0, line(0))
    run.sync(0)
    run.release()
    assert run.acquire() == 1
    run.write(1, line(1))
    run.sync(1)
    assert len(list(run.records())) == 2
