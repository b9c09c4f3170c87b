"""The nodes of Diagram 9, one walk an epoch.

`inputs`: {"avg_score", "correction_rate", "epoch", "max_epochs", "epochs_at_threshold", "low_correction_count"}, the
two counters as the epoch before left them. What is decided is in the data: the counters, `outcome` (`converged`,
`complete`, or `continue`) and `reason`.
"""

from __future__ import annotations

from fsm.engine import Context, Phase
from phases.convergence.config import ConvergenceConfig
from phases.errors import InvalidStructure

PHASE = Phase("convergence", config=ConvergenceConfig)

NEEDED = (
    "avg_score",
    "correction_rate",
    "epoch",
    "max_epochs",
    "epochs_at_threshold",
    "low_correction_count",
)


@PHASE.state("START")
def start(ctx: Context) -> None:
    """The epoch is complete. Raises InvalidStructure when it is not said how it went."""
    missing = [name for name in NEEDED if name not in ctx.inputs]
    if missing:
        raise InvalidStructure(
            f"The convergence decision is about an epoch of distillation, and was not told {', '.join(missing)}. "
            "Run the machine `distillation`, which calls it after every epoch."
        )


@PHASE.state("CALC")
def calc(ctx: Context) -> None:
    """Take the epoch's metrics, and the counters of the epochs before."""
    for name in NEEDED:
        ctx.data[name] = ctx.inputs[name]
    ctx.data["outcome"] = "continue"
    ctx.data["reason"] = ""


@PHASE.state("CHECK1")
def check_1(ctx: Context) -> str:
    return _answer(ctx.data["avg_score"] >= ctx.config.avg_score)


@PHASE.state("INC1")
def inc_1(ctx: Context) -> None:
    ctx.data["epochs_at_threshold"] += 1


@PHASE.state("RESET1")
def reset_1(ctx: Context) -> None:
    ctx.data["epochs_at_threshold"] = 0


@PHASE.state("CHECK2")
def check_2(ctx: Context) -> str:
    return _answer(ctx.data["epochs_at_threshold"] >= ctx.config.epochs_at_threshold)


@PHASE.state("CHECK3")
def check_3(ctx: Context) -> str:
    return _answer(ctx.data["correction_rate"] < ctx.config.correction_rate)


@PHASE.state("INC2")
def inc_2(ctx: Context) -> None:
    ctx.data["low_correction_count"] += 1


@PHASE.state("RESET2")
def reset_2(ctx: Context) -> None:
    ctx.data["low_correction_count"] = 0


@PHASE.state("CHECK4")
def check_4(ctx: Context) -> str:
    return _answer(ctx.data["low_correction_count"] >= ctx.config.low_correction_epochs)


@PHASE.state("CHECK5")
def check_5(ctx: Context) -> str:
    return _answer(ctx.data["epoch"] >= ctx.data["max_epochs"])


@PHASE.state("CONVERGED1")
def converged_1(ctx: Context) -> None:
    ctx.data["outcome"] = "converged"
    ctx.data["reason"] = (
        f"Quality threshold met: average at least {ctx.config.avg_score:g} for {ctx.data['epochs_at_threshold']} "
        "consecutive epochs"
    )


@PHASE.state("CONVERGED2")
def converged_2(ctx: Context) -> None:
    ctx.data["outcome"] = "converged"
    ctx.data["reason"] = (
        f"Correction rate below {ctx.config.correction_rate:.0%} for {ctx.data['low_correction_count']} consecutive epochs"
    )


@PHASE.state("MAXED")
def maxed(ctx: Context) -> None:
    ctx.data["outcome"] = "complete"
    ctx.data["reason"] = f"Max epochs reached: {ctx.data['max_epochs']}"


@PHASE.state("CONTINUE")
def go_on(ctx: Context) -> None:
    """The next epoch. Distillation stops the walk here and begins another after that epoch."""


def _answer(yes: bool) -> str:
    return "Yes" if yes else "No"
