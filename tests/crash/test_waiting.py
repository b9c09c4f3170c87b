"""A run that waits, asks and is cancelled, killed at any record and resumed, is the run that was left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fsm import config as configs
from fsm import session
from fsm.config import Config
from fsm.journal import Frame, Journal, pauses_of, requests
from fsm.journal.requests import AnswerRequest, CancelRequest
from fsm.store import Store
from fsm.store.local import LocalStore
from tests.crash import harness
from tests.servers.fixtures import S3

Make = Callable[[Path], Store]

DRAWING = """
stateDiagram-v2
    [*] --> Doze
    Doze --> Ask
    Ask --> Doze : Again
    Ask --> Wonder : Enough
    Wonder --> Sign : Yes
    Wonder --> Sign : Nobody
    Sign --> [*]
"""
HANDLERS = """
from pathlib import Path

from fsm.engine import Context, Machine, Phase

MACHINE = Machine("desk", Path(__file__).with_name("desk.mmd"), bounds={("Ask", "Again"): "a person"})
PHASE = Phase("desk")


@PHASE.state("Doze")
def doze(ctx: Context) -> None:
    ctx.wait(0.01)
    ctx.data["dreams"] = [*ctx.data.get("dreams", []), ctx.random.random()]
    ctx.wait(until=1_000_000_000.0)


@PHASE.state("Ask")
def ask(ctx: Context) -> str:
    if ctx.config["rest"]:
        ctx.wait(3600)
    return ctx.ask(f"Visit {ctx.visit}?", show={"dreams": len(ctx.data["dreams"])}).label


@PHASE.ends("Ask")
def end(ctx: Context) -> None:
    with open(ctx.config["ledger"], "a") as ledger:
        ledger.write("ended\\n")


@PHASE.state("Wonder")
def wonder(ctx: Context) -> str:
    return ctx.ask("Well?", seconds=0.01, otherwise="Nobody").label


@PHASE.state("Sign")
def sign(ctx: Context) -> None:
    ctx.put("signed.txt", f"{ctx.data['pen']} {ctx.data['dreams']}")
"""


def desk(directory: Path, *, rest: bool = False) -> Config:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "desk.mmd").write_text(DRAWING)
    (directory / "desk.py").write_text(HANDLERS)
    file = directory / "desk.yaml"
    file.write_text(
        "machine: desk\nplug: {drawing: desk.mmd, handlers: desk.py}\nrun: {name: works, seed: 7}\n"
        f"work: {directory / 'work'}\ndesk: {{rest: {str(rest).lower()}, ledger: {directory / 'ledger'}}}\n"
    )
    config = configs.load(file)
    harness.warm(config)
    return config


def answered(store: Store, slots: list[str]) -> Store:
    """The answers to what the run is going to ask, put before it asks: a question has the same name in every attempt."""
    run = store.run("works")
    for label, slot in zip(("Again", "Enough"), slots, strict=True):
        requests.put(run, slot, AnswerRequest(id=label, by="ada", label=label, values={"pen": 7}))
    return store


def slots(directory: Path) -> list[str]:
    """The names of the two visits' questions, asked of a run that is answered as it comes to them."""
    config, store, found = desk(directory), LocalStore(directory / "store"), []
    for label in ("Again", "Enough"):
        while not (asked := [p for p in pauses_of(_root(store)) if p.slot]):
            session.run(config, store=store, stay=False)
        assert asked[0].slot is not None
        found.append(asked[0].slot)
        requests.put(store.run("works"), found[-1], AnswerRequest(id=label, by="ada", label=label))
        session.run(config, store=store, stay=False)
    return found


def _root(store: LocalStore) -> Frame | None:
    run = store.run("works")
    return Journal(run).load().root if run.read_header() else None


def matrix(directory: Path, make: Make, wheres: tuple[str, ...]) -> tuple[int, list[str]]:
    names = slots(directory / "asked")
    reference_directory = directory / "reference"
    config = desk(reference_directory)
    harness.to_the_end(config, answered(make(reference_directory), names), reference_directory / "log")
    reference = harness.history(make(reference_directory).run("works"))
    kills = list(harness.points(reference, wheres))
    wrong = []
    for kill in kills:
        place = directory / str(kill)
        found = harness.killed(desk(place), answered(make(place), names), place / "log", kill)
        wrong += [f"{kill}: {d}" for d in harness.differences(found, reference)]
    return len(kills), wrong


def test_a_run_that_waits_and_asks_is_killed_at_every_record(tmp_path: Path) -> None:
    count, wrong = matrix(tmp_path, lambda d: LocalStore(d / "store"), (harness.BEFORE, harness.AFTER))
    assert not wrong, "\n".join(wrong[:10])
    assert count > 30


@pytest.mark.long
def test_and_in_a_bucket(tmp_path: Path, s3: S3) -> None:
    count, wrong = matrix(tmp_path, harness.in_a_bucket(s3), (harness.AFTER,))
    assert not wrong, "\n".join(wrong[:10])
    assert count > 15


@pytest.mark.parametrize("where", [harness.BEFORE, harness.AFTER])
def test_a_run_killed_while_it_is_cancelled_is_cancelled_when_it_is_opened_next(
    where: str, tmp_path: Path
) -> None:
    config, store = desk(tmp_path, rest=True), LocalStore(tmp_path / "store")

    while not any(p.place == "Ask" for p in pauses_of(_root(store))):
        assert session.run(config, store=store, stay=False).outcome == "waiting"
    requests.put(store.run("works"), requests.CANCEL, CancelRequest(id="c", by="ada"))
    seq = sum(1 for _ in store.run("works").records()) + 1  # after the claim of who opens it
    assert harness.one_session(config, store, tmp_path / "log", harness.Kill(seq, where)) == -9
    assert harness.one_session(config, store, tmp_path / "log") == 5
    found = harness.history(store.run("works"))
    assert [r["kind"] for r in found.records].count("cancel") == 1
    assert found.ended["outcome"] == "cancelled"
    assert set((tmp_path / "ledger").read_text().split()) == {"ended"}
