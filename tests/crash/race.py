"""Several runners on one run in a bucket, each taking it over from the others as soon as it has lost it.

Each keeps a list, outside the bucket, of the records it was told are durable. What the bucket holds in the end must
agree with all of them.
"""

from __future__ import annotations

import json
import os
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fsm import config as configs
from fsm.engine import Nobody, Runner
from fsm.errors import RunBusy, RunReplaced, StoreError
from fsm.journal import FORMAT, Audit, Journal, audit, digest
from fsm.store import RunStore
from fsm.store.s3 import S3Store
from tests.crash import harness

ROUNDS = 1_000_000  # more than a race can come to


@dataclass
class Result:
    """What a race came to. `losers` are the messages of runners that lost the run, `lost` acknowledged records."""

    runners: int
    seconds: float
    audit: Audit
    acknowledged: int
    lost: list[str] = field(default_factory=list)
    losers: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)  # losers that name nobody who is in the journal
    failures: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return self.audit.whole and not (self.lost or self.unnamed or self.failures)


class Slowly(Nobody):
    """Takes a little time in every state, as work does: else two runners at full speed starve a third."""

    def __init__(self, pause: float, chance: random.Random, end: float) -> None:
        self._pause = pause
        self._chance = chance
        self._end = end

    def entered(self, at: list[str], machine: str, state: str, visit: int) -> None:
        if time.monotonic() > self._end:
            raise TimeIsUp
        time.sleep(self._chance.uniform(0, self._pause))


class TimeIsUp(BaseException):
    """The race is over."""


def race(
    directory: Path,
    url: str,
    options: dict[str, Any],
    endpoints: list[str],
    seconds: float,
    *,
    pause: float = 0.02,
) -> Result:
    """Let as many runners as there are `endpoints` race for so long; then audit by the last endpoint."""
    directory.mkdir(parents=True)
    config = _config(directory)
    run = S3Store(url, **{**options, "endpoint_url": endpoints[-1]}).run("works")
    run.write_header(json.dumps({"format": FORMAT, "created": "then"}).encode())
    start = time.monotonic()
    children = [
        os.fork()
        or _child(directory, n, config, url, {**options, "endpoint_url": endpoint}, start + seconds, pause)
        for n, endpoint in enumerate(endpoints)
    ]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    took = time.monotonic() - start
    result = Result(len(endpoints), round(took, 1), audit(run), 0)
    result.failures += [
        f"runner {n} ended with {code}: {(directory / f'{n}.log').read_text()[-1500:]}"
        for n, code in enumerate(codes)
        if code
    ]
    _compare(directory, run, result)
    return result


def _config(directory: Path) -> configs.Config:
    file = directory / "factory.yaml"
    file.write_text(
        "machine: factory\nplug: {machines: tests.crash.factory.machines, phases: tests.crash.factory.phases}\n"
        f"recovery: rescue\nfactory: {{ledger: {directory / 'ledger'}, rounds: {ROUNDS}}}\n"
    )
    config = configs.load(file)
    harness.warm(config)
    return config


def _compare(directory: Path, run: RunStore, result: Result) -> None:
    there, writers = {}, set()
    for number, line in run.numbered():
        there[number] = digest(line)
        with suppress(ValueError):  # what two writers have overwritten may be no record any more
            writers.add(json.loads(line)["writer"])
    for file in sorted(directory.glob("*.acknowledged")):
        for said in file.read_text().splitlines():
            seq, sha256 = said.split()
            result.acknowledged += 1
            if there.get(int(seq)) != sha256:
                result.lost.append(f"record {seq} of {file.stem}")
    for file in sorted(directory.glob("*.losses")):
        for message in file.read_text().splitlines():
            result.losers.append(message)
            if not any(w in message for w in writers):
                result.unnamed.append(message)


def _child(
    directory: Path,
    n: int,
    config: configs.Config,
    url: str,
    options: dict[str, Any],
    end: float,
    pause: float,
) -> int:
    """A runner's process: open the run, drive it until it is lost, again. Never returns."""
    code = 70
    try:
        with (directory / f"{n}.log").open("w") as log:
            os.dup2(log.fileno(), 2)
        store = S3Store(url, **options)
        chance = random.Random(n)
        with (directory / f"{n}.acknowledged").open("w") as acknowledged, (directory / f"{n}.losses").open("w") as losses:  # fmt: skip
            while time.monotonic() < end:
                _take_part(
                    config, store, Slowly(pause, chance, end), directory / str(n), acknowledged, losses
                )
                time.sleep(chance.uniform(0, 5 * pause))
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


class _Acknowledging:
    """A run that writes down every record the bucket has acknowledged."""

    def __init__(self, run: RunStore, file: object) -> None:
        self._run = run
        self._file = file

    def __getattr__(self, name: str) -> object:
        return getattr(self._run, name)

    def append(self, seq: int, line: bytes) -> None:
        self._run.append(seq, line)
        print(seq, digest(line), file=self._file, flush=True)  # type: ignore[call-overload]


def _take_part(
    config: configs.Config, store: S3Store, observer: Slowly, work: Path, acknowledged: object, losses: object
) -> None:
    run: RunStore = _Acknowledging(store.run("works"), acknowledged)  # type: ignore[assignment]
    journal = Journal(run)
    try:
        fold = journal.open(takeover=True)
        Runner(config.program, run, journal, fold, seed=1, work=work, observer=observer).drive()
    except (RunReplaced, RunBusy) as e:
        print(e.message, file=losses, flush=True)  # type: ignore[call-overload]
    except (StoreError, TimeIsUp):
        pass  # a store that gave no answer for too long: the runner is given the command again
