"""A bucket that only pretends to hold a journal, for what is about its length."""

from __future__ import annotations

from typing import Any

from fsm.store.bucket import Page


class Pretended:
    """Lists `count` records below `prefix`; holds nothing."""

    name = "pretended"

    def __init__(self, prefix: str, count: int) -> None:
        self.prefix = prefix
        self.count = count
        self.lists = 0

    def list(self, prefix: str, *, after: str = "", limit: int = 1000, folders: bool = False) -> Page:
        self.lists += 1
        if prefix != self.prefix:
            return Page((), (), False)
        first = int(after.removeprefix(prefix).removesuffix(".json")) + 1 if after else 0
        numbers = range(first, min(first + limit, self.count))
        keys = tuple((f"{prefix}{n:012}.json", 2) for n in numbers)
        return Page(keys, (), first + limit < self.count)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not pretended")
