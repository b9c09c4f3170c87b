"""Reading a local journal while it grows: each record once, and none of the file twice."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsm.store.local import LocalRun


def lines(*sizes: int) -> list[bytes]:
    return [b'{"%s"}' % (b"x" * size) for size in sizes]


def text(records: list[bytes]) -> bytes:
    return b"".join(record + b"\n" for record in records)


@pytest.fixture
def run(tmp_path: Path) -> LocalRun:
    run = LocalRun(tmp_path / "r")
    run.write_header(b"{}")
    return run


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 20), max_size=12), cuts=st.lists(st.integers(0, 300), max_size=6))
def test_whoever_looks_again_gets_what_is_new_whole(
    sizes: list[int], cuts: list[int], tmp_path: Path
) -> None:
    run = LocalRun(Path(tempfile.mkdtemp(dir=tmp_path)) / "r")
    run.write_header(b"{}")
    written = lines(*sizes)
    seen: list[bytes] = []
    for cut in [*sorted(cuts), 1000]:  # the file as it is at some moment, in the middle of a line perhaps
        run.journal.write_bytes(text(written)[:cut])
        seen += run.records(len(seen))
        assert seen == written[: text(written)[:cut].count(b"\n")]
    assert seen == written


def test_what_was_read_is_not_read_again(run: LocalRun) -> None:
    class Counting(io.FileIO):
        count = 0

        def readinto(self, buffer: Any) -> int | None:
            got = super().readinto(buffer)
            Counting.count += got or 0
            return got

    path = run.journal
    old, new = lines(*[1000] * 500), lines(5)
    path.write_bytes(text(old))
    assert list(run.records()) == old
    path.write_bytes(text(old + new))
    run.journal = SimpleNamespace(open=lambda mode: io.BufferedReader(Counting(path)))  # type: ignore[assignment]
    assert list(run.records(500)) == new
    assert Counting.count <= len(text(new)) + 1


def test_who_asks_for_other_records_gets_those(run: LocalRun) -> None:
    written = lines(1, 2, 3, 4)
    run.journal.write_bytes(text(written))
    for start in (0, 4, 2, 2, 3, 5, 0):
        assert list(run.records(start)) == written[start:]


@pytest.mark.parametrize("sizes", [(9, 9, 9), (1, 1, 1), (30,), ()])
@pytest.mark.parametrize("moved", [True, False])
def test_another_journal_in_the_place_of_the_one_read_is_read_from_its_beginning(
    run: LocalRun, sizes: tuple[int, ...], moved: bool
) -> None:
    run.journal.write_bytes(text(lines(3, 4)))
    assert len(list(run.records())) == 2
    if moved:
        run.journal.rename(run.journal.with_name("aside"))
    run.journal.write_bytes(text(lines(*sizes)))
    assert list(run.records(2)) == lines(*sizes)[2:]
