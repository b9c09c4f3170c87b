"""Machines and programs from the text of a drawing, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import dedent, indent
from typing import Any

from fsm.drawing import chart
from fsm.engine import Machine, Phase, Program


def drawn(text: str, name: str = "drawing", **said: Any) -> Machine:
    """The machine of a state diagram whose keyword line is left out."""
    whole = "stateDiagram-v2\n" + indent(dedent(text).strip(), "    ") + "\n"
    return Machine(name, chart.parse(whole, name, f"{name}.mmd"), **said)


def program(
    *machines: Machine, phases: Mapping[str, Phase] | None = None, recovery: str | None = None
) -> Program:
    """A program of machines, the first one its root."""
    return Program(machines[0].name, {m.name: m for m in machines}, phases or {}, recovery)


def idle(machine: Machine, *without: str) -> Phase:
    """A phase with a handler that does nothing for every state that needs one."""
    phase = Phase(machine.name)
    for state in machine.states:
        if state not in without:
            phase.state(state)(lambda ctx: None)
    return phase
