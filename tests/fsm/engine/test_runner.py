"""The durable loop: what it records, how it recovers, and that a kill anywhere changes nothing."""

from __future__ import annotations

import itertools
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsm.check import check
from fsm.engine import Context, Machine, Outcome, Phase, Program, Runner, Stop, StopRequested, Verdict
from fsm.engine.runner import MOST_TRIES
from fsm.errors import PhaseError, StoreError, UnknownLabel
from fsm.journal import Journal, Watch
from fsm.store.local import LocalRun
from tests.fsm.drawn import drawn
from tests.fsm.synthetic import Death, World, attempt, begin, finish, kept, program, state, told

ROOT = Path(__file__).parents[3]


class Reference:
    """The run that nobody disturbed."""

    def __init__(self, directory: Path) -> None:
        begin(directory)
        self.world = World()
        self.outcome = finish(directory, self.world)
        self.records, self.artifacts, self.state = told(directory), kept(directory), state(directory)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference(tmp_path_factory.mktemp("reference") / "r")


def same(directory: Path, reference: Reference) -> None:
    """The run did what the undisturbed one did."""
    assert told(directory) == reference.records
    assert kept(directory) == reference.artifacts
    assert state(directory) == reference.state


# Killed


def test_the_works_are_sound_and_go_everywhere(reference: Reference) -> None:
    assert [str(f) for f in check(program(World()))] == []
    assert reference.outcome == Outcome("done", "shipped", "Ship")
    assert {r["kind"] for r in reference.records} == {"transition", "once", "error", "verdict"}
    assert {r["verdict"] for r in reference.records if r["kind"] == "verdict"} == {"stop", "again", "skip"}
    assert any("snapshot" in r for r in reference.records)
    assert any("above" in r for r in reference.records)
    assert any("leave" in r for r in reference.records)
    assert set(reference.world.ordered.values()) == {1}


def test_killed_in_the_middle_of_any_record_the_run_comes_out_the_same(
    reference: Reference, quick: Path
) -> None:
    for number, record in enumerate(reference.records):
        directory, world = quick / f"{number}" / "r", World()
        begin(directory)
        assert finish(directory, world, iter([Death(number, "torn")])) == reference.outcome
        same(directory, reference)
        paid_twice = [name for name, times in world.ordered.items() if times > 1]
        assert len(paid_twice) == (record["kind"] == "once")  # by its name the world outside knows it again
        assert world.ordered.keys() == reference.world.ordered.keys()
        shutil.rmtree(directory.parent)


@pytest.mark.parametrize("how", ["before", "after"])
def test_killed_at_every_record_the_run_comes_out_the_same(
    how: str, reference: Reference, quick: Path
) -> None:
    begin(quick / "r")
    world = World()
    deaths = iter([Death(number, how) for number in range(len(reference.records))])
    assert finish(quick / "r", world, deaths) == reference.outcome
    same(quick / "r", reference)
    assert set(world.ordered.values()) == ({1} if how == "after" else {2})


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    deaths=st.lists(
        st.builds(Death, st.integers(0, 99), st.sampled_from(["before", "torn", "after"])), max_size=12
    )
)
def test_killed_any_number_of_times_the_run_comes_out_the_same(
    deaths: list[Death], reference: Reference, quick: Path
) -> None:
    directory = quick / "many" / "r"
    shutil.rmtree(directory.parent, ignore_errors=True)
    begin(directory)
    assert finish(directory, World(), iter(sorted(deaths, key=lambda d: d.number))) == reference.outcome
    same(directory, reference)


def test_a_run_that_has_ended_is_not_run_again(reference: Reference, quick: Path) -> None:
    begin(quick / "r")
    world = World()
    finish(quick / "r", world)
    ordered = dict(world.ordered)
    assert attempt(quick / "r", world) == reference.outcome
    assert world.ordered == ordered
    assert told(quick / "r") == reference.records


def test_every_resume_leaves_a_claim_of_a_higher_epoch(quick: Path) -> None:
    begin(quick / "r")
    finish(quick / "r", World(), iter([Death(5, "after"), Death(9, "before")]))
    claims = [r for r in Journal(LocalRun(quick / "r")).records() if r["kind"] == "claim"]
    assert [c["epoch"] for c in claims] == [1, 2, 3, 4]  # two deaths, and the stop of the flood


