"""A run from Python: begun, followed, awaited, stopped, gone on with; and what is said where that cannot be."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fsm
from fsm import Context, FsmError, Outcome, Run, load, session
from fsm.cli import main
from fsm.errors import (
    CheckFailed,
    ConfigChanged,
    ConfigError,
    MissingArtifact,
    NoSuchRun,
    RunBusy,
    RunExists,
    RunOver,
)
from fsm.journal import audit
from fsm.store import open_store
from fsm.testing import essence
from tests.fsm import hook

DRAWING = "stateDiagram-v2\n    [*] --> Grind\n    Grind --> Taste\n    Taste --> Grind : Too weak\n    Taste --> [*] : Good\n"
HANDLERS = """
import asyncio
from pathlib import Path
from fsm import Context, Machine, Phase
from tests.fsm import hook

MACHINE = Machine("coffee", Path(__file__).with_name("coffee.mmd"), bounds={("Taste", "Too weak"): "the bag"})
PHASE = Phase("coffee")


@PHASE.state("Grind")
def grind(ctx: Context) -> None:
    import beans  # beside the configuration, and not before it is needed

    hook.do(ctx)
    ctx.data["grams"] = ctx.data.get("grams", 14) + beans.HANDFUL


@PHASE.state("Taste")
async def taste(ctx: Context) -> str:
    hook.taste(ctx)
    await asyncio.sleep(0)
    ctx.put("cup.txt", "x" * ctx.data["grams"])
    return "Too weak" if ctx.data["grams"] < 18 else "Good"
"""
WAY = ["Grind", "Taste", "Grind", "Taste"]
DONE = Outcome("done", "Good", "Taste")
Do = Callable[[Callable[[Context], Any]], None]


@pytest.fixture
def coffee(quick: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The configuration of a pipeline in files, whose runs are kept beside it."""
    (quick / "coffee.mmd").write_text(DRAWING)
    (quick / "coffee.py").write_text(HANDLERS)
    (quick / "beans.py").write_text("HANDFUL = 2\n")
    file = quick / "coffee.yaml"
    file.write_text(
        f"plug: {{handlers: coffee.py}}\nrun: {{name: coffee}}\nstore: {quick}\nwork: {quick / 'work'}\n"
    )
    monkeypatch.chdir("/")  # nowhere near it
    yield file
    sys.modules.pop("beans", None)


@pytest.fixture
def do(monkeypatch: pytest.MonkeyPatch) -> Do:
    """Sets what Grind does."""
    return lambda what: monkeypatch.setattr(hook, "do", what)


