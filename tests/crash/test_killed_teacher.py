"""`kill -9` while calls are under way: nothing that the ledger has is asked again, and the run comes to the same bytes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml

from fsm import moments, session
from fsm.config import Config, load
from fsm.store import open_store
from phases.rehearsal.bedrock import Bedrock
from phases.rehearsal.model import Asked, Lognormal
from phases.rehearsal.wire import serving
from phases.teacher_generation.ledger import Ledger
from tests.crash import harness
from tests.servers.fixtures import S3

WORKERS, PROMPTS = 4, 60


@dataclass
class Told(Bedrock):
    """Bedrock that remembers which prompts it was told."""

    url: str = ""
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.answer = self._answer

    def _answer(self, asked: Asked) -> str:
        self.told.append(asked.prompt)
        return f"int f(void);  /* {asked.prompt} */"


def configured(directory: Path, url: str, store: str, options: dict[str, Any]) -> Config:
    directory.mkdir(parents=True, exist_ok=True)
    prompts = directory / "prompts.jsonl"
    prompts.write_text("".join(f'{{"prompt": "Write function {n}."}}\n' for n in range(PROMPTS)))
    words = {
        "machine": "teacher_generation",
        "recovery": "error_recovery",
        "run": {"name": "asked", "seed": 1},
        "store": store,
        "store_options": options,
        "work": str(directory / "work"),
        "teacher_generation": {
            "teacher": {"kind": "bedrock", "endpoint_url": url},
            "prompts": str(prompts),
            "workers": WORKERS,
            "check": "none",
        },
    }
    file = directory / "asked.yaml"
    file.write_text(yaml.safe_dump(words))
    return load(file)


def entered(config: Config) -> frozenset[str]:
    """The prompts whose answers the ledger has."""
    store = open_store(config.engine.store, **config.engine.store_options)
    found = (
        entry.question for _, entry in Ledger(store.shelf("teacher")).all() if entry.response is not None
    )
    return frozenset(q["messages"][-1]["content"][0]["text"] for q in found if q)


def begun(config: Config, log: Path) -> int:
    """A session of the run in a process of its own; its id."""

    def work() -> int:
        silent = structlog.wrap_logger(structlog.PrintLogger(sys.stdout))
        return session.run(config, logger=silent).exit_code

    return moments.begun(work, log)


def killed(config: Config, server: Told, seconds: float, log: Path) -> None:
    """A session that dies so many seconds after its first call."""
    before, pid = len(server.told), begun(config, log)
    deadline = time.monotonic() + 30
    while len(server.told) == before and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    assert moments.ended(pid) == -signal.SIGKILL, log.read_text()[-2000:]


@pytest.mark.parametrize("kind", ["work deleted", "s3"])
def test_a_run_killed_over_and_over_pays_for_nothing_that_the_ledger_has(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    service = Told()
    with serving(service) as place:
        service.url = place.url
        kill_and_resume(kind, service, tmp_path, request)


def kill_and_resume(kind: str, server: Told, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    chance, log = random.Random(kind), tmp_path / "log"
    alone = configured(tmp_path / "alone", server.url, str(tmp_path / "alone" / "store"), {})
    harness.warm(alone, ["boto3", "phases.teacher_generation.bedrock", "phases.quality_scoring"])
    assert moments.ended(begun(alone, log)) == 0, log.read_text()[-2000:]
    reference = harness.history(open_store(alone.engine.store).run("asked"))

    url, options = str(tmp_path / "run" / "store"), {}
    if kind == "s3":
        bucket: S3 = request.getfixturevalue("s3")
        url, options = bucket.url, bucket.options
    config = configured(tmp_path / "run", server.url, url, options)
    store = open_store(url, **options)
    server.latency = Lognormal(0.03, 4.0)
    paid: Counter[str] = Counter()
    kills = 0
    while kills < 4:
        known = entered(config)
        server.told.clear()
        killed(config, server, chance.uniform(0.0, 0.25 if kind == "s3" else 0.1), log)
        kills += 1
        assert not known & set(server.told)
        paid.update(server.told)
        shutil.rmtree(tmp_path / "run" / "work", ignore_errors=True)
    known = entered(config)
    assert 0 < len(known) < PROMPTS
    server.told.clear()
    assert moments.ended(begun(config, log)) == 0, log.read_text()[-2000:]
    assert not known & set(server.told)
    paid.update(server.told)
    assert paid.total() - PROMPTS <= kills * WORKERS  # those that were under way, and no others
    found = harness.history(store.run("asked"))
    assert harness.differences(found, reference) == []
