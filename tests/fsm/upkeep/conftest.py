"""An office whose run waits, then asks, and holds a lease outside that is ended with it; by the command line."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from fsm import cli

DRAWING = """
stateDiagram-v2
    [*] --> Rest
    Rest --> Ask
    Ask --> Sign : Yes
    Ask --> [*] : No
    Ask --> [*] : Nobody
    Sign --> [*]
"""
HANDLERS = """
from pathlib import Path

from fsm.engine import Context, Machine, Phase

MACHINE = Machine("office", Path(__file__).with_name("office.mmd"), failures=("No",))
PHASE = Phase("office")


@PHASE.state("Rest")
def rest(ctx: Context) -> None:
    ctx.put("letter.txt", "dear " + ctx.run_name)
    ctx.wait(ctx.config["seconds"])


@PHASE.state("Ask")
def ask(ctx: Context) -> str:
    lease = Path(ctx.config["leases"]) / ctx.effect_name("lease")
    lease.touch()
    limit = ctx.config.get("limit")
    within = {"seconds": limit, "otherwise": "Nobody"} if limit is not None else {}
    label = ctx.ask("May it be signed?", show={"pages": 3}, **within).label
    lease.unlink(missing_ok=True)
    return label


@PHASE.ends("Ask")
def end(ctx: Context) -> None:
    lease = Path(ctx.config["leases"]) / ctx.effect_name("lease")
    if lease.with_suffix(".stuck").exists():
        raise PermissionError("the lease is not ours to end")
    lease.unlink(missing_ok=True)


@PHASE.state("Sign")
def sign(ctx: Context) -> None:
    ctx.put("signed.txt", str(ctx.data.get("pen", "pencil")))
"""


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def row(self) -> dict[str, Any]:
        (row,) = self.rows
        return row


class Office:
    """Configurations and runs in one directory, and a store of its own."""

    def __init__(self, directory: Path, capfd: pytest.CaptureFixture[str], store: str | None = None) -> None:
        self.directory = directory
        self.capfd = capfd
        self.store = store or str(directory / "store")
        self.leases = directory / "leases"
        self.leases.mkdir()
        (directory / "office.mmd").write_text(DRAWING)
        (directory / "office.py").write_text(HANDLERS)

    def config(
        self, run: str = "r", seconds: float = 0, notify: dict[str, Any] | None = None, **said: Any
    ) -> Path:
        value = {
            "machine": "office",
            "plug": {"drawing": "office.mmd", "handlers": "office.py"},
            "store": self.store,
            "work": str(self.directory / "work"),
            "office": {"seconds": seconds, "leases": str(self.leases), **said},
        }
        path = self.directory / f"{run}.yaml"
        path.write_text(yaml.safe_dump(value | ({"notify": notify} if notify else {})))
        return path

    def fsm(self, *words: str) -> Said:
        self.capfd.readouterr()
        code = cli.main(list(words))
        return Said(code, *self.capfd.readouterr())

    def run(self, name: str = "r", *words: str, **said: Any) -> Said:
        return self.fsm(
            "run", str(self.config(name, **said)), "--run", name, "--log", "none", "--no-wait", *words
        )

    def run_until_due(self, *names: str) -> None:
        """Runs that have come to rest and whose wait is over. It is long enough that none is over before its run has come to it."""
        for name in names:
            self.run(name, seconds=1)
        untils = [self.status(name)["waiting"][0]["until"] for name in names]
        time.sleep(max(0.0, max(untils) - time.time()) + 0.01)

    def of(self, command: str, run: str, *words: str) -> Said:
        return self.fsm(command, run, *words, "--store", self.store)

    def resume_due(self, *words: str) -> Said:
        return self.fsm("resume-due", self.store, *words)

    def status(self, name: str = "r") -> dict[str, Any]:
        return self.of("status", name, "--json").row


@pytest.fixture
def office(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Office:
    return Office(tmp_path, capfd)
