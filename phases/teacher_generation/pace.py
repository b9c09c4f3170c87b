"""How fast a teacher is asked: as many calls at once, or as many tokens a minute, as it takes without turning any away.

Additive increase, multiplicative decrease (Chiu and Jain, 1989), by the call: so the share of calls that are turned away is
the same under a small quota as under a large one. Where a service counts tokens a minute (Bedrock reserves a call's input
and max_tokens when it begins, and gives back at its end what was not written), the rate of tokens is what is controlled;
elsewhere the number of calls at once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

MINUTE = 60.0
LESS = 0.88  # what a decrease leaves of the rate
MORE = 0.0009  # what a call that was answered adds to the rate, in shares; and more the longer none was turned away
SOON = (
    1 / 12
)  # of a minute in which the rate doubles until the second decrease: the first estimate is a careful one
FEWER = 0.7  # what a decrease leaves of the calls at once
BURST = 1 / 15  # of a minute that may be saved up
MOMENT = 0.05  # seconds that calls are counted together for
ROW = 10  # throttles in a row that are not the rest of a minute
LOOK = 0.1  # seconds between two looks whether to stop


@dataclass
class Turn:
    """One call's place: since when it is under way, what it reserved, and what became of it."""

    since: float
    reserved: float
    used: float | None = None
    throttled: bool = False
    wait: float = 0.0


