"""`fsm watch --terminal`: a run elsewhere, by the tree of a run that goes on here, or as lines where there is no terminal."""

from __future__ import annotations

import json
import pickle
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

from fsm.config import environment_secrets
from fsm.secrets import redactor
from fsm.speech import Outlet, out, writer
from fsm.store import open_store
from fsm.view.durations import duration
from fsm.view.following import Following, State
from fsm.view.projection import Projection, flat
from fsm.view.rows import one_line, what
from fsm.view.terminal import can_show_a_tree, signals

EVERY = 0.25  # seconds between two looks; a trail through a bucket keeps its own time
ENDED = (State.DONE, State.FAILED, State.CANCELLED)
LONGEST = 300  # characters of what happened, on a line
APART = ("machines", "watched", "_recent", "_overviews")  # of a projection what is not copied value by value


class Face(Protocol):
    """Shows a run that is followed."""

    def show(self, following: Following, new: list[dict[str, Any]]) -> None:
        """Show how it stands, now that these records are new."""
        ...


def watch(run: str, store: str, as_json: bool = False, wait: Callable[[float], None] = time.sleep) -> int:
    """Follow a run until it ends or an interrupt; returns 1 where it ended in a failure edge, 5 where it was cancelled, otherwise 0.

    As JSON one line a record, as `fsm history --json` has it, and one {"run", "state", "why"} where it comes to stand
    otherwise. A run that is not there, has stopped or cannot be read is waited for: it may come, go on, or be mended. Raises
    ConfigError where no run can have that name, and OSError where standard output has no reader any more.
    """
    following = Following(open_store(store), run)
    with _face(as_json) as face:
        try:
            while True:
                face.show(following, following.poll())
                if following.state in ENDED and following.caught_up:
                    return {State.FAILED: 1, State.CANCELLED: 5}.get(following.state, 0)
                if following.caught_up or following.state not in (
                    State.RUNNING,
                    State.STOPPED,
                    State.WAITING,
                ):
                    wait(EVERY)
        except KeyboardInterrupt:
            return 0


@contextmanager
def _face(as_json: bool) -> Iterator[Face]:
    redact = redactor(environment_secrets())
    if as_json or not can_show_a_tree(sys.stdout):
        yield Lines(redact, as_json)
        return
    from fsm.view.live import Painter

    with signals(sys.stdout):
        outlet = Outlet(writer(sys.stdout, errors="replace"))
        painter = Painter(Projection(), sys.stdout, outlet, redact=redact)
        try:
            painter.start()
            try:
                yield Tree(painter)
            finally:
                painter.close()
        finally:
            outlet.close()


class Tree:
    """By a painter, which is given copies: the run is read in one thread and drawn in another."""

    def __init__(self, painter: Any) -> None:
        self._painter = painter
        self._given: tuple[object, ...] = ()

    def show(self, following: Following, new: list[dict[str, Any]]) -> None:
        status = "" if following.state in (State.RUNNING, *ENDED) else str(following.state)
        why = said(following)
        if (now := moment(following)) != self._given:
            self._given = now
            self._painter.show(copied(following.projection), status, why)


class Lines:
    """Each record on a line, and how the run stands where that changes."""

    def __init__(self, redact: Callable[[str], str], as_json: bool) -> None:
        self._redact = redact
        self._json = as_json
        self._stood: tuple[str, str] | None = None
        self._turn = 0

    def show(self, following: Following, new: list[dict[str, Any]]) -> None:
        if self._turn and following.turn != self._turn:
            self._stands(following.name, "begun anew", "")
        self._turn = following.turn
        for record in new:
            row = flat(record)
            self._say(json.dumps(row, ensure_ascii=False) if self._json else line(row))
        stands = str(following.state), said(following)
        reading_on = (
            following.state in (State.RUNNING, State.STOPPED, State.WAITING) and not following.caught_up
        )
        if stands != self._stood and not reading_on:
            self._stood = stands
            self._stands(following.name, *stands)
        sys.stdout.flush()

    def _stands(self, run: str, state: str, why: str) -> None:
        if self._json:
            self._say(json.dumps({"run": run, "state": state, "why": why or None}, ensure_ascii=False))
        else:
            self._say(f"{run}: {state}{f': {one_line(why, LONGEST)}' if why else ''}")

    def _say(self, text: str) -> None:
        out(self._redact(text))


def line(row: Mapping[str, Any]) -> str:
    """A row of a history in one line: number, time, place, what happened, how long it took."""
    at = datetime.fromisoformat(row["time"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    place = f"{row['place']}: " if "place" in row else ""
    took = f"  {duration(row['took'])}" if "took" in row else ""
    return f"{row['seq']:>5} {at}  {place}{one_line(what(row, LONGEST), LONGEST)}{took}"


def said(following: Following) -> str:
    """What is to be known of a run besides its tree; empty where that is nothing."""
    words = [following.why] if following.why else []
    if following.state == State.BEGINNING:
        words.append("It is being begun, and has no record yet.")
    if following.missing and following.caught_up:
        words.append(f"{following.missing} records are missing: `fsm audit {following.name}` says more.")
    if following.changed:
        words.append(
            f"Changed since the run was begun, and shown as it is now: the drawing of {', '.join(following.changed)}."
        )
    return " ".join(words)


def copied(projection: Projection) -> Projection:
    """A projection that stays as it is. It costs the same however long the run is."""
    copy = Projection(projection.machines)
    own = {k: v for k, v in vars(projection).items() if k not in APART}
    vars(copy).update(pickle.loads(pickle.dumps(own, pickle.HIGHEST_PROTOCOL)))
    copy._recent = deque(projection._recent, projection._recent.maxlen)  # no record is ever changed
    copy.watched = {place: copied(below) for place, below in projection.watched.items()}
    return copy


def moment(following: Following) -> tuple[object, ...]:
    """What tells one moment of a run from another: it is shown anew where this is another one."""
    return following.turn, following.projection.records, following.state, said(following), _beyond(following)


def _beyond(following: Following) -> object:
    """What there is beyond the records: states in hand, how far they are, a run that is followed."""
    levels = [(lv.at, lv.state, lv.visit, lv.progress) for lv in following.projection.stack()]
    below = following.watching
    return levels, (below.projection.records, _beyond(below)) if below else None
