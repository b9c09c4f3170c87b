"""Answers kept as they come: one line each, so that a kill loses at most what is under way."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

from phases.student.generate import Output


class Kept:
    """The answers in a file of JSON lines, by their prompts; a line that a kill tore is cut off. Use it by `with`."""

    def __init__(self, path: Path) -> None:
        self.found: dict[str, Output] = {}
        whole = 0
        data = path.read_bytes() if path.is_file() else b""
        for line in data.splitlines(keepends=True):
            try:
                output = Output.from_json(json.loads(line))
            except (ValueError, TypeError):
                break
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            self.found[output.prompt] = output
        self._file = path.open("ab")
        self._file.truncate(whole)

    def __enter__(self) -> Kept:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, output: Output) -> None:
        """Keep one more; when this returns, a kill of the process does not take it."""
        self._file.write(json.dumps(output.to_json(), ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        self.found[output.prompt] = output
