"""The loop in Apache Burr: `SQLitePersister` as state persister, which saves after each action in a transaction of its own.

Options: SQLite's defaults (rollback journal, synchronous FULL), as the persister opens it; no tracker; no hooks.
https://burr.apache.org/concepts/state-persistence/
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from burr.core import ApplicationBuilder, expr  # type: ignore[import-not-found]
from burr.core.action import action  # type: ignore[import-not-found]
from burr.core.persistence import SQLitePersister  # type: ignore[import-not-found]

from benchmarks.common import Meter
from benchmarks.peers import main


def loop(directory: Path, steps: int, meter: Meter) -> None:
    def raised(state: Any) -> Any:
        meter.step(state["n"])
        return state.update(n=state["n"] + 1)

    def a(state: Any) -> Any:
        return raised(state)

    def b(state: Any) -> Any:
        return raised(state)

    def done(state: Any) -> Any:
        return state

    durable = action(reads=["n"], writes=["n"])
    persister = SQLitePersister(str(directory / "burr.db"))
    persister.initialize()
    application = (
        ApplicationBuilder()
        .with_actions(a=durable(a), b=durable(b), done=action(reads=[], writes=[])(done))
        .with_transitions(("a", "b"), ("b", "done", expr(f"n >= {steps}")), ("b", "a"))
        .with_entrypoint("a")
        .with_state(n=0)
        .with_state_persister(persister)
        .with_identifiers(app_id="loop")
        .build()
    )
    application.run(halt_after=["done"])


if __name__ == "__main__":
    main(loop)
