"""A bucket in memory, for what is counted in requests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fsm.faults import Patient
from fsm.store.bucket import Exists, Got, Missing, Page
from fsm.store.s3_shelf import S3Shelf


class Counted:
    """A bucket in memory that counts what it is asked, and has a clock of its own."""

    name = "bucket"

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.asked: list[str] = []
        self.now = 0.0
        self.written: dict[str, float] = {}
        self.before_put: Callable[[], object] = lambda: None
        self._lock = threading.Lock()

    def put(self, name: str, body: bytes, *, absent: bool) -> None:
        before, self.before_put = self.before_put, lambda: None
        before()
        self.asked.append("put")
        with self._lock:
            if absent and name in self.objects:
                raise Exists(name)
            self.objects[name], self.written[name] = body, self.now

    def get(self, name: str) -> Got:
        self.asked.append("get")
        if name not in self.objects:
            raise Missing(name)
        then = self.written.get(name, 0.0)
        return Got(self.objects[name], self.now - then, then)

    def list(self, prefix: str, *, after: str = "", limit: int = 1000, folders: bool = False) -> Page:
        self.asked.append("list")
        names = sorted(n for n in list(self.objects) if n.startswith(prefix) and n > after)
        return Page(tuple((n, len(self.objects[n])) for n in names[:limit]), (), len(names) > limit)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not needed")

    def shelf(self, owner: str = "") -> S3Shelf:
        return S3Shelf(self, "p/teacher/", Patient("bucket", 1.0), 4, owner)
