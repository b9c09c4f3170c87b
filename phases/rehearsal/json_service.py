"""AWS's JSON protocol, as an unmodified client speaks it: an operation's name in a header, JSON both ways."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Self

from phases.rehearsal.wire import Place, Reply, Request, said, serving

Operation = Callable[[Mapping[str, Any]], Mapping[str, Any]]
Plan = Callable[[str, int], str]
"""(operation, how many of it there were before) -> what goes wrong: "" nothing, or

cut            the connection breaks off before anything is done
lost           it is done, and the connection breaks off before the answer
"400 Code"     answered so, and not done
"""


class Refused(Exception):
    """A service's error: its code, and the status it is answered with."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def calm(operation: str, number: int) -> str:
    """Nothing goes wrong."""
    return ""


@dataclass
class JsonService:
    """One service on the loopback address, while it is entered. `operations` by their names in the service's model.

    calls  how often each operation was asked for;  times  when, by the monotonic clock
    """

    operations: Mapping[str, Operation]
    plan: Plan = calm
    calls: Counter[str] = field(default_factory=Counter)
    times: dict[str, list[float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return self._place.url

    def __enter__(self) -> Self:
        self._serving: AbstractContextManager[Place] = serving(self)
        self._place = self._serving.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._serving.__exit__(*error)

    def __call__(self, request: Request) -> Reply:
        operation = request.headers.get("x-amz-target", "").rpartition(".")[2]
        with self._lock:
            wrong = self.plan(operation, self.calls[operation])
            self.calls[operation] += 1
            self.times.setdefault(operation, []).append(time.monotonic())
        if wrong == "cut":
            return Reply(cut=0)
        if wrong and wrong != "lost":
            status, _, code = wrong.partition(" ")
            return _refusal(code, f"{code} it is", int(status))
        reply = self._done(operation, request.json())
        return Reply(cut=0) if wrong == "lost" else reply

    def _done(self, operation: str, body: Mapping[str, Any]) -> Reply:
        if operation not in self.operations:
            return _refusal("UnknownOperationException", f"There is no {operation!r} here.")
        try:
            return said(self.operations[operation](body), kind="application/x-amz-json-1.1")
        except Refused as e:
            return _refusal(e.code, str(e), e.status)


def _refusal(code: str, message: str, status: int = 400) -> Reply:
    """An error as the JSON protocol has it: its code in the body."""
    return said({"__type": code, "message": message}, status=status)
