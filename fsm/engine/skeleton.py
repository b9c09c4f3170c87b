"""What a state without a handler wants, and a machine without a phase, to be pasted."""

from __future__ import annotations

import keyword
import re

from fsm.engine.machine import Machine


def skeleton(machine: Machine, path: str) -> str:
    """The handler of a state as it begins: registered, named after it, taking the first of its edges.

    Two states of one name (`A.Load`, `B.Load`) get functions named after their whole paths.
    """
    name = path.rpartition(".")[2]
    alone = sum(s.name == name for s in machine.chart.states.values()) == 1
    labels = [edge.label for edge in machine.chart.moves(path) if edge.label is not None]
    head = f'@PHASE.state("{path}")\ndef {_function(name if alone else path)}(ctx: Context)'
    if len(labels) < 2 or path in machine.forks:
        return f"{head} -> None:\n    ...\n"
    others = ", ".join(f'"{label}"' for label in labels[1:])
    return f'{head} -> str:\n    return "{labels[0]}"  # or {others}\n'


def whole(machine: Machine) -> str:
    """A file of handlers as it begins: the phase, and the handler of every state that needs one."""
    handlers = "\n\n".join(skeleton(machine, path) for path in machine.states)
    return f'from fsm import Context, Phase\n\nPHASE = Phase("{machine.name}")\n\n\n{handlers}'


def _function(name: str) -> str:
    """A name as functions are named: `InvokeModel` is `invoke_model`, `RunPytest2` is `run_pytest2`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    found = re.sub(r"\W+", "_", words).strip("_").lower()
    return (
        f"{found}_"
        if not found or keyword.iskeyword(found)
        else found
        if found[:1].isalpha()
        else f"_{found}"
    )
