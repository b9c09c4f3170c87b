"""What a phase plugs into a machine: a handler for each of its states.

    PHASE = Phase("data_preparation", config=DataPreparationConfig)

    @PHASE.state("S3Download.ListTSNObjects")
    def list_tsn(ctx: Context) -> str:
        return "Objects found" if ... else "No TSN data"

A handler does the work of a state and names the label of the edge to take; a state with one edge names nothing. It is
run again from its beginning when the run was killed in it, so whatever must not be done twice goes through
`ctx.once`, an artifact, or an outside name derived from `ctx.effect_name`. It may be a coroutine (`async def`): it then runs in an
event loop of its own, which ends with the visit.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fsm.errors import PhaseError
from fsm.store import Store

Handler = Callable[[Any], str | Coroutine[Any, Any, str | None] | None]
H = TypeVar("H", bound=Handler)
Foresees = Callable[[Any, Any, Callable[[], Store]], Iterable[str]]
"""(the phase's section, the program, opens the store) -> sentences."""
F = TypeVar("F", bound=Foresees)
Ends = Callable[[Any], Coroutine[Any, Any, None] | None]
E = TypeVar("E", bound=Ends)


@dataclass(frozen=True)
class Registered:
    """One handler. `effects`: it does something outside the run, so the claim is checked before it."""

    state: str
    handle: Handler
    effects: bool = False


class Phase:
    """The handlers of one machine, and the model of its configuration section (a pydantic model class, or None).

    `free` are the keys of the section that may be another's when a run goes on: they decide how far it goes, or how fast,
    and nothing of what it makes.
    """

    def __init__(self, machine: str, config: type[Any] | None = None, free: Iterable[str] = ()) -> None:
        self.machine = machine
        self.config = config
        self.section_name = machine
        self.handlers: dict[str, Registered] = {}
        self.endings: dict[str, Ends] = {}
        self.free = frozenset(free)
        self.classify: Callable[[BaseException], str | None] = lambda error: None
        self.foresee: Foresees = lambda section, program, store: ()

    def state(self, *paths: str, effects: bool = False) -> Callable[[H], H]:
        """Register the handler of one state, or of several that do the same.

        Raises PhaseError for a state that has a handler already.
        """

        def register(handler: H) -> H:
            for path in paths:
                if path in self.handlers:
                    raise PhaseError(
                        f"phases/{self.machine}: {path} has two handlers, {self.handlers[path].handle.__name__} and "
                        f"{handler.__name__}. Keep one."
                    )
                self.handlers[path] = Registered(path, handler, effects)
            return handler

        return register

    def ends(self, *paths: str) -> Callable[[E], E]:
        """Register what ends, when the run is cancelled in one of these states, what the state has begun outside.

        It is given the context that the handler would be, finds what there is by its name, and raises where it cannot be ended.
        There may be nothing yet, or no longer.
        """

        def register(end: E) -> E:
            for path in paths:
                if path in self.endings:
                    raise PhaseError(f"phases/{self.machine}: {path} is ended by two functions. Keep one.")
                self.endings[path] = end
            return end

        return register

    def part(self, composite: str, machine: str) -> Phase:
        """The handlers of the states inside a composite, for that inside run alone as `machine`."""
        part = Phase(machine, self.config, self.free)
        part.section_name = self.section_name
        prefix = composite + "."
        for path, r in self.handlers.items():
            if path.startswith(prefix):
                state = path.removeprefix(prefix)
                part.handlers[state] = Registered(state, r.handle, r.effects)
        for path, end in self.endings.items():
            if path.startswith(prefix):
                part.endings[path.removeprefix(prefix)] = end
        return part

    def classifies(
        self, classify: Callable[[BaseException], str | None]
    ) -> Callable[[BaseException], str | None]:
        """Register what tells which entry state of this (recovery) machine an exception enters; None for none."""
        self.classify = classify
        return classify

    def foresees(self, foresee: F) -> F:
        """Register what says beforehand, from the configuration and the store alone, what this phase will come to.

        It is shown by `fsm check` and before a run begins. It may raise FsmError where the store cannot be read.
        """
        self.foresee = foresee
        return foresee

    def section(self, value: Mapping[str, Any] | None) -> Any:
        """The configuration section as the phase's model; the plain mapping where it has none."""
        return dict(value or {}) if self.config is None else self.config.model_validate(value or {})
