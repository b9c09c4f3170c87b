"""Runs that pages look at: each followed once, by a thread of its own, for all of them."""

from __future__ import annotations

import asyncio
import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic_core import to_json

from fsm.journal import RECOVERY
from fsm.store import Store
from fsm.view.following import Following, State
from fsm.view.report import below_json
from fsm.view.timeline import Timeline
from fsm.view.web.offline import machine_json

LOOKS = (
    (2.0, 0.004),
    (30.0, 0.02),
    (float("inf"), 0.05),
)  # so long after its newest record: seconds between looks
FRAME = 0.016  # seconds from what is new to what is new after it: no page shows more
SHARE = 0.1  # of a processor, at most, that is spent on a run that goes on: what is new waits for the rest of the time
LEAP = 32  # new records from which on a page is told the newest moment, and no longer each of them
BETWEEN_PARTS = 0.0005  # seconds between two parts of a long run, for who asks meanwhile
ELSEWHERE = 0.25  # the same in a bucket, where most looks ask nothing
LINGER = 30.0  # seconds that a run is followed after the last page has gone
MOST_WAITING = 2000  # messages for a page that does not read them
VISITS = 12  # records of a state in one answer

Seen = tuple[str, str]  # a machine and a state of it
Queue: TypeAlias = "asyncio.Queue[Message | None]"


@dataclass(frozen=True)
class Message:
    """What a page is told: the kind of event, its JSON, and the record that it goes to."""

    event: str
    data: bytes
    seq: int = -1

    def encoded(self) -> bytes:
        """As a server-sent event."""
        number = f"id: {self.seq}\n".encode() if self.seq >= 0 else b""
        return b"%sevent: %s\ndata: %s\n\n" % (number, self.event.encode(), self.data)


@dataclass
class Places:
    """Where in the journal states and artifacts are, so that one state's records are found without reading all."""

    records: dict[Seen, array[int]] = field(default_factory=dict)
    recoveries: dict[Seen, array[int]] = field(default_factory=dict)  # records of the recovery of a state
    files: dict[str, dict[str, Any]] = field(default_factory=dict)  # newest artifact of each name
    failed: dict[tuple[str, ...], Seen] = field(default_factory=dict)

    def take(self, record: Mapping[str, Any]) -> None:
        """Note the next record."""
        if "from" not in record:  # of the run, not of a state
            return
        seen, at = (record["machine"], record["from"]), tuple(record["at"])
        self.records.setdefault(seen, array("L")).append(record["seq"])
        for name, file in (record.get("files") or {}).items():
            self.files[name] = {**file, "seq": record["seq"]}
        for depth in range(1, len(at) + 1):
            if at[depth - 1].endswith(RECOVERY) and (of := self.failed.get(at[:depth])):
                self.recoveries.setdefault(of, array("L")).append(record["seq"])
        if record["kind"] == "error" and record["recovery"]:
            self.failed[(*at, record["from"] + RECOVERY)] = seen

    def of(self, machine: str, state: str, until: int) -> tuple[list[int], list[int]]:
        """The newest records of a state, or of what is in a composite, and those of its recoveries; oldest first."""

        def newest(found: Mapping[Seen, array[int]]) -> list[int]:
            numbers = [
                n
                for (m, s), of in found.items()
                if m == machine and (s == state or s.startswith(state + "."))
                for n in _before(of, until)
            ]
            return sorted(numbers)[-VISITS:]

        return newest(self.records), newest(self.recoveries)


def _before(numbers: array[int], until: int) -> array[int]:
    end = bisect_right(numbers, until)
    return numbers[max(0, end - VISITS) : end]


