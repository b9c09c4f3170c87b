"""The Amazon States Language, written: a machine as a state machine of AWS Step Functions that drives a run by `fsm step`.

Each place that the machine can stand in is a task that leaves the state whose turn it is; a choice behind it goes on by the label that the
handler named. A task's resource is called with {"command": ["fsm", "step", RUN, "--state", S, ...]} and answers with what that command
prints: `fsm.step.handler` as a Lambda function does, and a worker that polls an activity can. The execution's input is {"run": NAME}.
Forks are walked as the engine walks them, one branch after the other.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from fsm.engine import Machine
from fsm.exchange.tree import Unsayable

Json = Any
RESOURCE = "${FsmStep}"
"""To be filled in where the definition is deployed: the ARN of a Lambda function, or of an activity."""
BEGIN, ENDED, FAILED = "Begin", "Ended", "Failed"
LONGEST = 80  # characters of a state's name, by the language
MOST = 2000  # states; a definition may have 1 MiB
OURS = "fsm:"
"""Begins the comments by which a definition of this project's is read back."""


def write(machine: Machine, config: str = "", resource: str = RESOURCE) -> str:
    """The definition as JSON. `config` is what `fsm step` is told to run by; without it, it looks into $FSM_CONFIG.

    Raises Unsayable.
    """
    return json.dumps(_Writing(machine, config, resource).definition(), indent=2, ensure_ascii=False) + "\n"


class _Writing:
    def __init__(self, machine: Machine, config: str, resource: str) -> None:
        self.machine = machine
        self.config = config
        self.resource = resource
        self.names: dict[tuple[str, ...], str] = {}
        self.states: dict[str, Json] = {}

    def definition(self) -> dict[str, Json]:
        kernel = self.machine.kernel
        start = kernel.enter()
        self._name(start)
        todo = [start]
        while todo:
            place = todo.pop(0)
            if self.names[place] in self.states:
                continue
            if len(self.names) > MOST:
                raise Unsayable(
                    f"{self.machine.name} can stand in more than {MOST} places: its forks are too wide for one state machine."
                )
            todo += [after for after in self._state(place) if after]
        begin = {
            "Type": "Pass",
            "Comment": f"{OURS} no record is known yet",
            "Parameters": {"run.$": "$.run", "seq": -1},
            "Next": self.names[start],
        }
        return {
            "Comment": f"{OURS} {self.machine.name}, the drawing {self.machine.chart.digest}",
            "StartAt": BEGIN,
            "States": {
                BEGIN: begin,
                **self.states,
                ENDED: {"Type": "Succeed", "Comment": f"{OURS} the end of the drawing"},
                FAILED: {
                    "Type": "Fail",
                    "Comment": f"{OURS} an end by which the run counts as failed",
                    "Error": "FsmFailed",
                    "Cause": "the run ended in a failure: see fsm history",
                },
            },
        }

    def _state(self, place: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Write the task of a place and the choice behind it; the places that it leads to."""
        kernel = self.machine.kernel
        state = kernel.runnable(place)
        name = self.names[place]
        fork = state in self.machine.forks
        labels = [None] if fork else list(dict.fromkeys(kernel.labels(state))) or [None]
        steps = {label: kernel.step(place, state, label) for label in labels}
        command = [
            "fsm",
            "step",
            "$.run",
            "--state",
            state,
            *(["--config", self.config] if self.config else []),
            "--after",
        ]
        words = ", ".join(w if w == "$.run" else _quoted(w) for w in command)
        title = self.machine.chart.states[state].title
        task: dict[str, Json] = {
            "Type": "Task",
            "Comment": f"{OURS} {state}"
            + (f": {' '.join(title.split())}" if title != state.rpartition(".")[2] else ""),
            "Resource": self.resource,
            "Parameters": {"command.$": f"States.Array({words}, States.Format('{{}}', $.seq))"},
        }
        self.states[name] = task
        if len(steps) == 1:
            ((label, step),) = steps.items()
            task["Next"] = self._next(state, step.place, [e.label for e in step.edges][-1:] or [label])
            return [step.place]
        which = self._unique(f"{name}: which way")
        task["Next"] = which
        choices = []
        for label, step in steps.items():
            asked: dict[str, Json] = {"Variable": "$.label"}
            asked |= {"IsNull": True} if label is None else {"StringEquals": label}
            choices.append(
                asked | {"Next": self._next(state, step.place, [e.label for e in step.edges][-1:])}
            )
        self.states[which] = {
            "Type": "Choice",
            "Comment": f"{OURS} by the label of the edge",
            "Choices": choices,
        }
        return [step.place for step in steps.values()]

    def _next(self, state: str, place: tuple[str, ...], last: list[str | None]) -> str:
        if place:
            return self._name(place)
        ends = {*last, state, state.rpartition(".")[2]}
        return FAILED if self.machine.failures & ends else ENDED

    def _name(self, place: tuple[str, ...]) -> str:
        if place not in self.names:
            state = self.machine.kernel.runnable(place)
            others = [p for p in place if p != state]
            self.names[place] = self._unique(state + (f" (and {', '.join(others)})" if others else ""))
        return self.names[place]

    def _unique(self, name: str) -> str:
        """The name, or one that tells as much, within the language's length."""
        if len(name) > LONGEST:
            name = f"{name[: LONGEST - 9]} {hashlib.sha256(name.encode()).hexdigest()[:8]}"
        taken = {BEGIN, ENDED, FAILED, *self.states, *self.names.values()}
        number, unique = 2, name
        while unique in taken:
            unique, number = f"{name[: LONGEST - 5]} {number}", number + 1
        return unique


def _quoted(word: str) -> str:
    """A word as a string of an intrinsic function."""
    return "'" + word.replace("\\", "\\\\").replace("'", "\\'").replace("{", "\\{").replace("}", "\\}") + "'"
