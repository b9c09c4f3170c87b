"""Walking TrainingLoop of Diagram 5 beside a training that is TRL's.

The trainer says what it does; `Follow` takes the same step in the drawing, decides there what the drawing decides
(best, patience, when to log, evaluate and save), and raises NotDrawn for a step that the drawing does not have.
What it knows is small, and goes into every checkpoint, so that a resumed training stands where it stood, its counts
included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import groupby, repeat
from typing import Any, Protocol, Self


class Walk(Protocol):
    """What Follow needs of `fsm.walk.Walk`."""

    @property
    def at(self) -> str: ...

    def begin(self) -> str: ...

    def go(self, label: str | None = None) -> str: ...


class NotDrawn(RuntimeError):
    """Training took a step that Diagram 5 does not have: a programming error, or a trainer that has changed."""


@dataclass(frozen=True)
class Intervals:
    """When what happens, in optimizer steps; `patience` in evaluations. The defaults are the numbers drawn."""

    log: int = 10
    evaluate: int = 50
    save: int = 100
    patience: int = 3

    def due(self, step: int) -> tuple[bool, bool, bool]:
        """Whether to log, to evaluate and to save after so many steps: each only where the one before is due."""
        log = step % self.log == 0
        evaluate = log and step % self.evaluate == 0
        return log, evaluate, evaluate and step % self.save == 0


@dataclass(frozen=True)
class Step:
    """One optimizer step: how many forward passes made it, and which states after it were entered.

    `then` is a string of L (logged), B (evaluated, new best), N (evaluated, no improvement), S (saved as drawn).
    """

    passes: int
    then: str = ""


@dataclass(frozen=True)
class Followed:
    """What is known after some optimizer steps. Losses are in nats a token, by step from 1."""

    steps: tuple[Step, ...] = ()
    losses: tuple[float, ...] = ()
    evaluations: tuple[tuple[int, float], ...] = ()
    best_step: int | None = None
    best_loss: float = math.inf
    waited: int = 0
    ended: str = field(default="", compare=False)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; equal consecutive steps are counted, not repeated."""
        return {
            "steps": [[len(list(run)), step.passes, step.then] for step, run in groupby(self.steps)],
            "losses": list(self.losses),
            "evaluations": [list(evaluation) for evaluation in self.evaluations],
            "best_step": self.best_step,
            "best_loss": None if math.isinf(self.best_loss) else self.best_loss,
            "waited": self.waited,
            "ended": self.ended,
        }

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Self:
        """The inverse of to_json."""
        return cls(
            steps=tuple(step for n, passes, then in said["steps"] for step in repeat(Step(passes, then), n)),
            losses=tuple(said["losses"]),
            evaluations=tuple((step, loss) for step, loss in said["evaluations"]),
            best_step=said["best_step"],
            best_loss=math.inf if said["best_loss"] is None else said["best_loss"],
            waited=said["waited"],
            ended=said["ended"],
        )


