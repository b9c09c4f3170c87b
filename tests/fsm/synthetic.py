"""A small works that exercises the whole engine in a few dozen records, and a way to kill it at any of them.

Loops, a fork, composites in composites, a composite drawn in detail, a counted one, machines below machines before the one
above has written anything, `once`, artifacts, chance, and errors that end in each verdict and by edges of their own. What
stands for the world outside (`World`) outlives a kill.

    python -m tests.fsm.synthetic DIRECTORY [PAUSE]     drives the run there; PAUSE is a state to wait in until stopped
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fsm.engine import (
    COUNTED,
    Context,
    Detail,
    Machine,
    Outcome,
    Phase,
    Program,
    Runner,
    Stop,
    StopRequested,
    Verdict,
)
from fsm.journal import Fold, Journal, essence
from fsm.store.local import LocalRun
from tests.fsm.drawn import drawn

WORKS = """
    [*] --> Fetch
    Fetch --> Line : fetched

    state Line {
        [*] --> Cut
        Cut --> Left
        Cut --> Right
        Left --> Glue
        Right --> Glue
        Glue --> [*] : straight
        Glue --> Sand : crooked
        Sand --> [*]
    }

    Line --> Press : good
    Line --> Paint : rough

    state Press {
        [*] --> Heat
        Heat --> Heat : cold
        Heat --> Stamp : hot
        Stamp --> [*]
    }

    Press --> Paint
    Paint --> Bake : painted
    Bake --> Line : next round
    Bake --> Packing : enough

    state Packing {
        [*] --> Box
        Box --> Seal : boxed
        Seal --> Box : more
        Seal --> [*] : all sealed
    }

    Packing --> Ship : packed
    Packing --> Scrap : nothing to pack
    Scrap --> Ship : scrapped
    Scrap --> Ship : rusty
    Ship --> Packing : second load
    Ship --> [*] : shipped
"""
GATE = "[*] --> Ring\nRing --> Enter : answered\nEnter --> [*]"
DEPOT = "[*] --> Open\nOpen --> Load : open\nLoad --> [*]"
GAUGE = "[*] --> Measure\nMeasure --> Round : off\nMeasure --> [*] : fits\nRound --> Measure"
PACKING = """
    [*] --> Choose
    Choose --> Boxing
    state Boxing {
        [*] --> Fold
        Fold --> Fill
        state Fill {
            [*] --> Item
            Item --> Item : another
            Item --> [*] : full
        }
        Fill --> [*]
    }
    Boxing --> Close
    Close --> Boxing : more
    Close --> [*] : all closed
"""
MISHAPS = """
    state Small {
        [*] --> Smudge
        Smudge --> Wipe
        Wipe --> LeaveOut : cannot be wiped
        [*] --> Overheat
        Overheat --> Cool : wait
    }
    state Large {
        [*] --> Flood
        Flood --> Pump
        Pump --> Dry : by hand
        [*] --> Empty
        Empty --> Report
        [*] --> Rust
        Rust --> Report
    }
