"""Whose past a fork shares, as its header says: the artifacts put there stay where they are, and are read from there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Shared:
    """The run that a fork was begun from, one of all of its name: `header` is the SHA-256 of its run.json."""

    run: str
    generation: int
    header: str

    def is_of(self, header: bytes | None) -> bool:
        """Whether that run.json is this run's."""
        return header is not None and hashlib.sha256(header).hexdigest() == self.header


def shared(header: bytes | None) -> Shared | None:
    """What a run.json says of the past; None where it is no fork's, or cannot be read, which is for others to tell."""
    try:
        said = json.loads(header or b"{}")["past"]
        return Shared(str(said["run"]), int(said["generation"]), str(said["header"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