def test_a_watch_from_outside_sees_the_same_state(quick: Path) -> None:
    begin(quick / "r")
    watch = Watch(LocalRun(quick / "r"))
    assert watch.poll() == []
    deaths = [Death(n, "after") for n in range(7, 90, 13)]
    seen = 0
    for death in [*deaths, None, None]:
        world = World(mended=death is None)
        attempt(quick / "r", world, death)
        seen += len(watch.poll())
    assert watch.ended == {"outcome": "done", "label": "shipped", "last": "Ship"}
    assert watch.fold.state == state(quick / "r")
    assert seen == sum(1 for _ in Journal(LocalRun(quick / "r")).records())


# Signals


def started(directory: Path, pause: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.fsm.synthetic", str(directory), pause]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_stops_the_run_and_it_goes_on_later(number: signal.Signals, tmp_path: Path) -> None:
    process = started(tmp_path / "r", "Line.Right")
    assert process.stdout
    assert process.stdout.readline() == "waiting in Line.Right\n"
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == (-9 if number == signal.SIGKILL else 3)
    assert told(tmp_path / "r")[-1]["from"] == "Line.Left"
    assert finish(tmp_path / "r", World(mended=True)).outcome == "done"


def test_a_signal_between_states_waits_for_the_record(quick: Path) -> None:
    stop = Stop()
    machine = drawn("[*] --> A\nA --> B\nB --> [*]")
    phase = Phase("drawing")

    @phase.state("A", "B")
    def handle(ctx: Context) -> None:
        with ctx.deferring_stop():
            signal.raise_signal(signal.SIGTERM)
            assert ctx.stopping()
            ctx.data["reached"] = True

    begin(quick / "r")
    with stop.installed(), pytest.raises(StopRequested):
        attempt(
            quick / "r", World(), of=Program("drawing", {"drawing": machine}, {"drawing": phase}), stop=stop
        )
    assert told(quick / "r") == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_during_the_record_stops_after_it(quick: Path) -> None:
    stop = Stop()
    machine = drawn("[*] --> A\nA --> B\nB --> [*]")
    phase = Phase("drawing")
    phase.state("A", "B")(lambda ctx: None)

    class Signalling(LocalRun):
        def append(self, seq: int, line: bytes) -> None:
            if b'"from":"A"' in line:
                signal.raise_signal(signal.SIGINT)
            super().append(seq, line)

    begin(quick / "r")
    journal = Journal(Signalling(quick / "r"))
    fold = journal.open()
    made = Program("drawing", {"drawing": machine}, {"drawing": phase})
    with stop.installed(), pytest.raises(StopRequested):
        Runner(made, LocalRun(quick / "r"), journal, fold, seed=1, stop=stop).drive()
    journal.close()
    assert [r["from"] for r in told(quick / "r")] == ["A"]


# One machine at a time


Drive = Callable[..., Outcome | None]


@pytest.fixture
def drive(quick: Path) -> Drive:
    """Runs machines with handlers given by state; the first machine is the root."""
    begin(quick / "r")

    def drive(*machines: Machine, recovery: str | None = None, **handlers: dict[str, Any]) -> Outcome | None:
        phases = {}
        for m in machines:
            phases[m.name] = phase = Phase(m.name)
            for path, handle in handlers.get(m.name, {}).items():
                phase.state(path)(handle if callable(handle) else lambda ctx, label=handle: label)
        if recovery:
            phases[recovery].classifies(lambda error: str(error) if isinstance(error, RuntimeError) else None)
        made = Program(machines[0].name, {m.name: m for m in machines}, phases, recovery)
        return attempt(quick / "r", World(), of=made)

    return drive


def raises(error: BaseException) -> Callable[[Context], None]:
    def handle(ctx: Context) -> None:
        raise error

    return handle


TWO = "[*] --> A\nA --> B : go\nA --> [*] : bad\nB --> [*] : good"


def test_an_artifact_of_rows_says_how_many_there_are(drive: Drive, quick: Path) -> None:
    def work(ctx: Context) -> str:
        (quick / "rows").write_text("1\n2\n3\n")
        ctx.put("a.jsonl", '{"a": 1}\n{"a": 2}')
        ctx.put("b.jsonl", quick / "rows")
        ctx.put("empty.jsonl", b"")
        ctx.put("c.tar", b"", records=7)
        ctx.put("d.txt", "line\n")
        return "bad"

    drive(drawn(TWO), drawing={"A": work})
    (record,) = told(quick / "r")
    assert {name: file.get("records") for name, file in record["files"].items()} == {
        "a.jsonl": 2,
        "b.jsonl": 3,
        "empty.jsonl": 0,
        "c.tar": 7,
        "d.txt": None,
    }


def test_a_transition_says_what_happened(drive: Drive, quick: Path) -> None:
    def work(ctx: Context) -> str:
        ctx.data |= {"n": 1, "gone": 2}
        ctx.put("a/b.txt", "hello")
        return "go"

    def more(ctx: Context) -> None:
        assert ctx.open("a/b.txt").read_text() == "hello"
        assert ctx.has("a/b.txt")
        assert ctx.names("a/") == ["a/b.txt"]
        del ctx.data["gone"]

    assert drive(drawn(TWO), drawing={"A": work, "B": more}) == Outcome("done", "good", "B")
    sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    first, last = told(quick / "r")
    assert first == {
        "kind": "transition",
        "at": [],
        "machine": "drawing",
        "from": "A",
        "visit": 1,
        "label": "go",
        "to": ["B"],
        "data": {"set": {"n": 1, "gone": 2}},
        "files": {"a/b.txt": {"sha256": sha256, "size": 5}},
    }
    assert last["data"] == {"drop": ["gone"]}
    assert last["reads"] == {"a/b.txt": sha256}
    assert last["end"] == {"outcome": "done", "label": "good", "last": "B"}


@pytest.mark.parametrize("failure", ["bad", "A"])
def test_a_run_fails_by_a_label_or_a_last_state(failure: str, drive: Drive) -> None:
    outcome = drive(drawn(TWO, failures=(failure,)), drawing={"A": "bad"})
    assert outcome == Outcome("failed", "bad", "A")
    assert outcome.exit_code == 1


def test_a_handler_decides_the_exit_of_a_composite(drive: Drive, quick: Path) -> None:
    text = "[*] --> A\nstate A {\n[*] --> X\nX --> [*]\n}\nA --> B : more\nA --> [*] : over\nB --> [*]"
    assert drive(drawn(text), drawing={"A.X": None, "A": "over"}) == Outcome("done", "over", "A")
    assert [r["from"] for r in told(quick / "r")] == ["A.X", "A"]


@pytest.mark.parametrize(
    ("handle", "message"),
    [
        (
            lambda ctx: "nowhere",
            r"the handler of A returned 'nowhere'; the labels of its edges are: 'go', 'bad'",
        ),
        (lambda ctx: ctx.data.update(x={1}) or "go", "durable data must be JSON values"),
        (lambda ctx: ctx.data.update(x=float("nan")) or "go", "durable data must be JSON values"),
        (lambda ctx: ctx.open("none.txt"), "no artifact 'none.txt'"),
        (lambda ctx: ctx.run("other"), "which machines/drawing does not declare"),
        (raises(ValueError("odd")), "ValueError: odd. It fits no class of the recovery machine"),
    ],
)
def test_what_goes_wrong_in_a_handler_stops_the_run_resumably(
    handle: Any, message: str, drive: Drive, quick: Path
) -> None:
    machine = drawn(TWO)
    outcome = drive(machine, drawing={"A": handle, "B": None})
    assert outcome
    assert (outcome.outcome, outcome.exit_code) == ("stopped", 3)
    assert re.search(message, outcome.message), outcome.message
    _, error = Journal(LocalRun(quick / "r")).records()
    assert (error["kind"], error["recovery"]) == ("error", None)
    assert "Traceback" in error["traceback"]
    assert drive(machine, drawing={"A": "go", "B": None}) == Outcome("done", "good", "B")


def test_a_state_without_a_handler_ends_the_run(drive: Drive) -> None:
    with pytest.raises(PhaseError, match=r"A has no handler. Register one with @PHASE.state\('A'\)"):
        drive(drawn(TWO), drawing={})


def test_a_failed_state_starts_again_with_the_data_it_found(drive: Drive) -> None:
    def half(ctx: Context) -> None:
        ctx.data["half"] = True
        raise ValueError

    machine = drawn(TWO)
    drive(machine, drawing={"A": half})

    def whole(ctx: Context) -> str:
        assert ctx.data == {}
        return "go"

    assert drive(machine, drawing={"A": whole, "B": None}) == Outcome("done", "good", "B")


def test_once_is_done_once_though_its_state_fails(drive: Drive) -> None:
    machine, done = drawn(TWO), itertools.count()

    def pay(ctx: Context) -> None:
        assert ctx.once("pay", lambda: next(done)) == 0
        raise ValueError

    drive(machine, drawing={"A": pay})

    def check_paid(ctx: Context) -> str:
        assert ctx.once("pay", lambda: next(done)) == 0
        assert ctx.once("more", lambda: next(done)) == 1
        return "go"

    assert drive(machine, drawing={"A": check_paid, "B": None}) == Outcome("done", "good", "B")


def test_a_handler_that_calls_another_machine_than_before_is_told(drive: Drive) -> None:
    below = [drawn("[*] --> X\nX --> Y\nY --> [*]", name) for name in ("b", "c")]
    machine = drawn(TWO, calls={"A": ("b", "c")})
    handlers = {"b": {"X": None, "Y": raises(ValueError())}, "c": {}}
    drive(machine, *below, drawing={"A": lambda ctx: ctx.run("b")}, **handlers)
    outcome = drive(machine, *below, drawing={"A": lambda ctx: ctx.run("c")}, **handlers)
    assert outcome
    assert "called machine b before it was interrupted, and now calls c" in outcome.message


def test_what_a_handler_does_with_a_result_does_not_change_the_run(drive: Drive, quick: Path) -> None:
    machine = drawn(TWO, calls={"A": ("below",)})
    below = drawn("[*] --> X\nX --> [*]", "below")

    def grow(ctx: Context) -> str:
        kept = ctx.once("list", lambda: [1])
        kept.append(2)
        result = ctx.run("below")
        result.data["list"].append(2)  # also of a machine that is not called again
        assert (ctx.once("list", list), ctx.run("below").data) == ([1], {"list": [1]})
        return "go"

    fill: Any = lambda ctx: ctx.data.update(list=[1])  # noqa: E731
    assert drive(machine, below, drawing={"A": grow, "B": None}, below={"X": fill})


# Chance and names


def test_chance_and_names_differ_by_place_and_visit_and_are_the_same_when_run_again(drive: Drive) -> None:
    text = "[*] --> A\nA --> A : more\nA --> [*] : done"
    machine = drawn(text, calls={"A": ("below",)}, bounds={("A", "more"): "3"})
    below = drawn("[*] --> X\nX --> [*]", "below")
    seen: list[tuple[float, str, int]] = []
    broken = True

    def inner(ctx: Context) -> None:
        seen.append((ctx.random.random(), ctx.effect_name("job"), ctx.seed("x")))

    def outer(ctx: Context) -> str:
        ctx.run("below")
        ctx.run("below")
        if broken:
            raise ValueError
        return "done" if ctx.visit == 3 else "more"

    handlers: dict[str, Any] = {"drawing": {"A": outer}, "below": {"X": inner}}
    drive(machine, below, **handlers)
    broken = False
    drive(machine, below, **handlers)
    assert len(seen) == 6  # the two calls of the first visit were not made again
    assert all(len(set(values)) == 6 for values in zip(*seen, strict=True))


def test_a_name_for_something_outside_fits_where_names_are_short(drive: Drive) -> None:
    names: list[str] = []

    def name(ctx: Context) -> str:
        names.extend([ctx.effect_name("granite_8b", 32), ctx.effect_name("x" * 200)])
        return "bad"

    drive(drawn(TWO), drawing={"A": name})
    assert all(len(n) <= limit for n, limit in zip(names, (32, 63), strict=True))
    assert all(set(n) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for n in names)


# Recovery


def recovery(verdict: Verdict) -> Machine:
    return drawn("Oops --> Last", "mend", ends={"Last": verdict}, entered_at=("Oops",))


def test_again_starts_the_state_again_but_not_for_ever(drive: Drive, quick: Path) -> None:
    tries = itertools.count()

    def always(ctx: Context) -> None:
        assert ctx.failures == next(tries)
        raise RuntimeError("Oops")

    machines = drawn(TWO), recovery(Verdict.AGAIN)
    outcome = drive(*machines, recovery="mend", drawing={"A": always}, mend={"Oops": None, "Last": None})
    assert outcome
    assert outcome.outcome == "stopped"
    assert next(tries) == MOST_TRIES
    assert [r["verdict"] for r in told(quick / "r") if r["kind"] == "verdict"][-2:] == ["again", "stop"]


def test_skip_without_an_item_stops(drive: Drive) -> None:
    machines = drawn(TWO), recovery(Verdict.SKIP)
    handlers = {"drawing": {"A": raises(RuntimeError("Oops"))}, "mend": {"Oops": None, "Last": None}}
    outcome = drive(*machines, recovery="mend", **handlers)
    assert outcome
    assert (outcome.outcome, outcome.message) == ("stopped", "A: RuntimeError: Oops")


def test_an_error_in_the_recovery_stops_and_the_state_is_tried_again(drive: Drive, quick: Path) -> None:
    machines = drawn(TWO), recovery(Verdict.AGAIN)
    handlers: dict[str, Any] = {"drawing": {"A": raises(RuntimeError("Oops")), "B": None}}
    outcome = drive(*machines, recovery="mend", **handlers, mend={"Oops": raises(RuntimeError("Oops"))})
    assert outcome
    assert outcome.outcome == "stopped"
    handlers["drawing"]["A"] = "go"
    assert drive(*machines, recovery="mend", **handlers, mend={}) == Outcome("done", "good", "B")


def test_the_innermost_state_that_declares_an_edge_for_the_error_is_left_by_it(
    drive: Drive, quick: Path
) -> None:
    machine = drawn(TWO, calls={"A": ("mid",)}, on_error={("A", "Oops"): "bad"})
    mid = drawn("[*] --> M\nM --> [*]", "mid", calls={"M": ("low",)})
    low = drawn("[*] --> L\nL --> [*]", "low")
    outcome = drive(
        machine,
        mid,
        low,
        recovery(Verdict.STOP),
        recovery="mend",
        drawing={"A": lambda ctx: ctx.run("mid")},
        mid={"M": lambda ctx: ctx.run("low")},
        low={"L": raises(RuntimeError("Oops"))},
        mend={"Oops": None, "Last": None},
    )
    assert outcome == Outcome("done", "bad", "A")
    (verdict,) = [r for r in told(quick / "r") if r["kind"] == "verdict"]
    assert verdict["leave"] == {"at": [], "state": "A", "label": "bad"}


def test_an_error_of_the_store_is_not_the_phases_to_recover(drive: Drive, quick: Path) -> None:
    machines = drawn(TWO), recovery(Verdict.AGAIN)
    with pytest.raises(StoreError):
        drive(*machines, recovery="mend", drawing={"A": raises(StoreError("full"))}, mend={})
    assert told(quick / "r") == []


def test_an_unknown_label_is_a_programming_error_with_a_number() -> None:
    assert str(UnknownLabel("x")) == "x [F201]"


def test_a_hang_up_that_is_told_twice_stops_once() -> None:
    stop, went_on = Stop(), []
    before = signal.getsignal(signal.SIGHUP)

    def in_the_middle() -> None:
        with stop.installed(), stop.deferred():
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
            went_on.append(True)

    try:
        with pytest.raises(StopRequested):
            in_the_middle()
        assert went_on
        signal.raise_signal(signal.SIGHUP)  # the end of the run is not interrupted either
    finally:
        signal.signal(signal.SIGHUP, before)
