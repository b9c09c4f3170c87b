"""On a terminal: the tree is drawn, nothing tears it, and the terminal comes back whatever happens."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CONTROL = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])")


class Screen:
    """As much of a terminal as the tree uses: what stands on its lines, and whether the cursor shows."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.rows = [""]
        self.row = self.column = 0
        self.cursor = True
        self.rest = ""

    def feed(self, text: str) -> None:
        text = self.rest + text
        self.rest = ""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = CONTROL.match(text, at)
                if not found:
                    self.rest = text[at:]
                    return
                self._control(found)
                at = found.end()
                continue
            self._put(text[at])
            at += 1

    def _control(self, found: re.Match[str]) -> None:
        private, numbers, letter = found.groups()
        if letter == "A":
            self.row = max(0, self.row - int(numbers or 1))
        elif letter == "K":
            self.rows[self.row] = ""
        elif private and numbers == "25":
            self.cursor = letter == "h"
        else:
            assert letter in "mhl", f"the screen does not know {found[0]!r}"

    def _put(self, char: str) -> None:
        if char == "\r":
            self.column = 0
        elif char == "\n":
            self.row += 1
            self.column = 0
            if self.row == len(self.rows):
                self.rows.append("")
        else:
            if self.column == self.width:
                self._put("\n")
            line = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = line[: self.column] + char + line[self.column + 1 :]
            self.column += 1

    @property
    def lines(self) -> list[str]:
        return [row.rstrip() for row in self.rows if row.strip()]


