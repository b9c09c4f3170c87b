"""What a teacher's answers cost whatever dies: killed runs, budgets, processor time and memory, against Bedrock on the loopback.

    python -m benchmarks.teacher_ledger                     all arms (some twenty minutes)
    python -m benchmarks.teacher_ledger kills --kills 20    one of: kills budget memory

kills   one 500-prompt run killed by `kill -9` at random moments and resumed: plainly, with the work directory deleted each
        time, and on an S3 store. An answer is paid twice where it was asked again though the ledger had it
budget  a budget that is too small, in a storm of errors, slow answers and cut connections: what the service bills beyond it
memory  the most memory of a run of 100,000 prompts beside one of 1,000
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import machine, write
from fsm.store import Store, open_store
from phases.rehearsal.bedrock import Bedrock
from phases.rehearsal.model import Asked, Lognormal, Said
from phases.rehearsal.wire import Reply, apart, refusal, serving
from phases.teacher_generation.ledger import Ledger

ROOT = Path(__file__).parents[1]
WORKERS = 10
MODEL = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
CODE = "uint32_t twice(uint32_t value)\n{\n    return 2U * value; /* %s */\n}\n"
CONFIG = """\
machine: teacher_generation
recovery: error_recovery
run: {{name: asked, seed: 1}}
store: "{store}"
store_options: {options}
work: "{work}"
teacher_generation:
  teacher: {{kind: bedrock, model_id: "{model}", endpoint_url: "{url}", max_tokens: 256, read_timeout_s: {timeout}}}
  prompts: "{prompts}"
  workers: 10
  backoff_base_s: 0.02
  check: {check}
  max_failed_share: 1.0
{more}
"""


def code(asked: Asked) -> str:
    """A function, the same for the same prompt."""
    return CODE % asked.prompt


def prompts(directory: Path, number: int, words: str = "") -> Path:
    path = directory / f"prompts-{number}.jsonl"
    with path.open("w") as file:
        for n in range(number):
            file.write(json.dumps({"prompt": f"Write function {n}. {words}".strip()}) + "\n")
    return path


def configured(directory: Path, url: str, asked: Path, store: str = "", **more: Any) -> Path:
    path = directory / "asked.yaml"
    said = {"check": "none", "timeout": 60, "options": "{}"} | {
        k: more.pop(k) for k in ("check", "timeout", "options") if k in more
    }
    lines = "\n".join(f"  {k}: {json.dumps(v)}" for k, v in more.items())
    path.write_text(
        CONFIG.format(
            store=store or directory,
            work=directory / "work",
            model=MODEL,
            url=url,
            prompts=asked,
            more=lines,
            **said,
        )
    )
    return path


def command(config: Path) -> list[str]:
    return [sys.executable, "-m", "fsm.run", str(config), "--log", "none"]


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return kept | {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": str(ROOT),
    }


# Kills


@dataclass
class Watched(Bedrock):
    """Bedrock that knows what the ledger had at the newest kill."""

    known: frozenset[str] = frozenset()
    again: list[str] = field(default_factory=list)
    under_way: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.answer = self._watched

    def _watched(self, asked: Asked) -> str:
        with self._lock:
            if asked.prompt in self.known:
                self.again.append(asked.prompt)
        return code(asked)


def entered(store: Store) -> frozenset[str]:
    """The prompts whose answers the ledger has."""
    found = (
        entry.question for _, entry in Ledger(store.shelf("teacher")).all() if entry.response is not None
    )
    return frozenset(q["messages"][-1]["content"][0]["text"] for q in found if q)


def killed(kind: str, kills: int, number: int, seed: int) -> dict[str, Any]:
    """One run, killed so many times and then taken to its end; and one that is left alone, to compare it with.

    A run of 500 prompts that is killed 200 times gets little further each time: it is begun anew, in a new store, whenever it
    has come to its end before all the kills were made.
    """
    chance = random.Random(seed)
    made = runs = again = twice = different = 0
    reference: dict[str, str] = {}
    with ExitStack() as stack:
        server = stack.enter_context(_s3()) if kind == "s3" else None
        while made < kills or not reference:
            service = Watched(latency=Lognormal(0.05, 5.0))
            place = stack.enter_context(serving(service))
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            asked = prompts(directory, number)
            url = f"s3://bucket/run-{runs}" if server else str(directory)
            options = (
                json.dumps({"endpoint_url": server, "path_style": True, "cache": str(directory / "cache")})
                if server
                else "{}"
            )
            config = configured(directory, place.url, asked, url, options=options)
            store = open_store(url, **json.loads(options))
            killing = bool(reference)
            while True:
                process = subprocess.Popen(
                    command(config), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
                )
                if killing and made < kills and _killed(process, service, chance):
                    made += 1
                    service.known = entered(store)
                    if kind == "work deleted":
                        shutil.rmtree(directory / "work", ignore_errors=True)
                    continue
                error = process.communicate()[1].decode()
                assert process.returncode == 0, error
                break
            runs += 1
            again += len(service.again)
            twice += service.bill.to_json()["twice"]
            files = outcome(store)
            if not reference:
                reference = files
            different += sum(files[n] != sha for n, sha in reference.items())
    return {
        "kind": kind,
        "kills": made,
        "runs": runs - 1,
        "prompts": number,
        "paid twice though the ledger had it": again,
        "in flight at a kill, and paid again": twice,
        "most that could be in flight": made * WORKERS,
        "artifacts that differ from a run left alone": different,
    }


def _killed(process: subprocess.Popen[bytes], service: Bedrock, chance: random.Random) -> bool:
    """Kill it at a random moment: mostly while it asks, now and then while it starts. False where it has ended before."""
    before = service.bill.calls
    while process.poll() is None and service.bill.calls == before:
        time.sleep(0.002)
        if chance.random() < 0.0002:
            break
    with suppress(subprocess.TimeoutExpired):
        process.wait(chance.uniform(0.0, 0.5))
    if process.poll() is not None:
        return False
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return True


def outcome(store: Store) -> dict[str, str]:
    """The artifacts of the run by digest."""
    from fsm.journal import Journal

    return {n: f["sha256"] for n, f in Journal(store.run("asked")).load().files.items()}


@contextmanager
def _s3() -> Iterator[str]:
    from tests.servers.s3 import client, ministack

    os.environ.update(environment())
    with tempfile.TemporaryDirectory() as directory:
        server = ministack(Path(directory))
        server.start()
        client(server.url).create_bucket(Bucket="bucket")
        try:
            yield server.url
        finally:
            server.kill()


# The budget


@dataclass
class Storm:
    """Answers of all kinds: good ones, errors, throttling, cut connections and slow ones that are given up. What is said is billed."""

    seed: int = 0

    def __call__(self, asked: Asked) -> Said | Reply:
        draw = random.Random(f"{self.seed} {asked.prompt} {asked.attempt}").random()
        if draw < 0.15:
            return refusal(429, "ThrottlingException")
        if draw < 0.25:
            return refusal(503, "ServiceUnavailableException")
        if draw < 0.35:
            return Said(code(asked), cut=40)
        if draw < 0.40:
            return Said(code(asked), after=3.0)
        return Said(code(asked) * (1 + int(4 * draw)))


def budget(number: int, limits: tuple[float, ...]) -> list[dict[str, Any]]:
    found = []
    for seed, limit in enumerate(limits):
        service = Bedrock(answer=Storm(seed))
        with serving(service) as place, tempfile.TemporaryDirectory() as temporary:
            directory = Path(temporary)
            config = configured(
                directory, place.url, prompts(directory, number), timeout=1, max_cost_usd=limit, max_retries=3
            )
            for _ in range(2):  # a run that has reached it is resumed, and reaches it again
                code_ = subprocess.run(
                    command(config), env=environment(), capture_output=True, check=False
                ).returncode
            billed = service.bill.dollars
            over = max(Decimal(0), billed - Decimal(str(limit)))
            found.append(
                {
                    "limit": limit,
                    "billed": float(billed),
                    "overshoot": float(over),
                    "calls": service.bill.calls,
                    "exit": code_,
                }
            )
    return found


# Processor time


# Memory


def memory(numbers: tuple[int, int]) -> dict[str, Any]:
    """Peaks of runs of so many prompts with answers that the ledger has to be asked for, and a checkpoint every 100."""
    found: dict[str, Any] = {}
    for number in numbers:
        with apart(partial(Bedrock, answer=code)) as place, tempfile.TemporaryDirectory() as temporary:
            directory = Path(temporary)
            config = configured(
                directory, place.url, prompts(directory, number, "It adds."), checkpoint_every=100
            )
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
            process = subprocess.Popen(
                command(config), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            peak = _peak(process)
            found[f"{number:,} prompts"] = {
                "MB": round(peak / 1024, 1),
                "exit": process.returncode,
                "before": before,
            }
    first, second = (found[f"{n:,} prompts"]["MB"] for n in numbers)
    return found | {"more MB": round(second - first, 1)}


def _peak(process: subprocess.Popen[bytes]) -> int:
    """The most resident memory of a process, in KiB, as the kernel counts it."""
    peak = 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            peak = max(
                peak,
                next(
                    (
                        int(line.split()[1])
                        for line in status.read_text().splitlines()
                        if line.startswith("VmHWM")
                    ),
                    0,
                ),
            )
        except OSError:
            break
        time.sleep(0.1)
    process.wait()
    return peak


ARMS = ("kills", "budget", "memory")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("arms", nargs="*", choices=[*ARMS, []], help="default: all")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--most", type=int, default=100_000, help="prompts of the memory")
    args = parser.parse_args()
    arms = args.arms or list(ARMS)
    more: dict[str, Any] = {}
    if "budget" in arms:
        more["budget"] = budget(400, (0.05, 0.1, 0.2))
    if "kills" in arms:
        more["kills"] = [
            killed(kind, args.kills, 500, seed) for seed, kind in enumerate(("plain", "work deleted", "s3"))
        ]
    if "memory" in arms:
        more["memory"] = memory((1000, args.most))
    for said in more.values():
        print(json.dumps(said, indent=1))
    print(write("teacher_ledger", [], machine=machine(("boto3", "botocore")), **more))
    bad = [
        k
        for k in more.get("kills", ())
        if k["paid twice though the ledger had it"] or k["artifacts that differ from a run left alone"]
    ]
    bad += [b for b in more.get("budget", ()) if b["overshoot"]]
    return 1 if bad else 0


if __name__ == "__main__":
    threading.stack_size(512 * 1024)
    raise SystemExit(main())
