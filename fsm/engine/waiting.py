"""Waiting for a moment, and asking a person: what is waited for stands in the journal, so that a resumed run waits the rest."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from fsm.errors import PhaseError
from fsm.journal import copied, is_open, json_values, moment, requests

if TYPE_CHECKING:
    from fsm.engine.context import Context
    from fsm.engine.stop import Stop
    from fsm.store import RunStore

LONGEST = 3653 * 86400.0  # seconds, ten years; a longer wait is a wrong unit
SLICE = 1.0  # seconds slept at a time, so that a stop asked for by another thread is heard
FIRST_LOOK = 0.2  # seconds between two looks for an answer; grows by half each time, up to
SELDOMEST_LOOK = 2.0
SELDOMEST_ELSEWHERE = 15.0  # the same of a run in a bucket, where every look is a request


class Clock(Protocol):
    """The time on the wall, and as it passes here."""

    def time(self) -> float: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class Resting(BaseException):
    """The run waits, and its runner was told not to wait with it. Passes through the handlers above."""


@dataclass(frozen=True)
class Answer:
    """The edge that was named: by whom, with which note, and the values that were set with it in the machine's data.

    `by` is None where nobody had answered when the time limit passed.
    """

    label: str
    by: str | None = None
    note: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


class Recorder(Protocol):
    """What is asked of the loop that drives the run."""

    run: RunStore

    @property
    def stop(self) -> Stop:
        """How the one who drives hears of a stop."""
        ...

    def pauses(self, ctx: Context) -> Mapping[str, Any]:
        """The pauses of this visit, by key."""
        ...

    def say(self, ctx: Context, kind: str, **said: Any) -> None:
        """Commit a record of the state that acts."""
        ...

    def waited(self, ctx: Context, seconds: float) -> None:
        """The visit has waited for so long, which no limit of time counts."""
        ...


class Waits:
    """The pauses of one drive. With `stay` off what is not due yet ends the drive: `Resting`."""

    def __init__(self, runner: Recorder, stay: bool = True, clock: Clock = time) -> None:
        self._runner = runner
        self._stay = stay
        self._clock = clock

    def of(self, line: Recorder) -> Waits:
        """The same for one of several that go at once."""
        return Waits(line, self._stay, self._clock)

    def wait(self, ctx: Context, key: str, seconds: float | None, until: datetime | float | None) -> None:
        """See `Context.wait`."""
        self._may_pause(ctx, "wait")
        pause = self._runner.pauses(ctx).get(key)
        if pause is None:
            said = self._moment(ctx, seconds, until)
            self._runner.say(ctx, "wait", key=key, **said)
            pause = said
        elif "question" in pause or "answer" in pause:
            raise _others(ctx, "asked")
        if not is_open(pause):
            return
        began = self._clock.monotonic()
        left = self._left(pause)
        while (rest := left()) > 0:
            self._rest(min(rest, SLICE))
        self._runner.waited(ctx, self._clock.monotonic() - began)
        self._runner.say(ctx, "waited", key=key)

    def ask(
        self,
        ctx: Context,
        key: str,
        labels: list[str],
        question: str,
        show: Any,
        seconds: float | None,
        otherwise: str | None,
    ) -> Answer:
        """See `Context.ask`."""
        self._may_pause(ctx, "ask")
        pause = self._runner.pauses(ctx).get(key)
        if pause is None:
            pause = self._question(ctx, key, labels, question, show, seconds, otherwise)
            self._runner.say(ctx, "ask", key=key, **pause)
        elif "question" not in pause and "answer" not in pause:
            raise _others(ctx, "waited")
        if is_open(pause):
            began = self._clock.monotonic()
            said = self._answered(pause)
            self._runner.waited(ctx, self._clock.monotonic() - began)
            if said.label not in pause["labels"]:
                raise PhaseError(
                    f"{ctx.place} is answered by {said.label!r}, which is none of its edges: {pause['labels']}. Remove "
                    f"{self._runner.run.url}/requests/{pause['slot']}.json, and answer again with `fsm answer`."
                )
            more: dict[str, Any] = {"note": said.note} if said.note else {}
            more |= {"values": said.values} if said.values else {}
            self._runner.say(ctx, "answer", key=key, label=said.label, by=said.by, **more)
        found = self._runner.pauses(ctx)[key]["answer"]
        return Answer(found["label"], found["by"], found["note"], copied(found["values"] or {}))

    def _question(
        self,
        ctx: Context,
        key: str,
        labels: list[str],
        question: str,
        show: Any,
        seconds: float | None,
        otherwise: str | None,
    ) -> dict[str, Any]:
        if not labels:
            raise PhaseError(
                f"{ctx.place} asks {question!r}, and has no edge with a label that could be the answer. Draw them."
            )
        if (otherwise is None) != (seconds is None):
            raise PhaseError(
                f"{ctx.place}: a question with a time limit needs both `seconds` and `otherwise`, the edge that is taken when nobody "
                "has answered by then; one without has neither."
            )
        if otherwise is not None and otherwise not in labels:
            raise PhaseError(
                f"{ctx.place} has no edge {otherwise!r} to be left by when nobody answers; it has {labels}. Draw it, or name another."
            )
        slot = hashlib.sha256(f"{ctx.identity}/{key}".encode()).hexdigest()[:16]
        said: dict[str, Any] = {"slot": slot, "question": json_values(question, ctx.place), "labels": labels}
        if show is not None:
            said["show"] = json_values(show, f"{ctx.place}: what is shown with the question")
        if seconds is not None:
            said |= self._moment(ctx, seconds, None) | {"otherwise": otherwise}
        return said

    def _answered(self, pause: Mapping[str, Any]) -> requests.AnswerRequest:
        """Wait for the request that answers. When the time limit passes nobody's is put; one that came before stands."""
        run, slot = self._runner.run, pause["slot"]
        seldomest = SELDOMEST_ELSEWHERE if "://" in run.url else SELDOMEST_LOOK
        left = self._left(pause) if "until" in pause else lambda: math.inf
        look = FIRST_LOOK
        while True:
            if found := requests.read(run, slot, requests.AnswerRequest):
                return found
            if (rest := left()) <= 0:
                return requests.put(run, slot, requests.AnswerRequest(label=pause["otherwise"]))
            nap = min(rest, look)
            while nap > 0:
                self._rest(min(nap, SLICE))
                nap -= SLICE
            look = min(1.5 * look, seldomest)

    def _moment(self, ctx: Context, seconds: float | None, until: datetime | float | None) -> dict[str, Any]:
        """{"until", and "seconds" where that many were asked for}. Raises PhaseError."""
        if (seconds is None) == (until is None):
            raise PhaseError(
                f"{ctx.place}: a wait is of so many `seconds` or `until` a moment: give one of the two."
            )
        now = self._clock.time()
        if seconds is not None:
            _within(ctx, seconds, f"a wait of {seconds} seconds")
            return {"until": round(now + seconds, 3), "seconds": seconds}
        if isinstance(until, datetime):
            if until.tzinfo is None:
                raise PhaseError(
                    f"{ctx.place} waits until {until.isoformat()}, which names no time zone, so that it is another moment on another "
                    "machine. Give it one: datetime(..., tzinfo=UTC)."
                )
            until = until.timestamp()
        assert until is not None
        _within(ctx, max(0.0, until - now), f"a wait until {until}")
        if until <= now:
            ctx.log.info("waits for what is past already, and goes on", until=moment(until))
        return {"until": round(float(until), 3)}

    def _left(self, pause: Mapping[str, Any]) -> Callable[[], float]:
        """Tells how many seconds are left.

        A number of seconds is over by whichever clock says so first, and never more than were asked for are begun anew: one on
        the wall that is set back does not wait twice. A moment is one on the wall.
        """
        until, seconds = pause["until"], pause.get("seconds")
        if seconds is None:
            return lambda: until - self._clock.time()
        end = self._clock.monotonic() + min(until - self._clock.time(), seconds)
        return lambda: min(until - self._clock.time(), end - self._clock.monotonic())

    def _rest(self, seconds: float) -> None:
        self._runner.stop.check()
        if not self._stay:
            raise Resting
        self._clock.sleep(seconds)
        self._runner.stop.check()

    def _may_pause(self, ctx: Context, what: str) -> None:
        if self._runner.stop.depth:
            raise PhaseError(
                f"{ctx.place} calls ctx.{what} inside deferring_stop, where no signal could end the wait. Call it outside."
            )


def _within(ctx: Context, seconds: float, what: str) -> None:
    if not 0 <= seconds <= LONGEST:  # not a number is neither
        raise PhaseError(
            f"{ctx.place}: {what} cannot be: it is of 0 seconds or more, and of ten years at most. Its unit is a second."
        )


def _others(ctx: Context, then: str) -> PhaseError:
    return PhaseError(
        f"{ctx.place} {then} before it was interrupted, and now does the other thing. A handler must make the same calls in the "
        "same order when it is run again."
    )
