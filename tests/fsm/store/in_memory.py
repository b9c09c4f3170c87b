"""A bucket in memory, for what is about which objects there are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from fsm.store.bucket import Exists, Got, Missing, Page


class InMemory:
    """Objects by key. Uploads in parts are not for it."""

    name = "memory"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, body: bytes, *, absent: bool) -> None:
        if absent and key in self.objects:
            raise Exists(key)
        self.objects[key] = body

    def get(self, key: str) -> Got:
        if key not in self.objects:
            raise Missing(key)
        return Got(self.objects[key], 0.0)

    def size(self, key: str) -> int | None:
        return len(self.objects[key]) if key in self.objects else None

    def list(self, prefix: str, *, after: str = "", limit: int = 1000, folders: bool = False) -> Page:
        keys = sorted(k for k in self.objects if k.startswith(prefix) and k > after)
        cut = {k: k[: k.find("/", len(prefix)) + 1] if folders else "" for k in keys}
        prefixes = tuple(islice(dict.fromkeys(c for c in cut.values() if c and c > after), limit))
        plain = [(k, len(self.objects[k])) for k in keys if not cut[k]]
        return Page(tuple(plain[:limit]), prefixes, len(plain) > limit)

    def stream(self, key: str, start: int = 0) -> Iterator[bytes]:
        yield self.get(key).body[start:]

    def delete(self, keys: tuple[str, ...]) -> None:
        for key in keys:
            del self.objects[key]

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not kept in memory")
