"""The bakery's handlers: they sleep, and do what the configuration asks of them."""

import logging
import os
import subprocess
import sys
import time
import warnings

from pydantic import BaseModel, ConfigDict

from fsm.engine import Context, Phase

NAMES = {name: f"toys.phases:{name.upper()}" for name in ("bakery", "oven", "mishaps")}


class Bakery(BaseModel):
    """`pause` seconds in each state; `talk` makes handlers and libraries talk; `mishap` names the one that happens."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    pause: float = 0.0
    loaves: int = 6
    preheats: int = 2
    flour: bool = True
    talk: bool = False
    mishap: str = ""
    follow: str = ""
    secret: str = ""


class Oven(Bakery):
    """The same, for the oven."""


class Mishap(Exception):
    """What can go wrong."""


BAKERY = Phase("bakery", config=Bakery)
OVEN = Phase("oven", config=Oven)
MISHAPS = Phase("mishaps")


@MISHAPS.classifies
def classify(error: BaseException) -> str | None:
    """Which entry an exception fits."""
    return str(error) if isinstance(error, Mishap) and str(error) in ("Burnt", "NoGas") else None


@MISHAPS.state(*(f"Mishaps.{s}" for s in ("Burnt", "OpenWindow", "NoGas", "TryAgain", "CallThePlumber")))
def recover(ctx: Context) -> None:
    """Nothing to do but to walk through."""
    time.sleep(float(os.environ.get("TOYS_PAUSE", "0")))
    if ctx.state.endswith("Plumber"):
        ctx.data["advice"] = "There is no gas: call the plumber, then give the same command again."


@BAKERY.state("Prepare.Weigh")
def weigh(ctx: Context) -> str:
    """Weigh the flour, saying too much."""
    time.sleep(ctx.config.pause)
    if ctx.config.talk:
        ctx.log.info("weighing", kilos=3, key=ctx.config.secret)
        print("a stray print")
        print("a stray error with", ctx.config.secret, file=sys.stderr)
        warnings.warn("flour is dusty", UserWarning, stacklevel=1)
        logging.getLogger("library").warning("the scales are old")
        for i in range(3):
            sys.stderr.write(f"\rscales {i + 1}/3")
        sys.stderr.write("\n")
        subprocess.run(
            [sys.executable, "-c", "import os; os.write(2, b'from a process below\\n')"], check=True
        )
        os.write(2, b"written to the descriptor\n")
    if said := os.environ.get("TOYS_SAY"):
        print(said)
        os.write(2, f"{said}\n".encode())
        ctx.log.warning(said, said=said, among=[said])
        ctx.progress(0, 1, said)
        time.sleep(0.3)
    return "Flour found" if ctx.config.flour else "Sack empty"


@BAKERY.state("Prepare.Knead", "Prepare.Complain")
def knead(ctx: Context) -> None:
    """Knead, with progress."""
    for i in range(10):
        ctx.progress(i, 10, "turns")
        time.sleep(ctx.config.pause / 5)
    ctx.put("dough.txt", "flour, water, salt")


@BAKERY.state("Bake")
def bake(ctx: Context) -> str:
    """By the oven."""
    ctx.run("oven")
    return "Bread baked"


@BAKERY.state("Deliver")
def deliver(ctx: Context) -> None:
    """Follow the van, if there is one."""
    if ctx.config.follow:
        watch = ctx.watch(ctx.config.follow)
        while not watch.ended:
            watch.poll()
            time.sleep(0.05)
    time.sleep(ctx.config.pause)


@OVEN.state("Preheat", "TakeOut", "CoolBread", "CleanOven")
def wait(ctx: Context) -> None:
    """Wait."""
    time.sleep(ctx.config.pause)
    if ctx.config.talk:
        ctx.log.warning("the oven is hot", degrees=230)


@OVEN.state("CheckTemperature")
def check(ctx: Context) -> str:
    """Too cold the first times; a mishap happens once."""
    happened = ctx.workdir("oven") / "mishap"
    if ctx.config.mishap and not happened.exists():
        happened.touch()
        raise Mishap(ctx.config.mishap)
    return "Hot enough" if ctx.visit >= ctx.config.preheats else "Too cold"


@OVEN.state("Loaves")
def loaves(ctx: Context) -> None:
    """Walk each loaf."""
    walk = ctx.walk()
    for i in range(ctx.config.loaves):
        walk.run(i)
        ctx.progress(i + 1, ctx.config.loaves, f"loaf {i + 1}")
        time.sleep(ctx.config.pause)


@OVEN.state("Loaves.Shape")
def shape(item: int) -> str:
    """Every third is torn."""
    return "Torn" if item % 3 == 2 else "Round"


@OVEN.state("Loaves.Score", "Loaves.Discard")
def done(item: int) -> None:
    """Nothing more."""
