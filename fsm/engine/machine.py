"""A machine: a chart and the little that a drawing cannot say.

    MACHINE = Machine("data_preparation", diagram("data_preparation"), inside={"ProcessFiles": COUNTED})

What is said here is checked against the chart when the machine is built; whether it suffices to run is
`fsm.check.program`'s to prove.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fsm.drawing import Apart, Chart, Flow, Split, ancestors, load, splits
from fsm.engine.kernel import Kernel
from fsm.engine.limits import RUN, Limit, Retries, wrong_limits
from fsm.errors import DiagramError, MachineError


class Inside(Enum):
    """How the inside of a composite runs, when it is one state to the engine."""

    COUNTED = "counted"  # walked in memory, thousands of times; its edges are kept as counts
    ELSEWHERE = "elsewhere"  # in another process or machine, which keeps its own journal


COUNTED, ELSEWHERE = Inside.COUNTED, Inside.ELSEWHERE


@dataclass(frozen=True)
class Detail:
    """The inside of a composite is drawn in detail by another machine.

    `stands` maps each overview state (a path below the composite) to the detail's states that stand there; a
    trailing `.*` takes all below a composite. Nothing may be left out: `check` proves the refinement.
    """

    machine: str
    stands: Mapping[str, tuple[str, ...]]


class Verdict(Enum):
    """What a last state of the recovery machine decides."""

    STOP = "stop"  # the run stops, resumable; the failed state is tried again on resume
    AGAIN = "again"  # the failed state starts again
    SKIP = "skip"  # the item that failed is recorded as skipped; the state starts again without it


def callee(call: str) -> tuple[str, str]:
    """The machine that an entry of `calls` names, and the composite whose counted inside it is about; empty for all of it."""
    machine, _, composite = call.partition(":")
    return machine, composite


class Machine:
    """A chart made runnable.

    forks    states whose several edges are all taken, beside those with several unlabelled edges
    inside   composite -> COUNTED, ELSEWHERE or a Detail: one state to the engine
    exits    composite -> {last inner state or its label: label of the edge to leave by}
    ends     states without edges where the machine ends, each with what that means (a Verdict, or "")
    bounds   (source, label) -> the configuration key or the outside thing that bounds the cycle through it
    waits    states that wait on something outside, so that a cycle through them is not the machine's to bound
    failures labels or last states by which a run counts as failed
    on_error (state, entry of the recovery machine) -> label: a stop that ends the state by an edge of its own
    calls    state -> what its handler may call below itself: machines, or `machine:composite` for the counted inside of
             one (a Detail's is understood)
    counted  the whole machine is walked in memory
    entered_at states where the machine may be begun besides its drawn start (the recovery machine's entries)
    concurrent forks, and composites with several starts or regions, whose branches run at the same time
    limits   state, composite or RUN -> the seconds that it may take, or a Limit (`fsm.engine.limits`)
    retries  class of error, by its name -> how often and when a state that raises it starts again, before the recovery
             machine is asked
    """

    def __init__(
        self,
        name: str,
        source: Path | Chart,
        *,
        forks: Iterable[str] = (),
        inside: Mapping[str, Inside | Detail] | None = None,
        exits: Mapping[str, Mapping[str, str]] | None = None,
        ends: Mapping[str, Any] | Iterable[str] = (),
        bounds: Mapping[tuple[str, str | None], str] | None = None,
        waits: Mapping[str, str] | None = None,
        failures: Iterable[str] = (),
        on_error: Mapping[tuple[str, str], str] | None = None,
        calls: Mapping[str, Iterable[str]] | None = None,
        counted: bool = False,
        entered_at: Iterable[str] = (),
        concurrent: Iterable[str] = (),
        limits: Mapping[str, float | Limit] | None = None,
        retries: Mapping[str, Retries] | None = None,
    ) -> None:
        self.name = name
        self.chart = source if isinstance(source, Chart) else load(source, name)
        self.counted = counted
        find = self._find
        unlabelled = (
            s.path
            for s in self.chart.states.values()
            if s.kind == "fork" or sum(e.label is None for e in self.chart.moves(s.path)) > 1
        )
        self.forks = frozenset(map(find, forks)) | frozenset(unlabelled)
        self.inside = MappingProxyType({find(k): v for k, v in (inside or {}).items()})
        self.exits = MappingProxyType({find(k): MappingProxyType(dict(v)) for k, v in (exits or {}).items()})
        ends = ends if isinstance(ends, Mapping) else dict.fromkeys(ends, "")
        self.ends = MappingProxyType({find(k): v for k, v in ends.items()})
        self.bounds = MappingProxyType({(find(s), label): by for (s, label), by in (bounds or {}).items()})
        self.waits = MappingProxyType({find(k): v for k, v in (waits or {}).items()})
        self.failures = frozenset(failures)
        self.on_error = MappingProxyType(
            {(find(s), entry): label for (s, entry), label in (on_error or {}).items()}
        )
        called = {find(k): tuple(v) for k, v in (calls or {}).items()}
        for composite, how in self.inside.items():
            if isinstance(how, Detail):
                called[composite] = (how.machine, *called.get(composite, ()))
        self.calls = MappingProxyType(called)
        self.entered_at = tuple(map(find, entered_at))
        self.concurrent = frozenset(map(find, concurrent))
        self.limits = MappingProxyType(
            {
                k if k == RUN else find(k): v if isinstance(v, Limit) else Limit(v)
                for k, v in (limits or {}).items()
            }
        )
        self.retries = MappingProxyType(dict(retries or {}))
        self._validate()

    def __repr__(self) -> str:
        return f"Machine({self.name!r})"

    def part(self, composite: str, name: str, **said: Any) -> Machine:
        """The inside of a composite as a machine of its own, with what is said of it here."""
        return Machine(name, self.chart.inside(composite, name), **said)

    @cached_property
    def kernel(self) -> Kernel:
        """Built once, used many times."""
        return Kernel(
            self.chart, opaque=self.opaque, forks=self.forks, exits=self.exits, ends=frozenset(self.ends)
        )

    @property
    def opaque(self) -> frozenset[str]:
        """Composites that are one state to the engine."""
        return frozenset(self.inside)

    @cached_property
    def states(self) -> tuple[str, ...]:
        """The states the engine stands in, in the order of the drawing: what needs a handler.

        Simple states outside opaque composites, the opaque composites themselves, and composites whose exit a
        handler decides.
        """
        return tuple(
            s.path
            for s in self.chart.states.values()
            if not any(a in self.opaque for a in ancestors(s.path))
            and s.kind not in ("fork", "join")
            and (not s.composite or s.path in self.opaque or s.path in self.kernel.undecided)
        )

    @cached_property
    def splits(self) -> tuple[Split, ...]:
        """What runs at once, those around others first. Raises MachineError where branches do not keep apart."""
        found = []
        for path, split in self.branching():
            if isinstance(split, list):
                raise MachineError(
                    f"machines/{self.name}: {path} is declared concurrent, and {split[0].why}. `fsm check` shows where."
                )
            found.append(split)
        return tuple(found)

    def branching(self) -> Iterator[tuple[str, Split | list[Apart]]]:
        """Each of `concurrent`, with its split or with what keeps its branches from running at once."""
        if self.concurrent:
            flow = Flow(self.chart, opaque=self.opaque, ends=self.ends)
            order = [path for path in self.chart.states if path in self.concurrent]
            yield from splits(flow, [(path, path in self.forks) for path in order])

    def counted_inside(self, composite: str) -> Machine:
        """The counted inside of a composite, as the machine a walk goes through."""
        if self.inside.get(composite) is not COUNTED:
            raise MachineError(f"{self.name}: {composite} is not declared COUNTED; there is nothing to walk.")
        return self._parts[composite]

    @cached_property
    def _parts(self) -> Mapping[str, Machine]:
        def part(composite: str) -> Machine:
            prefix = composite + "."

            def below(paths: Iterable[str]) -> list[str]:
                return [p for p in paths if p.startswith(prefix)]

            return self.part(
                composite,
                self.name,
                forks=[p.removeprefix(prefix) for p in below(self.forks)],
                exits={p.removeprefix(prefix): self.exits[p] for p in below(self.exits)},
                ends={p.removeprefix(prefix): self.ends[p] for p in below(self.ends)},
                counted=True,
            )

        return {c: part(c) for c, how in self.inside.items() if how is COUNTED}

    def _find(self, name: str) -> str:
        try:
            return self.chart.find(name)
        except DiagramError as e:
            raise MachineError(f"machines/{self.name}: {e.message}") from e

    def _validate(self) -> None:
        for composite in (*self.inside, *self.exits):
            if not self.chart.states[composite].composite:
                raise MachineError(
                    f"machines/{self.name}: {composite} is a simple state; only a composite has an inside."
                )
        for composite, exits in self.exits.items():
            self._labels_exist(composite, exits.values())
        for (state, _), label in self.on_error.items():
            self._labels_exist(state, [label])
        for source, wanted in self.bounds:
            self._labels_exist(source, [wanted])
        for state in self.ends:
            if self.chart.moves(state):
                raise MachineError(f"machines/{self.name}: {state} is declared an end, but edges leave it.")
        for path in self.concurrent:
            several = (
                len(self.chart.moves(path) if path in self.forks else self.chart.states[path].initial) > 1
            )
            inside = path in self.opaque and path not in self.forks
            if not several or inside or any(a in self.opaque for a in ancestors(path)):
                raise MachineError(
                    f"machines/{self.name}: {path} is declared concurrent, and the engine goes only one way there. Name a fork, or a "
                    "composite with several starts or regions, outside what is declared in `inside`."
                )
        for wrong in wrong_limits(self, self.limits, self.retries):
            raise MachineError(f"machines/{self.name}: {wrong}")
        known = {e.label for e in self.chart.edges} | {s.name for s in self.chart.states.values()}
        for failure in self.failures - known:
            raise MachineError(f"machines/{self.name}: no edge or state is called {failure!r}.")

    def _labels_exist(self, state: str, labels: Iterable[str | None]) -> None:
        has = [e.label for e in self.chart.moves(state)]
        for label in labels:
            if label not in has:
                raise MachineError(f"machines/{self.name}: {state} has no edge {label!r}; it has {has}.")
