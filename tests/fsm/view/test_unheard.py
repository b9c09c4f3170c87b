"""A run goes on, to the same journal, whatever happens to what it says; and says later what it could not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest

from fsm.journal import Journal, essence
from fsm.store.local import LocalStore

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
IMPATIENT = "from fsm.speech import outlet; outlet.PATIENCE = 0.3; import sys; from fsm.run import main; sys.exit(main())"
HOSTILE = "\x1b]0;mine\x07\x1b[2J\x9b31m gr\u00fcn \u202e\rover"
OBEYED = ("\x1b", "\x9b", "\u202e", "\x07", "\r")


def environment(**more: str) -> dict[str, str]:
    """For a process that finds the toys."""
    own = ("NO_COLOR", "COLUMNS", "PYTHONIOENCODING", "PYTHONUNBUFFERED")
    inherited = {k: v for k, v in os.environ.items() if k not in own}
    return inherited | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), "LC_ALL": "C.UTF-8"} | more


def begin(
    file: Path, *words: str, program: str = "", env: dict[str, str] | None = None, **streams: Any
) -> Any:
    """Start `fsm run`."""
    how = ["-c", program] if program else ["-m", "fsm.run"]
    command = [sys.executable, *how, str(file), *words]
    return subprocess.Popen(command, cwd=file.parent, env=env or environment(), **streams)


def journal(bakery: Any, run: str = "bread") -> list[dict[str, Any]]:
    """What a journal says, but when, by whom and how often it was taken up."""
    records = Journal(LocalStore(bakery.directory).run(run)).records()
    return [essence(r) for r in records if r["kind"] != "claim"]


@pytest.fixture
def heard(bakery: Any, bakeries: Callable[[], Any]) -> list[dict[str, Any]]:
    """The journal of the same run where everything could be said."""
    other = bakeries()
    process = begin(other.file(talk=True), stderr=subprocess.PIPE)
    said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 0, said
    assert "flour is dusty" in said
    return journal(other)


# Ways to be not heard: what the command's three streams are


@contextmanager
def full_disk() -> Iterator[dict[str, Any]]:
    with Path("/dev/full").open("w") as full:
        yield {"stdout": full, "stderr": full}


@contextmanager
def reader_gone() -> Iterator[dict[str, Any]]:
    reads, writes = os.pipe()
    os.close(reads)
    yield {"stdout": writes, "stderr": writes}
    os.close(writes)


@contextmanager
def reader_asleep() -> Iterator[dict[str, Any]]:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with suppress(BlockingIOError):
        while os.write(writes, b"." * 4096):
            pass
    os.set_blocking(writes, True)
    yield {"stdout": writes, "stderr": writes}
    os.close(reads)
    os.close(writes)


@contextmanager
def only_readable() -> Iterator[dict[str, Any]]:
    with Path("/dev/null").open() as null:
        yield {"stdout": null, "stderr": null}


@contextmanager
def closed() -> Iterator[dict[str, Any]]:
    def close() -> None:
        for fd in (0, 1, 2):
            os.close(fd)

    yield {"preexec_fn": close}


@contextmanager
def not_blocking() -> Iterator[dict[str, Any]]:
    """A full pipe that its other writers made non-blocking."""
    with reader_asleep() as streams:
        os.set_blocking(streams["stderr"], False)
        yield streams


WAYS = [full_disk, reader_gone, reader_asleep, only_readable, closed, not_blocking]


@pytest.mark.parametrize("log", ["auto", "json", "none"])
@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_nobody_hears_writes_the_same_journal(
    bakery: Any, heard: list[dict[str, Any]], way: Callable[[], Any], log: str
) -> None:
    with way() as streams:
        process = begin(bakery.file(talk=True), "--log", log, "--json", program=IMPATIENT, **streams)
        assert process.wait(30) == 0
    assert journal(bakery) == heard
    for path in bakery.directory.rglob("*"):  # nothing that was said went where something else is kept
        assert not path.is_file() or b"written to the descriptor" not in path.read_bytes()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1:strict", "utf-8:strict"])
def test_a_message_that_the_encoding_lacks_and_a_terminal_would_obey_is_shown(
    bakery: Any, encoding: str
) -> None:
    env = environment(PYTHONIOENCODING=encoding)
    file = bakery.file(mishap=HOSTILE)
    said = {}
    for log in ("console", "json"):
        process = begin(
            file, "--log", log, "--fresh", env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        said[log] = process.communicate(timeout=30)[1].decode(encoding.partition(":")[0])
        assert process.returncode == 3, said[log]
        assert not [c for c in OBEYED if c in said[log]]
        assert r"\u001b]0;mine\u0007\u001b[2J" in said[log].replace("\\\\", "\\")
    events = [json.loads(line) for line in said["json"].splitlines() if not line.startswith("fsm: ")]
    (error,) = (event for event in events if event["event"] == "error")
    assert error["message"] == HOSTILE
    assert "Traceback" not in said["console"]


def test_no_command_lets_a_terminal_obey_what_a_run_says(bakery: Any) -> None:
    begin(bakery.file(mishap=HOSTILE), "--log", "none", stderr=subprocess.DEVNULL).wait(30)
    for words in (["status"], ["status", "--json"], ["history"], ["history", "--json"]):
        command = [sys.executable, "-m", "fsm.cli", words[0], "bread", "--store", bakery.store, *words[1:]]
        done = subprocess.run(command, env=environment(), capture_output=True, check=True)
        text = done.stdout.decode()
        assert "mine" in text
        assert not [c for c in OBEYED if c in text]


def test_a_message_of_two_lines_does_not_look_like_two_messages(bakery: Any) -> None:
    import io

    from fsm.view.terminal import telling

    stream = io.StringIO()
    with telling(bakery.config(), "console", stream) as (_, logger):
        logger.info("slow\n12:00:00 [info     ] run begins", item="a\n12:00:00 [info     ] b")
    first, second = stream.getvalue().splitlines()
    assert "slow" in first
    assert second.startswith("    12:00:00")


@pytest.mark.parametrize(
    ("stdout", "why"), [("/dev/full", "No space left on device"), (None, "Bad file descriptor")]
)
def test_an_outcome_that_cannot_be_written_is_told_beside_and_the_exit_code_stays(
    bakery: Any, stdout: str | None, why: str
) -> None:
    file = bakery.file(flour=False)  # a failure edge
    with Path(stdout or os.devnull).open("w") as out:
        streams: dict[str, Any] = {"stdout": out} if stdout else {"preexec_fn": lambda: os.close(1)}
        process = begin(file, "--json", "--log", "none", stderr=subprocess.PIPE, **streams)
        said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 1
    assert said == f"fsm: run bread failed, which could not be written to standard output: {why}.\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "none", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a disk of its own can be mounted by root only")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_log_on_a_full_disk_says_what_is_missing_when_there_is_room_again(
    bakery: Any, small_disk: Path
) -> None:
    with (small_disk / "log").open("wb") as log:
        filler = small_disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"." * 4096):
                pass
        process = begin(bakery.file(pause=0.2), "--log", "json", stderr=log)
        until(lambda: len(journal(bakery)) >= 3)
        filler.unlink()
        assert process.wait(30) == 0
    lines = (small_disk / "log").read_text().splitlines()
    first = json.loads(lines[0])
    assert first["event"] == "lines of the log could not be written"
    assert first["lines"] >= 4
    assert first["why"] == "No space left on device"
    assert lines[-1].startswith("fsm: run bread done")


def until(done: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something to be so."""
    end = time.monotonic() + seconds
    while True:
        try:
            if done():
                return
        except Exception:  # there is no journal yet
            if time.monotonic() > end:
                raise
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def test_a_hang_up_stops_the_run_and_the_same_command_goes_on(
    bakery: Any, heard: list[dict[str, Any]]
) -> None:
    file = bakery.file(pause=0.3, talk=True)
    process = begin(file, stderr=subprocess.PIPE)
    until(lambda: len(journal(bakery)) >= 3)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGHUP)  # the kernel's and the shell's
    said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 3, said
    assert "Traceback" not in said
    assert 3 <= len(journal(bakery)) < len(heard)
    assert begin(file, "--log", "none", stderr=subprocess.DEVNULL).wait(30) == 0
    assert journal(bakery) == heard


