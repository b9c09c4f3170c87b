"""What tests of pipelines are helped with: a bench, a kill at any record, a clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fsm import Outcome, load
from fsm.testing import Bench, Clock, NotKilled, bench, essence, kill_at

pytest_plugins = ["fsm.testing.fixtures"]

DRAWING = "stateDiagram-v2\n    [*] --> Grind\n    Grind --> Brew\n    Brew --> [*] : Good\n"
HANDLERS = """
from pathlib import Path
from fsm import Context, Phase

PHASE = Phase("coffee")


@PHASE.state("Grind")
def grind(ctx: Context) -> None:
    ctx.data["price"] = ctx.once("price", lambda: 3)
    with Path(__file__).with_name("ground").open("a") as file:
        file.write("x")


@PHASE.state("Brew")
async def brew(ctx: Context) -> str:
    ctx.wait(240)
    ctx.progress(1, 1)
    ctx.put("cup.txt", "black")
    return "Good"
"""
DONE = Outcome("done", "Good", "Brew")


@pytest.fixture
def coffee(tmp_path: Path) -> Path:
    (tmp_path / "coffee.mmd").write_text(DRAWING)
    (tmp_path / "coffee.py").write_text(HANDLERS)
    file = tmp_path / "coffee.yaml"
    file.write_text(
        "plug: {drawing: coffee.mmd, handlers: coffee.py}\nrun: {name: coffee}\nnotify: {command: [nobody]}\n"
    )
    return file


def test_a_bench_keeps_runs_apart_from_every_store_and_calls_out_to_nobody(
    coffee: Path, fsm_bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = fsm_bench.load(coffee)
    assert run.config.engine.notify is None
    assert run.drive() == DONE
    assert fsm_bench.load(coffee).outcome == DONE, "one store"
    assert not (tmp_path / "runs").exists()
    with bench() as other:
        assert other.load(coffee).status == "absent"
    assert not other.directory.exists()


def test_its_clock_is_the_one_that_runs_wait_by(coffee: Path, fsm_bench: Bench, fsm_clock: Clock) -> None:
    fsm_bench.load(coffee).drive()
    assert fsm_clock.now == pytest.approx(240)
    fsm_clock.ahead += 3600
    assert fsm_clock.time() == pytest.approx(3840)
    assert fsm_clock.monotonic() == fsm_clock() == pytest.approx(240)


@pytest.mark.parametrize("when", ["before", "after", "entered", "progress", "putting", "put"])
def test_a_run_killed_at_a_moment_and_resumed_is_the_one_left_alone(
    when: str, coffee: Path, fsm_bench: Bench
) -> None:
    alone, killed = fsm_bench.load(coffee, name="alone"), fsm_bench.load(coffee, name="killed")
    alone.drive()
    seq = next(r["seq"] for r in alone.history() if r.get("label") == "Good")
    if when == "entered":
        seq = next(r["seq"] for r in alone.history() if r["kind"] == "wait")
    kill_at(killed, seq, when)  # type: ignore[arg-type]
    assert len(killed.history()) == seq + (when == "after")
    assert killed.resume().wait() == DONE
    assert essence(killed) == essence(alone)


def test_every_record_may_be_killed_at(coffee: Path, fsm_bench: Bench) -> None:
    alone = fsm_bench.load(coffee, name="alone")
    alone.drive()
    for record in alone.history():
        run = fsm_bench.load(coffee, name=f"killed-{record['seq']}")
        kill_at(run, record["seq"], "before")
        run = fsm_bench.load(coffee, name=run.name)
        assert run.drive() == DONE
        assert essence(run) == essence(alone)


def test_a_kill_that_does_not_come_to_its_moment_says_how_far_the_run_went(
    coffee: Path, fsm_bench: Bench
) -> None:
    with pytest.raises(
        NotKilled,
        match=r"was not killed after record 99: its process ended with 0, and the run is done with \d records",
    ):
        kill_at(fsm_bench.load(coffee), 99)
    (coffee.parent / "coffee.py").write_text(HANDLERS.replace("lambda: 3", "lambda: 1 / 0"))
    broken = load(coffee, store=fsm_bench.directory / "other", work=fsm_bench.directory / "work")
    with pytest.raises(NotKilled, match="ended with 3, and the run is stopped"):
        kill_at(broken, 99)


def test_the_fixtures_are_there_for_who_names_the_plugin(tmp_path: Path, coffee: Path) -> None:
    (tmp_path / "test_coffee.py").write_text(
        'pytest_plugins = ["fsm.testing.fixtures"]\n\n\n'
        "def test_it(fsm_bench, fsm_clock):\n    assert fsm_bench.load('coffee.yaml').drive().outcome == 'done'\n"
        "    assert fsm_clock.now == 240\n"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_coffee.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
