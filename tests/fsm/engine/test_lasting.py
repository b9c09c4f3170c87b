"""What a process keeps from visit to visit, and edges that are counted later than they are walked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fsm.engine import Context, Phase, Program, Runner, Stop, StopRequested, Walk
from fsm.journal import Journal
from fsm.store.local import LocalRun
from tests.fsm.drawn import drawn

MACHINE = drawn(
    "[*] --> Work\nWork --> Work : more\nWork --> [*] : done", "works", bounds={("Work", "more"): "three"}
)


def driven(tmp_path: Path, stop: Stop, log: list[str], visits: int = 3) -> None:
    phase = Phase("works")

    @contextmanager
    def kept() -> Iterator[list[int]]:
        log.append("entered")
        try:
            yield []
        finally:
            log.append("left")

    @phase.state("Work")
    def work(ctx: Context) -> str:
        seen = ctx.lasting("seen", kept)
        seen.append(ctx.visit)
        log.append(str(seen))
        if ctx.visit == visits:
            stop.requested = True
        return "done" if ctx.visit == 3 else "more"

    run = LocalRun(tmp_path / "run")
    if run.read_header() is None:
        run.write_header(b"{}")
    journal = Journal(run)
    program = Program("works", {"works": MACHINE}, {"works": phase})
    try:
        Runner(program, run, journal, journal.open(), seed=1, work=tmp_path / "work", stop=stop).drive()
    finally:
        journal.close()


def test_what_lasts_is_made_once_a_drive_and_left_with_it(tmp_path: Path) -> None:
    log: list[str] = []
    with pytest.raises(StopRequested):
        driven(tmp_path, Stop(), log, visits=2)
    assert log == ["entered", "[1]", "[1, 2]", "left"]
    log.clear()
    driven(tmp_path, Stop(), log, visits=9)
    assert log == ["entered", "[3]", "left"]  # a process that goes on makes it anew


def test_a_way_is_counted_where_it_is_said_to_be() -> None:
    phase = Phase("works")
    phase.state("Work")(lambda item: item.pop())
    walked, counted = Walk(MACHINE, phase), Walk(MACHINE, phase)
    way = walked.way(["done", "more", "more"])
    assert walked.counts() == {}
    counted.count(way)
    walked.run(["done", "more", "more"])
    assert counted.counts() == walked.counts()
    assert sum(counted.counts().values()) == len(way)