"""


class Mishap(Exception):
    """An error of the works; `kind` is the recovery state it enters."""

    def __init__(self, kind: str, message: str, item: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        if item is not None:
            self.item = item


@dataclass
class World:
    """What is outside the run, and is not undone by a kill."""

    mended: bool = False
    ordered: dict[str, int] = field(default_factory=dict)  # name of the order -> how often it was given
    pause: str = ""  # a state to wait in

    def order(self, name: str) -> str:
        """Order something; the same name is the same order."""
        self.ordered[name] = self.ordered.get(name, 0) + 1
        return f"order {name}"

    def wait(self, state: str) -> None:
        """Wait in the state of `pause`, for somebody to stop the process."""
        if state == self.pause:
            print("waiting in", state, flush=True)
            time.sleep(60)


def machines() -> dict[str, Machine]:
    """The machines, by name."""
    stands = {"Box": ("Choose", "Boxing.*"), "Seal": ("Close",)}
    built = [
        drawn(
            WORKS,
            "works",
            inside={"Press": COUNTED, "Packing": Detail("packing", stands)},
            exits={"Line": {"straight": "good", "Sand": "rough"}},
            bounds={
                ("Bake", "next round"): "three rounds",
                ("Ship", "second load"): "two loads",
                ("Press.Heat", "cold"): "the heat",
            },
            on_error={("Packing", "Empty"): "nothing to pack", ("Scrap", "Rust"): "rusty"},
            calls={"Fetch": ("gate", "depot"), "Bake": ("gauge",), "Ship": ("gate",)},
        ),
        drawn(GATE, "gate"),
        drawn(DEPOT, "depot", calls={"Open": ("gate",)}),
        drawn(GAUGE, "gauge", counted=True, bounds={("Round", None): "the size"}),
        drawn(
            PACKING,
            "packing",
            bounds={("Boxing.Fill.Item", "another"): "the items", ("Close", "more"): "the boxes"},
        ),
        drawn(
            MISHAPS,
            "mishaps",
            ends={
                "LeaveOut": Verdict.SKIP,
                "Cool": Verdict.AGAIN,
                "Dry": Verdict.STOP,
                "Report": Verdict.STOP,
            },
            entered_at=("Smudge", "Overheat", "Flood", "Empty", "Rust"),
        ),
    ]
    return {m.name: m for m in built}


MACHINES = machines()


def program(world: World) -> Program:
    """The works in that world."""
    phases = [_works(world), _gate(world), _depot(), _gauge(), _packing(), _mishaps(world)]
    return Program("works", MACHINES, {p.machine: p for p in phases}, "mishaps")


def _works(world: World) -> Phase:
    phase = Phase("works")

    @phase.state("Fetch")
    def fetch(ctx: Context) -> str:
        gate = ctx.run("gate", {"who": "works"}, until=("Enter",))
        depot = ctx.run("depot")
        ctx.data["wood"] = depot.data["wood"]
        ctx.data["gate"] = dict(gate.data)
        return "fetched"

    @phase.state("Line.Cut")
    def cut(ctx: Context) -> None:
        ctx.data["round"] = ctx.visit
        ctx.data["length"] = round(ctx.random.uniform(1, 9), 3)

    @phase.state("Line.Left", "Line.Right")
    def side(ctx: Context) -> None:
        world.wait(ctx.state)
        first = ctx.once("glue", lambda: world.order(ctx.effect_name("glue")))
        second = ctx.once("clamp", lambda: world.order(ctx.effect_name("clamp")))
        ctx.put(f"sides/{ctx.state}-{ctx.visit}.txt", f"{first}, {second}, {ctx.data['length']}")

    @phase.state("Line.Glue")
    def glue(ctx: Context) -> str:
        sides = [ctx.open(f"sides/Line.{s}-{ctx.visit}.txt").read_text() for s in ("Left", "Right")]
        ctx.put("table.txt", "\n".join(sides))
        return "straight" if ctx.visit % 2 == 0 else "crooked"

    @phase.state("Line.Sand")
    def sand(ctx: Context) -> None:
        ctx.put("dust.bin", ctx.random.randbytes(40))

    @phase.state("Press")
    def press(ctx: Context) -> None:
        walk = ctx.walk()
        for n in range(5):
            walk.run({"degrees": n})

    @phase.state("Press.Heat")
    def heat(item: dict[str, int]) -> str:
        item["degrees"] += 1
        return "hot" if item["degrees"] > 3 else "cold"

    phase.state("Press.Stamp")(lambda item: None)

    @phase.state("Paint")
    def paint(ctx: Context) -> str:
        for leg in ("one", "two", "three"):
            if leg == "two" and leg not in ctx.skipped:
                raise Mishap("Smudge", f"leg {leg} is smudged in round {ctx.visit}", item=leg)
        ctx.data["unpainted"] = [*ctx.data.get("unpainted", []), *ctx.skipped]
        return "painted"

    @phase.state("Bake")
    def bake(ctx: Context) -> str:
        if (degrees := ctx.data.get("degrees", 400)) > 150:
            ctx.put("burnt.txt", "never seen: the state fails")
            raise Mishap("Overheat", f"{degrees} degrees are too many")
        walk = ctx.walk("gauge")
        for n in range(4):
            walk.run([n])
        return "enough" if ctx.visit == 3 else "next round"

    @phase.state("Packing")
    def packing(ctx: Context) -> str:
        result = ctx.run("packing", {"load": ctx.visit})
        ctx.data["boxes"] = result.data["boxes"]
        return "packed"

    @phase.state("Scrap")
    def scrap(ctx: Context) -> str:
        raise Mishap("Rust", "the scrap is rusty")

    @phase.state("Ship", effects=True)
    def ship(ctx: Context) -> str:
        if ctx.visit == 1:
            return "second load"
        if not world.mended:
            raise Mishap("Flood", "the yard is under water")
        del ctx.data["length"]
        ctx.data["gate"] = dict(ctx.run("gate", start="Enter").data)
        ctx.put("papers.json", json.dumps(ctx.data, sort_keys=True))
        return "shipped"

    return phase


def _gate(world: World) -> Phase:
    phase = Phase("gate")

    @phase.state("Ring")
    def ring(ctx: Context) -> str:
        ctx.data["who"] = ctx.inputs.get("who", "nobody")
        ctx.data["rang"] = ctx.once("bell", lambda: world.order(ctx.effect_name("bell")))
        return "answered"

    @phase.state("Enter")
    def enter(ctx: Context) -> None:
        ctx.data["seed"] = ctx.seed("key") % 1000

    return phase


def _depot() -> Phase:
    phase = Phase("depot")

    @phase.state("Open")
    def unlock(ctx: Context) -> str:
        for _ in range(2):
            ctx.data["last"] = ctx.run("gate", {"who": "depot"}).last
        return "open"

    @phase.state("Load")
    def load(ctx: Context) -> None:
        ctx.data["wood"] = [ctx.random.randint(1, 9) for _ in range(3)]

    return phase


def _gauge() -> Phase:
    phase = Phase("gauge")

    @phase.state("Measure")
    def measure(item: list[int]) -> str:
        return "fits" if item[0] >= 2 else "off"

    @phase.state("Round")
    def rounding(item: list[int]) -> None:
        item[0] += 1

    return phase


def _packing() -> Phase:
    phase = Phase("packing")

    @phase.state("Choose")
    def choose(ctx: Context) -> None:
        if ctx.inputs["load"] > 1:
            raise Mishap("Empty", "nothing is left to pack")
        ctx.data["boxes"] = 0

    phase.state("Boxing.Fold")(lambda ctx: None)

    @phase.state("Boxing.Fill.Item")
    def item(ctx: Context) -> str:
        return "full" if ctx.visit % 3 == 0 else "another"

    @phase.state("Close")
    def close(ctx: Context) -> str:
        ctx.data["boxes"] += 1
        return "all closed" if ctx.data["boxes"] == 2 else "more"

    return phase


def _mishaps(world: World) -> Phase:
    phase = Phase("mishaps")
    phase.classifies(lambda error: error.kind if isinstance(error, Mishap) else None)
    for state in ("Small.Smudge", "Small.LeaveOut", "Large.Flood", "Large.Empty", "Large.Rust"):
        phase.state(state)(lambda ctx: None)

    @phase.state("Small.Wipe")
    def wipe(ctx: Context) -> None:
        ctx.once("rag", lambda: world.order(ctx.effect_name("rag")))
        ctx.put("wiped.txt", ctx.inputs["message"])

    phase.state("Small.Overheat")(lambda ctx: "wait")

    @phase.state("Small.Cool")
    def cool(ctx: Context) -> None:
        ctx.data["patch"] = {"degrees": ctx.inputs["data"].get("degrees", 400) // 2}

    phase.state("Large.Pump")(lambda ctx: "by hand")

    @phase.state("Large.Dry", "Large.Report")
    def advise(ctx: Context) -> None:
        ctx.data["advice"] = f"Mend it: {ctx.inputs['message']}."

    return phase


# Running it, and killing it


class Killed(BaseException):
    """The process is gone."""


@dataclass(frozen=True)
class Death:
    """When to die: `before` or `after` record `number` (claims not counted) is written, or having written it `torn`."""

    number: int
    how: str


class MortalRun(LocalRun):
    """A run in a directory that dies on the day."""

    def __init__(self, directory: Path, death: Death | None) -> None:
        super().__init__(directory)
        self._death = death
        self._written = 0

    def acquire(self, takeover: bool = False) -> int:
        there = super().acquire(takeover)
        self._written = sum(b'"kind":"claim"' not in line for line in self.records())
        return there

    def append(self, seq: int, line: bytes) -> None:
        if b'"kind":"claim"' in line:
            super().append(seq, line)
            return
        how = self._death.how if self._death and self._death.number == self._written else ""
        if how == "before":
            raise Killed
        if how == "torn":
            with self.journal.open("ab") as f:
                f.write(line[: len(line) // 2])
            raise Killed
        super().append(seq, line)
        self._written += 1
        if how == "after":
            raise Killed


def begin(directory: Path) -> None:
    """Make the run's directory."""
    LocalRun(directory).write_header(b'{"format": 1}')


