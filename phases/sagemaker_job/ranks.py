"""The ranks of a job: one process for each GPU of each of its hosts, or one for each host without any.

`python -m torch.distributed.run` starts them, its rendezvous on the first host, and starts them all again when one of them
dies. Which rank a process is follows from its host's place in resourceconfig.json, not from who came first: rank 0 is on the
first host, whose model directory the service keeps.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from phases.sagemaker_job.environment import Hosts
from phases.sagemaker_job.kept import die_with

HOST = "FSM_HOST"
"""The variable that tells a process which of the job's hosts it is on, from 0."""
RENDEZVOUS = "FSM_RENDEZVOUS"
"""The variable that says where the ranks meet, as host:port, where the first host's name is no address."""
PORT = 29400
RESTARTS = 3
"""How often the ranks of a job are started again after one of them has died; then the job has failed."""


@dataclass(frozen=True)
class Rank:
    """One process of a launch: its number, how many there are, and its number on its host, all from 0."""

    number: int = 0
    world: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether it is the one that holds the journal."""
        return self.number == 0


def here(environment: Mapping[str, str] | None = None) -> Rank:
    """The rank that this process is: by torchrun's variables, or alone where nobody has launched it."""
    said = os.environ if environment is None else environment
    world = int(said.get("WORLD_SIZE") or 1)
    if world == 1 or "RANK" not in said:
        return Rank()
    local = int(said.get("LOCAL_RANK") or 0)
    if HOST in said:
        return Rank(int(said[HOST]) * int(said["LOCAL_WORLD_SIZE"]) + local, world, local)
    return Rank(int(said["RANK"]), world, local)


@dataclass(frozen=True)
class Planned:
    """What is to be started on this host: `hosts` of the job, and `each` of them so many ranks."""

    hosts: Hosts
    each: int
    name: str

    @property
    def world(self) -> int:
        return len(self.hosts.names) * self.each

    @property
    def host(self) -> int:
        """This host's place among the hosts."""
        return self.hosts.names.index(self.hosts.current)

    def command(self, module: str, environment: Mapping[str, str]) -> list[str]:
        """torchrun's, which has each rank run `module`."""
        alone = f"{_LOOPBACK}:0" if len(self.hosts.names) == 1 else f"{self.hosts.names[0]}:{PORT}"
        first = environment.get(RENDEZVOUS) or alone
        # by which the other hosts find this one; torchrun's guess where the job's names are no addresses
        address = _LOOPBACK if first.startswith(_LOOPBACK) else self.hosts.current
        own = () if RENDEZVOUS in environment and address != _LOOPBACK else ("--local-addr", address)
        return [
            *(sys.executable, "-m", "torch.distributed.run"),
            *("--nnodes", str(len(self.hosts.names)), "--nproc-per-node", str(self.each)),
            *("--rdzv-backend", "c10d", "--rdzv-endpoint", first, "--rdzv-id", self.name),
            *("--rdzv-conf", f"is_host={int(self.host == 0)}", *own),
            *("--max-restarts", str(RESTARTS), "--monitor-interval", "0.2"),
            *("--module", module),
        ]


def planned(environment: Mapping[str, str], words: Mapping[str, str]) -> Planned:
    """By the variables of the job's container (SM_HOSTS, SM_NUM_GPUS), and what the job's hyperparameters say instead."""
    names = tuple(json.loads(environment.get("SM_HOSTS") or "[]")) or ("algo-1",)
    current = environment.get("SM_CURRENT_HOST") or names[0]
    if environment.get(HOST):
        current = names[int(environment[HOST])]
    each = int(words.get("ranks_per_host") or max(int(environment.get("SM_NUM_GPUS") or 0), 1))
    return Planned(Hosts(current, names), each, environment.get("TRAINING_JOB_NAME") or "job")


def start(plan: Planned, module: str, root: Path) -> int:
    """Start this host's ranks and wait for them; torchrun's exit code. SIGTERM is passed on to the ranks themselves.

    torchrun would give them 30 s and kill them, where the service gives 120; so it does not hear of the signal, and ends when
    they have ended.
    """
    environment = {**os.environ, HOST: str(plan.host), **_NEW_STORE}
    child: subprocess.Popen[bytes] = subprocess.Popen(
        plan.command(module, environment),
        cwd=root,
        env=environment,
        start_new_session=True,
        preexec_fn=partial(die_with, os.getpid()),
    )

    asked: list[int] = []
    told: set[int] = set()
    before = {number: signal.signal(number, lambda n, _: asked.append(n)) for number in _PASSED_ON}
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return child.wait(timeout=_LOOK)
            if not asked:
                continue
            ranks = set(children(child.pid)) - told  # those too that have come up since it was asked for
            for rank in ranks:
                with suppress(ProcessLookupError):
                    os.kill(rank, asked[-1])
            told |= ranks
            if not told:
                child.send_signal(asked[-1])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_LOOPBACK = "127.0.0.1"
_NEW_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
"""Each attempt has a store of its own, in rank 0, with which it ends: what a former attempt wrote calls nobody."""
_PASSED_ON = (signal.SIGTERM, signal.SIGINT)
_LOOK = 0.1  # seconds


def children(pid: int) -> Sequence[int]:
    """The processes that `pid` has started, as Linux tells."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found
