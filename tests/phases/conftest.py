"""A machine run with its real phase and its real runner, in a directory of the test's own."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from fsm.engine import Nobody, Outcome, Program, Runner, Stop
from fsm.journal import Fold, Journal
from fsm.store import RunStore, Store, open_store

# how long an example takes is the machine's affair, not the test's
settings.register_profile("phases", deadline=None)
settings.load_profile("phases")


@dataclass
class Finished:
    """A run that came to rest, and what it left."""

    outcome: Outcome
    run: RunStore
    fold: Fold
    counts: Mapping[str, int]
    notes: list[str]

    @property
    def data(self) -> dict[str, Any]:
        assert self.fold.root is not None
        data: dict[str, Any] = self.fold.root["data"]
        return data

    @property
    def visits(self) -> dict[str, int]:
        assert self.fold.root is not None
        visits: dict[str, int] = self.fold.root["visits"]
        return visits

    def text(self, name: str) -> str:
        return self.run.artifact(self.fold.files[name]["sha256"]).read_text("utf-8")

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text(name).split("\n") if line]


@dataclass
class _Counting(Nobody):
    """Adds up the edges that counted machines took, and keeps what states said of how far they are."""

    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None:
        self.notes.append(f"{state}: {done:g} of {total:g} {note}")

    def record(self, record: Mapping[str, Any]) -> None:
        self.counts.update(record.get("counts", {}))


@pytest.fixture
def finish(tmp_path: Path) -> Callable[..., Finished]:
    """Run a machine alone, without a recovery machine; under the same name again, go on with the run.

    `finish("data_preparation", {"source": ...}, name="run", seed=7, stop=None)`; `beside` are the sections of other phases.
    """

    def go(
        machine: str,
        section: Mapping[str, Any],
        name: str = "run",
        seed: int = 7,
        stop: Stop | None = None,
        store: Store | None = None,
        beside: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Finished:
        drawn = importlib.import_module(f"machines.{machine}").MACHINE
        phase = importlib.import_module(f"phases.{machine}").PHASE
        run = (store or open_store(str(tmp_path / "store"))).run(name)
        if run.read_header() is None:
            run.write_header(b"{}")
        sections = {machine: phase.section(section)}
        for other, said in (beside or {}).items():
            sections[other] = importlib.import_module(f"phases.{other}").PHASE.section(said)
        program = Program(machine, {machine: drawn}, {machine: phase}, None, sections)
        journal, counting = Journal(run), _Counting()
        fold = journal.open()
        work = tmp_path / "work" / name
        runner = Runner(program, run, journal, fold, seed=seed, work=work, observer=counting, stop=stop)
        try:
            outcome = runner.drive()
        finally:
            journal.close()
        return Finished(outcome, run, fold, counting.counts, counting.notes)

    return go
