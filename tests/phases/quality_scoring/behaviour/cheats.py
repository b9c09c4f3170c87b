"""The table of answers that look right: read once for the tests and for the benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Table:
    """A prompt, its honest answer, and others by what they are."""

    prompt: str
    honest: str
    right: Mapping[str, str]
    wrong: Mapping[str, str]


def read() -> Table:
    """The table of cheats.yaml."""
    said: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("cheats.yaml").read_text("utf-8"))
    honest = said["honest"]

    def text(row: Mapping[str, Any]) -> str:
        changed: str = row.get("text") or honest
        pairs = row.get("change", [])
        for old, new in zip(pairs[::2], pairs[1::2], strict=True):
            assert changed.count(old) == 1, old
            changed = changed.replace(old, new)
        return changed

    kinds = ({name: text(row) for name, row in said[kind].items()} for kind in ("right", "wrong"))
    return Table(said["prompt"], honest, *kinds)
