"""A run ended on request: first what its states have begun outside, by name, then the run itself."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fsm.engine.outcome import Outcome, Stopped
from fsm.errors import FsmError, RunReplaced, StoreError
from fsm.journal import requests
from fsm.text import spelt

if TYPE_CHECKING:
    from fsm.engine.level import Level
    from fsm.engine.runner import Runner


class Ended(BaseException):
    """What was in progress is ended: there is nothing to go on with. Passes through the handlers above."""


def cancelled(runner: Runner, request: requests.CancelRequest, anyway: bool) -> Outcome:
    """End the run. Where what it has begun outside cannot be ended, it stays as it is, and so does the request.

    To find that, the handlers above what is in progress are run again, as when the run is resumed, and instead of the innermost
    ones what their phases have registered to end them (`Phase.ends`), with the context that they would have. `anyway`: end the
    run in any case; its record says what was left. Raises StoreError, RunReplaced, StopRequested.
    """
    runner.stop.obeyed()
    left: list[str] = []
    runner.ending = True
    try:
        runner.walk_down()
    except Ended:
        pass
    except (StoreError, RunReplaced):
        raise
    except (Exception, Stopped) as e:
        left.append(spelt(e.message if isinstance(e, FsmError | Stopped) else f"{type(e).__name__}: {e}"))
    finally:
        runner.ending = False
    if left and not anyway:
        return Outcome(
            "stopped",
            message=f"It is to be cancelled, and what it has begun outside cannot be ended: {left[0].rstrip('.')}. Whoever opens it "
            f"next tries again; `fsm cancel {runner.run.name} --anyway` ends the run, and leaves that as it is.",
        )
    level = runner.outermost()
    state = level.place[0]
    body = level.record("cancel", state)
    if left:
        body["left"] = left
    why = {"by": request.by, "why": request.why}
    body["end"] = {"outcome": "cancelled", "label": None, "last": state, **why}
    runner.append(body)
    return Outcome.of(body["end"])


def _branches(level: Level) -> list[Level]:
    from fsm.engine import at_once

    return at_once.under_way(level)


def end_all(runner: Runner, level: Level) -> None:
    """In every state that a machine stands in, end what it has begun; the innermost machines' first. Raises Ended.

    Of a machine whose branches go at once, in every state that those stand in.
    """
    if level.splits and (branches := _branches(level)):
        for branch in branches:
            with suppress(Ended):
                end_all(runner, branch)
        raise Ended
    for state in level.place:
        ctx = runner.context(level, state)
        handler = level.phase.handlers.get(state)
        calls = (level.frame["open"].get(state) or {}).get("calls", {})
        if handler and "!" not in calls and any(call["place"] for call in calls.values()):
            try:
                runner.perform(handler.handle, ctx)  # calls down again, and does not return from there
            except Ended:
                continue
        if end := level.phase.endings.get(state):
            runner.check_claim()
            runner.perform(end, ctx)
    raise Ended
