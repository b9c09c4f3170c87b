"""What a check has to say, in the form of a compiler's message."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from fsm.drawing import Edge, State

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing found. `line` and `column` count from 1; `code` is stable and may be searched for."""

    severity: Severity
    code: str
    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        path = Path(self.file)
        here = Path.cwd()
        shown = path.relative_to(here) if path.is_relative_to(here) else path
        return f"{shown}:{self.line}:{self.column}: {self.severity}[{self.code}]: {self.message}"

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def error(code: str, file: str, at: State | Edge | None, message: str) -> Finding:
    """An error at a state or an edge of a drawing, or at its head."""
    return Finding("error", code, file, at.line if at else 1, at.column if at else 1, message)


def warning(code: str, file: str, at: State | Edge | None, message: str) -> Finding:
    """A warning at a state or an edge of a drawing, or at its head."""
    return Finding("warning", code, file, at.line if at else 1, at.column if at else 1, message)