class Watched:
    """One run, followed for the pages that look at it. Its methods may be called from any thread."""

    def __init__(self, store: Store, name: str) -> None:
        """Raises ConfigError where no run can have that name."""
        self.store = store
        self.name = name
        self.following = Following(store, name, past=True)
        self.places = Places()
        self._lock = threading.RLock()
        self._pages: dict[Queue, asyncio.AbstractEventLoop] = {}
        self._sent = -1
        self._turn = 0
        self._told = -1
        self._now: bytes = b""
        self._stands: dict[str, Any] = {}  # as pages were told
        self.looked = False  # whether it was looked at, and read to the end if it can be
        self._changed = time.monotonic()
        self._asked = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"watches {name}", daemon=True)
        self._thread.start()

    # Following

    def _follow(self) -> None:
        remote = "://" in self.store.url
        while not self._end.is_set():
            began = time.thread_time()
            with self._lock:
                new = self._look()
                more = new and not self.following.caught_up
            worked = time.thread_time() - began
            quiet = time.monotonic() - self._changed
            pause = ELSEWHERE if remote else FRAME if new else next(p for q, p in LOOKS if quiet < q)
            self._end.wait(BETWEEN_PARTS if more else max(pause, worked * (1 / SHARE - 1)))

    def _look(self) -> bool:
        """Whether anything was new."""
        try:
            new = self.following.poll()
        except Exception as e:  # a page that shows nothing more and does not say so would be worse
            self.following.state, self.following.why = State.UNREADABLE, f"It cannot be followed: {e!r}"
            new = []
        if self.following.turn != self._turn:
            self._turn = self.following.turn
            self.places, self._sent = Places(), -1
            self._tell("anew", {"born": self.born})
        for record in new:
            self.places.take(record)
        if new:
            self._changed = time.monotonic()
        self.looked = self.following.caught_up or not new
        if self.looked and self.following.news != self._told:
            self._told = self.following.news
            self._tell_news()
        return bool(new)

    def _tell_news(self) -> None:
        timeline = self.following.timeline
        if timeline is not None and timeline.last > self._sent:
            if self._pages and self._sent >= 0:
                self._publish(self._step(timeline, self._sent))
            self._sent = timeline.last
            self._now = b""  # with a record a page forgets what was under way
        if timeline is not None and self._pages:
            now = to_json(timeline.now()) if timeline.projection.under_way else b""
            if now != self._now:
                self._now = now
                self._publish(Message("live", now or to_json(timeline.now())))
        stands = {key: value for key, value in self.status().items() if key != "records"}
        if self._pages and stands != self._stands:
            self._stands = stands
            self._publish(Message("status", to_json(self.status())))

    def _step(self, timeline: Timeline, seq: int) -> Message:
        """From a record to the newest: each between them, or where there are many, all at once."""
        if timeline.last - seq <= LEAP:
            return Message("change", to_json(timeline.since(seq)), timeline.last)
        moment, marks = timeline.moment(timeline.last), to_json(timeline.marks_after(seq))
        return Message("leap", b'{"moment":%s,"marks":%s}' % (moment, marks), timeline.last)

    def _tell(self, event: str, value: Any) -> None:
        self._publish(Message(event, to_json(value)))

    def _publish(self, message: Message) -> None:
        for queue, loop in self._pages.items():
            loop.call_soon_threadsafe(_put, queue, message)

    # Pages

    def join(self, queue: Queue, loop: asyncio.AbstractEventLoop, seq: int, born: str) -> None:
        """Tell a page what happened after record `seq` of the run that was `born` then, and what happens from now on.

        None in its queue: the page has not read for too long.
        """
        with self._lock:
            timeline = self.following.timeline
            self._asked = time.monotonic()
            first: list[Message] = []
            last = timeline.last if timeline else -1
            if born != self.born or seq > last:
                first.append(Message("anew", to_json({"born": self.born})))
            elif timeline is not None and seq < last:
                first.append(self._step(timeline, seq))
            self._sent = max(self._sent, last) if self.following.caught_up else self._sent
            if timeline is not None:
                first.append(Message("live", to_json(timeline.now())))
            first.append(Message("status", to_json(self.status())))
            self._pages[queue] = loop
            for message in first:
                loop.call_soon_threadsafe(_put, queue, message)

    def leave(self, queue: Queue) -> None:
        """A page has gone."""
        with self._lock:
            self._pages.pop(queue, None)
            self._asked = time.monotonic()

    @property
    def idle(self) -> bool:
        """Whether nobody has looked at it for a while."""
        return not self._pages and time.monotonic() - self._asked > LINGER

    def close(self) -> None:
        """Follow it no longer."""
        self._end.set()

    def join_thread(self) -> None:
        self._thread.join(2)

    # What it says

    @property
    def born(self) -> str:
        """What tells this run from another that is begun under its name."""
        header = self.following.header
        return f"{header.get('created', '')}/{header.get('generation', 0)}" if header else ""

    def status(self) -> dict[str, Any]:
        """How the run stands."""
        f = self.following
        p = f.projection
        live = f.live or {}
        return {
            "state": str(f.state),
            "why": f.why,
            "records": p.records,
            "caught_up": f.caught_up,
            "missing": f.missing,
            "changed": list(f.changed),
            "alive": f.alive,
            "runner": {k: live.get(k) for k in ("host", "pid")} if f.alive else None,
            "watching": below_json(f.watching, str(f.watching.state)) if f.watching else None,
            "watches": f.watches,
        }

    def header(self) -> dict[str, Any]:
        """What a page needs to begin with."""
        with self._lock:
            self._asked = time.monotonic()
            f = self.following
            timeline = f.timeline
            machines = f.projection.machines
            return {
                "run": self.name,
                "url": f._run.url,
                "born": self.born,
                "machine": f.header.get("machine"),
                "created": f.header.get("created"),
                "machines": {name: machine_json(m) for name, m in machines.items()},
                "index": timeline.index() if timeline else None,
                "status": self.status(),
            }

    def chunk(self, seq: int) -> bytes:
        """The part of the timeline that a record is in."""
        with self._lock:
            self._asked = time.monotonic()
            timeline = self.following.timeline or Timeline()
            return timeline.chunk(seq)

    def moment(self, seq: int | None, until: float | None) -> bytes:
        """The run as it was after a record, or at a time; the newest where neither is given. Raises ConfigError."""
        with self._lock:
            self._asked = time.monotonic()
            timeline = self.following.timeline or Timeline()
            if until is not None:
                return timeline.moment(timeline.before(until))
            return timeline.moment(timeline.last if seq is None else seq)

    def records_of(self, machine: str, state: str, until: int) -> dict[str, Any]:
        """The newest records of a state up to one, oldest first, and those of its recoveries."""
        with self._lock:
            timeline = self.following.timeline or Timeline()
            own, recovery = self.places.of(machine, state, until)
            return {"records": timeline.rows(own), "recovery": timeline.rows(recovery)}

    def files(self) -> dict[str, dict[str, Any]]:
        """The newest artifact of each name: {"sha256", "size", "seq"}."""
        with self._lock:
            self._asked = time.monotonic()
            return dict(self.places.files)


def _put(queue: Queue, message: Message) -> None:
    if queue.qsize() >= MOST_WAITING - 1:  # a page that does not read begins anew
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)
        return
    queue.put_nowait(message)


class Watching:
    """All runs of a store that pages look at."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._runs: dict[str, Watched] = {}
        self._lock = threading.Lock()

    def run(self, name: str) -> Watched:
        """The run of a name, followed from now on. Raises ConfigError where no run can have that name."""
        with self._lock:
            for other in [n for n, w in self._runs.items() if n != name and w.idle]:
                self._runs.pop(other).close()
            found = self._runs.get(name)
            if found is None:
                found = self._runs[name] = Watched(self.store, name)
            for watched in self._runs.values():
                watched.following.among = len(self._runs)
            return found

    def close(self) -> None:
        """Follow none of them any longer."""
        with self._lock:
            for watched in self._runs.values():
                watched.close()
            for watched in self._runs.values():
                watched.join_thread()
            self._runs.clear()
