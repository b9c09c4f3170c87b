"""Its phases: one round of work, and each thing done outside noted in a ledger."""

from pathlib import Path

from pydantic import BaseModel

from tests.fsm.engine.lines import phases


class Config(BaseModel):
    """The section of the works."""

    ledger: Path | None = None
    rounds: int = 1


WORKS, BENCH, RESCUE = phases(Config).values()
NAMES = {name: f"tests.crash.lines.phases:{name.upper()}" for name in ("works", "bench", "rescue")}
