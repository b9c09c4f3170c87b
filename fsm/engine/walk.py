"""Walking a counted machine: in memory, thousands of times, every edge checked against the drawing and counted."""

from __future__ import annotations

import inspect
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fsm.drawing import Edge
from fsm.engine.kernel import Place, Step
from fsm.engine.machine import Machine
from fsm.engine.phase import Phase
from fsm.errors import PhaseError, UnknownLabel


class Walk:
    """One counted machine and what was counted on it.

    Either the phase's handlers drive it (`run(item)`, from any number of threads at once; `way(item)` where what it took is
    counted later), or something outside does (`begin`, then `go(label)` for every step it takes).
    """

    def __init__(self, machine: Machine, phase: Phase | None = None, prefix: str = "") -> None:
        self.machine = machine
        self._kernel = machine.kernel
        self._prefix = prefix
        self._handlers = _handlers(machine, phase, prefix)
        self._total: Counter[Edge] = Counter()
        # steps by their identity, and how often each was taken: to hash its edges every time takes longer than to walk
        self._steps: dict[int, Step] = {}
        self._often: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._place: Place = ()

    # Driven by handlers

    def run(self, item: Any, start: str | None = None) -> str:
        """Drive one item from the machine's start to its end; returns the last state.

        Each state's handler is called with the item and names the label. Raises what a handler raises, with a note of
        the state it was in; UnknownLabel for a label that the state does not have.
        """
        taken: list[Step] = []
        try:
            return self._drive(item, start, taken)
        finally:
            self._add(taken)

    def way(self, item: Any, start: str | None = None) -> tuple[Edge, ...]:
        """Drive one item as `run` does, and count nothing yet: the edges it took, to be counted by `count` where they belong."""
        taken: list[Step] = []
        self._drive(item, start, taken)
        return tuple(edge for step in taken for edge in step.edges)

    def count(self, way: Sequence[Edge]) -> None:
        """Count the edges of a `way`, of this walk or of another of the same machine."""
        with self._lock:
            self._total.update(way)

    def _drive(self, item: Any, start: str | None, taken: list[Step]) -> str:
        place = self._kernel.enter(start)
        state = ""
        try:
            while place:
                state = place[0] if len(place) == 1 else self._kernel.runnable(place)
                handle = self._handlers.get(state)
                if handle is None:
                    raise PhaseError(
                        f"phases/{self.machine.name}: {self._prefix}{state} has no handler. Register one with "
                        f'@PHASE.state("{self._prefix}{state}").'
                    )
                step = self._kernel.step(place, state, handle(item))
                taken.append(step)
                place = step.place
        except Exception as e:
            e.add_note(f"in {self.machine.name}: {self._prefix}{state}")
            raise
        return state

    # Driven from outside

    def begin(self, start: str | None = None) -> str:
        """Stand at the machine's start (or at `start`); returns the state."""
        self._place = self._kernel.enter(start)
        return self.at

    @property
    def at(self) -> str:
        """The state the walk stands in; empty when it has ended."""
        return self._kernel.runnable(self._place) if self._place else ""

    def labels(self) -> list[str | None]:
        """The labels the present state has."""
        return self._kernel.labels(self.at) if self._place else []

    def go(self, label: str | None = None) -> str:
        """Take an edge; returns the state it leads to. Raises UnknownLabel for one that the state does not have."""
        if not self._place:
            raise UnknownLabel(
                f"{self.machine.name}: the walk has ended; {label!r} cannot be taken. Begin it again with begin()."
            )
        step = self._kernel.step(self._place, self.at, label)
        self._add([step])
        self._place = step.place
        return self.at

    # Counting

    def counts(self) -> dict[str, int]:
        """How often each edge was taken, in the order of the drawing."""
        with self._lock:
            total: Counter[Edge] = self._total.copy()
            for key, n in self._often.items():
                for edge in self._steps[key].edges:
                    total[edge] += n
        named: dict[str, int] = {}
        for edge in self.machine.chart.edges:
            if n := total[edge]:
                name = edge.under(self._prefix).id
                named[name] = named.get(name, 0) + n
        return named

    def _add(self, taken: Sequence[Step]) -> None:
        with self._lock:
            for step in taken:
                self._steps.setdefault(id(step), step)
            self._often.update(map(id, taken))


def _handlers(machine: Machine, phase: Phase | None, prefix: str) -> Mapping[str, Any]:
    if phase is None:
        return {}
    handlers = {
        path.removeprefix(prefix): registered.handle
        for path, registered in phase.handlers.items()
        if path.startswith(prefix) and path.removeprefix(prefix) in machine.chart.states
    }
    for state, handle in handlers.items():
        if inspect.iscoroutinefunction(handle):
            raise PhaseError(
                f"phases/{machine.name}: the handler of {prefix}{state} is a coroutine, and a counted machine is walked in memory, where "
                "nothing waits for one. Make it a plain function, and await in the state that walks."
            )
    return handlers
