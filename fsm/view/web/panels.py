"""Panels that installed phases bring: plots and pages of answers, made of a run's artifacts.

An entry point of the group `fsm.view.panels` names a module with two functions. `panels(RunFiles)` gives JSON values:

    {"id", "title", "kind": "plot", "x": word, "lines": [{"name", "points": [[x, y] or [x, y, low, high], ...], "dashed"?}, ...],
     "from"?, "to"?: ends of the scale, "note"?}
    {"id", "title", "kind": "pages", "items": [{"id", "label"}, ...]}

`page(RunFiles, id, item)` gives one item of `pages`:

    {"title", "rows": [{"title", "text", "cells": [{"title", "text", "facts": [[word, word], ...], "rules"?: likewise}]}]}

So a phase need not know of the page, nor the page of a phase.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from fsm.errors import FsmError
from fsm.store import RunStore

GROUP = "fsm.view.panels"
LARGEST = 64 << 20  # bytes of an artifact that a panel reads


class Gone(Exception):
    """An artifact of a panel is not there, or is larger than a page can show; the message says which."""


@dataclass(frozen=True)
class RunFiles:
    """The artifacts of a run by their names: {"sha256", "size", "seq"} each."""

    run: RunStore
    header: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    def read(self, name: str) -> bytes:
        """The content of the newest artifact of a name. Raises Gone, StoreError."""
        file = self.files.get(name)
        if file is None:
            raise Gone(f"the run has no artifact {name}")
        if file["size"] > LARGEST:
            raise Gone(f"{name} has {file['size']} bytes, too many for a page")
        return b"".join(self.run.artifact_bytes(file["sha256"]))

    def json(self, name: str) -> Any:
        """An artifact that is JSON. Raises Gone, StoreError, ValueError."""
        return json.loads(self.read(name))

    def rows(self, name: str) -> list[Any]:
        """An artifact that is JSON Lines. Raises Gone, StoreError, ValueError."""
        return [json.loads(line) for line in self.read(name).splitlines() if line.strip()]


class Panels(Protocol):
    """What an entry point names."""

    def panels(self, files: RunFiles) -> list[dict[str, Any]]: ...

    def page(self, files: RunFiles, panel: str, item: str) -> dict[str, Any]: ...


@cache
def installed() -> tuple[tuple[str, Panels | str], ...]:
    """The panels of installed packages by the names of their entry points; in their place why they cannot be loaded."""
    return tuple((e.name, _loaded(e)) for e in sorted(entry_points(group=GROUP), key=lambda e: e.name))


def _loaded(entry: EntryPoint) -> Panels | str:
    try:
        return entry.load()  # type: ignore[no-any-return]
    except Exception as e:  # a phase whose package is broken here: its run is still to be seen
        return f"{entry.value} cannot be loaded ({type(e).__name__}: {e})"


def panels(files: RunFiles) -> list[dict[str, Any]]:
    """All panels of a run. One that cannot be made says why, and the others are still there."""
    made: list[dict[str, Any]] = []
    for name, source in installed():
        if isinstance(source, str):
            made.append(_trouble(name, source))
            continue
        try:
            made += [panel | {"id": f"{name}.{panel['id']}"} for panel in source.panels(files)]
        except (Gone, FsmError, ValueError, KeyError, TypeError) as e:
            why = str(e) if isinstance(e, (Gone, FsmError)) else f"an artifact is not as expected ({e!r})"
            made.append(_trouble(name, why))
    return made


def _trouble(name: str, why: str) -> dict[str, Any]:
    return {"id": f"{name}.trouble", "title": name, "kind": "trouble", "why": why}


def page(files: RunFiles, panel: str, item: str) -> dict[str, Any]:
    """One item of a panel. Raises Gone, FsmError, ValueError."""
    name, _, own = panel.partition(".")
    for installed_name, source in installed():
        if installed_name == name and not isinstance(source, str):
            return source.page(files, own, item)
    raise Gone(f"there is no panel {panel}")
