"""What a configuration plugs together: the machines by name, the phases by machine, and the one to run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from fsm.engine.machine import Machine, callee
from fsm.engine.phase import Phase
from fsm.errors import ConfigError, PhaseError


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean 'x'?`, or nothing."""
    close = get_close_matches(name, known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


class Registry:
    """Machines or phases by name, imported when first asked for.

    `package` is the dotted name of a module with a `NAMES` mapping: name -> "module:attribute". `own` are there already, and
    go before those of the package.
    """

    def __init__(self, package: str, kind: type[Any], own: Mapping[str, Any] | None = None) -> None:
        self.package = package
        self.kind = kind
        self._found = dict(own or {})
        try:
            self.names: Mapping[str, str] = {
                **dict.fromkeys(self._found, ""),
                **importlib.import_module(package).NAMES,
            }
        except (ImportError, AttributeError) as e:
            raise ConfigError(
                f"plug: {package!r} cannot be used: {e}. Name a package that has a NAMES mapping, name -> 'module:attribute'."
            ) from e

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Any:
        if name not in self._found:
            if name not in self.names:
                raise ConfigError(
                    f"{self.package} has no {self.kind.__name__.lower()} {name!r}"
                    f"{nearest(name, list(self.names)) or '.'} It has: {', '.join(self.names)}."
                )
            module, _, attribute = self.names[name].partition(":")
            found = getattr(importlib.import_module(module), attribute)
            if not isinstance(found, self.kind):
                raise PhaseError(
                    f"{self.names[name]} is a {type(found).__name__}, not a {self.kind.__name__}."
                )
            self._found[name] = found
        return self._found[name]


@dataclass(frozen=True)
class Program:
    """Everything a run consists of, besides its seed and its name."""

    root: str
    machines: Mapping[str, Machine]
    phases: Mapping[str, Phase]
    recovery: str | None = None
    sections: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def machine(self, name: str) -> Machine:
        found = self.machines.get(name)
        if found is None:
            raise PhaseError(
                f"No machine {name!r} in this program{nearest(name, list(self.machines)) or '.'} Declare the call in the machine's "
                "`calls`, and the machine in the package's NAMES."
            )
        return found

    @property
    def digests(self) -> dict[str, str]:
        """The version of every drawing that takes part."""
        return {name: self.machines[name].chart.digest for name in sorted(self.machines)}


def closure(
    root: str, recovery: str | None, machines: Mapping[str, Machine] | Registry
) -> dict[str, Machine]:
    """The machines that take part: the root, all it may call, directly or not, and the recovery machine."""
    found: dict[str, Machine] = {}
    todo = [root] + ([recovery] if recovery else [])
    while todo:
        name = todo.pop(0)
        if name in found:
            continue
        found[name] = machine = machines[name]
        todo.extend(callee(call)[0] for calls in machine.calls.values() for call in calls)
    return found