def _foreground() -> None:
    """As a shell begins what it runs before a terminal: that is its own, and Ctrl-C reaches it, whatever this process ignores."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command: list[str], width: int, height: int, env: dict[str, str]) -> None:
        self.screen = Screen(width, height)
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        inherited = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
        path = os.pathsep.join([str(ROOT), str(HERE)])
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_foreground,
            env=inherited | {"TERM": "xterm-256color", "PYTHONPATH": path, "LC_ALL": "C.UTF-8"} | env,
        )
        self.raw = ""

    def read(self, until: Callable[[], bool], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"it did not come to that:\n{self.raw}"
            ready, _, _ = select.select([self.master], [], [], 0.05)
            if ready:
                text = os.read(self.master, 1 << 16).decode(errors="replace")
                self.raw += text
                self.screen.feed(text)

    def finish(self) -> int:
        self.read(lambda: self.process.poll() is not None)
        self.read(lambda: not select.select([self.master], [], [], 0.1)[0])
        assert termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        return self.process.returncode


@pytest.fixture
def drive(bakery: Any) -> Callable[..., Terminal]:
    """Start a run of the bakery on a terminal."""

    def start(
        env: dict[str, str] | None = None, log: str = "auto", size: tuple[int, int] = (90, 30), **said: Any
    ) -> Terminal:
        file = bakery.file(**said)
        command = [sys.executable, "-m", "toys.drive", str(file), log]
        return Terminal(command, *size, env or {})

    return start


def test_a_run_on_a_terminal_leaves_its_tree_and_gives_the_terminal_back(drive: Any) -> None:
    terminal = drive({"SHOP_TOKEN": "sesame-open"}, talk=True, pause=0.05, secret="sesame-open")
    assert terminal.finish() == 0
    assert "\x1b[?25l" in terminal.raw
    assert terminal.screen.cursor
    lines = terminal.screen.lines
    head = next(i for i, line in enumerate(lines) if line.startswith("bread · bakery"))
    assert lines[head].endswith("done")
    assert [line.split()[:2] for line in lines[head + 1 : head + 4]] == [
        ["✔", "Prepare"],
        ["✔", "Bake"],
        ["✔", "Deliver"],
    ]
    assert lines[-1] == "fsm: ended: done"
    assert len(lines) == head + 5  # nothing is left over of earlier pictures
    assert "sesame-open" not in terminal.raw


def test_what_libraries_write_stands_above_the_tree_line_by_line(drive: Any) -> None:
    terminal = drive(talk=True, pause=0.05)
    terminal.finish()
    lines = terminal.screen.lines
    head = next(i for i, line in enumerate(lines) if line.startswith("bread · bakery"))
    above = "\n".join(lines[:head])
    for words in (
        "a stray print",
        "from a process below",
        "written to the descriptor",
        "scales 3/3",
        "flour is dusty",
    ):
        assert above.count(words) == 1


def test_an_interrupt_in_the_middle_stops_the_run_and_gives_the_terminal_back(drive: Any) -> None:
    terminal = drive(pause=0.3)
    terminal.read(lambda: any("Preheat" in line for line in terminal.screen.lines))
    os.write(terminal.master, b"\x03")  # Ctrl-C, as typed
    assert terminal.finish() == 3
    assert terminal.screen.cursor
    lines = terminal.screen.lines
    assert lines[-1] == "fsm: ended: stopped by a signal"
    (head,) = (line for line in lines if line.startswith("bread · bakery"))
    assert head.endswith("stopped")
    assert any(line.startswith("■ Bake · Heat") for line in lines)
    assert "Traceback" not in terminal.raw


def test_a_run_that_is_taken_up_again_shows_what_was_done_before(drive: Any) -> None:
    first = drive(pause=0.3)
    first.read(lambda: any("Preheat" in line for line in first.screen.lines))
    first.process.send_signal(signal.SIGTERM)
    assert first.finish() == 3
    again = drive(pause=0.3)
    again.read(lambda: any("Preheat" in line for line in again.screen.lines))
    assert any(line.startswith("✔ Prepare") and "Dough ready" in line for line in again.screen.lines)
    again.process.send_signal(signal.SIGINT)
    assert again.finish() == 3


def test_a_small_terminal_and_one_that_shrinks_are_not_overrun(drive: Any) -> None:
    terminal = drive(pause=0.1, size=(38, 8))
    terminal.read(lambda: any("Loaves" in line for line in terminal.screen.lines))
    fcntl.ioctl(terminal.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 6, 24, 0, 0))
    assert terminal.finish() == 0
    assert terminal.screen.cursor
    assert terminal.screen.lines[-1] == "fsm: ended: done"


def test_the_last_ten_records_of_a_run_that_goes_on_stand_below_its_tree_at_eighty_columns(
    drive: Any,
) -> None:
    terminal = drive(pause=0.3, size=(80, 40))
    newest = re.compile(r"newest of 1[0-2] records")

    def told() -> list[str]:
        rows = [row.rstrip() for row in terminal.screen.lines]
        at = next((i for i, row in enumerate(rows) if newest.match(row)), len(rows))
        return rows[at + 1 : at + 11]

    terminal.read(lambda: len([row for row in told() if row]) == 10)
    assert terminal.process.poll() is None
    assert "Bake" in " ".join(told())
    assert terminal.finish() == 0
    assert max(map(len, terminal.screen.lines)) <= 80


def test_with_no_color_the_tree_has_none(drive: Any) -> None:
    terminal = drive({"NO_COLOR": "1"}, pause=0.02)
    terminal.finish()
    styles = set(re.findall(r"\x1b\[([\d;]*)m", terminal.raw))
    assert not {s for s in styles if re.search(r"(^|;)(3[0-79]|38|9\d)(;|$)", s)}
    assert any(line.startswith("✔ Prepare") for line in terminal.screen.lines)


def test_a_dumb_terminal_gets_lines(drive: Any) -> None:
    terminal = drive({"TERM": "dumb"})
    assert terminal.finish() == 0
    assert "\x1b" not in terminal.raw
    assert "Prepare.Weigh: left label='Flour found'" in terminal.raw


def test_a_terminal_without_unicode_gets_ascii(drive: Any) -> None:
    terminal = drive({"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}, pause=0.02)
    assert terminal.finish() == 0
    assert terminal.raw.isascii()
    assert any(line.startswith("+ Prepare") for line in terminal.screen.lines)


def test_a_terminal_that_goes_away_stops_the_run_and_another_goes_on(bakery: Any, drive: Any) -> None:
    from fsm.store.local import LocalStore

    terminal = drive(pause=0.1)
    terminal.read(lambda: any("Preheat" in line for line in terminal.screen.lines))
    os.close(terminal.master)  # the window is closed: SIGHUP
    os.close(terminal.slave)
    assert terminal.process.wait(20) == 3  # stopped and resumable
    run = LocalStore(bakery.directory).run("bread")
    assert not run.busy()
    live = run.read_live()
    assert live is not None
    assert live["status"] == "ended"
    assert begun_again(drive).finish() == 0


def begun_again(drive: Any) -> Terminal:
    """The same run on another terminal, which shows what was done before."""
    terminal: Terminal = drive(pause=0.1)
    terminal.read(lambda: any("Dough ready" in line for line in terminal.screen.lines))
    return terminal


def ended(bakery: Any) -> bool:
    from fsm.store.local import LocalStore

    live = LocalStore(bakery.directory).run("bread").read_live()
    return live is not None and live["status"] == "ended"


def test_a_terminal_that_is_halted_does_not_halt_the_run(bakery: Any, drive: Any) -> None:
    terminal = drive(pause=0.3, talk=True)
    terminal.read(lambda: "bread" in terminal.raw)
    os.write(terminal.master, b"\x13")  # Ctrl-S, as typed
    end = time.monotonic() + 20
    while not ended(bakery):
        assert time.monotonic() < end, "the run waits for its terminal"
        time.sleep(0.02)
    seen = len(terminal.raw)
    os.write(terminal.master, b"\x11")  # Ctrl-Q
    assert terminal.finish() == 0
    assert terminal.raw.count("bread · bakery", seen) <= 4  # no pictures of long ago
    lines = terminal.screen.lines
    (head,) = (line for line in lines if line.startswith("bread · bakery"))
    assert head.endswith("done")
    assert "flour is dusty" in terminal.raw


def test_a_terminal_that_nobody_reads_does_not_halt_the_run(bakery: Any, drive: Any) -> None:
    terminal = drive(pause=0.05, talk=True, size=(200, 50))
    end = time.monotonic() + 30
    while not ended(bakery):
        assert time.monotonic() < end, "the run waits for its terminal"
        time.sleep(0.02)
    assert terminal.finish() == 0


@pytest.mark.parametrize("size", [(20, 10), (20, 1), (1, 1), (200, 1)])
def test_however_small_a_terminal_is_no_picture_leaves_its_lines(drive: Any, size: tuple[int, int]) -> None:
    terminal = drive(pause=0.05, size=size)
    assert terminal.finish() == 0
    assert terminal.screen.cursor
    climbs = [found[0].count("A") for found in re.finditer(r"(?:\x1b\[1A\x1b\[2K)+", terminal.raw)]
    assert max(climbs, default=0) <= max(0, size[1] - 2)  # above that a picture would scroll away and tear


@pytest.mark.parametrize("log", ["auto", "console"])
def test_what_a_terminal_would_obey_does_not_reach_it(drive: Any, log: str) -> None:
    said = "\x1b]0;mine\x07\x1b[2J\x9b31m\x1b[999;1H"
    terminal = drive({"TOYS_SAY": said}, log, mishap=said)
    assert terminal.finish() == 3
    assert "mine" in terminal.raw
    for obeyed in ("\x1b]", "\x9b", "\x07", "\x1b[2J", "\x1b[999"):
        assert obeyed not in terminal.raw


def test_off_a_terminal_what_processes_below_write_are_lines_without_secrets(bakery: Any) -> None:
    file = bakery.file(talk=True)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), "SHOP_TOKEN": "process below"}
    command = [sys.executable, "-m", "toys.drive", str(file), "json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    said = [line for line in done.stderr.splitlines() if "printed" in line and "from a" in line]
    assert len(said) == 1
    assert "from a **********" in said[0]
    assert done.stdout == ""
