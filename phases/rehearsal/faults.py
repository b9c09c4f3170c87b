"""What goes wrong in a rehearsal: by name, or by a seeded schedule in which calls fail by every passing code.

Each mishap happens and passes, as it would on AWS; how the run recovers is what is rehearsed.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from phases.qlora_training.checkpoints import SENTINEL
from phases.rehearsal.proxy import Request
from phases.rehearsal.sagemaker import SageMaker

NAMED = {
    "spot-interruption": "the spot instance is taken back with the notice of SIGTERM, once, after its first checkpoint",
    "spot-loss": "the spot instance is gone without notice, once, after its first checkpoint",
    "throttling": "every service turns away one call in five for its rate",
    "server-errors": "every service fails one call in five, and answers late",
    "lost-reply": "the job is created, and the answer lost",
    "no-capacity": "there is no instance of the first type for the first job",
    "no-quota": "the account may have no instance of the first type, until the run is given again",
    "expired-token": "the credentials expire while the job is followed, and are renewed when the run is given again",
    "internal-error": "the first job fails by an internal error of the service",
}
PASSING = {
    "s3": ("cut", "lost reply", "500", "503", "late 500"),
    "sagemaker": ("cut", "lost", "400 ThrottlingException", "500 InternalFailure", "503 ServiceUnavailable"),
}
"""Ways in which a call fails that may be made again."""
MENDED = frozenset({"no-capacity", "no-quota", "expired-token"})
"""What stops a run until a person has done something: waited, had a quota raised, renewed the credentials."""
OFTEN = 0.2


@dataclass
class Mishaps:
    """The plans of the services. `names` are of NAMED; `seed` makes one call in ten of each service fail in passing."""

    names: frozenset[str] = frozenset()
    seed: int | None = None
    happened: list[str] = field(default_factory=list)
    _mended: set[str] = field(default_factory=set)
    _done: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._lift: Callable[[], None] = lambda: None
        self._chance = random.Random(self.seed or 0)
        self._often = (
            OFTEN if self.names & {"throttling", "server-errors"} else 0.1 if self.seed is not None else 0.0
        )

    def mended(self) -> bool:
        """Do what a person would whom a stopped run has told what to do; False where there is nothing more to do."""
        left = MENDED & self.names & set(self.happened) - self._mended
        self._mended |= left
        self._done |= left
        self._lift()
        return bool(left)

    def of_stack(self, request: Request) -> str:
        """The plan of the proxy before MiniStack. Logs are the service's own way to speak, and left alone."""
        if request.service != "s3":
            return "none"
        kinds: tuple[str, ...] = PASSING["s3"]
        if "throttling" in self.names:
            kinds = ("503",)
        elif "server-errors" in self.names:
            kinds = ("500", "late 500")
        return self._perhaps("s3", request.operation, kinds) or "none"

    def of_sagemaker(self, operation: str, number: int) -> str:
        """The plan of SageMaker."""
        if operation == "CreateTrainingJob" and self._once("lost-reply"):
            return "lost"
        if operation == "DescribeTrainingJob" and number >= 4 and self._standing("expired-token"):
            return "400 ExpiredTokenException"
        kinds: tuple[str, ...] = PASSING["sagemaker"]
        if "throttling" in self.names:
            kinds = ("400 ThrottlingException",)
        elif "server-errors" in self.names:
            kinds = ("500 InternalFailure", "503 ServiceUnavailable")
        return self._perhaps("sagemaker", operation, kinds)

    def set_up(self, sagemaker: SageMaker) -> None:
        """Take what is lacking from the services, and watch for the moment of what happens to a job."""
        self._lift = sagemaker.quotas.clear
        if "no-quota" in self.names:
            sagemaker.quotas["*"] = 0
            self.happened.append("no-quota")
        if "no-capacity" in self.names:
            sagemaker.provisioning = self._no_capacity
        acts: dict[str, Callable[[str], None]] = {
            "spot-interruption": lambda name: sagemaker.interrupt(name),
            "spot-loss": lambda name: sagemaker.interrupt(name, notice=False),
            "internal-error": lambda name: sagemaker.fail(
                name, "InternalServerError: We encountered an internal error. Please try again."
            ),
        }
        for name in sorted(self.names & acts.keys()):
            threading.Thread(
                target=self._at_a_checkpoint, args=(name, sagemaker, acts[name]), daemon=True
            ).start()

    def _at_a_checkpoint(self, mishap: str, sagemaker: SageMaker, act: Callable[[str], None]) -> None:
        while True:
            for name, instances in list(sagemaker.running.items()):
                if SENTINEL in instances.synced and instances.training:
                    self.happened.append(mishap)
                    act(name)
                    return
            time.sleep(0.05)

    def _no_capacity(self, job: str, kind: str) -> bool:
        return self._once("no-capacity")

    def _once(self, name: str) -> bool:
        with self._lock:
            if name not in self.names or name in self._done:
                return False
            self._done.add(name)
            self.happened.append(name)
            return True

    def _standing(self, name: str) -> bool:
        with self._lock:
            if name not in self.names or name in self._done:
                return False
            if name not in self.happened:
                self.happened.append(name)
            return True

    def _perhaps(self, service: str, operation: str, kinds: Iterable[str]) -> str:
        with self._lock:
            if self._chance.random() >= self._often:
                return ""
            kind = self._chance.choice(tuple(kinds))
            self.happened.append(f"{service} {operation}: {kind}")
            return kind