class Gate:
    """What a handler waits at, until a test lets it on."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, ctx: Context) -> None:
        self.reached.set()
        assert self.open.wait(30)


def until_stopped(ctx: Context) -> None:
    while not ctx.stopping():
        threading.Event().wait(0.001)


def way(run: Run) -> list[str]:
    return [record["from"] for record in run.history() if record["kind"] == "transition"]


# Going on


def test_a_run_is_begun_waited_for_and_looked_at(coffee: Path) -> None:
    run = load(coffee)
    assert (run.name, run.status) == ("coffee", "absent")
    assert run.start() is run
    assert run.wait() == DONE
    assert (run.status, run.outcome, run.data) == ("done", DONE, {"grams": 18})
    assert way(run) == WAY
    assert run.artifact("cup.txt").read_text() == "x" * 18
    assert {name: artifact.size for name, artifact in run.artifacts.items()} == {"cup.txt": 18}
    assert audit(open_store(str(coffee.parent)).run("coffee")).whole


def test_the_command_line_goes_on_with_it_and_the_library_with_the_command_lines(
    coffee: Path, do: Do, capsys: pytest.CaptureFixture[str]
) -> None:
    run, gate = load(coffee), Gate()
    do(gate)
    run.start()
    assert gate.reached.wait(30)
    run.stop()
    gate.open.set()
    assert run.wait().outcome == "stopped"
    assert main(["run", str(coffee), "--log", "none"]) == 0
    assert load(coffee).resume().wait() == DONE
    assert main(["run", str(coffee), "--run", "other", "--log", "none"]) == 0
    assert essence(load(coffee, name="other")) == essence(run)
    capsys.readouterr()


def test_modules_beside_it_are_found_and_sys_path_is_afterwards_as_it_was(coffee: Path, do: Do) -> None:
    before, seen = list(sys.path), []
    do(lambda ctx: seen.append(str(coffee.parent) in sys.path))
    run = load(coffee)
    assert sys.path == before
    assert run.drive() == DONE
    assert sys.path == before
    assert seen == [True, True]


def test_records_come_while_it_goes_on(coffee: Path, do: Do) -> None:
    gate = Gate()
    do(lambda ctx: gate(ctx) if ctx.visit == 2 else None)
    run = load(coffee).start()
    seen = []
    for record in run:
        seen.append(record)
        if len(seen) == 3:
            assert gate.reached.wait(30), "the handler that makes the next one is at work"
            assert run.status == "running"
            assert run.state == "Grind"
            gate.open.set()
    assert seen == run.history() == list(run)
    assert [record["seq"] for record in seen] == list(range(5))


def test_a_loop_that_is_left_leaves_the_run_going_on(coffee: Path) -> None:
    run = load(coffee).start()
    for _ in run:
        break
    assert run.wait() == DONE


def test_it_is_stopped_at_the_next_record_and_resumed_to_the_same_end(coffee: Path, do: Do) -> None:
    gate = Gate()
    do(gate)
    run = load(coffee).start()
    assert gate.reached.wait(30)
    run.stop()
    gate.open.set()
    outcome = run.wait()
    assert (outcome.outcome, outcome.exit_code) == ("stopped", 3)
    assert (run.status, run.state, way(run)) == ("stopped", "Taste", ["Grind"])
    assert run.resume().wait() == DONE
    alone = load(coffee, name="alone")
    alone.drive()
    assert essence(run) == essence(alone)


def test_ctrl_c_where_it_is_waited_for_stops_it_resumably(coffee: Path, do: Do) -> None:
    run = load(coffee)

    def interrupt(ctx: Context) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        until_stopped(ctx)

    do(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.start().wait()
    assert (run.status, way(run)) == ("stopped", ["Grind"])
    with pytest.raises(KeyboardInterrupt):
        for _ in run.resume():
            pass
    assert (run.status, way(run)) == ("stopped", ["Grind", "Taste", "Grind"])
    assert run.resume().wait() == DONE


def test_what_is_raised_inside_with_stops_it(coffee: Path, do: Do) -> None:
    def inside(run: Run) -> None:
        with run.start():
            raise ZeroDivisionError

    do(until_stopped)
    run = load(coffee)
    with pytest.raises(ZeroDivisionError):
        inside(run)
    assert run.status == "stopped"
    assert way(run) in ([], ["Grind"]), "it may not have been asked to begin when it was asked to stop"
    do(lambda ctx: None)
    with run.resume():
        pass
    assert run.status == "done"


def test_a_program_ends_when_its_run_does(coffee: Path) -> None:
    words = [sys.executable, "-c", f"from fsm import load; load({str(coffee)!r}).start(); print('begun')"]
    done = subprocess.run(
        words, cwd=Path(fsm.__file__).parents[1], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("begun")
    assert load(coffee).outcome == DONE


def test_what_ends_it_otherwise_is_raised_where_it_is_waited_for(coffee: Path, do: Do) -> None:
    run, gate = load(coffee), Gate()

    def broken(ctx: Context) -> None:
        gate(ctx)
        raise SystemExit("not an error of a handler")

    do(broken)
    run.start()
    gate.open.set()
    with pytest.raises(SystemExit):
        run.wait()
    with pytest.raises(SystemExit):
        list(run)
    assert run.status == "stopped"


# In async code


def test_in_async_code_it_is_awaited_and_its_records_come(coffee: Path, do: Do) -> None:
    gate = Gate()
    do(lambda ctx: gate(ctx) if ctx.run_name == "one" and ctx.visit == 2 else None)

    async def follow(run: Run) -> list[Any]:
        seen = []
        async for record in run:
            seen.append(record["seq"])
            if len(seen) == 3:
                gate.open.set()
        return seen

    async def both() -> None:
        one, two = load(coffee, name="one").start(), load(coffee, name="two").start()
        assert list(await asyncio.gather(follow(one), follow(two))) == [list(range(5))] * 2
        assert await one.wait() == await two.wait() == DONE
        assert await follow(load(coffee, name="one")) == list(range(5)), "of one that rests"
        assert (await load(coffee, name="two").wait()).outcome == "done"

    asyncio.run(both())


def test_a_coroutine_that_blocks_when_it_is_to_stop_is_told_of_and_the_journal_stays_whole(
    coffee: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Log:
        def __init__(self) -> None:
            self.said = threading.Event()
            self.places: list[str] = []

        def warning(self, message: str, place: str) -> None:
            assert "does not hear that the run is to stop" in message
            self.places.append(place)
            self.said.set()

    def block(ctx: Context) -> None:
        run.stop()
        assert log.said.wait(30)

    log = Log()
    monkeypatch.setattr(session, "LISTEN", 0.01)
    monkeypatch.setattr(hook, "taste", block)
    run = load(coffee)
    assert run.start(logger=log).wait().outcome == "stopped"
    assert (log.places, way(run)) == (["Taste"], ["Grind"])
    monkeypatch.undo()
    assert run.resume().wait() == DONE
    assert audit(open_store(str(coffee.parent)).run("coffee")).whole


def test_a_wait_that_is_cancelled_stops_it_and_one_that_has_waited_long_enough_does_not(
    coffee: Path, do: Do
) -> None:
    gate = Gate()
    do(gate)

    async def program() -> None:
        run = load(coffee).start()
        with pytest.raises(TimeoutError, match=r"has not come to rest within 0\.01 s"):
            await run.wait(0.01)
        assert run.status == "running"
        waiting = asyncio.ensure_future(run.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.open.set()
        assert (await run.wait()).outcome == "stopped"
        assert (await run.resume().wait()) == DONE

    asyncio.run(program())


def test_a_wait_ends_after_its_timeout_and_the_run_goes_on(coffee: Path, do: Do) -> None:
    gate = Gate()
    do(gate)
    run = load(coffee).start()
    with pytest.raises(TimeoutError, match="Run coffee goes on"):
        run.wait(0.01)
    gate.open.set()
    assert run.wait(30) == DONE


# Bad input


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("none.yaml", None, ConfigError, "cannot be read: No such file or directory"),
        ("", None, ConfigError, "cannot be read: Is a directory"),
        ("coffee.mmd", DRAWING, ConfigError, "this is not YAML"),
        ("other.yaml", "version: 3\nservices: {web: {image: nginx}}\n", ConfigError, "unknown key 'version'"),
        ("list.yaml", "- a\n- b\n", ConfigError, "list.yaml"),
        ("binary.yaml", b"\x89PNG\r\n\x1a\n\xff", ConfigError, "UTF-8"),
        ("drawn.yaml", "plug: {drawing: coffee.mmd}\n", CheckFailed, "machine coffee has no phase"),
    ],
)
def test_what_is_no_configuration_is_said_in_one_error(
    name: str, content: Any, error: type[FsmError], said: str, coffee: Path
) -> None:
    path = coffee.parent / name if name else coffee.parent
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(error, match=said) as raised:
        load(path)
    assert str(path) in str(raised.value) or "drawn" in name


def test_a_run_that_there_is_is_not_begun_and_one_that_there_is_not_is_not_gone_on_with(coffee: Path) -> None:
    with pytest.raises(NoSuchRun, match="There is no run coffee"):
        load(coffee).resume()
    assert load(coffee).status == "absent", "nothing was written"
    load(coffee).start().wait()
    with pytest.raises(RunExists, match=r"There is a run coffee at .* already"):
        load(coffee).start()
    assert load(coffee).start(fresh=True).wait() == DONE
    with pytest.raises(NoSuchRun):
        load(coffee, name="other").history()
    with pytest.raises(NoSuchRun):
        load(coffee, name="other").wait()


def test_an_artifact_that_is_not_there_is_named_with_the_nearest(coffee: Path) -> None:
    run = load(coffee).start()
    run.wait()
    with pytest.raises(MissingArtifact, match=r"no artifact 'cup.tx'; did you mean 'cup.txt'\?"):
        run.artifact("cup.tx")


def test_a_run_that_has_ended_is_in_no_state(coffee: Path) -> None:
    run = load(coffee)
    with pytest.raises(NoSuchRun):
        _ = run.state
    run.drive()
    with pytest.raises(RunOver, match="is in no state any more: it is done by 'Good', after Taste"):
        _ = run.state
    assert run.resume().wait() == DONE, "it is only read"


def test_one_run_goes_on_in_one_place_at_a_time(coffee: Path, do: Do) -> None:
    gate = Gate()
    do(gate)
    run = load(coffee).start()
    assert gate.reached.wait(30)
    with pytest.raises(RunBusy, match="goes on in this process already"):
        run.resume()
    with pytest.raises(RunBusy, match="is being run by"):
        load(coffee).resume()
    with pytest.raises(RunBusy, match="goes on in another process"):
        load(coffee).wait()
    gate.open.set()
    assert run.wait() == DONE


def test_a_run_of_another_program_is_not_gone_on_with(coffee: Path) -> None:
    load(coffee).drive()
    with pytest.raises(ConfigChanged, match=r"run\.seed: 42 then, 7 now"):
        load(coffee, seed=7).resume()
    with pytest.raises(ConfigError, match="seed"):
        load(coffee, seed=-1)


def test_import_of_fsm_brings_what_it_names_and_nothing_else() -> None:
    assert {"load", "Run", "Machine", "Phase", "Context"} <= set(dir(fsm))
    assert [name for name in fsm.__all__ if not hasattr(fsm, name)] == []
    with pytest.raises(AttributeError, match="'fsm' has no attribute 'nothing'"):
        _ = fsm.nothing
