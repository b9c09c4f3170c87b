"""A run that is looked at from elsewhere: as a tree on a terminal, as lines anywhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsm.journal import Journal
from fsm.store import open_store
from fsm.store.local import LocalRun
from fsm.view import elsewhere
from fsm.view.projection import Projection
from tests.fsm.view.test_terminal import HERE, ROOT, Terminal
from tests.servers.fixtures import S3, aws_environment, s3, server

__all__ = ["aws_environment", "s3", "server"]

WATCH = [sys.executable, "-m", "fsm.cli", "watch", "--terminal", "bread"]


def on_a_terminal(bakery: Any, size: tuple[int, int] = (80, 40), **env: str) -> Terminal:
    return Terminal([*WATCH, "--store", bakery.store], *size, env)


def begun(bakery: Any, **said: Any) -> subprocess.Popen[bytes]:
    """The run, in a process of its own."""
    file = bakery.file(**said)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}
    return subprocess.Popen(
        [sys.executable, "-m", "toys.drive", str(file), "none"], env=env, stderr=subprocess.DEVNULL
    )


def lines(
    bakery: Any, capsys: pytest.CaptureFixture[str], *, as_json: bool = False, looks: int = 3
) -> list[str]:
    """What is printed until the run ends, or in so many looks."""
    left = iter(range(looks))

    def wait(_: float) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    elsewhere.watch("bread", bakery.store, as_json, wait)
    return capsys.readouterr().out.splitlines()


def test_a_run_elsewhere_is_shown_as_it_goes_and_its_end_ends_the_watch(bakery: Any) -> None:
    terminal = on_a_terminal(bakery)
    terminal.read(lambda: "There is no run bread" in terminal.raw)
    runner = begun(bakery, pause=0.3)

    def stands(*starts: str) -> bool:
        """Whether there are rows that begin so, whatever turns there."""
        rows = [row.strip().lstrip("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ") for row in terminal.screen.lines]
        return all(any(row.startswith(start) for row in rows) for start in starts)

    terminal.read(lambda: stands("Bake · Heat", "Preheat", "→ CheckTemperature", "newest of ", "✔ Prepare"))
    terminal.read(lambda: stands("→ Delivered → [*]"))
    assert terminal.finish() == 0
    assert runner.wait(20) == 0
    rows = terminal.screen.lines
    head = next(i for i, row in enumerate(rows) if row.startswith("bread · bakery"))
    assert rows[head].endswith("done")
    assert [row.split()[:2] for row in rows[head + 1 : head + 4]] == [
        ["✔", "Prepare"],
        ["✔", "Bake"],
        ["✔", "Deliver"],
    ]
    assert len([row for row in rows if row.startswith("newest of 13")]) == 1
    assert terminal.screen.cursor
    assert max(map(len, rows)) <= 80


def test_a_stopped_run_says_why_and_how_to_go_on_until_it_does(bakery: Any, quiet: Any) -> None:
    assert bakery.run(logger=quiet, mishap="NoGas").outcome == "stopped"
    terminal = on_a_terminal(bakery)
    words = ("CheckTemperature", "the recovery ended at Mishaps.CallThePlumber")
    terminal.read(lambda: all(any(word in row for row in terminal.screen.lines) for word in words))
    rows = terminal.screen.lines
    head = next(row for row in rows if row.startswith("bread · bakery"))
    assert head.endswith("stopped")
    assert any(row.startswith("■ Bake") for row in rows)
    assert any(row.strip() == "! Mishap: NoGas" for row in rows)
    assert bakery.run(logger=quiet, mishap="NoGas").outcome == "done"
    assert terminal.finish() == 0


def test_ctrl_c_ends_the_watch_and_gives_the_terminal_back(bakery: Any, quiet: Any) -> None:
    bakery.run(logger=quiet, mishap="NoGas")
    terminal = on_a_terminal(bakery, (30, 8))
    terminal.read(lambda: "bread" in terminal.raw)
    os.write(terminal.master, b"\x03")
    assert terminal.finish() == 0
    assert terminal.screen.cursor
    assert "Traceback" not in terminal.raw


def test_what_a_terminal_would_obey_does_not_reach_it(bakery: Any, quiet: Any) -> None:
    said = "\x1b]0;mine\x07\x1b[2J\x9b31m\x1b[999;1H"
    bakery.run(logger=quiet, mishap=said)
    terminal = on_a_terminal(bakery)
    terminal.read(lambda: any("newest of" in row for row in terminal.screen.lines))
    os.write(terminal.master, b"\x03")
    terminal.finish()
    assert "mine" in terminal.raw
    for obeyed in ("\x1b]", "\x9b", "\x07", "\x1b[2J", "\x1b[999"):
        assert obeyed not in terminal.raw


def test_without_a_terminal_each_record_is_a_line(
    bakery: Any, quiet: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    bakery.run(logger=quiet)
    printed = lines(bakery, capsys)
    assert printed[-1] == "bread: done"
    assert [int(row.split()[0]) for row in printed[:-1]] == list(range(13))
    assert "Bake > CheckTemperature: Hot enough -> Loaves  " in printed[6]


def test_as_json_they_are_what_the_history_is(
    bakery: Any, quiet: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from fsm.view import commands

    bakery.run(logger=quiet, mishap="Burnt")
    *records, end = map(json.loads, lines(bakery, capsys, as_json=True))
    commands.history("bread", bakery.store, True)
    assert records == [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert end == {"run": "bread", "state": "done", "why": None}


def test_how_it_stands_is_said_once(bakery: Any, quiet: Any, capsys: pytest.CaptureFixture[str]) -> None:
    printed = lines(bakery, capsys)
    assert printed == [
        f"bread: absent: There is no run bread at {open_store(bakery.store).url}; it is shown as soon as it begins."
    ]
    bakery.run(logger=quiet, mishap="NoGas")
    printed = lines(bakery, capsys)
    assert [row for row in printed if row.startswith("bread: ")] == [
        "bread: stopped: the recovery ended at Mishaps.CallThePlumber"
    ]


def test_a_failed_run_ends_the_watch_with_its_exit_code(bakery: Any, quiet: Any) -> None:
    bakery.run(logger=quiet, flour=False)
    done = subprocess.run(
        [*WATCH, "--store", bakery.store], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "bread: failed")


def test_a_reader_that_leaves_ends_the_watch(bakery: Any, quiet: Any) -> None:
    bakery.run(logger=quiet, mishap="NoGas")
    watch = subprocess.Popen([*WATCH, "--store", bakery.store], stdout=subprocess.PIPE, cwd=ROOT)
    assert watch.stdout is not None
    assert watch.stdout.readline()
    watch.stdout.close()
    bakery.run(logger=quiet, mishap="NoGas")
    assert watch.wait(20) == 141


def test_a_damaged_run_says_so_and_is_read_again_when_it_is_mended(
    bakery: Any, quiet: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    bakery.run(logger=quiet)
    journal = Path(bakery.directory) / "runs" / "bread" / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole.replace(b'"label":"Flour found"', b'"lable":"Flour found"', 1))
    looks = iter(range(60))

    def wait(_: float) -> None:
        if next(looks) == 1:
            journal.write_bytes(whole)
        threading.Event().wait(0.1)

    assert elsewhere.watch("bread", bakery.store, wait=wait) == 0
    printed = capsys.readouterr().out.splitlines()
    (said,) = (row for row in printed if row.startswith("bread: unreadable"))
    assert "record 1: this is not a record" in said
    assert printed[-1] == "bread: done"


def test_a_run_in_a_bucket_is_watched_likewise(
    bakery: Any, quiet: Any, s3: S3, capsys: pytest.CaptureFixture[str]
) -> None:
    bakery.store = f"{s3.url}?endpoint_url={s3.server.url}&path_style=true"
    bakery.run(logger=quiet)
    printed = lines(bakery, capsys)
    assert (len(printed), printed[-1]) == (14, "bread: done")


@pytest.fixture
def records(bakery: Any, quiet: Any) -> list[dict[str, Any]]:
    """Those of a run with a mishap."""
    bakery.run(logger=quiet, mishap="Burnt")
    return list(Journal(LocalRun(Path(bakery.directory) / "runs" / "bread")).records())


@given(cut=st.integers(0, 20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_a_copy_stays_as_it_was(records: list[dict[str, Any]], cut: int) -> None:
    """And is the whole of it: what comes after makes of both the same."""
    projection = Projection()
    projection.read(records[:cut])
    followed = Projection()
    projection.watch([], "Bake", followed)
    copy = elsewhere.copied(projection)
    before = copy.durable()
    projection.read(records[cut:])
    followed.read(records)
    assert copy.durable() == before
    assert copy.watched[("Bake",)].records == 0
    copy.read(records[cut:])
    assert copy.durable() == projection.durable()
