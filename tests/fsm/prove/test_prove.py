"""`fsm prove` kills a pipeline everywhere, finds what is not safe, in which state it is, and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsm.cli import main
from fsm.moments import Moment
from fsm.prove import State, Stuck, prove, table

ROOT = Path(__file__).parents[3]
DRAWING = """stateDiagram-v2
    [*] --> Begin
    Begin --> Stamp
    Stamp --> Draw
    Draw --> Collect
    Collect --> Log
    Log --> Charge
    Charge --> Quote
    Quote --> Write
    Write --> Check
    Check --> Write : Again
    Check --> End : Good
    End --> [*]
"""
HANDLERS = """
import random, time
from pathlib import Path
from fsm.engine import Context, Machine, Phase

MACHINE = Machine("ten", Path(__file__).with_name("ten.mmd"), bounds={("Check", "Again"): "two rounds"})
PHASE = Phase("ten")


@PHASE.state("Begin", "End")
def nothing(ctx: Context) -> None:
    ctx.data["n"] = 0


@PHASE.state("Stamp")
def stamp(ctx: Context) -> None:
    ctx.data["when"] = time.time()


@PHASE.state("Draw")
def draw(ctx: Context) -> None:
    ctx.put("drawn.txt", f"a number: {random.random()}")


@PHASE.state("Collect")
def collect(ctx: Context) -> None:
    ctx.data["names"] = list({"tea", "coffee", "milk", "sugar", "salt"})


@PHASE.state("Log")
def log(ctx: Context) -> None:
    with Path("log.txt").open("a") as file:
        file.write("logged\\n")


@PHASE.state("Charge")
def charge(ctx: Context) -> None:
    bill = Path("bill.txt")
    amount = int(bill.read_text()) + 1 if bill.exists() else 1
    bill.write_text(str(amount))
    ctx.data["bill"] = amount


@PHASE.state("Quote")
def quote(ctx: Context) -> None:
    ctx.data["price"] = ctx.once("price", ctx.random.random)


@PHASE.state("Write")
def write(ctx: Context) -> None:
    ctx.data["n"] += 1
    ctx.put("n.txt", str(ctx.data["n"]))
    ctx.progress(1, 1)


@PHASE.state("Check")
def check(ctx: Context) -> str:
    return "Again" if ctx.data["n"] < 2 else "Good"
