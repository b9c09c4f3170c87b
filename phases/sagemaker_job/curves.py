"""What a job's lines say of loss, score and speed: found by the expressions that CloudWatch finds it by, and kept for TensorBoard."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

OFTEN = 10  # seconds after which what was added is on the disk, for the service to sync


def found(line: str, definitions: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """(metric, value) of a line. What an expression matches and is no number is passed over, as CloudWatch does."""
    for name, expression in definitions.items():
        for said in re.findall(expression, line):
            try:
                yield name, float(said)
            except ValueError:
                continue


class Curves:
    """An event file below `directory`, in a directory of its own: each start of the container is a run to TensorBoard.

    A value's step is its number among those of its metric: steps of training begin anew with every epoch. Raises
    ModuleNotFoundError where tensorboardX is not installed.
    """

    def __init__(self, directory: Path, definitions: Mapping[str, str]) -> None:
        from tensorboardX import SummaryWriter

        self._definitions = definitions
        self._seen: Counter[str] = Counter()
        begun = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
        self._writer = SummaryWriter(str(directory / begun), flush_secs=OFTEN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._writer.close()

    def line(self, text: str) -> None:
        """Keep what a line says."""
        for name, value in found(text, self._definitions):
            self._seen[name] += 1
            # TensorBoard puts those together that have the same word before a slash
            self._writer.add_scalar(name.replace(":", "/"), value, self._seen[name])
