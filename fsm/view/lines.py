"""A run as lines of a log: for files, containers and continuous integration."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from fsm.errors import FsmError
from fsm.journal import Watch, place_of
from fsm.journal import moment as at
from fsm.store import RunStore
from fsm.view.projection import Projection, flat
from fsm.view.rows import what

BETWEEN_PROGRESS = 10.0  # seconds between two lines on how far a state is
BETWEEN_POLLS = 2.0  # seconds between two looks at a run that is followed


class Teller:
    """An observer that logs every record, a state's progress now and then, and the records of a followed run."""

    def __init__(self, logger: Any, projection: Projection) -> None:
        self._logger = logger
        self._projection = projection
        self._told: tuple[tuple[str, ...], str, float] = ((), "", 0.0)
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._followed: dict[str, threading.Thread] = {}

    def opened(self, run: RunStore, records: int) -> None:
        how = "run begins" if records == 1 else "run goes on"
        self._logger.info(how, run=run.name, at=run.url, records=records)

    def record(self, record: Mapping[str, Any]) -> None:
        self._projection.apply(record)
        tell(self._logger, flat(record))

    def entered(self, at: list[str], machine: str, state: str, visit: int) -> None:
        if not self._projection.knows(at):
            self._logger.info("machine begins", machine=machine, place=place_of(at, state))
        self._projection.entered(at, machine, state, visit, time.time())
        self._told = (tuple(at), state, time.monotonic())

    def progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None:
        with self._lock:
            where, told, when = self._told
            now = time.monotonic()
            if (where, told) == (tuple(at), state) and now - when < BETWEEN_PROGRESS:
                return
            self._told = (tuple(at), state, now)
        said = {"note": note} if note else {}
        self._logger.info("progress", place=place_of(at, state), done=done, total=total, **said)

    def watched(self, at: list[str], state: str, watch: Watch) -> None:
        name = watch.run.name
        if name in self._followed:
            return
        self._logger.info("follows a run", place=place_of(at, state), run=name)
        thread = threading.Thread(
            target=self._follow, args=(Watch(watch.run),), name=f"follow {name}", daemon=True
        )
        self._followed[name] = thread
        thread.start()

    def close(self) -> None:
        """Look at the followed runs a last time."""
        self._end.set()
        for thread in self._followed.values():
            thread.join(BETWEEN_POLLS)

    def _follow(self, watch: Watch) -> None:
        logger = self._logger.bind(run=watch.run.name)
        while True:
            ending = self._end.wait(BETWEEN_POLLS)
            try:
                for record in watch.poll():
                    tell(logger, flat(record))
            except FsmError as e:
                logger.warning("cannot be followed", why=e.message)
                return
            if ending or watch.ended:
                return


def tell(logger: Any, row: dict[str, Any]) -> None:
    """Log one record."""
    kind = row["kind"]
    if kind == "claim":
        logger.info("taken up", writer=row["writer"], epoch=row["epoch"])
    elif kind in ("fork", "accept"):
        logger.info(what(row))
    elif kind == "transition":
        words = {"label": row["label"]} if row["label"] else {}
        if end := row.get("end"):
            words["outcome"] = end["outcome"]
        if artifacts := row.get("artifacts"):
            words["artifacts"] = len(artifacts)
        logger.info(
            "left", place=row["place"], **words, to=", ".join(row["to"]) or "[*]", took=round(row["took"], 3)
        )
    elif kind == "once":
        logger.info("done once", place=row["place"], key=row["key"])
    elif kind == "error":
        said = {k: row[k] for k in ("error", "message", "recovery", "item") if row.get(k)}
        if retry := row.get("retry"):
            said["again_in"] = retry["seconds"]
        logger.error("error", place=row["place"], **said)
    elif kind in ("split", "join"):
        logger.info("at once" if kind == "split" else "joined", place=row["place"], what=what(row))
    elif kind == "wait":
        logger.info("waits", place=row["place"], until=at(row["until"]))
    elif kind == "waited":
        logger.info("has waited", place=row["place"])
    elif kind == "ask":
        said = {k: row[k] for k in ("labels", "show", "otherwise") if row.get(k)}
        until = {"until": at(row["until"])} if "until" in row else {}
        logger.warning("asks", place=row["place"], question=row["question"], **said, **until)
    elif kind == "answer":
        said = {k: row[k] for k in ("by", "note", "values") if row.get(k)}
        logger.info("answered", place=row["place"], label=row["label"], **said)
    elif kind == "cancel":
        said = {k: row["end"][k] for k in ("by", "why") if row["end"].get(k)}
        left = {"left": "; ".join(row["left"])} if row.get("left") else {}
        logger.warning("cancelled", place=row["place"], **said, **left)
    else:
        said = {"skipped": ", ".join(row["skipped"])} if row.get("skipped") else {}
        logger.warning(
            "recovery decided", place=row["place"], verdict=row["verdict"], last=row["last"], **said
        )
