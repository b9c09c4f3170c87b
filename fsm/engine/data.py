"""Durable data as a handler holds it: a dictionary that copies a value when it is first touched, and knows which were.

A visit may change what it likes and leave nothing behind if it fails, so it never holds what the fold holds. To copy all
of the data before each visit costs by how much there is; this costs by what the visit touches. The values of the fold
stand in the dictionary itself until somebody asks for one: what reads the storage without asking (`==`, `repr`, `in`,
`len`) needs no copy, and everything that hands a list or a dict out is overridden here to make one first.

What CPython takes out of the storage of a subclass behind its back it takes only where `__iter__` is dict's own (PyDict_Merge:
`dict(data)`, `{**data}`, `other.update(data)`); `json` asks for `items()`. A C extension that reads the storage of any dict is the
one way round, and must not keep a nested value in order to change it.
"""

from __future__ import annotations

import threading
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from types import MappingProxyType
from typing import Any

from fsm.journal import copied, json_values

_ABSENT: Any = object()
_BRANCHES = (dict, list)
_first = threading.Lock()  # threads of a handler may meet at a value that none has touched: one copy for all


class Data(dict[str, Any]):
    """JSON values by key, given by `base`, of which nothing is changed whatever is done here."""

    __slots__ = ("_was",)

    def __init__(self, base: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__(base)
        self._was: dict[str, Any] = {}  # what stood at each key that was touched; _ABSENT where nothing did

    def _own(self, key: str, value: Any) -> Any:
        """`value`, which stands at `key`: a copy from here on, where it can be changed and is the base's still."""
        if isinstance(value, _BRANCHES) and self._was.get(key, value) is value:
            with _first:
                value = super().__getitem__(key)  # another thread may have been first
                if self._was.setdefault(key, value) is value:
                    value = copied(value)
                    super().__setitem__(key, value)
        return value

    def _own_all(self) -> None:
        for key, value in super().items():
            self._own(key, value)

    def _about_to_change(self, key: str) -> None:
        if key not in self._was:
            self._was[key] = super().get(key, _ABSENT)

    # Handing out

    def __getitem__(self, key: str) -> Any:
        return self._own(key, super().__getitem__(key))

    def get(self, key: str, default: Any = None) -> Any:
        value = super().get(key, _ABSENT)
        return default if value is _ABSENT else self._own(key, value)

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        self._own_all()
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        self._own_all()
        return super().items()

    def copy(self) -> dict[str, Any]:
        return dict(self.items())

    __copy__ = copy

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (self.copy(),)

    def __or__(self, other: Any) -> Any:
        return self.copy() | other if isinstance(other, dict) else NotImplemented

    def __ror__(self, other: Any) -> Any:
        return other | self.copy() if isinstance(other, dict) else NotImplemented

    # Changing

    def __setitem__(self, key: str, value: Any) -> None:
        self._about_to_change(key)
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        if key in self:
            self._about_to_change(key)
        super().__delitem__(key)

    def pop(self, key: str, *default: Any) -> Any:
        if key in self:
            self._own(key, super().__getitem__(key))
            self._about_to_change(key)
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        if not self:
            return super().popitem()  # which says so
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        for key in self:
            self._about_to_change(key)
        super().clear()

    def update(self, *other: Any, **more: Any) -> None:
        for key, value in dict(*other, **more).items():
            self[key] = value

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    # What became of it

    @property
    def touched(self) -> bool:
        """Whether anything was handed out that could be changed, or put in."""
        return bool(self._was)

    def base(self) -> dict[str, Any]:
        """What it was made of, in no particular order."""
        untouched = {key: value for key, value in super().items() if key not in self._was}
        return untouched | {key: value for key, value in self._was.items() if value is not _ABSENT}

    def patch(self, now: Mapping[str, Any], where: str) -> dict[str, Any] | None:
        """What `now`, which is this or what a handler put in its place, has otherwise than the base: {"set", "drop"}.

        Only what was touched is compared, and only what differs is made JSON. Raises NotJson, whose message `where` begins.
        """
        if now is self:
            before = {key: value for key, value in self._was.items() if value is not _ABSENT}
            left = {key: value for key, value in super().items() if key in self._was}
        else:
            before, left = self.base(), dict(now)
        differs = {k: v for k, v in left.items() if k not in before or before[k] != v}
        patch: dict[str, Any] = {}
        if differs:
            patch["set"] = json_values(differs, where)
        if dropped := before.keys() - left.keys() - patch.get("set", {}).keys():
            patch["drop"] = sorted(dropped)
        return patch or None
