"""A configuration while it is checked: its values, where each is from, and everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsm.config.document import Document, Steps
from fsm.errors import ConfigError, Mistake
from fsm.secrets import redactor

OPTIONS = {
    "machine": "--machine",
    "run.name": "--run",
    "run.seed": "--seed",
    "run.source": "--from",
    "store": "--store",
    "notify": "--no-notify",
    "telemetry": "--no-notify",
}
"""The keys that the command line gives, and how."""


class Draft:
    """`variables` are the environment variables that a value was filled with, by its path; `secrets` what they held."""

    def __init__(self, document: Document, overrides: Mapping[str, Any]) -> None:
        self.file = document.file
        self.values: dict[str, Any] = document.values
        self.entries = document.entries
        self.variables: dict[Steps, tuple[str, ...]] = {}
        self.secrets: set[str] = set()
        self._mistakes = list(document.mistakes)
        self._wrong = set(document.wrong)
        self._options: dict[Steps, str] = {}
        for key, value in overrides.items():
            self._override(tuple(key.split(".")), OPTIONS.get(key, key), value)

    def _override(self, path: tuple[str, ...], option: str, value: Any) -> None:
        inner = self.values
        for key in path[:-1]:
            found = inner.setdefault(key, {})
            if not isinstance(found, dict):
                return  # the model will say what is wrong with it
            inner = found
        inner[path[-1]] = value
        self._options[path] = option

    def dotted(self, path: Steps) -> str:
        """The path as people write it: `run.seed`."""
        return ".".join(map(str, path))

    def written(self, path: Steps) -> str | None:
        """The unquoted word at a path, as it stands in the file."""
        entry = self.entries.get(path)
        return entry.written if entry and path not in self._options else None

    def in_file(self, path: Steps) -> bool:
        """Whether a person wrote the value there: neither a variable's nor the command line's."""
        return path not in self.variables and path not in self._options

    def mistake(self, path: Steps, message: str, *, at_key: bool = False) -> None:
        """Note what is wrong with the value at a path, or with its key."""
        self._wrong.add(path)
        if option := self._options.get(path):
            self._mistakes.append(Mistake(option, 0, 0, message))
            return
        known = path
        while known not in self.entries and known:
            known = known[:-1]
        entry = self.entries.get(known)
        line, column = (entry.key if at_key else entry.value) if entry else (1, 1)
        self._mistakes.append(Mistake(self.file, line, column, message))

    def let_be(self, path: Steps) -> None:
        """Judge the value at a path no further: what is wrong with it follows from a mistake already noted."""
        self._wrong.add(path)

    def wrong(self, path: Steps) -> bool:
        """Whether something is known to be wrong with the value at a path, or with what it stands in."""
        return any(path[:n] in self._wrong for n in range(len(path) + 1))

    def wrong_within(self, path: Steps) -> bool:
        """Whether something is known to be wrong with something inside the value at a path."""
        return any(w[: len(path)] == path for w in self._wrong)

    def settle(self) -> None:
        """Raise ConfigError with all that is wrong, in the order of the file, without any secret's value."""
        if not self._mistakes:
            return
        redact = redactor(self.secrets)
        unique = {(f.file, f.line, f.column, redact(f.message)): None for f in self._mistakes}
        mistakes = [Mistake(*one) for one in unique]
        raise ConfigError.of(sorted(mistakes, key=lambda f: (f.line, f.column)))
