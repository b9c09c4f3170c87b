"""The work of the factory. Every handler shows progress in its middle, so that it can be killed there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from fsm.engine import Context, Phase


class FactoryConfig(BaseModel):
    """`ledger` is a file outside the run: what was done there cannot be taken back."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    ledger: Path
    rounds: int = 3


class Broken(Exception):
    """An error of a kind that the rescue knows."""

    def __init__(self, kind: str, item: str | None = None) -> None:
        super().__init__(f"{kind} {item or ''}".strip())
        self.kind = kind
        self.item = item


FACTORY = Phase("factory", config=FactoryConfig)
PRESS = Phase("press")
RESCUE = Phase("rescue")
RESCUE.classifies(lambda error: error.kind if isinstance(error, Broken) else None)


def effect(ctx: Context, name: str) -> int:
    """Do something outside, under a name by which a second attempt finds the first; returns a receipt."""
    ledger: Path = ctx.config.ledger
    done = ledger.read_text().split() if ledger.exists() else []
    mine = ctx.effect_name(name)
    if mine not in done:
        with ledger.open("a") as f:
            f.write(mine + "\n")
    return len(name)


@FACTORY.state("Order")
def order(ctx: Context) -> str:
    ctx.data["round"] = ctx.data.get("round", 0) + 1
    ctx.progress(1, 2)
    ctx.put("order.txt", f"round {ctx.data['round']}: {ctx.random.random()}\n")
    return "In stock" if ctx.data["round"] == 3 else "Not in stock"


@FACTORY.state("Make.Cut")
def cut(ctx: Context) -> None:
    ctx.progress(1, 2)
    pieces = sorted(ctx.random.sample(range(100), 5))
    ctx.put(f"pieces/{ctx.visit}.txt", "\n".join(map(str, pieces)))
    ctx.data["pieces"] = pieces


@FACTORY.state("Make.Drill")
def drill(ctx: Context) -> None:
    first = ctx.run("press", {"times": 2})
    ctx.progress(1, 2)
    second = ctx.run("press", {"times": 1})
    ctx.data["pressed"] = [first.data["heat"], second.data["heat"]]


@FACTORY.state("Make.Paint", effects=True)
def paint(ctx: Context) -> None:
    first = ctx.once("primer", lambda: effect(ctx, "primer"))
    ctx.progress(1, 2)
    second = ctx.once("colour", lambda: effect(ctx, "colour"))
    ctx.data["paint"] = first + second
    if not ctx.data.get("fire"):
        raise Broken("Fire")


@FACTORY.state("Make.Join")
def join(ctx: Context) -> None:
    pieces = ctx.open(f"pieces/{ctx.visit}.txt").read_text()
    ctx.progress(1, 2)
    ctx.put("joined.txt", pieces + f"{ctx.data['pressed']} {ctx.data['paint']}")


@FACTORY.state("Make.Check.Look")
def look(ctx: Context) -> str:
    ctx.progress(1, 2)
    if not ctx.data.get("shaken"):
        raise Broken("Jam")
    return "Bad" if ctx.visit % 2 else "Good"


@FACTORY.state("Make.Check.Mend", "Make.Check.Weigh", "Fetch")
def plain(ctx: Context) -> None:
    ctx.progress(1, 2)
    ctx.data.setdefault("done", []).append(ctx.state)


@FACTORY.state("Count")
def count(ctx: Context) -> None:
    walk = ctx.walk()
    for number in range(10):
        if str(number) in ctx.skipped:
            continue
        if number == 7:
            raise Broken("Scrap", str(number))
        walk.run(number)
        if number == 4:
            ctx.progress(1, 2)


@FACTORY.state("Count.Take")
def take(number: int) -> str:
    return "odd" if number % 2 else "even"


@FACTORY.state("Count.Odd", "Count.Even")
def counted(number: int) -> None:
    return None


@FACTORY.state("Ship", effects=True)
def ship(ctx: Context) -> str:
    ctx.progress(1, 2)
    effect(ctx, "ship")
    return "Done" if ctx.data["round"] >= ctx.config.rounds else "More"


@FACTORY.state("Bill")
def bill(ctx: Context) -> None:
    ctx.progress(1, 2)
    ctx.put("bill.txt", f"{sorted(ctx.data)} {ctx.data['round']}")


@PRESS.state("Heat")
def heat(ctx: Context) -> None:
    ctx.data["heat"] = round(ctx.data.get("heat", 0.0) + ctx.random.random(), 6)
    ctx.progress(1, 2)


@PRESS.state("Press")
def press(ctx: Context) -> str:
    ctx.progress(1, 2)
    return "Pressed" if ctx.visit >= ctx.inputs["times"] else "Again"


def patching(**patch: Any) -> Any:
    def handle(ctx: Context) -> None:
        ctx.progress(1, 2)
        ctx.data["patch"] = patch

    return handle


RESCUE.state("Glitch.Jam", "Glitch.Scrap", "Glitch.Fire", "Glitch.Alarm", "Glitch.Throw")(
    lambda ctx: ctx.progress(1, 2)
)
RESCUE.state("Glitch.Shake")(patching(shaken=True))
RESCUE.state("Glitch.Leave")(patching(fire="out"))

NAMES = {name: f"{__name__}:{name.upper()}" for name in ("factory", "press", "rescue")}
