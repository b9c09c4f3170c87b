"""What a configuration plugs together: the machines by name, the phases by machine, and the one to run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
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
    go before those of the package; what other packages bring by entry points (`fsm.machines`, `fsm.phases`) comes after them.
    """

    def __init__(self, package: str, kind: type[Any], own: Mapping[str, Any] | None = None) -> None:
        self.package = package
        self.kind = kind
        self._found = dict(own or {})
        try:
            self._named: Mapping[str, str] = {
                **dict.fromkeys(self._found, ""),
                **importlib.import_module(package).NAMES,
            }
        except (ImportError, AttributeError) as e:
            raise ConfigError(
                f"plug: {package!r} cannot be used: {e}. Name a package that has a NAMES mapping, name -> 'module:attribute'."
            ) from e

    @cached_property
    def brought(self) -> Mapping[str, str]:
        """What installed packages bring by entry points, name -> "module:attribute".

        Looked up only for a name that the package does not have: it reads the metadata of all that is installed. Raises ConfigError
        where two bring the same name.
        """
        from importlib.metadata import entry_points

        brought: dict[str, str] = {}
        for entry in sorted(entry_points(group=f"fsm.{self.kind.__name__.lower()}s"), key=lambda e: e.value):
            if brought.setdefault(entry.name, entry.value) != entry.value:
                raise ConfigError(
                    f"Two installed packages bring a {self.kind.__name__.lower()} {entry.name!r}: {brought[entry.name]} and "
                    f"{entry.value}. Remove one, or name a package in `plug` that has the one you mean."
                )
        return brought

    def is_brought(self, name: str) -> bool:
        """Whether it is an entry point that has the name, and nothing that was plugged in."""
        return name not in self._named and name in self.brought

    @property
    def names(self) -> Mapping[str, str]:
        """All names there are."""
        return {**self._named, **{n: where for n, where in self.brought.items() if n not in self._named}}

    def __contains__(self, name: str) -> bool:
        return name in self._named or name in self.brought

    def __getitem__(self, name: str) -> Any:
        if name not in self._found:
            if name not in self:
                raise ConfigError(
                    f"{self.package} has no {self.kind.__name__.lower()} {name!r}"
                    f"{nearest(name, list(self.names)) or '.'} It has: {', '.join(self.names)}."
                )
            where = self._named.get(name) or self.brought[name]
            module, _, attribute = where.partition(":")
            found = getattr(importlib.import_module(module), attribute)
            if not isinstance(found, self.kind):
                raise PhaseError(f"{where} is a {type(found).__name__}, not a {self.kind.__name__}.")
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
