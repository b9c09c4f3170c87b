"""A machine and its phase."""

from pathlib import Path

from pydantic import BaseModel, Field

from fsm.engine import Context, Machine, Phase

MACHINE = Machine(
    "laundry",
    Path(__file__).with_name("laundry.mmd"),
    bounds={("Wash", "Still dirty"): "laundry.stains"},
)


class Settings(BaseModel, extra="forbid", frozen=True):
    stains: int = Field(default=3, ge=1, le=100)
    starched: bool = False


PHASE = Phase("laundry", config=Settings)


@PHASE.state("Wash")
def wash(ctx: Context) -> str:
    ctx.data["washed"] = ctx.data.get("washed", 0) + 1
    return "Clean" if ctx.data["washed"] >= ctx.config.stains else "Still dirty"


@PHASE.state("Dry")
def dry(ctx: Context) -> None:
    if ctx.config.starched:
        import starch_that_nobody_has  # noqa: F401
    ctx.put("dry.json", f'{{"washed": {ctx.data["washed"]}}}')
