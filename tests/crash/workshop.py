"""A program of a dozen records for the simulation: a loop, a fork, a machine below, a `once` step, an error."""

from __future__ import annotations

from fsm.engine import Context, Phase, Program, Verdict
from tests.fsm.drawn import drawn, program


class Stuck(Exception):
    """What the rescue tries again."""


def workshop() -> Program:
    """Nothing in it touches a disk."""
    shop = drawn(
        """
        [*] --> Cut
        Cut --> File
        Cut --> Paint
        File --> Fit
        Paint --> Fit
        Fit --> Cut : Again
        Fit --> [*] : Fits
        """,
        "shop",
        calls={"File": ("bench",)},
        bounds={("Fit", "Again"): "two"},
    )
    bench = drawn("[*] --> Hold\nHold --> Rasp\nRasp --> [*]", "bench")
    rescue = drawn(
        "[*] --> Loosen\nLoosen --> Retry", "rescue", ends={"Retry": Verdict.AGAIN}, entered_at=("Loosen",)
    )
    phases = {m.name: Phase(m.name) for m in (shop, bench, rescue)}
    phases["rescue"].classifies(lambda error: "Loosen" if isinstance(error, Stuck) else None)

    @phases["shop"].state("Cut")
    def cut(ctx: Context) -> None:
        ctx.data.setdefault("lengths", []).append(ctx.random.randrange(1000))

    @phases["shop"].state("File")
    def file(ctx: Context) -> None:
        ctx.data["held"] = ctx.run("bench").data["held"]

    @phases["shop"].state("Paint", effects=True)
    def paint(ctx: Context) -> None:
        ctx.data["paint"] = ctx.once("paint", lambda: ctx.seed("paint"))
        if not ctx.data.get("loose"):
            raise Stuck

    @phases["shop"].state("Fit")
    def fit(ctx: Context) -> str:
        return "Again" if ctx.visit < 2 else "Fits"

    @phases["bench"].state("Hold", "Rasp")
    def hold(ctx: Context) -> None:
        ctx.data["held"] = [*ctx.data.get("held", []), ctx.random.random()]

    @phases["rescue"].state("Loosen")
    def loosen(ctx: Context) -> None:
        ctx.data["patch"] = {"loose": True}

    phases["rescue"].state("Retry")(lambda ctx: None)
    return program(shop, bench, rescue, phases=phases, recovery="rescue")
