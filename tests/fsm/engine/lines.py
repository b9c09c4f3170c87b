"""A works whose branches and items go at once, and ways to drive it: in an order that is chosen, to an end, into a kill."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fsm.engine import RUN, Context, Limit, Machine, Outcome, Phase, Program, Retries, Runner, Stop, Verdict
from fsm.engine.turns import Choose, Turns
from fsm.journal import Fold, Journal, alike
from fsm.store.local import LocalRun
from tests.fsm.drawn import drawn, program

WORKS = """
    [*] --> Plan
    Plan --> Hall
    state Hall {
        [*] --> Cut
        Cut --> Cut : again
        Cut --> File : cut
        File --> [*]
        --
        [*] --> Mix
        Mix --> Both
        state Both {
            [*] --> Left
            Left --> [*]
            --
            [*] --> Right
            Right --> [*]
        }
        Both --> [*]
        --
        [*] --> Order
        Order --> [*] : ordered
    }
    Hall --> Split : whole
    Hall --> Split : ordered
    Split --> Paint
    Split --> Pack
    Paint --> Dry
    Dry --> Ship
    Pack --> Ship
    Ship --> Hall : second round
    Ship --> [*] : shipped
"""
BENCH = "[*] --> Hold\nHold --> Rasp\nRasp --> [*]"


class Blot(Exception):
    """What the works try again themselves."""


class Smudge(Exception):
    """What the rescue tries again."""


def machines(concurrent: bool = True) -> dict[str, Machine]:
    """The works and its bench, and what rescues them."""
    at_once = {"Hall", "Hall.region2.Both", "Split"} if concurrent else ()
    built = (
        drawn(
            WORKS,
            "works",
            exits={"Hall": {"File": "whole", "ordered": "ordered", "Both": "whole"}},
            bounds={("Hall.region1.Cut", "again"): "three cuts", ("Ship", "second round"): "two rounds"},
            calls={"Hall.region1.File": ("bench",), "Ship": ("bench",), "Hall.region3.Order": ("bench",)},
            concurrent=at_once,
            limits={RUN: 600.0, "Hall": 300.0, "Pack": Limit(each=60.0)},
            retries={"Blot": Retries(2, base=0.001)},
        ),
        drawn(BENCH, "bench"),
        drawn("[*] --> Wipe\nWipe --> Retry", "rescue", ends={"Retry": Verdict.AGAIN}, entered_at=("Wipe",)),
    )
    return {m.name: m for m in built}


def works(concurrent: bool = True) -> Program:
    """The works as a program."""
    made = machines(concurrent)
    return program(*made.values(), phases=phases(), recovery="rescue")


def ordered(ctx: Context) -> str:
    """Order something outside, and note it in the ledger where there is one."""
    name = ctx.effect_name("order")
    if ledger := getattr(ctx.config, "ledger", None):
        with ledger.open("a") as file:
            file.write(f"{name}\n")
    return name


def phases(config: type[Any] | None = None) -> dict[str, Phase]:
    """Nothing in them is left to chance; each branch writes what is its own."""
    phases = {name: Phase(name, config if name == "works" else None) for name in ("works", "bench", "rescue")}
    phases["rescue"].classifies(lambda error: "Wipe" if isinstance(error, Smudge) else None)
    here, bench = phases["works"], phases["bench"]

    @here.state(
        "Plan",
        "Hall.region2.Mix",
        "Hall.region2.Both.region1.Left",
        "Hall.region2.Both.region2.Right",
        "Split",
    )
    def plain(ctx: Context) -> None:
        name = ctx.state.rpartition(".")[2]
        ctx.data[name] = [*ctx.data.get(name, []), ctx.random.randrange(1000)]
        ctx.data.pop("Plan" if name == "Mix" else "", None)

    @here.state("Hall.region1.Cut")
    def cut(ctx: Context) -> str:
        ctx.put(f"cuts/{ctx.visit}.txt", f"cut {ctx.visit} of {ctx.seed()}")
        return "again" if ctx.visit % 3 else "cut"

    @here.state("Hall.region1.File")
    def file(ctx: Context) -> None:
        ctx.put("edges.txt", "".join(ctx.open(name).read_text() for name in ctx.names("cuts/")))
        ctx.data["filed"] = ctx.run("bench", {"item": "edge"}).data

    @here.state("Hall.region3.Order")
    def order(ctx: Context) -> str:
        ctx.data["order"] = ctx.once("order", lambda: ordered(ctx))
        ctx.data["held"] = [r.data["held"] for r in ctx.map("bench", ["a", "b", "c"], at_once=2)]
        ctx.wait(0.001)
        return ctx.ask("Is it in order?", show=ctx.data["order"], seconds=0.0, otherwise="ordered").label

    @here.state("Paint", effects=True)
    def paint(ctx: Context) -> None:
        if not ctx.data.get("wiped"):
            raise Smudge("the paint runs")
        ctx.data["paint"] = ctx.failures

    @here.state("Pack")
    async def pack(ctx: Context) -> None:
        await asyncio.sleep(0.001)
        if not ctx.failures:
            raise Blot("the label runs")
        dry(ctx)

    @here.state("Dry")
    def dry(ctx: Context) -> None:
        ctx.put(f"{ctx.state.lower()}.txt", ", ".join(ctx.names()))
        ctx.data.pop("wiped", None)

    @here.state("Ship")
    def ship(ctx: Context) -> str:
        ctx.data["shipped"] = [r.data["held"] for r in ctx.map("bench", [*"abcdefg"], at_once=3)]
        return "second round" if ctx.visit < getattr(ctx.config, "rounds", 2) else "shipped"

    @bench.state("Hold", "Rasp")
    def hold(ctx: Context) -> None:
        ctx.data["held"] = [*ctx.data.get("held", []), ctx.inputs["item"], ctx.seed() % 1000]
        if ctx.state == "Rasp":
            ctx.put(f"held/{ctx.inputs['item']}.txt", str(ctx.data["held"][::2]))

    @phases["rescue"].state("Wipe")
    def wipe(ctx: Context) -> None:
        ctx.data["patch"] = {"wiped": True}

    phases["rescue"].state("Retry")(lambda ctx: None)
    return phases


def begun(directory: Path, run: Callable[[Path], LocalRun] = LocalRun) -> LocalRun:
    """A run in a directory, its header written."""
    made = run(directory)
    if made.read_header() is None:
        made.write_header(b'{"format": 1}')
    return made


def driven(
    run: Any, of: Program, choose: Choose | None = None, stop: Stop | None = None, logger: Any = None
) -> tuple[Outcome, Fold]:
    """One session of a run, its lines in an order that is chosen, or as it comes."""
    journal = Journal(run)
    try:
        fold = journal.open()
        runner = Runner(
            of, run, journal, fold, seed=7, work=run.directory.parent / "work", stop=stop, logger=logger
        )
        runner.turns = Turns(choose) if choose else None
        return runner.drive(), fold
    finally:
        journal.close()


def records(run: Any) -> list[dict[str, Any]]:
    """What the journal says but for claims, as it stands."""
    return [r for r in Journal(run).records() if r["kind"] != "claim"]


def told(run: Any) -> list[dict[str, Any]]:
    """What two equal runs have in common."""
    return alike(records(run))


def artifacts(run: LocalRun) -> dict[str, bytes]:
    """Everything it keeps, by digest."""
    return {p.name: p.read_bytes() for p in sorted((run.directory / "artifacts").iterdir())}


def by(choices: Sequence[int]) -> Choose:
    """The next one as chosen, over and over."""
    numbers = itertools.cycle(choices)

    def choose(names: Sequence[str]) -> str:
        return names[next(numbers) % len(names)]

    return choose
