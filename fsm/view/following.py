"""A run, followed from outside by name and with read access alone: what is new, who is at it, how it stands.

    following = Following(open_store(url), "local")
    while True:
        for record in following.poll(): ...
        draw(following.projection, following.state, following.why)

Every face that shows a run as it goes reads one of these. Bad news is a state, not an exception: what was read before it
stays, and the next look may find the trouble gone. Not for several threads at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

from fsm.engine import Machine
from fsm.errors import FsmError, JournalDamaged, NewerFormat
from fsm.journal import checked, decode, digest, foreign, header_of
from fsm.store import Silent, Store, trail
from fsm.view.projection import Projection
from fsm.view.report import DEEPEST, Reading, changed, drawings, is_alive, say_now
from fsm.view.timeline import Timeline

AGAIN = 2.0  # seconds until a run that could not be read is looked at again; doubles
SELDOMEST = 60.0  # and no longer than that
GIVES_WAY = 10  # how much nicer than the runner a process is that only looks
LOCK_LOOK = 0.5  # seconds between two looks whether the lock of a local run is held


def give_way() -> None:
    """For a process that only looks: let the runner have the processor where there is not enough of it for both.

    Linux may share the processor among sessions first (autogroup), whatever is nice in them; a session of this process's own
    is made nicer as well.
    """
    with suppress(OSError):
        os.nice(GIVES_WAY)
    with suppress(OSError):
        if os.getsid(0) == os.getpid():
            Path("/proc/self/autogroup").write_text(str(GIVES_WAY))


class State(StrEnum):
    """How a run that is followed stands."""

    ABSENT = "absent"  # no run of that name; it may come
    BEGINNING = "beginning"  # its header is there, and no record yet
    RUNNING = "running"
    STOPPED = "stopped"  # resumable, or its runner died
    WAITING = "waiting"  # for a moment or an answer, and nobody is at it
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NEWER = "newer format"
    UNREADABLE = "unreadable"


class Following:
    """One run of a store, and the run that it watches.

    state       how it stands; `why` says more, where there is trouble or the run is not there
    header      run.json; empty until it was read
    projection  what its records fold into, with what the runner said since; another one after each `turn`
    timeline    the same with its past, where it was asked for (`past`)
    live        what its runner last said of itself, by live.json
    alive       whether a runner is at it
    watching    the run that it follows itself, followed likewise; None where there is none
    news        grows whenever anything of this has changed, records and what its runner says among it
    turn        counts the runs of the name that were seen: it grows when the run is begun anew
    caught_up   whether the last look went to the end of the journal
    missing     records that are known to have been written and are not there
    foreign     why the run is not the one that it stands as, where it is not
    changed     machines whose drawings are not those that the run was begun with
    among       how many runs are followed by whoever follows this one; they share the requests of a minute
    """

    def __init__(
        self,
        store: Store,
        name: str,
        *,
        past: bool = False,
        machines: Callable[[Mapping[str, Any]], Mapping[str, Machine]] = drawings,
        clock: Callable[[], float] = time.monotonic,
        depth: int = 0,
    ) -> None:
        """`machines` finds the drawings of a run by its header. Raises ConfigError where no run can have that name."""
        self.store = store
        self.name = name
        self.past = past
        self._machines = machines
        self._clock = clock
        self._depth = depth
        self.among = 1
        self._run = store.run(name)
        self._url = f"{store.url}/runs/{name}"
        self._trail = trail(self._run, clock)
        self.turn = 0
        self.news = 0
        self.why = ""
        self.state = State.ABSENT
        self._which: object | None = None
        self._lost = True
        self._heard = False  # whether live.json was looked at in this look
        self._not_before = float("-inf")
        self._pause = AGAIN
        self._begin({})

    def _begin(self, header: Mapping[str, Any]) -> None:
        self.header = header
        machines = self._machines(header) if header else {}
        self.timeline = Timeline(machines) if self.past else None
        self.projection = self.timeline.projection if self.timeline else Projection(machines)
        self.projection.name = self.name
        self.foreign: str | None = None
        self._header_digest = ""
        self.changed = changed(header, machines) if header else ()
        self.live: dict[str, Any] | None = None
        self.alive = False
        self.watching: Following | None = None
        self.caught_up = False
        self.missing = 0
        self._seen = 0
        self._prev: str | None = None
        self._lock_seen = float("-inf")

    # Looking

    def poll(self) -> list[dict[str, Any]]:
        """The records that are new, oldest first; of a long run a part at a time (`caught_up`).

        May be called as often as a face likes: in a bucket most calls ask nothing.
        """
        if self._clock() < self._not_before:
            return []
        new: list[dict[str, Any]] = []
        stood, self._heard = self._standing(), False
        try:
            self._look(new)
        except Silent as e:
            self.why = f"{e}: what is shown may be old; it is asked again."
        except FsmError as e:
            self._trouble(e)
        else:
            self._pause, self._not_before = AGAIN, float("-inf")
        self.news += bool(new or self._heard or self._standing() != stood)
        return new

    def _standing(self) -> tuple[Any, ...]:
        """All that is told of it besides its records and live.json."""
        below = self.watching
        said = (self.state, self.why, self.alive, self.missing, self.caught_up, self.turn)
        return (*said, below and (below.name, below.news))

    def _trouble(self, e: FsmError) -> None:
        self.state = State.NEWER if isinstance(e, NewerFormat) else State.UNREADABLE
        self.why = e.message
        self._not_before = self._clock() + self._pause
        seldomest = (
            SELDOMEST if "://" in self.store.url else AGAIN
        )  # to look at a directory costs next to nothing
        self._pause = min(2 * self._pause, seldomest)

    def _look(self, new: list[dict[str, Any]]) -> None:
        self._trail.share = (self._depth + self._chain) * self.among
        seen = 0 if self._lost else self._seen
        look = self._trail.look(seen, ended=self.projection.ended is not None and not self._lost)
        if look.which is None:
            self._lost = True
            self.state, self.alive = State.ABSENT, False
            gone = "no longer a run" if self.turn else "no run"
            self.why = f"There is {gone} {self.name} at {self.store.url}; it is shown as soon as it begins."
            return
        if look.which != self._which:
            self._which = None
            header = header_of(look.header or b"", self._run)
            self._begin(header)
            self._header_digest = digest(look.header or b"")
            self._which = look.which
            self.turn += 1
            if seen:  # these records were read on from the end of the former run
                self._look(new)
                return
        elif self._lost and self._seen:  # the same one, back in its place
            self._lost = False
            self._look(new)
            return
        self._lost = False
        for item in look.new:
            new.append(self._take(item))
        self.caught_up = not look.more
        if look.live is not None:
            self.live, self._heard = look.live, True
        self._stand(look.live is not None, bool(look.new) or look.live is not None)

    def _take(self, item: bytes | dict[str, Any]) -> dict[str, Any]:
        """Hold one more against the schema and the chain, and fold it. Raises JournalDamaged, which says the record's number."""
        where = self._where
        record = checked(item, where) if isinstance(item, dict) else decode(item, where, ordered=False)
        if record["seq"] != self._seen:
            raise JournalDamaged(
                f"{where}: it is missing; {record['seq']} stands in its place. `fsm audit {self.name}` says more."
            )
        if self._prev is not None and record["prev"] != self._prev:
            raise JournalDamaged(
                f"{where}: it does not follow from the record before it: one of the two was changed. `fsm audit {self.name}` says more."
            )
        try:
            (self.timeline or self.projection).apply(record)
        except Exception as e:  # a record that passes the schema may still say what cannot be
            raise JournalDamaged(
                f"{where}: it cannot follow from the records before it ({type(e).__name__}: {e}). `fsm audit {self.name}` says more."
            ) from e
        if self._seen == 0:
            self.foreign = foreign(self.name, self._url, self.header, self._header_digest, record["prev"])
        self._seen += 1
        # live.json brings a record without its snapshot, so what the next one calls it is not known
        self._prev = digest(item) if isinstance(item, bytes) else None
        return record

    @property
    def _where(self) -> str:
        return f"{self._url}, record {self._seen}"

    def _stand(self, looked: bool, news: bool) -> None:
        """How the run stands, now that all that is new was taken: `news`, if anything was, live.json if it was `looked` at."""
        p = self.projection
        self._alive(looked)
        self.why = ""
        if p.ended:
            self.state = State(p.ended["outcome"])
            self.watching = None
        elif p.records == 0 and (self.alive or not self.live):
            self.state = State.BEGINNING
        else:
            self.state = State.RUNNING if self.alive else State.WAITING if p.pauses else State.STOPPED
            self.why = p.waits or ("" if self.alive else p.stopped or "")
        if self.caught_up:
            written = self.live.get("seq") if self.live else None
            self.missing = max(0, written + 1 - p.records) if isinstance(written, int) else 0
            if news and self.live and self.alive:
                say_now(p, self.live)
            self._follow_on()

    def _alive(self, looked: bool) -> None:
        """Whether a runner is at it. To look at a lock is to hold it for a moment, so that is not done at every poll."""
        now = self._clock()
        if not hasattr(self._run, "busy"):
            if looked:
                self.alive = is_alive(self._run, self.live)
        elif now - self._lock_seen >= LOCK_LOOK:
            self._lock_seen = now
            self.alive = is_alive(self._run, self.live)

    def _follow_on(self) -> None:
        """Follow the run that this one watches."""
        if self.projection.ended or self._depth + 1 >= DEEPEST:
            return
        name = self.watches
        if name is None:
            self.watching = None
            return
        if self.watching is None or self.watching.name != name:
            try:
                self.watching = Following(
                    self.store,
                    name,
                    past=self.past,
                    machines=self._machines,
                    clock=self._clock,
                    depth=self._depth + 1,
                )
            except FsmError:  # a name that no run can have
                return
        self.watching.among = self.among
        self.watching.poll()
        if levels := self.projection.stack():
            self.projection.watch(levels[-1].at, levels[-1].state, self.watching.projection)

    @property
    def _chain(self) -> int:
        """How many runs are followed from here on."""
        return 1 + (self.watching._chain if self.watching else 0)

    # What faces read

    @property
    def watches(self) -> str | None:
        """The name of the run that it follows, or followed last."""
        name = self.live.get("watching") if self.live else None
        return name if isinstance(name, str) and name != self.name else None

    @property
    def reading(self) -> Reading:
        """The run as `fsm status` reads it."""
        return Reading(
            self.name,
            self._url,
            self.header,
            self.projection,
            self.live,
            self.alive,
            self.missing,
            self.watching.reading if self.watching else None,
            self.foreign,
        )
