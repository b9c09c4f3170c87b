"""Who looks on while a run is driven."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from fsm.journal import Watch
from fsm.store import RunStore


class Observer(Protocol):
    """Who looks on. Every method may be called from the runner's thread, `progress` from any.

    `opened` comes first: the run is this process's to write, and `records` are there already, its claim among them. What
    `record` is given is without its snapshot.
    """

    def opened(self, run: RunStore, records: int) -> None: ...

    def record(self, record: Mapping[str, Any]) -> None: ...

    def entered(self, at: list[str], machine: str, state: str, visit: int) -> None: ...

    def progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None: ...

    def watched(self, at: list[str], state: str, watch: Watch) -> None: ...


class Nobody:
    """The observer that does not look."""

    def opened(self, run: RunStore, records: int) -> None: ...

    def record(self, record: Mapping[str, Any]) -> None: ...

    def entered(self, at: list[str], machine: str, state: str, visit: int) -> None: ...

    def progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None: ...

    def watched(self, at: list[str], state: str, watch: Watch) -> None: ...
