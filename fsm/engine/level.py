"""One machine in progress, as the loop sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fsm.drawing import Split
from fsm.engine.kernel import Place, Step
from fsm.engine.machine import Machine
from fsm.engine.phase import Phase
from fsm.journal import Frame


@dataclass(frozen=True)
class Level:
    """One machine in progress: its path of calls, what it is, its frame in the fold, what its caller gave."""

    at: list[str]
    machine: Machine
    phase: Phase
    frame: Frame
    inputs: dict[str, Any]
    splits: tuple[Split, ...] = ()  # what runs at once in it

    @property
    def place(self) -> tuple[str, ...]:
        return tuple(self.frame["place"])

    def visit(self, state: str) -> int:
        """Which visit of a state this is, from 1."""
        return int(self.frame["visits"].get(state, 0)) + 1

    def step(self, state: str, label: str | None, place: Place | None = None) -> Step:
        """The move of one of the states it stands in, or of those of `place`."""
        return self.machine.kernel.step(self.place if place is None else place, state, label)

    def record(self, kind: str, state: str) -> dict[str, Any]:
        """What every record made in a state begins with."""
        said = {
            "kind": kind,
            "at": self.at,
            "machine": self.machine.name,
            "from": state,
            "visit": self.visit(state),
        }
        if kind != "transition" and len(self.frame["place"]) > 1:
            said["place"] = list(self.frame["place"])
        return said


def ended_by(machine: Machine, state: str, step: Step) -> dict[str, Any]:
    """How the run has ended whose outermost machine made its last step."""
    last = step.edges[-1].label if step.edges else step.label
    names = {last, state, state.rpartition(".")[2]}
    return {
        "outcome": "failed" if machine.failures & names else "done",
        "label": last,
        "last": state,
    }