"""
FOUND = {
    "Stamp": ("a clock", "data.when"),
    "Draw": ("an unseeded random number", "artifact drawn.txt"),
    "Collect": ("an unordered set", "data.names"),
    "Log": ("an append that is repeated", "log.txt"),
    "Charge": ("an effect outside `once`", "data.bill"),
}
"""The five planted faults: the state, the cause, what differs."""


@pytest.fixture
def ten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return written(tmp_path, HANDLERS)


def written(directory: Path, handlers: str, drawing: str = DRAWING) -> Path:
    (directory / "ten.mmd").write_text(drawing)
    (directory / "ten.py").write_text(handlers)
    file = directory / "ten.yaml"
    file.write_text("plug: {handlers: ten.py}\n")
    return file


def test_five_planted_faults_are_found_in_their_states_with_their_causes(
    ten: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.txt").write_text("before\n")
    assert main(["prove", "ten.yaml", "--json"]) == 1
    states = {s["state"]: s for s in map(json.loads, capsys.readouterr().out.splitlines())}
    unsafe = {name: s["differences"] for name, s in states.items() if not s["safe"]}
    assert {name: {d["cause"] for d in ds} for name, ds in unsafe.items()} == {
        name: {cause} for name, (cause, _) in FOUND.items()
    }
    assert all(FOUND[name][1] in d["what"] for name, ds in unsafe.items() for d in ds)
    assert all(s["kills"] >= 3 for s in states.values())
    assert states["Write"]["kills"] == 2 * 6, "two visits, each begun, put, shown and recorded"
    assert (tmp_path / "log.txt").read_text() == "before\n", "what is outside is put back"
    assert not (tmp_path / "bill.txt").exists()


def test_a_sound_pipeline_is_safe_and_the_table_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sound = "stateDiagram-v2\n[*] --> Quote\nQuote --> Check\nCheck --> Quote : Again\nCheck --> [*] : Good\n"
    handlers = (
        HANDLERS.partition('@PHASE.state("Begin"')[0]
        + '@PHASE.state("Quote")'
        + HANDLERS.partition('("Quote")')[2]
    )
    handlers = handlers.replace('@PHASE.state("Write")', "").replace('["n"] < 2', '.setdefault("n", 2) < 2')
    written(tmp_path, handlers, sound)
    assert main(["prove", "ten.yaml", "--sample", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["ten: Quote      2  safe", "ten: Check      2  safe"]
    assert lines[-1].startswith("4 kills in ")
    assert lines[-1].endswith("all 2 states are safe")


def test_a_state_that_cannot_be_begun_twice_is_told_by_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    handlers = HANDLERS.partition('@PHASE.state("Begin"')[0].replace(
        ', bounds={("Check", "Again"): "two rounds"}', ""
    )
    handlers += (
        "@PHASE.state('Build')\ndef build(ctx: Context) -> None:\n    (ctx.workdir('b') / 'x').mkdir()\n"
    )
    file = written(tmp_path, handlers, "stateDiagram-v2\n[*] --> Build\nBuild --> [*]\n")
    (state,) = prove(file)
    (moment, difference, cause) = state.unsafe[0]
    assert (moment, cause) == ("ten: Build, before record 1", "what the first attempt left behind")
    assert "FileExistsError" in difference.found
    assert "likely what the first attempt left behind" in "\n".join(table([state]))


def test_what_never_ends_by_itself_cannot_be_proved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    handlers = HANDLERS.partition('@PHASE.state("Begin"')[0].replace(
        ', bounds={("Check", "Again"): "two rounds"}', ""
    )
    handlers += "@PHASE.state('Fail')\ndef fail(ctx: Context) -> None:\n    raise ValueError('no beans')\n"
    written(tmp_path, handlers, "stateDiagram-v2\n[*] --> Fail\nFail --> [*]\n")
    with pytest.raises(Stuck, match="does not come to an end: ValueError: no beans"):
        prove(tmp_path / "ten.yaml")
    assert main(["prove", "ten.yaml", "--sample", "0"]) == 2


def test_the_shipped_phases_are_safe_where_they_are_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    states = prove(ROOT / "configs/local.yaml", {"machine": "data_preparation"}, sample=5)
    assert [s for s in states if s.unsafe] == []
    assert sum(s.kills for s in states) == 5


def test_a_moment_says_where_it_is() -> None:
    assert str(Moment(3, "putting", 2, "ten", "Write")) == "ten: Write, before it puts artifact 2"
    assert State("ten", "Write").as_json()["safe"] is True


DESK = """stateDiagram-v2
    [*] --> Rest
    Rest --> Ask
    Ask --> Rest : Again
    Ask --> Sign : Enough
    Sign --> [*] : Yes
    Sign --> [*] : Nobody
"""
PAUSES = """
from pathlib import Path
from fsm.engine import Context, Machine, Phase

MACHINE = Machine("desk", Path(__file__).with_name("desk.mmd"), bounds={("Ask", "Again"): "a person"})
PHASE = Phase("desk")


@PHASE.state("Rest")
def rest(ctx: Context) -> None:
    ctx.wait(86400)
    ctx.put("rested.txt", str(ctx.visit))


@PHASE.state("Ask")
def ask(ctx: Context) -> str:
    return ctx.ask("Enough?").label


@PHASE.state("Sign")
def sign(ctx: Context) -> str:
    return ctx.ask("Well?", seconds=86400, otherwise="Nobody").label
"""


def test_a_pipeline_that_waits_and_asks_is_proved_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "desk.mmd").write_text(DESK)
    (tmp_path / "desk.py").write_text(PAUSES)
    config = tmp_path / "desk.yaml"
    config.write_text("plug: {drawing: desk.mmd, handlers: desk.py}\n")
    monkeypatch.chdir(tmp_path)
    found = prove(config, sample=12)
    assert {state.state for state in found} == {"Rest", "Ask", "Sign"}
    assert [state.unsafe for state in found if state.unsafe] == []