class Follow:
    """Takes in Diagram 5 every step that training takes. One for each call of `train`.

    The trainer calls, in this order: forward, loss, backward, accumulated for every pass; stepped after the optimizer;
    then logged, evaluated, saved where `stepped` or `evaluated` said so; done at the end. A step costs the same
    however many there were: what is known is made a value of only when asked for.
    """

    def __init__(
        self, walk: Walk, intervals: Intervals, known: Followed | None = None, max_steps: int = 0
    ) -> None:
        self._walk = walk
        self._intervals = intervals
        self._passes = 0
        self._loss = 0.0
        self._steps: list[Step] = []
        self._losses: list[float] = []
        self._evaluations: list[tuple[int, float]] = []
        self._rest = Followed()  # best, patience and the end; its sequences stay empty
        self.max_steps = max_steps
        walk.begin()
        if known:
            self._replay(known)

    # What is known

    @property
    def known(self) -> Followed:
        """All that is known now; as much work as there were steps."""
        return replace(
            self._rest,
            steps=tuple(self._steps),
            losses=tuple(self._losses),
            evaluations=tuple(self._evaluations),
        )

    @property
    def step(self) -> int:
        """Optimizer steps taken."""
        return len(self._steps)

    @property
    def last_loss(self) -> float:
        """The loss of the step taken last, in nats a token."""
        return self._losses[-1]

    @property
    def best_step(self) -> int | None:
        """The step whose evaluation was the best; None before there was one."""
        return self._rest.best_step

    @property
    def due(self) -> tuple[bool, bool, bool]:
        """Whether this step logs, evaluates and saves."""
        return self._intervals.due(self.step)

    @property
    def evaluating(self) -> bool:
        """Whether the drawing stands in RunValidation: an evaluation is under way, or was when training stopped."""
        return self._walk.at == "EvalCheck.RunValidation"

    # One forward and backward pass

    def forward(self) -> None:
        """The model has been given a micro-batch."""
        self._passes += 1
        self._take("ForwardPass")

    def loss(self, value: float) -> bool:
        """The micro-batch's share of the step's loss is known; False when it is NaN or infinite."""
        self._take("ComputeLoss")
        valid = math.isfinite(value)
        self._take("CheckNaN", "Loss valid" if valid else "NaN or Inf detected")
        if valid:
            self._loss += value
        else:
            self._take("HaltTraining")
            self._rest = replace(self._rest, ended="halted")
        return valid

    def backward(self) -> None:
        """Gradients have been computed and added to those of the passes before."""
        self._take("BackwardPass")

    def accumulated(self, full: bool) -> None:
        """A pass is complete; `full` when the optimizer's turn has come."""
        self._take("AccumulateGradients", "accum == 8" if full else "accum < 8")

    # After the optimizer

    def stepped(self) -> tuple[bool, bool, bool]:
        """The optimizer has stepped; says whether to log, to evaluate and to save now."""
        self._steps.append(Step(self._passes))
        self._losses.append(self._loss)
        self._passes, self._loss = 0, 0.0
        log, evaluate, save = self.due
        label = "Every 10 steps" if log else "All steps done" if self._last else "Between logging steps"
        self._take("OptimizerStep", label)
        return log, evaluate, save

    def logged(self, evaluate: bool) -> None:
        """Metrics have been logged."""
        self._note("L")
        label = "Every 50 steps?" if evaluate else "All steps done" if self._last else "Between evaluations"
        self._take("LogMetrics", label)

    def evaluated(self, loss: float, save: bool) -> str:
        """The validation loss is known; answers `best`, `waiting`, or `stop` when patience is at its end."""
        self._take("EvalCheck.RunValidation")
        self._evaluations.append((self.step, loss))
        if loss < self._rest.best_loss:
            self._rest = replace(self._rest, best_loss=loss, best_step=self.step, waited=0)
            self._note("B")
            self._take("EvalCheck.CompareEvalLoss", "New best")
            self._take("EvalCheck.UpdateBest")
            self._leave_evaluation(save)
            return "best"
        self._rest = replace(self._rest, waited=self._rest.waited + 1)
        self._note("N")
        self._take("EvalCheck.CompareEvalLoss", "No improvement")
        if self._rest.waited >= self._intervals.patience:
            self._take("EvalCheck.IncrementPatience", "patience >= 3")
            self._take("EarlyStop")
            self._rest = replace(self._rest, ended="early stop")
            return "stop"
        self._take("EvalCheck.IncrementPatience", "patience < 3")
        self._leave_evaluation(save)
        return "waiting"

    def saving(self) -> None:
        """A checkpoint is about to be written where the drawing has one."""
        if self._walk.at != "SaveCheckpoint":
            raise NotDrawn(
                f"A checkpoint is being saved in {self._where}; Diagram 5 saves in SaveCheckpoint only."
            )
        self._note("S")

    def saved(self) -> None:
        """The checkpoint is complete."""
        self._take("SaveCheckpoint", "All steps done" if self._last else None)

    def done(self) -> str:
        """Training has returned; says how it ended: `all steps`, `early stop` or `halted`.

        Raises NotDrawn when the drawing has not come to its end.
        """
        if self._walk.at:
            raise NotDrawn(f"Training ended, but the walk through Diagram 5 stands in {self._where}.")
        self._rest = replace(self._rest, ended=self._rest.ended or "all steps")
        return self._rest.ended

    # Within

    @property
    def _last(self) -> bool:
        return self.step >= self.max_steps

    @property
    def _where(self) -> str:
        return f"{self._walk.at or 'its end'} after step {self.step}"

    def _take(self, state: str, label: str | None = None) -> None:
        if self._walk.at != state:
            raise NotDrawn(
                f"Training is at {state}, but the walk through Diagram 5 stands in {self._where}: the trainer took a "
                "step that the drawing does not have there."
            )
        self._walk.go(label)

    def _leave_evaluation(self, save: bool) -> None:
        label = "Every 100 steps" if save else "All steps done" if self._last else "Continue"
        self._take("EvalCheck", label)

    def _note(self, letter: str) -> None:
        last = self._steps[-1]
        self._steps[-1] = Step(last.passes, last.then + letter)

    def _replay(self, known: Followed) -> None:
        """Take again the steps that a checkpoint's training took, so that place and counts are those it had.

        One evaluation fewer than the steps had is one that a stop broke off: the walk is left standing in it.
        """
        evaluations = iter(known.evaluations)
        for step, loss in zip(known.steps, known.losses, strict=True):
            for i in range(step.passes):
                self.forward()
                self.loss(loss if i == 0 else 0.0)
                self.backward()
                self.accumulated(i + 1 == step.passes)
            log, evaluate, save = self.stepped()
            if log:
                self.logged(evaluate)
            if evaluate:
                evaluation = next(evaluations, None)
                if evaluation is None:
                    break
                self.evaluated(evaluation[1], save)
            if save:
                self.saving()
                self.saved()
        if self.known != known:
            raise NotDrawn(
                "The checkpoint was written with other intervals than this training has, so it cannot be followed from "
                "there. Give the intervals it was begun with, or begin a new run."
            )