def test_under_nohup_a_hang_up_is_nothing(bakery: Any) -> None:
    def nohup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = begin(bakery.file(pause=0.2), "--log", "none", preexec_fn=nohup, stderr=subprocess.DEVNULL)
    until(lambda: len(journal(bakery)) >= 3)
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 0


# Other commands


def command(
    bakery: Any, words: list[str], stdout: IO[Any] | int | None, unbuffered: str = "", **more: Any
) -> tuple[int, str]:
    """The exit code of a command, and what it said to standard error."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fsm.cli", *words],
        cwd=bakery.directory,
        env=environment(PYTHONUNBUFFERED=unbuffered),
        stdout=stdout,
        stderr=subprocess.PIPE,
        **more,
    )
    said = process.communicate(timeout=30)[1].decode()
    return process.returncode, said


COMMANDS = [
    ["--help"],
    ["run", "--help"],
    ["status", "bread"],
    ["history", "bread", "--json"],
    ["runs"],
    ["check", "bread.yaml"],
    ["parse", str(HERE / "toys" / "bakery.mmd"), "--json"],
    ["render", "bread"],
    ["audit", "bread"],
    ["score", "nothing.c"],
]


@pytest.fixture(scope="module")
def baked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run that is done, to look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        from conftest import Bakery  # type: ignore[import-not-found]

        made = Bakery(tmp_path_factory.mktemp("baked"))
        assert begin(made.file(talk=False), "--log", "none", stderr=subprocess.DEVNULL).wait(30) == 0
    (made.directory / "nothing.c").write_text("int nothing;\n")
    return made


@pytest.mark.parametrize(
    ("words", "unbuffered"),
    [*((words, "") for words in COMMANDS), (COMMANDS[0], "1"), (COMMANDS[2], "1")],
    ids=lambda words: words[0] if isinstance(words, list) else words,
)
def test_a_command_whose_output_a_disk_does_not_take_says_so(
    baked: Any, words: list[str], unbuffered: str
) -> None:
    with Path("/dev/full").open("w") as full:
        code, said = command(baked, words, full, unbuffered)
    assert (code, said) == (74, "fsm: the output could not be written to its end: No space left on device.\n")


@pytest.mark.parametrize(
    "words", [COMMANDS[0], COMMANDS[2], COMMANDS[3], COMMANDS[-1]], ids=lambda words: words[0]
)
def test_a_command_whose_reader_is_gone_is_silent(baked: Any, words: list[str]) -> None:
    with reader_gone() as streams:
        assert command(baked, words, streams["stdout"]) == (141, "")


def test_a_command_without_standard_output_says_so(baked: Any) -> None:
    code, said = command(baked, ["status", "bread"], None, preexec_fn=lambda: os.close(1))
    assert (code, said) == (74, "fsm: the output could not be written to its end: Bad file descriptor.\n")


def test_bad_input_stays_bad_input_where_it_cannot_be_said(baked: Any) -> None:
    with full_disk() as streams:
        for words in (["status", "nobody", "--json"], ["nonsense"], ["run", "missing.yaml"]):
            process = subprocess.run(
                [sys.executable, "-m", "fsm.cli", *words],
                cwd=baked.directory,
                env=environment(),
                check=False,
                **streams,
            )
            assert process.returncode == 2


def test_without_a_place_for_a_spool_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsm.view import spool

    def nowhere(*args: Any, **said: Any) -> Any:
        raise OSError(28, "No space left on device")

    found = spool.opened()
    assert found is not None
    os.close(found)
    monkeypatch.setattr(os, "memfd_create", nowhere, raising=False)
    monkeypatch.setattr(tempfile, "TemporaryFile", nowhere)
    assert spool.opened() is None
