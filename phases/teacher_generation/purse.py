"""What a run may pay its teacher: reserved before a call is sent, settled when it has ended, never gone over.

What has been paid is the ledger's to know, so that a run that was killed goes on with what is left. What a killed process had
under way nobody can know: before calls are sent, the most that they can come to is entered as open, and a process that
ends in good order takes it off again.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from phases.errors import BudgetReached
from phases.teacher_generation.ledger import Ledger, Paid

LOOK = 0.1  # seconds between two looks whether to stop


@dataclass
class Hold:
    """What one call has reserved, and what it came to."""

    most: Decimal
    paid: Decimal = Decimal(0)


class Purse:
    """The budget of one run, for threads. Without a limit it only adds up."""

    def __init__(self, ledger: Ledger, run: str, limit: float | None = None) -> None:
        self.run = run
        self.limit = None if limit is None else Decimal(str(limit))
        self.paid = Decimal(0)  # by this process
        self._ledger = ledger
        self._before = Decimal(0) if self.limit is None else ledger.spent(run)
        self._reserved = Decimal(0)
        self._opened = Decimal(0)
        self._nonce = secrets.token_hex(8)  # names entries of the ledger, and nothing that a record says
        self._entries = 0
        self._change = threading.Condition()

    @property
    def spent(self) -> Decimal:
        """Dollars that the run has paid, or may have."""
        return self._before + self.paid

    @contextmanager
    def hold(self, most: Decimal, stopping: Callable[[], bool]) -> Iterator[Hold | None]:
        """Reserve what a call can cost at most; None where `stopping()` came first.

        Where it would fit if calls under way cost less than they have reserved, it waits for them.

        Raises:
            BudgetReached: it does not fit, whatever becomes of them.
            StoreError: the ledger cannot be written.
        """
        hold = self._reserve(most, stopping)
        try:
            yield hold
        finally:
            if hold is not None:
                with self._change:
                    self._reserved -= most
                    self.paid += hold.paid
                    self._change.notify_all()

    def close(self) -> None:
        """Nothing is under way any more."""
        with self._change:
            opened, self._opened = self._opened, Decimal(0)
        if opened:
            self._note(-opened, "closed")

    def _reserve(self, most: Decimal, stopping: Callable[[], bool]) -> Hold | None:
        with self._change:
            if self.limit is None:
                self._reserved += most
                return Hold(most)
            while not stopping():
                if self.spent + most > self.limit:
                    raise BudgetReached(self._said(most))
                if self.spent + self._reserved + most <= self.limit:
                    self._reserved += most
                    if (more := self._reserved - self._opened) > 0:  # no more often than there are workers
                        self._note(more, "open")
                        self._opened += more
                    return Hold(most)
                self._change.wait(LOOK)
            return None

    def _note(self, usd: Decimal, what: str) -> None:
        self._entries += 1
        self._ledger.note(Paid(self.run, "", usd=str(usd), what=what), self._nonce, str(self._entries))

    def _said(self, most: Decimal) -> str:
        assert self.limit is not None
        left = max(self.limit - self.spent, Decimal(0))
        return (
            f"The budget of run {self.run.rpartition('/')[0]} is reached: ${self.spent:.4f} of teacher_generation.max_cost_usd "
            f"${self.limit:.2f} are spent, ${left:.4f} are left, and the next call may cost ${most:.4f}. Every answer that was paid "
            "for is kept, and is not paid for again. Raise teacher_generation.max_cost_usd and give the same command again: the "
            "run goes on from here."
        )
