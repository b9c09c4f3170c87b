"""The loop in DBOS Transact: a workflow that calls two steps in turn; the outcome of each is durable before the next.

Options: a SQLite system database with SQLite's defaults (rollback journal, synchronous FULL), as DBOS opens it; log level
ERROR; no OTLP, no Conductor, no admin server; the pollers of its background threads as they are.
https://docs.dbos.dev/python/tutorials/workflow-tutorial
"""

from __future__ import annotations

from pathlib import Path

from dbos import DBOS  # type: ignore[import-not-found]

from benchmarks.common import Meter
from benchmarks.peers import main


def loop(directory: Path, steps: int, meter: Meter) -> None:
    def raised(n: int) -> int:
        meter.step(n)
        return n + 1

    a = DBOS.step(name="a")(raised)
    b = DBOS.step(name="b")(raised)

    def around() -> int:
        n = 0
        while n < steps:
            n = b(a(n))
        return n

    workflow = DBOS.workflow(name="loop")(around)
    database = f"sqlite:///{directory / 'dbos.db'}"
    DBOS(config={"name": "loop", "system_database_url": database, "log_level": "ERROR"})
    DBOS.launch()
    try:
        workflow()
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    main(loop)
