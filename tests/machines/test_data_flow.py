"""The declared flow of data: every state of every machine is declared, once, and what is declared is there."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from fsm.engine import Context, Machine, Phase, Registry
from machines import NAMES, data_flow
from machines.data_flow import LOOP_END, LOOP_ENDED_BY, NOT_DRAWN, PASSED, STANDS, STORED, WITHOUT_DATA

MACHINES = Registry("machines", Machine)
PHASES = Registry("phases", Phase)
DECLARED = [name for name in NAMES if name not in NOT_DRAWN]


def states_without_data(machine: str) -> set[str]:
    globs = WITHOUT_DATA.get(machine, ())
    return {state for state in MACHINES[machine].states if any(fnmatchcase(state, g) for g in globs)}


@pytest.mark.parametrize("name", DECLARED)
def test_every_state_of_every_machine_is_declared_and_none_twice(name: str) -> None:
    stands = {state for state in MACHINES[name].states if list(data_flow.stands(name, state))}
    without = states_without_data(name)
    assert stands | without == set(MACHINES[name].states)
    assert stands & without == set()


def test_every_declaration_is_of_a_state_and_a_node_that_are_there() -> None:
    nodes = {node.id for node in data_flow.flow().nodes}
    for stand in STANDS:
        assert any(fnmatchcase(state, stand.states) for state in MACHINES[stand.machine].states), stand
        assert {stand.reads, stand.writes, stand.outside} - {"", LOOP_END} <= nodes
    for machine, globs in WITHOUT_DATA.items():
        for glob in globs:
            assert any(fnmatchcase(state, glob) for state in MACHINES[machine].states), glob
    assert set(STORED.values()) | {"EVAL", "CORRECT"} <= nodes


def test_the_label_that_tells_how_the_loop_ended_is_drawn() -> None:
    machine, state, label = LOOP_ENDED_BY
    assert label in [edge.label for edge in MACHINES[machine].chart.moves(state)]


def test_what_passes_inside_a_state_is_drawn_there_and_here() -> None:
    drawn = {(edge.source, edge.target) for edge in data_flow.flow().edges}
    for passed in PASSED:
        assert (passed.source, passed.target) in drawn
        for pattern in passed.edges:
            chart = MACHINES[pattern.partition(":")[0]].chart
            edges = [f"{chart.name}: {edge.id}" for edge in chart.edges]
            assert any(fnmatchcase(edge, pattern) for edge in edges), (pattern, edges)


# What the handlers do: by what they call, and what that calls, as far as it is the phases' own


def called(function: FunctionType) -> Iterator[FunctionType]:
    """The functions of the phases that this one names, those of modules that it imports or names included."""
    names = [name for code in codes(function.__code__) for name in code.co_names]
    spaces = [function.__globals__]
    for name in names:
        module = function.__globals__.get(name)
        if name.startswith("phases."):
            spaces.append(vars(importlib.import_module(name)))
            spaces += [vars(m) for m in submodules(name, names)]
        elif isinstance(module, ModuleType) and module.__name__.startswith("phases."):
            spaces.append(vars(module))
    for space in spaces:
        for name in names:
            found = space.get(name)
            if isinstance(found, FunctionType) and found.__module__.startswith("phases."):
                yield found


def submodules(package: str, names: list[str]) -> Iterator[ModuleType]:
    for name in names:
        try:
            yield importlib.import_module(f"{package}.{name}")
        except ImportError:
            continue


def codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of what is defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def touches_artifacts(handler: Callable[[Any], Any]) -> bool:
    """Whether `put` or `open` of a Context may be called: by a function that is given one."""
    todo, seen = [handler], set()
    for function in todo:
        if not isinstance(function, FunctionType) or function in seen:
            continue
        seen.add(function)
        names = {name for code in codes(function.__code__) for name in code.co_names}
        given = "ctx" in function.__code__.co_varnames[: function.__code__.co_argcount]
        if given and names & {Context.put.__name__, Context.open.__name__}:
            return True
        todo += called(function)
    return False


@pytest.mark.parametrize("name", DECLARED)
def test_the_handlers_touch_artifacts_where_it_is_declared_and_nowhere_else(name: str) -> None:
    without = states_without_data(name)
    handlers = {state: PHASES[name].handlers.get(state) for state in MACHINES[name].states}
    assert {state for state, r in handlers.items() if r and touches_artifacts(r.handle)} == {
        state for state, r in handlers.items() if r and state not in without
    }
