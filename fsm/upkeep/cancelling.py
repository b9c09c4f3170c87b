"""`fsm cancel`: a run's end is asked for in its store; its runner obeys, or, where none is alive, the run is opened to be ended."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path

from fsm.errors import ConfigError, RunOver
from fsm.journal import Journal, requests
from fsm.speech import out, say
from fsm.store import open_store
from fsm.upkeep import due, going
from fsm.upkeep.due import Due
from fsm.upkeep.who import who

NOT_YET = 3


def cancel(
    name: str, store: str, by: str | None, why: str | None, config: Path | None, anyway: bool, as_json: bool
) -> int:
    """End a run for good; exit code 0 where it is over, or its runner has been asked, 3 where that is still to come.

    As JSON one object: run, outcome (cancelled; asked: a runner will obey; stopped, refused), message. Raises RunOver, NoSuchRun,
    StoreError.
    """
    from fsm.view import is_alive

    opened = open_store(store)
    run = opened.run(name)
    journal = Journal(run)
    journal.header()
    ended = journal.load().ended
    if ended:
        by_whom = f" by {ended['by']}" if ended.get("by") else ""
        raise RunOver(
            f"Run {name} is over already ({ended['outcome']}{by_whom}, after {ended['last']}); there is nothing to cancel."
        )
    asked = requests.CancelRequest(id=secrets.token_hex(8), by=who(by), why=why)
    stands = requests.put(run, requests.CANCEL, asked)
    if anyway:
        requests.put(run, requests.ANYWAY, asked)
    before = f" {stands.by or 'Somebody'} has asked for it before." if stands.id != asked.id else ""
    live = run.read_live()
    if is_alive(run, live):
        whose = f", process {live.get('pid')} on {live.get('host')}," if live else ""
        return _told(name, "asked", f"Its runner{whose} ends it at its next record.{before}", 0, as_json)
    try:
        going.words(run, store, live, config)
    except ConfigError as e:
        then = f"It is asked for, and whoever opens the run next ends it. {e.message}{before}"
        return _told(name, "asked", then, NOT_YET, as_json)
    (said,) = due.went_on(opened, store, [Due(name, "", live)], config, 1, "none")
    code = 0 if said["outcome"] == "cancelled" else said["code"] or NOT_YET
    return _told(name, said["outcome"], f"{said.get('message') or ''}{before}", code, as_json)


def _told(name: str, outcome: str, message: str, code: int, as_json: bool) -> int:
    if as_json:
        out(
            json.dumps(
                {"run": name, "outcome": outcome, "message": message, "time": round(time.time(), 3)},
                ensure_ascii=False,
            )
        )
    elif outcome == "cancelled":
        say(f"run {name} is cancelled{f', {message}' if message else ''}.")
    elif outcome == "asked":
        say(f"run {name} is to be cancelled. {message}")
    else:
        say(f"run {name} is not cancelled: {outcome}. {message}")
    return code
