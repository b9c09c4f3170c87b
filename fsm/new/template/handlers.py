"""What the states of NAME.mmd do: dice are thrown until their mean is known well enough."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from fsm import Context, Machine, Phase, Verdict

HERE = Path(__file__).parent

# What the drawings cannot say: what bounds the loop, where errors enter, and what the ends of their recovery decide.
MACHINE = Machine("NAME", HERE / "NAME.mmd", bounds={("Measure.Judge", "Not yet"): "NAME.most_rounds"})
ERRORS = Machine(
    "errors",
    HERE / "errors.mmd",
    entered_at=("Passing", "Lasting"),
    ends={"TryAgain": Verdict.AGAIN, "GiveUp": Verdict.STOP},
)


class Settings(BaseModel):
    """The section NAME of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    throws: int = Field(default=100, ge=1, le=1_000_000)
    precision: float = Field(default=0.05, gt=0, le=1)
    most_rounds: int = Field(default=50, ge=1, le=1000)


PHASE = Phase("NAME", config=Settings)
RECOVERY = Phase("errors")


@PHASE.state("Prepare")
def prepare(ctx: Context) -> None:
    ctx.data |= {"count": 0, "sum": 0, "squares": 0, "rounds": 0}  # durable, committed with the transition


@PHASE.state("Measure.Throw")
def throw(ctx: Context) -> None:
    if ctx.visit == 2 and not ctx.failures:  # to show a recovery in the journal; take it out
        raise TimeoutError("a die has rolled under the table")
    eyes = [
        ctx.random.randint(1, 6) for _ in range(ctx.config.throws)
    ]  # the only chance there is: seeded by run and visit
    ctx.data["count"] += len(eyes)
    ctx.data["sum"] += sum(eyes)
    ctx.data["squares"] += sum(n * n for n in eyes)
    ctx.data["rounds"] += 1
    ctx.progress(ctx.data["rounds"], ctx.config.most_rounds)  # shown, never journaled


@PHASE.state("Measure.Judge")
def judge(ctx: Context) -> str:
    mean, error = measured(ctx)
    ctx.log.info("measured", mean=round(mean, 3), error=round(error, 4))
    enough = error <= ctx.config.precision or ctx.data["rounds"] >= ctx.config.most_rounds
    return "Good enough" if enough else "Not yet"  # the label of the edge to take


@PHASE.state("Report")
def report(ctx: Context) -> None:
    mean, error = measured(ctx)
    said = {"mean": round(mean, 4), "error": round(error, 4), "throws": ctx.data["count"]}
    ctx.put("report.json", json.dumps(said) + "\n")  # an artifact, kept by content


def measured(ctx: Context) -> tuple[float, float]:
    """The mean of all throws, and its standard error."""
    count = ctx.data["count"]
    mean = ctx.data["sum"] / count
    variance = ctx.data["squares"] / count - mean * mean
    return mean, (variance / count) ** 0.5


@RECOVERY.classifies
def classify(error: BaseException) -> str | None:
    """Which entry of errors.mmd an exception takes; None stops the run where it is."""
    if isinstance(error, TimeoutError | ConnectionError):
        return "Passing"
    return "Lasting" if isinstance(error, OSError) else None


@RECOVERY.state("Errors.Passing", "Errors.TryAgain")
def again(ctx: Context) -> None:
    """Here one would wait a moment."""


@RECOVERY.state("Errors.Lasting", "Errors.GiveUp")
def give_up(ctx: Context) -> None:
    ctx.data["advice"] = "Mend the cause, then give the same command again: it goes on from here."