@dataclass
class Rates:
    """The arithmetic, without threads: when the next call may begin. Times are seconds of any steady clock.

    most     calls at once, at most          known   tokens a second, where they are configured
    counted  whether tokens a minute are what the service counts
    base     seconds of the first pause that everybody makes where nobody gets through
    """

    most: int
    counted: bool
    known: float | None = None
    base: float = 1.0
    at_once: float = field(init=False)
    under_way: int = 0
    rate: float | None = field(init=False)
    throttles: int = 0
    decreases: int = 0
    _level: float = 0.0
    _at: float = 0.0
    _quiet_until: float = 0.0
    _decreased: float = -1.0
    _row: int = 0  # throttles since the last answer, one after the other
    _row_at: float = -1.0
    _best: float = 0.0  # tokens a second that were taken at most
    _since: int = 0  # answers since the last decrease
    _began: float | None = None  # of what is counted as taken lately
    _lately: deque[tuple[float, float]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.at_once = float(self.most)
        self.rate = self.known

    def wait(self, now: float, tokens: float) -> float:
        """Seconds until a call that reserves so many tokens may begin; 0: now."""
        if self.under_way >= max(1, int(self.at_once)):
            return LOOK
        if now < self._quiet_until:
            return self._quiet_until - now
        if self.rate is None:
            return 0.0
        self._fill(now)
        need = min(
            tokens, max(BURST * MINUTE * self.rate, 1.0)
        )  # one that is larger than what may be saved up goes on credit
        return 0.0 if self._level >= need else (need - self._level) / self.rate

    def begin(self, now: float, tokens: float) -> Turn:
        """A call begins."""
        self._began = now if self._began is None else self._began
        self.under_way += 1
        if self.rate is not None:
            self._fill(now)
            self._level -= tokens
        if self.counted:
            self._taken(now, tokens)
        return Turn(now, tokens)

    def end(self, now: float, turn: Turn) -> None:
        """A call has ended: it was answered (`used` tokens), turned away (`throttled`), or failed."""
        self.under_way -= 1
        if turn.throttled:
            self._throttled(now, turn)
            return
        if turn.used is None:
            return
        self._row = 0
        self._since += 1
        if not self.counted:
            self.at_once = min(float(self.most), self.at_once + 0.5 / self.at_once)
            return
        self._taken(now, turn.used - turn.reserved)  # given back by the service as well
        if self.rate is not None:
            self._level += turn.reserved - turn.used
            self.rate *= 1 + MORE * (1 + self._since / 200)
            if self.known is not None:
                self.rate = min(self.rate, self.known)

    def _taken(self, now: float, tokens: float) -> None:
        """Note what was taken, or given back, for a minute: calls of one moment together, however many there are."""
        if self._lately and now - self._lately[-1][0] < MOMENT:
            then, before = self._lately.pop()
            self._lately.append((then, before + tokens))
        else:
            self._lately.append((now, tokens))
        while self._lately[0][0] < now - MINUTE:
            self._lately.popleft()

    def _throttled(self, now: float, turn: Turn) -> None:
        self.throttles += 1
        if turn.since >= self._row_at:  # those under way together are one
            self._row += 1
            self._row_at = now
        if self.counted:
            self._taken(now, -turn.reserved)  # nothing was taken
            self._level += turn.reserved
        # what began before the last decrease tells of what was before it; and of a service that has nothing left for the
        # rest of its minute each of a row of throttles tells the same
        if self._row in (1, ROW) and (turn.since > self._decreased or not self.decreases):
            self._decreased, self._since = now, 0
            self.decreases += 1
            if self.counted:
                self.rate = self._lower(now, turn.reserved)
                self._level = min(self._level, 0.0)
                self._at = now
            else:
                self.at_once = max(1.0, self.at_once * FEWER)
        pause = self.base / 2 * 2.0 ** min(self._row - 1, 5) if self._row > 1 else 0.0
        self._quiet_until = max(self._quiet_until, now + max(turn.wait, pause))

    def _lower(self, now: float, reserved: float) -> float:
        """The rate after a decrease. At the first it is a careful guess at the quota: what was taken within the last minute, of
        a store that was full at the beginning. From then on what is taken is counted from there, where the store was empty.

        Not every throttle is the quota's: it goes no lower than one call in eight times `base` seconds, unless no more was ever taken.
        """
        taken, gone = (
            sum(tokens for _, tokens in self._lately),
            now - (now if self._began is None else self._began),
        )
        least = reserved / (8 * max(self.base, 1e-3))
        if self.rate is None:
            self._lately.clear()
            self._began = now
            return max(taken / (MINUTE + min(gone, MINUTE)), least)
        lower = self.rate * LESS
        if gone > MINUTE * SOON:
            lately = taken / min(gone, MINUTE)
            self._best = max(self._best, lately)
            least = min(least, self._best / 2)
            if (
                self.decreases <= 2 and lately > reserved / MINUTE
            ):  # it was doubled until now, and is far above what is taken
                lower = min(lower, 0.95 * lately)
        return max(lower, least, 1.0)

    def _fill(self, now: float) -> None:
        assert self.rate is not None
        if self._at:
            if self.decreases == 1 and self.known is None:
                self.rate *= 2.0 ** ((now - self._at) / (MINUTE * SOON))
            self._level = min(
                self._level + (now - self._at) * self.rate, max(BURST * MINUTE * self.rate, 1.0)
            )
        self._at = now


class Pace:
    """The rates, for threads: each call is one `turn`."""

    def __init__(
        self,
        most: int,
        counted: bool,
        tokens_per_minute: int | None = None,
        base: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rates = Rates(most, counted, tokens_per_minute / MINUTE if tokens_per_minute else None, base)
        self._clock = clock
        self._change = threading.Condition()

    @contextmanager
    def turn(self, tokens: float, stopping: Callable[[], bool]) -> Iterator[Turn | None]:
        """Wait until a call that reserves so many tokens may begin; None where `stopping()` came first."""
        turn: Turn | None = None
        with self._change:
            while not stopping():
                now = self._clock()
                if (wait := self.rates.wait(now, tokens)) <= 0:
                    turn = self.rates.begin(now, tokens)
                    break
                self._change.wait(min(wait, LOOK))
        try:
            yield turn
        finally:
            if turn is not None:
                with self._change:
                    self.rates.end(self._clock(), turn)
                    self._change.notify()

    @property
    def said(self) -> str:
        """The window as a person reads it."""
        rates = self.rates
        if rates.rate is not None:
            return f"{rates.under_way} at once, {rates.rate * MINUTE:,.0f} tokens a minute"
        return f"{rates.under_way} at once of {int(rates.at_once)}"
