"""Runs begun as a user begins them: `python -m fsm.run CONFIG`, in this process, for importing torch is what takes time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fsm.journal import Fold, Journal
from fsm.run import main
from fsm.store import open_store
from tests.phases.qlora_training.micro import settings


@dataclass(frozen=True)
class Came:
    """What a run came to: exit code, the paragraph to the user, and what its journal walked of Diagram 8."""

    code: int
    said: str
    walked: tuple[str, ...]
    records: tuple[dict[str, Any], ...]

    @property
    def data(self) -> dict[str, Any]:
        """The machine's durable data at the end."""
        root = Fold.of(list(self.records)).root
        assert root is not None
        data: dict[str, Any] = root["data"]
        return data


def run(root: Path, machine: str, sections: Mapping[str, Any], *words: str) -> Came:
    """Run `machine` in the directory `root`, or go on with the run that is there; as a process that knows nothing."""
    from phases.student import session

    session.forget()
    config = {
        "machine": machine,
        "recovery": "error_recovery",
        "store": str(root / "store"),
        "work": str(root / "work"),
        "run": {"name": "it"},
        "error_recovery": {"base_seconds": 0},
        **sections,
    }
    root.mkdir(exist_ok=True)
    path = root / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    said = root / "said"
    with said.open("w") as out, redirect_stderr(out):
        code = main([str(path), "--machine", machine, "--run", "it", "--log", "none", *words])
    records = tuple(Journal(open_store(str(root / "store")).run("it")).records())
    walked = tuple(
        r["from"].rpartition(".")[2]
        for r in records
        if r.get("machine") == "error_recovery" and r["kind"] == "transition"
    )
    return Came(code, said.read_text(), walked, records)


def training(base: Path, **changes: Any) -> dict[str, Any]:
    """The section `qlora_training` for a micro model: three steps."""
    said = settings(base, epochs=0.5).model_dump(mode="json")
    return {**said, "min_free_gb": 0, **changes}


def lines(*rows: Any) -> str:
    """Rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)