def attempt(
    directory: Path,
    world: World,
    death: Death | None = None,
    *,
    of: Program | None = None,
    stop: Stop | None = None,
) -> Outcome | None:
    """One process's life: None where it was killed."""
    run = MortalRun(directory, death)
    journal = Journal(run)
    try:
        fold = journal.open()
        runner = Runner(
            of or program(world), run, journal, fold, seed=7, work=directory.parent / "work", stop=stop
        )
        return runner.drive()
    except Killed:
        return None
    finally:
        journal.close()  # as the kernel does for a process that is gone


def finish(directory: Path, world: World, deaths: Iterator[Death] | None = None) -> Outcome:
    """Give the same command until the run has ended, mending what it asks for; dies as told on the way."""
    for _ in range(200):
        outcome = attempt(directory, world, next(deaths, None) if deaths else None)
        if outcome is not None and outcome.outcome != "stopped":
            return outcome
        last = told(directory)[-1:]  # one who was killed while stopping has left word of it
        stopped = any(r.get("verdict") == "stop" and "leave" not in r for r in last)
        world.mended |= outcome is not None or stopped
    raise AssertionError("the run does not end")


def told(directory: Path) -> list[dict[str, Any]]:
    """What the journal says, without claims and without what differs between equal runs; the chain is checked."""
    return [essence(r) for r in Journal(LocalRun(directory)).records() if r["kind"] != "claim"]


def kept(directory: Path) -> dict[str, bytes]:
    """The artifacts, by content."""
    return {p.name: p.read_bytes() for p in sorted((directory / "artifacts").iterdir())}


def state(directory: Path) -> dict[str, Any]:
    """The state of the run, from the newest snapshot on."""
    fold: Fold = Journal(LocalRun(directory)).load()
    return fold.state


def main(arguments: list[str]) -> int:
    """Drive the run in a directory as a process of its own; 3 where a signal stopped it."""
    directory, pause, *_ = [*map(str, arguments), ""]
    world, stop = World(mended=True, pause=pause), Stop()
    if not (Path(directory) / "run.json").exists():
        begin(Path(directory))
    try:
        with stop.installed():
            outcome = attempt(Path(directory), world, stop=stop)
    except StopRequested:
        return 3
    print(outcome)
    return outcome.exit_code if outcome else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
