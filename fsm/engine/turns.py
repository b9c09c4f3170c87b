"""Taking turns: of threads that could go at once one goes at a time, from one of its records to its next, and who is next is chosen.

A run whose lines take turns goes the same way whenever the same choices are made. That is how a test goes through the ways
in which lines can be shuffled, and how a proof kills a run at a moment that comes again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

Choose = Callable[[Sequence[str]], str]
"""Of the names of those who could go, in order, the one that does."""


def in_rotation() -> Choose:
    """Everyone in turn, in the order of their names."""
    last = ""

    def choose(names: Sequence[str]) -> str:
        nonlocal last
        last = next((name for name in names if name > last), names[0])
        return last

    return choose


class Turns:
    """Whose turn it is. Names are entered before their threads begin, so that nothing hangs on which thread is quick."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._waiting: set[str] = set()
        self._now: str | None = None
        self._changed = threading.Condition()

    def enter(self, names: Sequence[str], instead: str | None = None) -> None:
        """Have these take part from now on; in the place of `instead`, which has its turn and waits for them."""
        with self._changed:
            self._waiting.update(names)
            if instead is not None and self._now == instead:
                self._now = None
            self._next()

    def await_turn(self, name: str) -> None:
        """Wait until it is this one's turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._now == name)

    def go_on(self, name: str) -> None:
        """A turn is over: let someone have the next one, oneself perhaps, and wait for one's own."""
        with self._changed:
            if self._now == name:
                self._now = None
                self._waiting.add(name)
                self._next()
            self._changed.wait_for(lambda: self._now == name)

    def leave(self, name: str, to: str | None = None) -> None:
        """Take part no longer. `to` does again, who waited for this one."""
        with self._changed:
            self._waiting.discard(name)
            if to is not None:
                self._waiting.add(to)
            if self._now == name:
                self._now = None
            self._next()

    def _next(self) -> None:
        if self._now is None and self._waiting:
            self._now = self._choose(sorted(self._waiting))
            self._waiting.discard(self._now)
            self._changed.notify_all()
